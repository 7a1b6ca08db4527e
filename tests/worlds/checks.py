"""What must hold at every moment of a history: before a request leaves, after it had its effect, at every save.

The truth is what the node's rows and the chain say. What is checked when all has ended stands in ending.py.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from masumi_tools.calls.call import Call, Reply
from masumi_tools.errors import InputError, JournalError, MasumiError, StateError, UnknownHire
from masumi_tools.hire import approvals
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.purchase import BEFORE_PAYING, MISMATCH, TRANSITIONS, Purchase, State
from masumi_tools.hire.receipt import Receipt
from masumi_tools.hire.replies.payment import STRANGE
from masumi_tools.journal.row import Row
from masumi_tools.journal.store import Journal
from masumi_tools.models import PricingType
from masumi_tools.money import Amount, parse_amounts
from masumi_tools.sandbox.chain import identifier
from masumi_tools.sandbox.chain.rows import Purchase as Bought
from masumi_tools.sandbox.chain.sums import as_sums
from tests.worlds.life import Task
from tests.worlds.stage import Stage, named
from tests.worlds.vendors import canonical
from tests.worlds.watch import Hire, Violation, Watch
from tests.worlds.wire import place

MINUTE_MS = 60_000
BACK = ("RefundWithdrawn",)


class Checks:
    """Watches one history. Raises Violation at the first thing that must not be."""

    def __init__(self, stage: Stage, journal: Journal, budgets: Mapping[str, Budget]) -> None:
        self.stage = stage
        self.journal = journal
        self.budgets = budgets
        self.by_nonce: dict[str, Hire] = {}
        self.by_id: dict[str, Hire] = {}
        self.documented: Callable[[Task, Exception], bool] = _documented
        self.watch = Watch(stage, journal, self.by_id)
        self._seen = 0
        self.yes: set[tuple[str, tuple[Amount, ...]]] = set()
        self.digest_of = approvals.digest_of
        self.at_work: Task | None = None

    # At every save ---------------------------------------------------------------------------------------

    def saved(self, row: Row, before: Row | None) -> None:
        """A record was saved over another one: only moves of the table, and the order to pay never changes."""
        if wrong := self.journal.wrong_totals():
            raise Violation(f"{wrong} of the sums beside the lines of budgets are wrong after {row.hire_id}")
        if before is None:
            nonce = json.loads(row.record)["nonce"]
            hire = self.watch.begun(row, self.at_work.wish if self.at_work else None)
            self.by_nonce[nonce] = self.by_id[row.hire_id] = hire
            return
        if row.state == before.state:
            return
        hire = self.by_id[row.hire_id]
        plan = self.stage.plan
        if '"dialect":"seed"' in row.record and plan.dialect == "today" and not plan.more.replica:
            raise Violation(f"hire {row.hire_id} takes a node of today for one of the older dialect")
        self.watch.moved(hire, row)
        if not _leads(State(before.state), State(row.state)):
            raise Violation(f"hire {row.hire_id} moved from {before.state} to {row.state}")

    # Before a request leaves -----------------------------------------------------------------------------

    def sending(self, task: Task, call: Call) -> None:
        if call.to == "node" and (about := named(call)):
            self._of_this_node(task, call, about)
        if call.name == "POST /purchase/cancel-refund-request" and (p := self._named(named(call))):
            self.by_id[p.hire_id].cancelled = True
        if call.name in ("POST /purchase/request-refund", "PATCH /purchase"):
            self._asking_back(call)
        if call.name == "POST /purchase":
            self._ordering(task, call)
            task.paid = True
        elif call.name == "POST /start_job":
            hire = self.by_nonce.get(str(json.loads(call.body or b"{}").get("identifier_from_purchaser")))
            # A process that stood still and was overtaken may start a job that nobody pays.
            overtaken = task.life.frozen_until_ms or task.life.skewed
            if hire is not None and hire.body is not None and not overtaken:
                raise Violation(f"hire {hire.hire_id} starts another job after the order to pay was sent")

    def fed(self, watched: Purchase) -> None:
        """The node's feed was read for this one, and has said that nothing changed, or what."""
        self.by_nonce[watched.nonce].asked_ms = self.stage.now()

    def _of_this_node(self, task: Task, call: Call, about: str) -> None:
        """What is asked of the node about a purchase: only where it is the node that took it."""
        p = self._named(about)
        ids = task.life.flows._node.ids
        if p is not None:
            task.about.add(p.hire_id)
            self.by_nonce[p.nonce].asked_ms = self.stage.now()
        if p is not None and p.network != task.life.flows.ways.network:
            raise Violation(
                f"hire {p.hire_id} of {p.network} sends {call.name} with settings of another network"
            )
        known = ids or call.name == "POST /purchase"  # nothing is ordered where no node says which it is
        if p is not None and p.node_ids and known and not set(ids) & set(p.node_ids):
            raise Violation(f"hire {p.hire_id} sends {call.name} to another node than its own")
        if (
            call.name != "POST /purchase"
            or self.stage.away != "restored"
            or about not in self.stage.forgotten
        ):
            return
        if p is not None and p.terms is not None and self.stage.now() < p.terms.times.pay_by_time:
            raise Violation(f"hire {p.hire_id} is ordered anew at a node that has forgotten that it took it")

    def _asking_back(self, call: Call) -> None:
        """Nobody is accused for one answer that was spoilt on its way."""
        p = self._named(named(call))
        found = self.stage.job(p.nonce) if p else None
        if p is None or found is None:
            return
        temper = found[0].temper
        gives = found[0].given(found[1]) is not None  # one that gives nothing more is not waited for too long
        if p.refund_wanted == MISMATCH and not temper.lies and gives:
            raise Violation(f"hire {p.hire_id} accuses an honest seller of {temper.name} of a lie")
        failed = p.refund_wanted.startswith("the service says that the job failed")
        itself = found[1].status == "failed"  # the job there has failed, as one does whose payment never came
        if failed and not itself and temper.work not in ("fails", "flips"):
            raise Violation(f"hire {p.hire_id} believes a failure that was said once: {p.refund_wanted}")

    def _named(self, about: str) -> Purchase | None:
        parts = identifier.decode(canonical(about))
        hire = self.by_nonce.get(parts.purchaser_id) if parts else None
        row = self.journal.get(hire.hire_id) if hire else None
        return Purchase.model_validate_json(row.record) if row else None

    def _permitted(self, task: Task, hire: Hire, p: Purchase) -> None:
        """The first order of a hire leaves: within the limits of the process and of the call that send it.

        Long after pay_by it is no order any more: the node takes none, and says whether it has this one.
        """
        if p.terms is not None and self.stage.now() > p.terms.times.pay_by_time:
            return
        budget, wish = task.life.flows.budget, task.wish
        if p.bounds is not None and p.budget != (budget.name if budget else ""):
            budget = Budget.of_json(p.bounds)  # a person says yes elsewhere: the limits of the question count
        asked = {amount.unit: amount.quantity for amount in p.price}
        if not hire.budget and p.max_price is None:
            raise Violation(f"hire {hire.hire_id} pays without anybody's permission")
        if budget is not None and budget.per_hire is not None and over(asked, budget.per_hire):
            raise Violation(
                f"hire {hire.hire_id} pays {asked}, more than the limits of now: {budget.per_hire}"
            )
        if wish is not None and wish.action == "hire" and wish.max_price and not wish.quoted:
            if over(asked, parse_amounts(wish.max_price)):
                raise Violation(
                    f"hire {hire.hire_id} pays {asked}, more than {wish.max_price} of who joined it"
                )

    def _ordering(self, task: Task, call: Call) -> None:
        """An order to pay is about to leave: announced, always the same, for an offer that breaks no rule."""
        assert call.body is not None
        body = json.loads(call.body)
        name, nonce = body["blockchainIdentifier"], body["identifierFromPurchaser"]
        hire = self.by_nonce.get(nonce)
        if hire is None:
            raise Violation(f"an order to pay leaves for {nonce}, which no hire of the journal has")
        row = self.journal.get(hire.hire_id)
        p = Purchase.model_validate_json(row.record) if row else None
        if p is None or p.state in BEFORE_PAYING:
            raise Violation(f"hire {hire.hire_id} sends an order to pay that the journal does not announce")
        if p.purchase_body is None or p.purchase_body.encode() != call.body:
            raise Violation(f"hire {hire.hire_id} sends other bytes than the journal holds")
        if hire.body is not None:
            if hire.body != call.body:
                raise Violation(f"hire {hire.hire_id} repeats its order in other bytes")
            return
        hire.body = call.body
        self._permitted(task, hire, p)
        if name != canonical(name):
            raise Violation(f"hire {hire.hire_id} pays an identifier that is not in its canonical spelling")
        parts = identifier.decode(name)
        if parts is None or parts.purchaser_id != nonce:
            raise Violation(f"hire {hire.hire_id} pays an offer that was made for another purchaser")
        if name in self.stage.poisoned and not (self.stage.plan.more.spoilt and _names_no_price(p)):
            raise Violation(
                f"hire {hire.hire_id} pays an offer that breaks a rule: {self.stage.poisoned[name]}"
            )
        announced_ms = p.at(State.PAYING) or 0  # a process that stood still since then could not know
        if int(body["payByTime"]) < announced_ms + MINUTE_MS and not task.life.skewed:
            raise Violation(f"hire {hire.hire_id} pays an offer whose payByTime is too near to be kept")
        self._within_price(hire, p, body["Amounts"])
        self._approved(hire, p)

    def _within_price(self, hire: Hire, p: Purchase, amounts: list[dict[str, str]]) -> None:
        asked: dict[str, int] = {}
        for one in amounts:
            asked[one["unit"]] = asked.get(one["unit"], 0) + int(one["amount"])
        if asked != {amount.unit: amount.quantity for amount in p.price}:
            raise Violation(f"hire {hire.hire_id} pays {asked}, but its record says {p.price}")
        budget = self.budgets.get(hire.budget)
        for what, limit in (("max_price", p.max_price), ("per_hire", budget.per_hire if budget else None)):
            if limit is not None and over(asked, limit):
                raise Violation(f"hire {hire.hire_id} pays {asked}, more than its {what} {limit}")

    def _approved(self, hire: Hire, p: Purchase) -> None:
        """A price above the budget's threshold is paid only after a yes to exactly that; the person saw this price."""
        budget = self.budgets.get(hire.budget)
        if budget is None or not budget.needs_approval(p.price):
            return
        agreed = p
        if p.listing is not None and p.listing.price.pricing is PricingType.DYNAMIC:
            agreed = p.but(price=p.max_price)  # the offer names its price, up to the one that was approved
        question = self.journal.question(hire.hire_id, self.digest_of(agreed))
        said = budget.approve is not None or (hire.hire_id, agreed.price) in self.yes
        if question is None or question.answer != "yes" or not said:
            raise Violation(f"hire {hire.hire_id} pays {p.price} without a yes to exactly that")

    # After a request had its effect ------------------------------------------------------------------------

    def look(self) -> None:
        """Look at every purchase that is new at the node."""
        rows = self.stage.world.purchases
        while self._seen < len(rows):
            row = rows[self._seen]
            self._seen += 1
            self._bought(row, rows[: self._seen - 1])

    def _bought(self, row: Bought, earlier: list[Bought]) -> None:
        hire = self.hire_of(row)
        for other in earlier:
            former = self.hire_of(other)
            if former is hire:
                raise Violation(f"hire {hire.hire_id} has two purchases at the node")
            if former.equals(hire) and not self._over(former, other):
                raise Violation(
                    f"hires {former.hire_id} and {hire.hire_id} of one key are paid for at a time"
                )
        budget = self.budgets.get(hire.budget)
        if budget is None:
            return
        mine = [other for other in (*earlier, row) if self.hire_of(other).budget == hire.budget]
        day = budget.day_start_ms(hire.reserved_ms)
        today = [other for other in mine if budget.day_start_ms(self.hire_of(other).reserved_ms) == day]
        month = _month(hire.reserved_ms)
        monthly = [other for other in mine if _month(self.hire_of(other).reserved_ms) == month]
        same = [other for other in mine if other.agent_identifier == row.agent_identifier]
        given = any(
            self.hire_of(other).results
            for other in self.stage.world.purchases
            if other.agent_identifier == row.agent_identifier
        )
        for what, limit, rows in (
            ("total", budget.total, mine),
            ("per_day", budget.per_day, today),
            ("per_month", budget.per_month, monthly),
            ("per_service", budget.per_service, same),
            ("per_new_service", None if given else budget.per_new_service, same),
        ):
            committed = self.committed(rows)
            if limit is not None and over(committed, limit):
                raise Violation(f"{committed} are committed, more than {what} of the budget: {limit}")

    def hire_of(self, row: Bought) -> Hire:
        """The hire that this purchase belongs to."""
        parts = identifier.decode(row.identifier)
        hire = self.by_nonce.get(parts.purchaser_id) if parts else None
        if hire is None:
            raise Violation(f"the node holds the purchase {row.id}, which no hire of the journal has ordered")
        return hire

    def _over(self, hire: Hire, row: Bought) -> bool:
        """Whether another hire under the same key may pay: the result is here, or the money can come no more."""
        if row.on_chain in ("RefundWithdrawn", "Withdrawn", "DisputedWithdrawn", "FundsOrDatumInvalid"):
            return True
        return self._record(hire)["result"] is not None

    def _record(self, hire: Hire) -> dict[str, Any]:
        row = self.journal.get(hire.hire_id)
        record: dict[str, Any] = json.loads(row.record) if row else {"result": None}
        return record

    def committed(self, rows: Iterable[Bought]) -> dict[str, int]:
        """What of these purchases is in the contract, on its way there, or with the seller: base units by unit."""
        found: dict[str, int] = {}
        for row in rows:
            if row.on_chain == "FundsOrDatumInvalid" and row.escrow is None and row.tx is None:
                continue
            for unit, amount in not_back(row).items():
                found[unit] = found.get(unit, 0) + amount
        return found

    # What a process learns -----------------------------------------------------------------------------------

    def learnt(self, call: Call, reply: Reply) -> tuple[str, str] | None:
        """The result that this reply brings of a paid job, as (nonce, text); None when it brings none."""
        if call.name != "GET /status" or not reply.ok or not isinstance(reply.body, dict):
            return None
        if reply.body.get("status") != "completed" or reply.body.get("result") is None:
            return None
        job_id = place(call.url)[2].get("job_id", "")
        for vendor in self.stage.vendors:
            if (job := vendor.jobs.get(job_id)) is not None and job.identifier in self.by_nonce:
                return job.identifier, str(reply.body["result"])
        return None

    def kept(self, nonce: str, result: str) -> None:
        """A result came to a process that lived on to save it: from now on the journal must have it."""
        hire = self.by_nonce[nonce]
        found = self.stage.job(nonce)
        if self.stage.plan.more.spoilt and found and found[0].temper.lies:
            return  # of a lie and a text that was spoilt none is better than the other
        if self._record(hire)["result"] != result:
            raise Violation(f"hire {hire.hire_id} was given a result that is not in the journal")
        hire.results.append(result)
        hire.given_ms = hire.given_ms or self.stage.now()

    # What users are told ----------------------------------------------------------------------------------------

    def raised(self, task: Task, error: Exception) -> None:
        if isinstance(error, Violation):
            raise error
        if not self.documented(task, error):
            raise Violation(f"{task.label} raised {type(error).__name__}: {error}") from error

    def returned(self, task: Task, value: Any) -> None:
        receipts = value if isinstance(value, list) else [value]
        for receipt in receipts:
            # A sweep returns the receipts of many, of which the open ones may have gone on meanwhile.
            if isinstance(receipt, Receipt) and not (receipt.open and isinstance(value, list)):
                self.told(receipt)
            if isinstance(value, Receipt):
                self.watch.returned(task, value)
        budget, wish = task.life.flows.budget, task.wish
        if wish is not None and wish.action == "hire" and isinstance(value, Receipt):
            if value.budget != (budget.name if budget else ""):
                raise Violation(f"{task.label} is answered with the hire of another budget, {value.budget!r}")

    def told(self, receipt: Receipt) -> None:
        """A receipt was handed out: what it says now must be true now."""
        row = self.purchase_of(receipt.identifier_from_purchaser)
        said = f"the receipt of {receipt.hire_id} says {receipt.outcome}"
        state = row.on_chain if row else None
        if receipt.outcome == "refused" and row is not None:
            raise Violation(f"{said}, but the node holds its purchase ({state})")
        if STRANGE in receipt.reason and not self.stage.plan.more.strange:
            raise Violation(f"{said}, for {receipt.reason}")
        if receipt.outcome == "lapsed" and row is not None and row.escrow is not None:
            raise Violation(f"{said}, but the money was locked ({state})")
        if receipt.outcome == "refunded" and state not in ("RefundWithdrawn", "DisputedWithdrawn"):
            raise Violation(f"{said}, but the chain says {state}")
        if receipt.outcome in ("completed", "reused") and receipt.result is None:
            raise Violation(f"{said}, but there is no result")
        if receipt.paid and (row is None or (row.escrow is None and row.tx is None)):
            raise Violation(f"{said} and paid {receipt.paid_text}, but nothing was locked")
        if receipt.money == "none" and row is not None and row.escrow is not None:
            raise Violation(f"{said} and that no money is involved, but it was locked ({state})")
        if receipt.refunded and state not in ("RefundWithdrawn", "DisputedWithdrawn"):
            raise Violation(f"{said} and {receipt.refunded_text} back, but the chain says {state}")

    def purchase_of(self, nonce: str) -> Bought | None:
        """The purchase at the node that was ordered with this nonce."""
        for row in self.stage.world.purchases:
            parts = identifier.decode(row.identifier)
            if parts is not None and parts.purchaser_id == nonce:
                return row
        return None


