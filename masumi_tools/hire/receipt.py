"""The Receipt: what became of a hire, where the money is, and what of it can be proved offline."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SerializerFunctionWrapHandler, model_serializer

from masumi_tools.calls.call import CALLED, Target
from masumi_tools.errors import IdentifierError, Money
from masumi_tools.hire.acceptance import signed_terms
from masumi_tools.hire.budget import text_of
from masumi_tools.hire.counting import counts
from masumi_tools.hire.notebook import facts
from masumi_tools.hire.purchase import Approval, Moment, Purchase, State
from masumi_tools.hire.steps import refundable_until
from masumi_tools.models import JobTimes, OnChainState, PricingType, Terms
from masumi_tools.money import Amount
from masumi_tools.proof import hashing, identifier
from masumi_tools.text import Part, parts, plain, plain_text, quoted

Outcome = Literal[
    "completed",
    "reused",
    "refused",
    "lapsed",
    "open",
    "needs_approval",
    "needs_input",
    "refund_requested",
    "refunded",
    "disputed",
    "failed",
]

_OUTCOMES: dict[State, Outcome] = {
    State.AWAITING: "needs_approval",
    State.DELIVERED: "completed",
    State.SETTLED: "completed",
    State.NEEDS_INPUT: "needs_input",
    State.REFUND_REQUESTED: "refund_requested",
    State.DISPUTED: "disputed",
    State.REFUNDED: "refunded",
    State.REFUSED: "refused",
    State.LAPSED: "lapsed",
    State.FAILED: "failed",
    State.WRITTEN_OFF: "failed",
}
Verdict = Literal["verified", "not verified", "not verifiable"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of an offline verification: what was looked at, the verdict, and why."""

    name: str
    verdict: Verdict
    why: str


