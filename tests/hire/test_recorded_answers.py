"""Every recorded answer of a node to a buyer's requests is understood: paid, not paid, or asked again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from masumi_tools.calls.call import Reply
from masumi_tools.hire import rows
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.purchase import Purchase, State
from masumi_tools.hire.replies import learn
from masumi_tools.hire.steps import IN_FLIGHT_MS, Ask, Ways
from masumi_tools.journal.store import Journal
from masumi_tools.models import JobTimes, Terms
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer
from tests.shared import shared_json

Json = dict[str, Any]
RECORDED = Path(__file__).parents[1] / "sandbox" / "recorded"
WAYS = Ways("https://node.example/api/v1", None, "Preprod")
TIMES = ("payByTime", "submitResultTime", "unlockTime", "externalDisputeUnlockTime")
BUSINESS = (400, 404)


@pytest.fixture(params=["own", "real"])
def steps(request: pytest.FixtureRequest) -> list[Json]:
    corpus = (
        json.loads((RECORDED / "node-july.json").read_text(encoding="utf-8"))
        if request.param == "own"
        else shared_json("protocol/node-corpus.json")
    )
    return [
        step for story in corpus["stories"] for step in story["steps"] if step["service"] == "payment-node"
    ]


@pytest.fixture
def record(sqlite_url: str) -> Iterator[Purchase]:
    """A hire of any kind; each answer is read into a copy of it that has the answer's terms."""
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        journal = Journal(sqlite_url)
        buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
        made = buyer.hire(sandbox.service("silent").agent_identifier, {"text": "hello"}, patience_s=60)
        row = journal.get(made.hire_id)
        assert row is not None
        yield rows.purchase_of(row).but(node=None, node_read_ms=0, purchase_id=None, unseen=False)
        journal.close()


def _answers(steps: list[Json], path: str) -> Iterator[tuple[Json, Reply]]:
    for step in steps:
        if step["request"]["method"] == "POST" and step["request"]["path"] == f"/api/v1/purchase{path}":
            told = step["response"]
            yield step, Reply(told["status"], told["body"], headers=told["headers"])


def _with_terms(p: Purchase, asked: Json, state: State) -> Purchase | None:
    """The record as if it had sent ``asked``; None for a body that no client could have made."""
    assert p.terms is not None
    names = ("blockchainIdentifier", "agentIdentifier", "sellerVkey", "inputHash", "identifierFromPurchaser")
    values, times = [asked.get(name) for name in names], [asked.get(name) for name in TIMES]
    if not all(isinstance(value, str) for value in (*values, *times)) or not all(
        str(t).isdigit() for t in times
    ):
        return None
    terms = Terms(*map(str, values), JobTimes(*(int(str(t)) for t in times)))
    return p.but(
        state=state, terms=terms, identifier=terms.blockchain_identifier, nonce=str(values[4]), pay_attempts=1
    )


def test_every_answer_to_a_purchase_says_paid_refused_or_unknown(steps: list[Json], record: Purchase) -> None:
    seen = 0
    for step, reply in _answers(steps, ""):
        asked = step["request"]["body"]
        p = _with_terms(record, asked, State.PAYING) if isinstance(asked, dict) else None
        if p is None:
            continue
        seen += 1
        now = step["now_ms"]
        first = learn(p, Ask.PAY, reply, now, WAYS)
        again = learn(p.but(pay_unknown=True, pay_attempts=2), Ask.PAY, reply, now, WAYS)
        if reply.status in (200, 409):
            mine = (reply.body.get("data") or reply.body.get("object"))["inputHash"] == asked["inputHash"]
            # The recorded repeats with junk in all fields are answered with a row that is not as they say.
            assert not mine or State.PAID in (first.state, again.state), step["id"]
            assert first.state not in (State.REFUSED, State.LAPSED), step["id"]
        elif reply.status == 500:
            assert (first.state, first.pay_unknown) == (State.PAYING, True), step["id"]
        else:
            assert first.state is State.REFUSED and first.reason, step["id"]
            message = reply.body["error"]["message"]
            looked = reply.status in BUSINESS and ("Invalid blockchain" in message or ":" not in message)
            # One no after an unknown outcome is never enough; the same one, when the first can no longer arrive, is.
            assert again.state is State.PAYING and bool(again.pay_denied_ms) == looked, step["id"]
            sure = learn(again, Ask.PAY, reply, now + IN_FLIGHT_MS, WAYS)
            assert (sure.state in (State.REFUSED, State.LAPSED)) == looked, step["id"]
    assert seen > 3


REFUND, READ = "/request-refund", "/resolve-blockchain-identifier"


@pytest.mark.parametrize(
    ("ask", "path", "state"),
    [
        *((Ask.REFUND, REFUND, state) for state in (State.LOCKED, State.DELIVERED)),
        *((Ask.READ, READ, state) for state in (State.PAYING, State.PAID, State.LOCKED, State.DELIVERED)),
    ],
)
def test_no_answer_to_a_read_or_a_refund_ends_a_hire_whose_money_is_out(
    steps: list[Json], record: Purchase, ask: Ask, path: str, state: State
) -> None:
    seen = 0
    for step, reply in _answers(steps, path):
        row = reply.body.get("data") or {}
        bought = row | {"sellerVkey": (row.get("SellerWallet") or {}).get("walletVkey")}
        bought["identifierFromPurchaser"] = record.nonce
        p = _with_terms(record, bought, state) if row else record.but(state=state, pay_attempts=1)
        assert p is not None, step["id"]
        p = p.but(refund_wanted="said so") if ask is Ask.REFUND else p
        after = learn(p, ask, reply, step["now_ms"], WAYS)
        seen += 1
        final = row.get("onChainState") in ("Withdrawn", "RefundWithdrawn", "FundsOrDatumInvalid")
        assert final or not after.ended, (step["id"], after.state, after.reason)
    assert seen > 2
