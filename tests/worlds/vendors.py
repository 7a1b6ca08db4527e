"""Sellers of every temper: those of the sandbox, and worse ones that break one rule each.

A Vendor is a service of the sandbox with a Temper. What it does against the rules it notes in `poisoned`,
so that a purchase of such an offer is a violation, whoever else might have refused it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from masumi_tools.sandbox.chain import identifier
from masumi_tools.sandbox.chain.crypto import Signer
from masumi_tools.sandbox.chain.escrow import World
from masumi_tools.sandbox.chain.rows import Agent, Payment, Row
from masumi_tools.sandbox.sellers.mip003 import MINUTE_MS, Failed, Job, Sample, Service, input_hash
from masumi_tools.sandbox.timetext import iso
from masumi_tools.sandbox.wire import Refusal, Request

Data = dict[str, Any]

FIELDS: tuple[Data, ...] = ({"id": "text", "type": "text", "name": "Text"},)
ASKS: Data = {"input_data": [{"id": "approve", "type": "boolean", "name": "Approve"}]}
SOON_MS = 60_000  # less than the margin that a buyer must keep to payByTime


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The four times of an offer, in ms after start_job."""

    pay_by: int = 20 * MINUTE_MS
    submit: int = 60 * MINUTE_MS
    unlock: int = 90 * MINUTE_MS
    dispute: int = 120 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Temper:
    """How a seller behaves: `offer` names what is wrong with its offers, `work` what it does once paid."""

    name: str
    offer: str = ""
    work: str = ""
    pricing: Literal["Fixed", "Free", "Dynamic"] = "Fixed"
    asks: bool = False
    answers: bool = True
    lies: bool = False
    slow: bool = False


# In the order of how often they come: the usual ones first.
TEMPERS: tuple[Temper, ...] = (
    Temper("plain"),
    Temper("slow", slow=True),
    Temper("human", asks=True),
    Temper("silent", answers=False),
    Temper("failing", work="fails"),
    Temper("liar", lies=True),
    Temper("mute", work="mute"),
    Temper("taker", work="taker"),
    Temper("late", work="late"),
    Temper("overdue", work="overdue"),
    Temper("flipper", work="flips"),
    Temper("forgetful", work="forgets"),
    Temper("lazy", work="lazy"),
    Temper("generous", work="generous"),
    Temper("empty", work="empty"),
    Temper("twice", asks=True, work="twice"),
    Temper("dynamic", pricing="Dynamic"),
    Temper("free", pricing="Free"),
    Temper("shouting", offer="shouts"),
    Temper("greedy", pricing="Dynamic", offer="greedy"),
    Temper("drifting", offer="drifts"),
    Temper("hasty", offer="soon"),
    Temper("tight", offer="tight"),
    Temper("dear", offer="dear"),
    Temper("discount", pricing="Dynamic", offer="discount"),
    Temper("other-times", offer="times"),
    Temper("forged", offer="forged"),
    Temper("other-key", offer="key"),
    Temper("other-input", offer="input"),
    Temper("other-nonce", offer="nonce"),
    Temper("replaying", offer="replay"),
    Temper("other-agent", offer="agent"),
    Temper("no-terms", offer="no-terms"),
    Temper("no-index", offer="no-index"),
    Temper("refusing", offer="refuses"),
    Temper("broken", offer="breaks"),
)
BY_NAME = {temper.name: temper for temper in TEMPERS}
# Those of histories that have no others.
RARE = {
    "binding": Temper("binding", offer="binds"),
    "amnesiac": Temper("amnesiac", work="amnesia"),
    **{name: BY_NAME[name] for name in ("failing", "flipper", "mute", "silent")},
}
AMNESIA_MS = 3 * MINUTE_MS
BOUND_MS = 30 * 24 * 60 * MINUTE_MS


