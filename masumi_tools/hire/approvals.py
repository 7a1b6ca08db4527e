"""A person's yes to a price: what exactly it is a yes to, what an answer makes of a hire, and what is shown.

Pure: records, rows and a time in, values out. The questions and their answers lie in a table of the journal;
the first answer to a question is the one that counts.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal

from masumi_tools.calls import notice as notices
from masumi_tools.calls.call import Call
from masumi_tools.errors import StateError
from masumi_tools.hire import rows
from masumi_tools.hire.budget import Budget, text_of
from masumi_tools.hire.purchase import Approval, Event, Purchase, State
from masumi_tools.journal.questions import Question
from masumi_tools.journal.row import Row
from masumi_tools.models import PricingType
from masumi_tools.money import Amount
from masumi_tools.proof import hashing
from masumi_tools.text import Secret, plain_text

# A price that was looked up longer ago is looked up again before it is paid, as that of a quote.
FRESH_MS = 5 * 60_000
AHEAD_MS = 24 * 60 * 60_000  # no clock is trusted to a few hours
CALLBACK = "approve="


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """A hire that waits for a person: what it would buy, of whom, for how much, and until when it waits.

    Times are ms of the node's clock. Nothing is paid or reserved meanwhile. `digest` stands for all that a yes is
    bound to: `buyer.approve(hire_id, seen=digest)` is a yes to this and to nothing that came in its place.
    """

    hire_id: str
    name: str
    agent_identifier: str
    url: str
    price: tuple[Amount, ...]
    dynamic: bool
    input_data: Any
    budget: str
    asked_ms: int
    until_ms: int
    digest: str

    @property
    def price_text(self) -> str:
        """The price for people: "2 ADA", or "at most 2 ADA" where each offer names its own."""
        return f"{'at most ' if self.dynamic else ''}{text_of(self.price)}"

    def as_json(self) -> dict[str, Any]:
        """The question as plain JSON values."""
        return {
            "hire_id": self.hire_id,
            "name": self.name,
            "agent_identifier": self.agent_identifier,
            "url": self.url,
            "price": self.price_text,
            "input": self.input_data,
            "budget": self.budget,
            "asked_ms": self.asked_ms,
            "until_ms": self.until_ms,
            "digest": self.digest,
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's answer: to what was `seen` (a digest), or, where that is "", to whatever is asked when it is given."""

    answer: Literal["yes", "no"]
    by: str
    why: str
    seen: str


def digest_of(p: Purchase) -> str:
    """What a yes is bound to: agent, seller's key, price with units, input and address. Another one is asked again."""
    listing = p.listing
    dynamic = listing is not None and listing.price.pricing is PricingType.DYNAMIC
    # Where each offer names its price, the yes is to the most that it may be.
    amounts = p.max_price or () if dynamic else p.price
    price = sorted([amount.unit, str(amount.quantity)] for amount in amounts)
    parts = [
        listing.agent_identifier.lower() if listing else "",
        (listing.seller_vkey or "").lower() if listing else "",
        listing.api_base_url if listing else p.target,
        price,
        p.input_data,
    ]
    return hashing.input_hash("approval", parts)


def approved(p: Purchase) -> bool:
    """Whether a person said yes to exactly what this hire is now."""
    return p.approval is not None and p.approval.answer == "yes" and p.approval.digest == digest_of(p)


def asking(p: Purchase, budget: Budget | None) -> Budget | None:
    """The budget for which a person has to say yes to this price first; None where nobody has to be asked."""
    if budget is None or p.free or not budget.needs_approval(p.price) or approved(p):
        return None
    return budget


def vouched(p: Purchase) -> bool:
    """Whether a person was asked before the hire, by the framework, and said yes to exactly what it is now."""
    return bool(p.vouched) and p.vouched == digest_of(p)


def vouch(p: Purchase, by: str) -> Purchase:
    """The record of a hire that a person has just said yes to, as it is."""
    return p.but(vouched=digest_of(p), vouched_by=by) if by else p


def question_of(p: Purchase, now: int, within_ms: int) -> Question:
    """The question to ask about this hire."""
    return Question(p.hire_id, digest_of(p), now, now + within_ms)


