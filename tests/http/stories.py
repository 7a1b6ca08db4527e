"""What the cassettes hold: calls to the sandbox, each story a generator that is sent the replies.

A story checks what it gets, so it tests the HTTP layer, the requests of `calls` and the readers of
`models` against recorded answers as well as against the living sandbox. To record them anew, run
`python -m tests.http.stories`; the sandbox then listens on PORT, and the tokens are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vcr  # type: ignore[import-untyped]

from masumi_tools import models
from masumi_tools.calls import node, registry, service
from masumi_tools.calls.call import Call, Reply, encode
from masumi_tools.money import Amount
from masumi_tools.net.http import Http
from masumi_tools.settings import Secret, Settings

PORT = 18471
NONCE = "a1b2c3d4e5f60718293a"
CASSETTES = Path(__file__).with_name("cassettes")
HIDDEN = ["token", "cookie", "authorization"]


@dataclass(frozen=True)
class Place:
    """Where a sandbox is."""

    origin: str = f"http://127.0.0.1:{PORT}"

    @property
    def node(self) -> str:
        return f"{self.origin}/api/v1"

    @property
    def registry(self) -> str:
        return f"{self.origin}/registry/api/v1"

    def settings(self, token: str) -> Settings:
        return Settings(
            node_url=self.node,
            node_token=Secret(token),
            registry_url=self.registry,
            registry_token=Secret(token),
            sandbox=True,
        )

    def control(self, route: str, **body: Any) -> Call:
        return Call(f"POST /_sandbox/{route}", "node", f"{self.origin}/_sandbox/{route}", encode(body))


Story = Callable[[Place], Generator[Call, Reply, None]]


def listed(at: Place, name: str) -> Generator[Call, Reply, models.Listing]:
    reply = yield registry.search(at.registry, "Preprod", name)
    found = next(
        one
        for one in models.read_registry_entries(reply.body, "Preprod")
        if one.api_base_url == f"{at.origin}/services/{name}"
    )
    reply = yield registry.payment_information(at.registry, found.agent_identifier)
    return models.read_payment_information(reply.body, "Preprod")


def bought(
    at: Place, listing: models.Listing, text: str
) -> Generator[Call, Reply, tuple[str, models.Terms, bytes]]:
    reply = yield service.start_job(listing.api_base_url, service.start_body(NONCE, {"text": text}))
    started = models.read_started(reply.body, reply.status or 0, sent=NONCE)
    assert started.terms is not None and started.job_id is not None and not started.problems
    body = node.purchase_body(started.terms, network="Preprod", nonce=NONCE, amounts=listing.price.amounts)
    reply = yield node.purchase(at.node, body)
    assert reply.ok and reply.headers["sandbox-now"].isdigit()
    return started.job_id, started.terms, body


def a_hire_from_price_to_result(at: Place) -> Generator[Call, Reply, None]:
    for call in (node.health(at.node), node.key_status(at.node), registry.health(at.registry)):
        assert (yield call).ok
    echo = yield from listed(at, "echo")
    assert echo.price.amounts == (Amount(1_000_000),)
    reply = yield service.availability(echo.api_base_url)
    assert models.read_availability(reply.body).available
    assert (yield service.input_schema(echo.api_base_url)).ok
    job_id, terms, body = yield from bought(at, echo, "grüße \U0001f600")
    again = yield node.purchase(at.node, body)
    assert (again.status, again.ok, again.unknown) == (409, False, False)
    assert models.read_purchase(again.body).blockchain_identifier == terms.blockchain_identifier
    states = []
    for _ in range(4):
        reply = yield node.resolve(at.node, terms.blockchain_identifier, "Preprod")
        states.append(str(models.read_purchase(reply.body).on_chain_state))
        yield at.control("clock", advance_ms=60_000)
    assert states[0] != states[-1] and states[-1] == "ResultSubmitted"
    reply = yield service.status(echo.api_base_url, job_id)
    assert models.read_status(reply.body).result == "GRÜSSE \U0001f600"


def money_that_comes_back(at: Place) -> Generator[Call, Reply, None]:
    silent = yield from listed(at, "silent")
    _job_id, terms, _ = yield from bought(at, silent, "anybody there?")
    yield at.control("clock", advance_ms=60_000)
    refused = yield node.patch_refund(at.node, terms.blockchain_identifier, "Preprod")
    assert refused.status == 405 and "POST" in refused.headers["allow"]
    reply = yield node.request_refund(at.node, terms.blockchain_identifier, "Preprod")
    assert reply.ok
    for _ in range(3):
        yield at.control("clock", advance_ms=3_600_000)
    reply = yield node.resolve(at.node, terms.blockchain_identifier, "Preprod", history=True)
    assert str(models.read_purchase(reply.body).on_chain_state) == "RefundWithdrawn"
    reply = yield node.diff(at.node, "Preprod", source_type="Web3CardanoV1")
    assert [one.blockchain_identifier for one in models.read_purchases(reply.body)] == [
        terms.blockchain_identifier
    ]


def what_goes_wrong(at: Place) -> Generator[Call, Reply, None]:
    reply = yield registry.payment_information(at.registry, "ab" * 40)
    assert (reply.status, reply.fault, reply.unknown) == (404, None, False)
    reply = yield node.resolve(at.node, "abcd", "Preprod")
    assert reply.status == 404 and models.read_error(reply.body)
    echo = yield from listed(at, "echo")
    reply = yield service.status(echo.api_base_url, "no-such-job")
    assert reply.status == 404
    reply = yield Call("GET /nowhere", "node", f"{at.node}/nowhere")
    assert reply.status == 404
    for do, status, fault, unknown in (
        ("html-502", 502, "not-json", True),
        ("error-500", 500, None, True),
        ("garbage", 200, "not-json", True),
        ("wrong-content-type", 200, None, False),
        ("rate-limit", 429, None, False),
    ):
        assert (yield at.control("faults", on="GET /availability", do=do)).ok
        reply = yield service.availability(echo.api_base_url)
        assert (reply.status, reply.fault, reply.unknown) == (status, fault, unknown), do
    assert reply.retry_after_s == 1.0


STORIES: dict[str, Story] = {
    story.__name__: story for story in (a_hire_from_price_to_result, money_that_comes_back, what_goes_wrong)
}


def cassette(path: Path, mode: str) -> Any:
    """The recorder on one story's cassette, without what must not lie in a repository."""

    def without_cookies(response: dict[str, Any]) -> dict[str, Any]:
        headers = response["headers"]
        return {**response, "headers": {k: v for k, v in headers.items() if k.lower() != "set-cookie"}}

    recorder = vcr.VCR(
        record_mode=mode,
        match_on=["method", "uri", "body"],
        filter_headers=HIDDEN,
        before_record_response=without_cookies,
    )
    return recorder.use_cassette(str(path))


def tell(story: Story, at: Place, send: Callable[[Call], Reply]) -> int:
    """Runs a story with a blocking client; how many calls it made."""
    telling, reply, calls = story(at), None, 0
    try:
        while True:
            reply, calls = send(telling.send(reply)), calls + 1  # type: ignore[arg-type]
    except StopIteration:
        return calls


def record() -> None:
    from masumi_tools.sandbox import Sandbox

    at = Place()
    for name, story in STORIES.items():
        path = CASSETTES / f"{name}.yaml"
        path.unlink(missing_ok=True)
        with (
            Sandbox(port=PORT, manual_clock=True) as sandbox,
            Http(at.settings(sandbox.token)) as http,
            cassette(path, "all"),
        ):
            print(f"{name}: {tell(story, at, http.send)} calls")


if __name__ == "__main__":
    record()
