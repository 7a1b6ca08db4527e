// The conformance runner has no flag for a token: every request that it makes carries MASUMI_TEST_TOKEN.
import { createRequire } from "node:module";

const { Agent, setGlobalDispatcher } = createRequire(process.argv[1])("undici");
const bearer = `Bearer ${process.env.MASUMI_TEST_TOKEN}`;

function withBearer(headers) {
  if (Array.isArray(headers)) return [...headers, "authorization", bearer];
  const pairs = headers?.[Symbol.iterator] ? [...headers] : Object.entries(headers ?? {});
  return { ...Object.fromEntries(pairs), authorization: bearer };
}

setGlobalDispatcher(
  new Agent().compose((dispatch) => (asked, handler) =>
    dispatch({ ...asked, headers: withBearer(asked.headers) }, handler),
  ),
);