def is_over(question: Question, now: int) -> bool:
    """Whether it waits no longer: its time is over, or it was asked by a clock that was days ahead, whose end
    nobody would live to see.
    """
    return now >= question.until_ms or now < question.asked_ms - AHEAD_MS


def with_answer(p: Purchase, question: Question) -> Purchase:
    """The record with the answer to its question beside it; its state is as before."""
    answer: Literal["yes", "no", "expired"] = "no"
    if question.answer in ("yes", "expired"):
        answer = "yes" if question.answer == "yes" else "expired"
    return p.but(
        approval=Approval(
            digest=question.digest,
            answer=answer,
            by=question.by,
            why=question.why,
            asked_ms=question.asked_ms,
            at_ms=question.at_ms,
        )
    )


def after(p: Purchase, question: Question, now: int) -> Purchase:
    """The record after this answer: on its way again, or refused. Nothing was paid and nothing is reserved."""
    p = with_answer(p, question)
    assert p.approval is not None
    if p.approval.answer != "yes":
        return p.move(Event.REFUSED, now, reason=refusal(p.approval))
    if abs(now - question.asked_ms) <= FRESH_MS:  # a clock that was hours ahead may have asked
        return p.move(Event.APPROVED, now)
    return p.move(Event.LOOKED_AGAIN, now, asked_registry=False, layouts=(), layout=0)


def refusal(approval: Approval) -> str:
    """Why a price that was not approved is not paid, without a full stop."""
    if approval.answer == "expired":
        return "the price was not approved in time"
    if approval.by == CALLBACK:
        return approval.why
    why = f": {approval.why}" if approval.why else ""
    return f"{approval.by or 'the approver'} did not approve the price{why}"


def told_already(p: Purchase, question: Question | None) -> StateError:
    """The error for who answers where nothing is asked any more, with what became of it."""
    if question is None or not question.answer:
        words = f"the hire {p.hire_id} does not wait for approval; it is {p.state.value}"
        return StateError(words, phase=p.state.value, money=p.money)
    if question.answer == "expired":
        words = "the question expired without an answer; it was refused and nothing was paid"
    else:
        said = "approved" if question.answer == "yes" else "refused"
        by = f" by {question.by}" if question.by else ""
        words = f"it was {said}{by} already, {_when(question.at_ms)}"
    return StateError(f"the hire {p.hire_id}: {words}", phase=p.state.value, money=p.money)


def told_of_another(p: Purchase) -> StateError:
    """The error for who answers a question that is not the one that is asked by now: nothing was answered."""
    return StateError(
        f"the hire {p.hire_id} asks about another price or service than was seen: it is {text_of(p.price)} now; "
        "nothing was answered or paid: look at it again",
        phase=p.state.value,
        money=p.money,
    )


def pending(question: Question, row: Row) -> PendingApproval | None:
    """What a person is shown; None where the hire has gone another way meanwhile."""
    p = rows.purchase_of(row)
    if p.state is not State.AWAITING or question.digest != digest_of(p) or p.listing is None:
        return None
    return PendingApproval(
        hire_id=p.hire_id,
        name=plain_text(p.listing.name, 200),
        agent_identifier=p.listing.agent_identifier,
        url=p.listing.api_base_url,
        price=p.price,
        dynamic=p.listing.price.pricing is PricingType.DYNAMIC,
        input_data=p.input_data,
        budget=p.budget,
        asked_ms=question.asked_ms,
        until_ms=question.until_ms,
        digest=question.digest,
    )


def notice(
    p: Purchase, question: Question, url: str, key: Secret | None, at_s: int, page: str | None
) -> Call:
    """What is sent to the user's own address when a person is asked; with a link where a page runs."""
    name = plain_text(p.listing.name if p.listing else p.target, 80)
    price = text_of(p.price)
    facts = {"hire_id": p.hire_id, "price": price, "service": name, "until": _when(question.until_ms)}
    return notices.post(
        url,
        key,
        kind="approval.asked",
        notice_id=f"{p.hire_id}.{question.digest[:16]}",
        at_s=at_s,
        title=f"Approve {price}?",
        text=f'An agent asks to hire "{name}" for {price}. It waits until {facts["until"]}.',
        link=f"{page.rstrip('/')}/waiting#{p.hire_id}" if page else "",
        facts=facts,
    )


def _when(ms: int) -> str:
    return dt.datetime.fromtimestamp(ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
