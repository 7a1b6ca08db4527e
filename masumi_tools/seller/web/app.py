"""The MIP-003 routes of a service, on FastAPI. `/docs` shows them, `/openapi.json` is their contract.

Bodies are read by us and not by FastAPI, so that every wrong request is 400 with one sentence and its
fields, as buyers' clients expect, and a size cap holds before anything is parsed.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from masumi_tools.errors import JournalError
from masumi_tools.inputs import served
from masumi_tools.net.json import read_json
from masumi_tools.seller.fast.shortcut import Handle, QuickApp
from masumi_tools.seller.offering import Offer, Offering
from masumi_tools.seller.web import answers
from masumi_tools.seller.web.door import Door, OpenShop
from masumi_tools.seller.web.operating import add_to as add_operating
from masumi_tools.seller.web.requests import Refusal
from masumi_tools.settings import Serving

IDENTIFIER: dict[str, Any] = {
    "type": "string",
    "pattern": "^([0-9a-fA-F]{2}){7,13}$",
    "description": "the buyer's own nonce: 14 to 26 hexadecimal digits, an even number",
}
PROVIDE_INPUT_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["job_id", "input_data"],
    "properties": {
        "job_id": {"type": "string", "minLength": 1},
        "status_id": {"type": "string", "description": "the id of the status that asks"},
        "input_schema_hash": {
            "type": "string",
            "description": "SHA-256 of the question's schema in RFC 8785 form",
        },
        "input_data": {
            "type": "object",
            "description": "values by field id, as the question's input_schema says",
        },
    },
}
_WORDS = {
    400: "The request is wrong; the detail says how, by field.",
    404: "There is no such job or agent.",
    405: "Another method is needed.",
    409: "The job is in another state.",
    413: "The body is too large.",
    429: "Too many jobs wait for their payment.",
    503: "The payment node or the database does not work at the moment; no job was started.",
}

BODY_WITHIN_S = 30.0
# What is too large is heard out, up to this: who is still sending sees a broken connection and no answer.
_HEARD_BYTES = 32_000_000


def _errors(*codes: int) -> dict[int | str, dict[str, Any]]:
    return {code: {"model": answers.ErrorAnswer, "description": _WORDS[code]} for code in codes}


def _start_job_body(offer: Offer) -> dict[str, Any]:
    needed = ([] if offer.free else ["identifier_from_purchaser"]) + (
        ["input_data"] if offer.spec.required else []
    )
    identifier = {**IDENTIFIER, "type": ["string", "null"]} if offer.free else IDENTIFIER
    fields = answers.input_contract(offer.spec)
    return {
        "type": "object",
        "required": needed,
        "properties": {"identifier_from_purchaser": identifier, "input_data": fields},
    }


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def refusal(error: Exception) -> JSONResponse:
    """The answer to a request that is not served."""
    if isinstance(error, Refusal):
        return JSONResponse({"detail": error.detail}, error.status, error.headers)
    return JSONResponse({"detail": "the database does not work at the moment"}, 503, {"Retry-After": "30"})


def _answer(error: Exception) -> Response | None:
    return refusal(error) if isinstance(error, Refusal | JournalError) else None


def make_app(offering: Offering, open_shop: OpenShop, serving: Serving) -> FastAPI:
    """The ASGI app. `open_shop` is called when the server starts, or by the first request where the app is mounted
    in another one: importing a service needs no settings."""
    door, offer = Door(open_shop), offering.offer

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.shop = await door.open()
        try:
            yield
        finally:
            await door.close()

    app = QuickApp(
        title=offer.name,
        description=offer.description,
        version=offer.capability[1],
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.door = door
    if serving.cors:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(serving.cors), allow_methods=["*"], allow_headers=["*"]
        )

    @app.exception_handler(Refusal)
    @app.exception_handler(JournalError)
    async def refused(_: Request, error: Exception) -> JSONResponse:
        return refusal(error)

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"detail": str(error.detail)}, error.status_code, error.headers)

    quick = _job_routes(app, offer, door, offering.limits.body_bytes)
    _offer_routes(app, offer, door)
    add_operating(app, door, serving)
    if offering.webhook_token:
        _webhook(app, door, offering.webhook_token)
    app.shorten(quick, _answer)
    app.openapi = lambda: _contract(app)  # type: ignore[method-assign]
    return app


def _reader(body_bytes: int) -> Callable[[Request], Awaitable[dict[str, Any]]]:
    """How a body is read that is an object, no larger than that, and comes in time."""

    async def read(request: Request) -> dict[str, Any]:
        raw, size = bytearray(), 0
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size <= body_bytes:
                        raw += chunk
                    elif size > _HEARD_BYTES:
                        break
        except TimeoutError:
            raise Refusal(408, "the body did not come in time", {"Connection": "close"}) from None
        if size > body_bytes:
            raise Refusal(413, f"the body is larger than {body_bytes} bytes", {"Connection": "close"})
        return _object(bytes(raw))

    return read


def _job_routes(app: FastAPI, offer: Offer, door: Door, body_bytes: int) -> dict[tuple[str, str], Handle]:
    """The routes of a job's life; those that are called most are answered, for the short cut."""

    read = _reader(body_bytes)

    @app.post(
        "/start_job",
        response_model=answers.StartJobAnswer,
        responses=_errors(400, 413, 429, 503),
        openapi_extra=_body(_start_job_body(offer)),
        summary="Start a job; the answer says how to pay for it",
    )
    async def start_job(request: Request) -> JSONResponse:
        client = request.client.host if request.client else ""
        shop = door.shop or await door.open()
        job = await shop.start_job(await read(request), client)
        return _json(answers.started(job))

    @app.get(
        "/status",
        response_model=answers.StatusAnswer,
        responses=_errors(400, 404, 503),
        summary="Where a job is, and its result",
    )
    async def status(
        job_id: Annotated[str | None, Query(description="the id that start_job gave")] = None,
        jobId: Annotated[str | None, Query(include_in_schema=False)] = None,
    ) -> JSONResponse:
        return await status_of(job_id or jobId)

    async def status_of(job_id: str | None) -> JSONResponse:
        if not job_id:
            raise Refusal(400, {"message": "job_id is missing", "field_errors": {"job_id": ["is missing"]}})
        shop = door.shop or await door.open()
        return _json(answers.status(await shop.jobs.named(job_id)))

    @app.post(
        "/provide_input",
        response_model=answers.ProvideInputAnswer,
        responses=_errors(400, 404, 409, 413, 503),
        openapi_extra=_body(PROVIDE_INPUT_BODY),
        summary="Answer the question of a job that awaits input",
    )
    async def provide_input(request: Request) -> JSONResponse:
        job, hashed = await (await door.open()).jobs.answer(await read(request))
        return _json({"job_id": job.job_id, "status": "success", "input_hash": hashed, "signature": ""})

    return {
        ("POST", "/start_job"): start_job,
        ("GET", "/status"): lambda request: status_of(
            request.query_params.get("job_id") or request.query_params.get("jobId")
        ),
    }