class Vendor(Service):
    """One seller of a history. `price` is what its listing says, in base units."""

    def __init__(
        self,
        world: World,
        temper: Temper,
        agent: Agent,
        deadlines: Deadlines,
        work_ms: int,
        decoy: Agent | None,
        poisoned: dict[str, str],
    ) -> None:
        asked = ((9_000_000, ""),) if temper.offer == "greedy" else ((1_500_000, ""),)
        sample = Sample(
            name=temper.name,
            title=temper.name,
            description="",
            price="",
            fields=FIELDS,
            example={},
            work=_fails if temper.work == "fails" else _shouts,
            pricing_type=temper.pricing,
            work_ms=work_ms * 40 if temper.slow else work_ms,
            pay_by_ms=deadlines.pay_by,
            submit_result_ms=deadlines.submit,
            asks=ASKS if temper.asks else None,
            answers=temper.answers,
            lies=temper.lies,
            demands=asked if temper.pricing == "Dynamic" else None,
        )
        super().__init__(world, sample, agent)
        self.temper = temper
        self._deadlines = deadlines
        self._decoy = decoy
        self._poisoned = poisoned
        self._first: Data | None = None
        self._asked_ms: dict[str, int] = {}

    # Offers --------------------------------------------------------------------------------------

    def _start_job(self, asked: Request) -> Data:
        if self.temper.offer == "refuses":
            raise Refusal(400, "no jobs today")
        if self.temper.offer == "breaks":
            raise Refusal(500, "Internal Server Error")
        return super()._start_job(asked)

    def _payment_body(self, job: Job) -> Data:
        now, times = self.world.now_ms(), self._deadlines
        body = super()._payment_body(job)
        body["unlockTime"] = iso(now + times.unlock)
        body["externalDisputeUnlockTime"] = iso(now + times.dispute)
        match self.temper.offer:
            case "soon":
                body["payByTime"] = iso(now + SOON_MS)
            case "tight":
                body["payByTime"] = iso(now + 100_000)
            case "binds":
                body["unlockTime"] = iso(now + times.unlock + BOUND_MS)
                body["externalDisputeUnlockTime"] = iso(now + times.dispute + BOUND_MS)
            case "input":
                body["inputHash"] = input_hash(job.identifier, {"text": "something else"})
            case "nonce":
                body["identifierFromPurchaser"] = job.identifier[::-1]
            case "agent" if self._decoy is not None:
                body["agentIdentifier"] = self._decoy.agent_identifier
        return body

    def _terms(self, job: Job, payment: Data) -> Data:
        terms = super()._terms(job, payment)
        spoil = _SPOILT.get(self.temper.offer)
        if spoil is not None:
            terms = spoil(self, terms)
        if self.temper.offer in _WRONG and terms:
            self._poisoned[canonical(terms["blockchainIdentifier"])] = _WRONG[self.temper.offer]
        self._first = self._first or terms
        return terms

    # The work ------------------------------------------------------------------------------------

    def _payment_changed(self, row: Row) -> None:
        super()._payment_changed(row)
        job = self._by_payment.get(row.identifier) if isinstance(row, Payment) else None
        if job is not None and row.on_chain == "Disputed" and self.temper.work == "generous":
            self._later(1000, lambda: self._authorize(job))

    def _authorize(self, job: Job) -> None:
        assert job.payment is not None
        name = job.payment["blockchainIdentifier"]
        self._node("/payment/authorize-refund", {"network": self.world.network, "blockchainIdentifier": name})

    def _locked(self, job: Job) -> None:
        if self.temper.work == "lazy" and job.changes == 0:
            return  # works only once somebody has asked how far it is
        if self.temper.work in ("late", "overdue") and job.status == "awaiting_payment":
            self._set(job, "running")
            # Late: in time for the text, too late for the chain. Overdue: while the money goes back.
            after = -2 if self.temper.work == "late" else 5
            payment = job.payment or {}
            due = int(payment["submitResultTime"]) + after * MINUTE_MS
            self.world.at(max(due, self.world.now_ms() + 1), lambda: self._finish(job))
            return
        super()._locked(job)

    def _finish(self, job: Job) -> None:
        work = self.temper.work
        if work == "twice" and job.status == "running" and job.changes < 4:
            self._set(job, "awaiting_input")
            return
        if work == "flips" and job.status == "running" and job.error is None:
            job.error = "not today"
            self._set(job, "failed")
            self._later(5 * MINUTE_MS, lambda: self._recover(job))
            return
        if work == "overdue" and job.status == "running":
            job.result = self.sample.work(job)
            self._set(job, "completed")
            return
        super()._finish(job)

    def _recover(self, job: Job) -> None:
        if job.status == "failed":
            self._set(job, "running")
            super()._finish(job)
            if job.status == "completed":
                job.error = None

    def _status(self, asked: Request) -> Data:
        job = self._job(asked.query.get("job_id"))
        if self.temper.work == "lazy" and job.changes == 0:
            job.changes = 1
            if self._on_chain(job) == "FundsLocked":
                self._locked(job)
        if self.temper.work == "forgets" and job.status != "awaiting_payment":
            raise Refusal(404, "Job not found")
        if self.temper.work == "amnesia" and job.status != "awaiting_payment":
            now = self.world.now_ms()
            if now < self._asked_ms.setdefault(job.id, now) + AMNESIA_MS:
                return {"job_id": job.id, "status": "failed", "error": "Job not found"}
        shown = super()._status(asked)
        if job.result is not None and self.given(job) is None:
            shown["result"] = None
            if self.temper.work != "empty":
                shown["status"] = "running"
        return shown

    def given(self, job: Job) -> str | None:
        """The result that this seller would hand out now; None while it gives none."""
        if job.status != "completed":
            return None
        match self.temper.work:
            case "mute" | "empty" | "forgets":
                return None
            case "taker" if self._on_chain(job) != "Withdrawn":
                return None
        return job.result

    def _on_chain(self, job: Job) -> str | None:
        name = (job.payment or {}).get("blockchainIdentifier", "")
        row = self.world.payment(self.world.network, name)
        return row.on_chain if row else None