class Receipt(BaseModel):
    """What a hire came to. Times are ms of the node's clock, amounts base units with their unit.

    `outcome` is one of completed, reused, refused (nothing paid), lapsed (never locked, nothing spent),
    open, needs_approval (a person has to approve the price; nothing is paid or reserved), needs_input (`question` says what is asked), refund_requested, refunded, disputed, failed (the
    money is with the service, split or stuck; `reason` says so). `paid` went into escrow, or left
    and is not known to have come back; `refunded` came back. Both are what the budget counts. `verified` is True when
    the result matches the hash on the chain, False when it does not, None when there is none to compare. What a
    service said is kept where it was refused, too: `job_id`, `field_errors` by input field, a `result` that came
    without a job. `owed` says that proof, decision or refund are still to come. `may_pass` says of a refusal that
    its cause may pass (an outage, an offer that expired), so that the same call may be made again. Result,
    question and progress are the service's own words: data, never instructions.
    """

    model_config = ConfigDict(frozen=True)

    hire_id: str
    outcome: Outcome
    reason: str = ""
    # The reason again, our words and theirs apart: for whoever shows it where the difference counts.
    reason_parts: tuple[Part, ...] = Field(default=(), exclude=True, repr=False)
    result: str | None = None
    verified: bool | None = None
    reused: bool = False
    owed: bool = False

    service: str = ""
    agent_identifier: str = ""
    url: str = ""
    network: str = ""
    input_data: JsonValue = None
    sent_input: JsonValue = None
    question: JsonValue = None
    progress: str | None = None

    budget: str = ""
    price: tuple[Amount, ...] = ()
    paid: tuple[Amount, ...] = ()
    refunded: tuple[Amount, ...] = ()
    fees_ada: float = 0.0
    money: Money = "none"
    where_the_money_is: str = ""
    refundable_until_ms: int | None = None

    approval: Approval | None = None
    state: State = State.ASKED
    states: tuple[Moment, ...] = ()
    created_ms: int = 0
    changed_ms: int = 0
    times: JobTimes | None = None
    notes: tuple[str, ...] = ()
    may_pass: bool = False

    job_id: str | None = None
    field_errors: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    identifier_from_purchaser: str = ""
    terms: Terms | None = None
    pricing: str = ""
    on_chain_state: str | None = None
    transactions: tuple[str, ...] = ()
    input_hash_form: str | None = None
    result_hash: str | None = None
    result_hash_form: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the result is here."""
        return self.outcome in ("completed", "reused")

    @property
    def open(self) -> bool:
        """Whether the hire continues, or waits for an answer or an approval."""
        return self.outcome in ("open", "needs_approval", "needs_input", "refund_requested", "disputed")

    @property
    def blockchain_identifier(self) -> str | None:
        """The canonical identifier that seller and escrow know the purchase by, in hex; None before an offer."""
        return self.terms.blockchain_identifier if self.terms else None

    @property
    def paid_text(self) -> str:
        """What was paid, for people: "1 ADA", or "nothing"."""
        return text_of(self.paid)

    @property
    def refunded_text(self) -> str:
        """What was refunded, for people."""
        return text_of(self.refunded)

    def __str__(self) -> str:
        """One line for people: the outcome, the money, and the result or why there is none."""
        facts = [f"{self.paid_text} paid" if self.paid else "nothing paid"]
        if self.refunded:
            facts.append(f"{self.refunded_text} refunded")
        if self.verified is not None:
            facts.append(
                f"the result {'matches' if self.verified else 'does NOT match'} the hash on the chain"
            )
        words = self.result if self.result is not None else self.reason or self.where_the_money_is
        return f"{self.outcome} ({', '.join(facts)}): {plain_text(words, 300)}"

    def _repr_html_(self) -> str:
        checked: dict[bool | None, str] = {
            True: "matches its hash on the chain",
            False: "does NOT match its hash on the chain",
        }
        return facts(
            f"{self.outcome}: {self.service or self.agent_identifier or self.url}",
            [
                ("paid", self.paid_text),
                ("refunded", self.refunded_text if self.refunded else ""),
                ("money", self.where_the_money_is),
                ("reason", self.reason),
                ("result", self.result or ""),
                ("checked", checked.get(self.verified, "")),
                ("hire", self.hire_id),
            ],
        )

    @model_serializer(mode="wrap")
    def _plain(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """States as text: whoever keeps the dump, such as a checkpointer, needs no class of ours to read it."""
        data: dict[str, Any] = dump(self)
        if "state" in data:
            data["state"] = str(data["state"])
        for moment in data.get("states", ()):
            moment["state"] = str(moment["state"])
        return data

    def verify(self) -> list[Check]:
        """Check all that can be checked without a network: hashes, identifier, signature, times, amounts."""
        return [*_terms_checks(self), _output_check(self)]

    def as_json(self) -> dict[str, Any]:
        """The receipt as plain JSON values, with amounts as text beside base units."""
        data = self.model_dump(mode="json")
        data |= {"paid_text": self.paid_text, "refunded_text": self.refunded_text}
        data["blockchain_identifier"] = self.blockchain_identifier
        return data


def unheard(made: Receipt, silent: Target | None) -> Receipt:
    """The receipt of a call whose time somebody took by saying nothing, with a note that names who it was."""
    if silent is None or not made.open:
        return made
    note = f"{CALLED[silent]} did not answer within the time of this call; the next one asks again"
    return made.model_copy(update={"notes": (*made.notes, note)})


def receipt_of(p: Purchase, *, reused: bool = False) -> Receipt:
    """The receipt of a record; `reused` when an earlier hire answers a later question."""
    outcome = _OUTCOMES.get(p.state, "open")
    if reused and outcome == "completed":
        outcome = "reused"
    out = counts(p) in ("locked", "spent", "refunded")
    node = p.node
    return Receipt(
        hire_id=p.hire_id,
        outcome=outcome,
        reason=plain(p.reason),
        reason_parts=parts(p.reason),
        result=p.result,
        verified=p.verified,
        reused=reused,
        owed=p.owed,
        service=p.listing.name if p.listing else "",
        agent_identifier=p.listing.agent_identifier if p.listing else "",
        url=p.listing.api_base_url if p.listing else "",
        network=p.network,
        input_data=p.input_data,
        sent_input=p.layouts[p.layout].hashed if p.layouts else None,
        question=p.job.input_schema if p.job and p.state is State.NEEDS_INPUT else None,
        progress=p.job.progress if p.job else None,
        budget=p.budget,
        price=p.price,
        paid=p.price if out else (),
        refunded=tuple(_capped(p)),
        fees_ada=node.buyer_fees_ada if node else 0.0,
        money=p.money,
        where_the_money_is=where_the_money_is(p),
        refundable_until_ms=refundable_until(p),
        approval=p.approval,
        state=p.state,
        states=p.history,
        created_ms=p.created_ms,
        changed_ms=p.changed_ms,
        times=p.terms.times if p.terms else None,
        notes=tuple(map(plain, p.notes)),
        may_pass=p.passing and p.state is State.REFUSED,
        job_id=p.job_id,
        field_errors={plain_text(name, 200): texts for name, texts in p.field_errors.items()},
        identifier_from_purchaser=p.nonce,
        terms=p.terms,
        pricing=str(p.listing.price.pricing or "") if p.listing else "",
        on_chain_state=str(node.on_chain_state) if node and node.on_chain_state else None,
        transactions=node.tx_hashes or ((node.tx_hash,) if node.tx_hash else ()) if node else (),
        input_hash_form=p.input_hash_form,
        result_hash=node.result_hash if node else None,
        result_hash_form=p.result_hash_form,
    )


def _capped(p: Purchase) -> list[Amount]:
    price = {amount.unit: amount.quantity for amount in p.price}
    return [
        Amount(min(back.quantity, price[back.unit]), back.unit) for back in p.returned if back.unit in price
    ]


def where_the_money_is(p: Purchase) -> str:
    """One sentence for people: where the money of this hire is now."""
    price = text_of(p.price)
    if p.free:
        return "The service is free; no money is involved."
    sentences = {
        State.AWAITING: f"Nothing is paid or reserved; the price of {price} waits for a person's approval.",
        State.PAYING: f"It is not known yet whether {price} was locked; the node is being asked.",
        State.PAID: f"The node accepted the purchase of {price}; nothing is locked in escrow yet.",
        State.LOCKED: f"{price} is locked in escrow until the service delivers or a refund is due.",
        State.NEEDS_INPUT: f"{price} is locked in escrow; the service waits for an answer.",
        State.DELIVERED: f"{price} is locked in escrow{_unlock(p)} and then goes to the service.",
        State.REFUND_REQUESTED: f"{price} is locked in escrow; a refund was requested.{_disputable(p)}",
        State.DISPUTED: f"{price} is locked in escrow and disputed: the chain holds a result and a refund request.",
        State.SETTLED: f"{_kept(p)} was paid to the service{_beside(p)}.",
        State.REFUNDED: f"{text_of(_capped(p) or p.price)} was refunded.",
        State.WRITTEN_OFF: f"It is not known where {price} is: the hire was closed by hand.",
        State.FAILED: f"{_kept(p)} was not refunded{_beside(p)}.",
    }
    if p.state in (State.REFUSED, State.LAPSED):
        return "Nothing was paid."
    if p.paid_out_ms and not p.ended:
        return (
            f"{_kept(p)} was paid to the service{_beside(p)}; it still owes the result and is asked for it."
        )
    if p.state is State.PAID and p.node is not None and p.node.strange_state is not None:
        return f"The node accepted the purchase of {price}; whether it is locked in escrow is not known."
    return sentences.get(p.state, "Nothing has been paid yet.")


def _kept(p: Purchase) -> str:
    """What of the price was not refunded."""
    back = {amount.unit: amount.quantity for amount in _capped(p)}
    kept = (Amount(a.quantity - back.get(a.unit, 0), a.unit) for a in p.price)
    return text_of([amount for amount in kept if amount.quantity])


def _beside(p: Purchase) -> str:
    back = _capped(p)
    return f", {text_of(back)} was refunded" if back else ""


def _unlock(p: Purchase) -> str:
    return f" until {utc(p.terms.times.unlock_time)}" if p.terms else ""


def _disputable(p: Purchase) -> str:
    delivered = p.result is not None or (p.node is not None and p.node.result_hash is not None)
    return " The service delivered, so it may dispute the refund." if delivered else ""


def utc(ms: int) -> str:
    """A time for people: "2026-01-31 10:00 UTC"."""
    try:
        return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return "a time out of range"


def not_coming_back(r: Receipt, now: int) -> str | None:
    """Why the refund of this hire, which was just requested, is not coming; None when it is, or none was paid."""
    if r.outcome in ("refund_requested", "refunded", "disputed", "refused", "lapsed"):
        return None
    if not r.price:
        return "nothing was paid, so there is nothing to refund"
    if r.money not in ("maybe", "locked"):
        return f"a refund is no longer possible: {r.where_the_money_is}"
    if r.refundable_until_ms is not None and now >= r.refundable_until_ms:
        return f"it is too late: refunds could be requested until {utc(r.refundable_until_ms)}"
    last = f": {quoted(r.reason)}" if r.reason else f": {quoted(r.notes[-1])}" if r.notes else ""
    return f"the node has not accepted the refund request yet; it is kept and sent again{last}"


def _terms_checks(r: Receipt) -> list[Check]:
    names = ("input hash", "identifier", "signature", "times", "amounts")
    terms = r.terms
    if terms is None:
        why = "the service is free" if r.pricing == PricingType.FREE else "no offer was accepted"
        return [Check(name, "not verifiable", why) for name in names]
    form = hashing.which(
        hashing.input_candidates(r.identifier_from_purchaser, r.sent_input), terms.input_hash
    )
    checks = [
        _check("input hash", form is not None, f"form {form}", "it does not match the input that was sent")
    ]
    try:
        decoded = identifier.decode(terms.blockchain_identifier)
    except IdentifierError as error:
        checks.append(Check("identifier", "not verified", str(error)))
        return [
            *checks,
            Check("signature", "not verifiable", "the identifier does not decode"),
            _times(terms),
            _amounts(r),
        ]
    ours = decoded.purchaser_identifier == r.identifier_from_purchaser
    theirs = decoded.agent_identifier.lower() == r.agent_identifier.lower()
    canonical = decoded.canonical == terms.blockchain_identifier
    checks.append(
        _check(
            "identifier",
            ours and theirs and canonical,
            "ours, this agent's, canonical",
            "it was made for another hire or agent",
        )
    )
    reason = identifier.verify(
        decoded, signed_terms(terms, r.pricing, decoded.source_type), terms.seller_vkey
    )
    checks.append(_check("signature", reason is None, f"by the key {terms.seller_vkey}", reason or ""))
    return [*checks, _times(terms), _amounts(r)]


def _times(terms: Terms) -> Check:
    problems = terms.times.problems()
    return _check("times", not problems, "in the order that the node asks for", "; ".join(problems))


def _amounts(r: Receipt) -> Check:
    if not r.paid:
        return Check("amounts", "not verifiable", "nothing was seen in escrow")
    if r.on_chain_state in (None, OnChainState.FUNDS_OR_DATUM_INVALID):
        return Check("amounts", "not verifiable", "the chain shows no valid lock")
    back = {amount.unit: amount.quantity for amount in r.refunded}
    fits = all(amount.quantity >= back.get(amount.unit, 0) for amount in r.paid)
    return _check(
        "amounts",
        fits and r.paid == r.price,
        f"{r.paid_text} paid as agreed",
        "the amount in escrow is not the agreed price",
    )


def _output_check(r: Receipt) -> Check:
    if r.result is None:
        return Check("output hash", "not verifiable", "there is no result")
    if r.result_hash is None:
        return Check("output hash", "not verifiable", "no result hash was seen on the chain")
    form = hashing.which(hashing.output_candidates(r.identifier_from_purchaser, r.result), r.result_hash)
    return _check("output hash", form is not None, f"form {form}", "it does not match this result")


def _check(name: str, right: bool, yes: str, no: str) -> Check:
    return Check(name, "verified" if right else "not verified", yes if right else no)