def _offer_routes(app: FastAPI, offer: Offer, door: Door) -> None:
    """What is offered, and whether it can be had now."""

    @app.get(
        "/availability", response_model=answers.AvailabilityAnswer, summary="Whether a job can be started now"
    )
    async def availability() -> JSONResponse:
        shop = await door.open()
        why = shop.health.unavailable()
        body: dict[str, Any] = {
            "status": "unavailable" if why else "available",
            "type": "masumi-agent",
            "message": why or f"{offer.name} takes jobs; {shop.health.free_places}",
        }
        if shop.agent.identifier:
            body["agentIdentifier"] = shop.agent.identifier
        if shop.contracts.changed is not None:
            body["terms_changed"] = shop.contracts.changed
        return _json(body)

    app.head("/availability", include_in_schema=False)(availability)
    schema = served(offer.spec)

    @app.get("/input_schema", response_model=answers.InputSchemaAnswer, summary="The fields of input_data")
    async def input_schema() -> JSONResponse:
        return _json(schema)

    @app.get(
        "/demo",
        response_model=answers.DemoAnswer,
        responses=_errors(404),
        summary="An example of input and output",
    )
    async def demo() -> JSONResponse:
        if offer.demo is None:
            raise Refusal(404, "this service has no demo")
        return _json(dict(offer.demo))

    @app.get(
        "/payment-information",
        response_model=answers.PaymentInformationAnswer,
        responses=_errors(404),
        summary="Identifier, price and seller's key",
    )
    async def payment_information(
        request: Request,
        agentIdentifier: Annotated[str | None, Query(description="may be left out")] = None,
    ) -> JSONResponse:
        known = await door.open()
        if agentIdentifier and agentIdentifier.lower() != known.agent.identifier.lower():
            raise Refusal(404, "this service is another agent")
        body = answers.payment_information(
            offer,
            agent_identifier=known.agent.identifier,
            seller_vkey=known.agent.seller_vkey,
            network=known.settings.network,
            source_index=known.agent.source_index,
            base=str(request.base_url).rstrip("/"),
        )
        return _json(body)


def _webhook(app: FastAPI, door: Door, token: str) -> None:
    expected = f"Bearer {token}".encode()

    @app.post("/webhook", include_in_schema=False)
    async def webhook(request: Request) -> JSONResponse:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, expected):
            raise Refusal(401, "the token is not that of the webhook")
        (await door.open()).watch.poke()
        return _json({"status": "ok"})


def _contract(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: without 422, which this service never answers, and with job_id as the need it is."""
    if not app.openapi_schema:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        job_id = document["paths"]["/status"]["get"]["parameters"][0]
        job_id |= {"required": True, "schema": {"type": "string", "minLength": 1}}
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(name, None)
        app.openapi_schema = document
    return app.openapi_schema


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = read_json(raw)
        if b"\\ud" in raw.lower():  # halves of surrogate pairs: no two parties hash them alike
            json.dumps(json.loads(raw), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refusal(
            400, {"message": "the body contains half of a surrogate pair", "field_errors": {}}
        ) from None
    except ValueError as error:
        message = str(error).replace("the answer", "the body")
        raise Refusal(400, {"message": message, "field_errors": {}}) from None
    if not isinstance(value, dict):
        raise Refusal(400, {"message": "the body must be a JSON object", "field_errors": {}})
    return value


class _Utf8JSON(JSONResponse):
    def render(self, content: Any) -> bytes:
        return to_json(content, inf_nan_mode="null")


def _json(body: Any) -> JSONResponse:
    return _Utf8JSON(body)
