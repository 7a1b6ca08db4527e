"""The entry: `serve`, whose keywords hold every limit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import anyio

from masumi_tools.errors import InputError
from masumi_tools.hire.budget import AmountsLike, Budget
from masumi_tools.mcp.tools import WAIT_S, McpTools
from masumi_tools.mcp.transports import over_http, over_stdio
from masumi_tools.settings import Settings
from masumi_tools.tools.actions import Actions


def serve(
    *,
    budget: Budget | None = None,
    allow: Iterable[str] | None = None,
    services: Sequence[str] = (),
    settings: Settings | None = None,
    approve_above: AmountsLike | None = None,
    wait_s: float = WAIT_S,
    http: str | None = None,
    token: str | None = None,
) -> None:
    """Serve the tools until stdin ends, or with `http` ("127.0.0.1:8750") until the process is stopped.

    `budget` holds every limit: no argument of a tool raises one, and without a budget only free services
    are hired. `allow` lists the only services that may be hired, `services` those that get a tool of their
    own with typed fields. Above `approve_above` the host asks its user, and only a clear yes pays; where the
    host cannot ask and the budget has `approve_above` itself, the hire waits in the journal until a person
    answers it (`masumi-tools approve`), else it is refused. `wait_s` is how long one call waits for a hire. Over HTTP each request carries
    `token` as a bearer token; InputError when it is missing. Open hires are swept while it serves; when it
    ends they continue, and the next process finds them in the journal.
    """
    if http is not None and not token:
        raise InputError("an MCP server over HTTP needs a token, so that only its user spends the budget")
    if not 1 <= wait_s <= 3_600:
        raise InputError("wait_s is from 1 to 3600 seconds")
    actions = Actions(settings=settings, budget=budget, allow=allow, patience_s=wait_s)
    if approve_above is None and budget is not None:
        approve_above = budget.approve_above
    tools = McpTools(actions, approve_above, wait_s)
    if http is None or token is None:
        anyio.run(over_stdio, tools, services)
    else:
        anyio.run(over_http, tools, services, http, token)