def canonical(text: str) -> str:
    """The one spelling of an identifier; the text itself when it does not decode."""
    try:
        parts = identifier.decode(text)
    except ValueError:
        return text
    return identifier.encode(parts) if parts else text


def _shouts(job: Job) -> str:
    return str(job.data["text"]).upper()


def _fails(job: Job) -> str:
    raise Failed("this one always fails")


# Which rule each wrong offer breaks. An offer that is only strange (shouting, drifting) is not here.
_WRONG: Mapping[str, str] = {
    "soon": "payByTime is too near to be kept",
    "binds": "the money would be bound for a month",
    "times": "the seller signed other times",
    "forged": "the signature is of another key",
    "key": "sellerVKey is not the registry's",
    "input": "the input hash is of another input",
    "nonce": "it was made for another purchaser",
    "agent": "it was made for another agent",
    "discount": "the seller signed other amounts",
    "dear": "the amounts are not the listed price",
    "no-index": "the source index, which is signed, is missing",
}


def _other_times(vendor: Vendor, terms: Data) -> Data:
    return terms | {"submitResultTime": terms["submitResultTime"] + 10 * MINUTE_MS}


def _forged(vendor: Vendor, terms: Data) -> Data:
    """The right words, signed by somebody who is not the seller, in the seller's name.

    A COSE_Sign1 ends with the message of 32 bytes and the signature of 64, each behind two bytes of length.
    """
    parts = identifier.decode(terms["blockchainIdentifier"])
    assert parts is not None
    stranger = Signer(vendor.world.rng.randbytes(32))
    holder = vendor.agent.holder_address or ""
    signature, _ = stranger.sign(bytes.fromhex(parts.signature[-196:-132]), holder)
    return terms | {"blockchainIdentifier": identifier.encode(replace(parts, signature=signature))}


def _other_key(vendor: Vendor, terms: Data) -> Data:
    return terms | {"sellerVKey": Signer(vendor.world.rng.randbytes(32)).vkey}


def _unpriced(vendor: Vendor, terms: Data) -> Data:
    return {name: value for name, value in terms.items() if name != "amounts"}


def _unnumbered(vendor: Vendor, terms: Data) -> Data:
    return {name: value for name, value in terms.items() if name != "supportedPaymentSourceIndex"}


def _replayed(vendor: Vendor, terms: Data) -> Data:
    return vendor._first or terms


def _shouting(vendor: Vendor, terms: Data) -> Data:
    return terms | {"blockchainIdentifier": terms["blockchainIdentifier"].upper()}


def _dear(vendor: Vendor, terms: Data) -> Data:
    dearer = [{"amount": str(int(one["amount"]) * 5), "unit": one["unit"]} for one in terms["amounts"]]
    return terms | {"amounts": dearer}


def _discount(vendor: Vendor, terms: Data) -> Data:
    return terms | {"amounts": [{"amount": "1000000", "unit": "lovelace"}]}


def _nothing(vendor: Vendor, terms: Data) -> Data:
    return {}


_SPOILT: Mapping[str, Callable[[Vendor, Data], Data]] = {
    "times": _other_times,
    "forged": _forged,
    "key": _other_key,
    "replay": _replayed,
    "shouts": _shouting,
    "dear": _dear,
    "discount": _discount,
    "drifts": _unpriced,
    "no-index": _unnumbered,
    "no-terms": _nothing,
}
