"""The seed's way to a purchase: GET /purchase is a list, newest first, whose cursor row comes again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from masumi_tools.calls import node
from masumi_tools.hire.budget import Budget
from masumi_tools.journal.store import Journal
from masumi_tools.net.http import Http
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer, purchases

HOUR = 3_600_000


class Unfiltered(httpx.BaseTransport):
    """A node of the seed's kind that does not know the filter: it gives its rows, page after page."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._inner = sandbox.transport()
        self.pages: list[str | None] = []
        self.hidden = 0  # in so many answers the newest row is not there yet

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and request.url.path.endswith("/api/v1/purchase"):
            self.pages.append(request.url.params.get("cursorId"))
            url = request.url.copy_remove_param("blockchainIdentifier")
            request = httpx.Request(request.method, url, headers=request.headers)
            if self.hidden:
                return self._without_the_newest(self._inner.handle_request(request))
        return self._inner.handle_request(request)

    def _without_the_newest(self, answer: httpx.Response) -> httpx.Response:
        self.hidden -= 1
        body = json.loads(answer.read())
        body["data"]["Purchases"] = body["data"]["Purchases"][1 if self.pages[-1] is None else 0 :]
        return httpx.Response(200, json=body, headers={"sandbox-now": answer.headers["sandbox-now"]})


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1, dialect="seed") as sandbox:
        yield sandbox


def buyer_of(sandbox: Sandbox, folder: Path, name: str) -> tuple[ClockedBuyer, Unfiltered]:
    buyer = ClockedBuyer(sandbox, Budget("900 ADA"), Journal(f"sqlite:///{folder / name}.sqlite3"))
    transport = Unfiltered(sandbox)
    buyer._http = Http(buyer.settings, transport=transport)
    return buyer, transport


@pytest.mark.parametrize("others", [0, 105])
def test_a_purchase_is_followed_however_far_down_the_list_it_slides(
    sandbox: Sandbox, tmp_path: Path, others: int
) -> None:
    buyer, transport = buyer_of(sandbox, tmp_path, "ours")
    first = buyer.hire(sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=30)
    neighbour, _ = buyer_of(sandbox, tmp_path, "neighbour")
    for number in range(others):
        made = neighbour.hire(sandbox.service("echo").agent_identifier, {"text": f"{number}"}, patience_s=60)
        assert made.outcome == "completed"

    last = buyer.hire(sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=4 * 3600)

    assert first.hire_id == last.hire_id
    assert (first.outcome, last.outcome, last.refunded_text) == ("open", "refunded", "3 ADA")
    assert len(purchases(sandbox)) == others + 1
    assert (len([cursor for cursor in transport.pages if cursor]) > 0) == (others > 100)


def test_a_page_found_once_is_asked_again_and_not_the_way_to_it(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node, "MOST_ROWS", 5)
    buyer, transport = buyer_of(sandbox, tmp_path, "ours")
    first = buyer.hire(sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=30)
    neighbour, _ = buyer_of(sandbox, tmp_path, "neighbour")
    for number in range(7):
        neighbour.hire(sandbox.service("echo").agent_identifier, {"text": f"{number}"}, patience_s=60)
    transport.pages.clear()

    again = buyer.hire(sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=600)

    assert again.hire_id == first.hire_id
    assert transport.pages[0] is None
    assert len(transport.pages) > 3
    assert len(set(transport.pages[1:])) == 1 and transport.pages[1] is not None


def test_a_purchase_of_the_second_escrow_is_found_in_its_own_list(sandbox: Sandbox, tmp_path: Path) -> None:
    buyer, _ = buyer_of(sandbox, tmp_path, "ours")

    receipt = buyer.hire(sandbox.service("echo-v2").agent_identifier, {"text": "hello"}, patience_s=60)

    assert (receipt.outcome, receipt.verified) == ("completed", True)


def test_a_list_in_which_it_is_not_is_read_to_its_end_and_no_further(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    """The order is repeated with the same bytes while the node shows nothing; there is one purchase."""
    neighbour, _ = buyer_of(sandbox, tmp_path, "neighbour")
    for number in range(5):
        neighbour.hire(sandbox.service("echo").agent_identifier, {"text": f"{number}"}, patience_s=60)
    buyer, transport = buyer_of(sandbox, tmp_path, "ours")
    transport.hidden = 2

    receipt = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=60)

    assert receipt.outcome == "completed"
    assert len(purchases(sandbox)) == 6
    assert transport.pages[:2] == [None, transport.pages[1]] and transport.pages[1] is not None