def _month(ms: int) -> tuple[int, int]:
    at = dt.datetime.fromtimestamp(ms / 1000, dt.UTC)
    return at.year, at.month


def over(asked: Mapping[str, int], limit: Iterable[Amount]) -> bool:
    """Whether this is more than the limit allows; a unit that it does not name has nothing."""
    bounds = {amount.unit: amount.quantity for amount in limit}
    return any(quantity > bounds.get(unit, 0) for unit, quantity in asked.items())


def not_back(row: Bought) -> dict[str, int]:
    """What of its price has not come back, by unit; the collateral comes back beside it and is no part of it."""
    back = as_sums(row.withdrawn_buyer)
    if row.withdrawn_buyer and row.collateral:
        back[""] -= row.collateral
    left = {unit: amount - back[unit] for unit, amount in as_sums(row.funds).items()}
    return {unit: amount for unit, amount in left.items() if amount}


def _leads(old: State, new: State) -> bool:
    """Whether the table leads from one state to the other; one reading of the node may mean several moves."""
    seen, todo = {old}, [old]
    while todo:
        for target in TRANSITIONS[todo.pop()].values():
            if target not in seen:
                seen.add(target)
                todo.append(target)
    return new in seen and new is not old


def _documented(task: Task, error: Exception) -> bool:
    """A hire that has sent an order to pay never raises; else only what the errors' tree names for misuse."""
    if task.paid and task.wish is not None and task.wish.action == "hire":
        return False
    if isinstance(error, JournalError | InputError | UnknownHire | StateError):
        return True
    return isinstance(error, MasumiError) and error.repeatable


def _names_no_price(p: Purchase) -> bool:
    """Whether the offer came without amounts that can be read: then it is the listed price that is ordered."""
    return p.terms is not None and p.terms.amounts is None
