"""How to switch off the rules that tell what is true: of nodes and networks, clocks, words of services, equal calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from masumi_tools.calls.call import Reply
from masumi_tools.hire import acceptance, approvals, driver, easing, flows, paying_node, rows, steps
from masumi_tools.hire.driver import Driver
from masumi_tools.hire.flows import Flows
from masumi_tools.hire.paying_node import PayingNode
from masumi_tools.hire.purchase import Purchase
from masumi_tools.hire.replies import job, payment, proof
from masumi_tools.hire.request import Order
from masumi_tools.models import JobState, read_status
from tests.worlds import history
from tests.worlds.life import PACE

Patch = pytest.MonkeyPatch
FOR_EVER_MS = 10**15


# 1 to 4: nodes, clocks, dialects ------------------------------------------------------------------------


def a_window_shorter_than_the_time_out(patch: Patch) -> None:
    patch.setattr(history, "PACE", replace(PACE, in_flight_ms=20_000))


def any_node_and_network(patch: Patch) -> None:
    patch.setattr(paying_node, "elsewhere", lambda *_: None)


def any_network(patch: Patch) -> None:
    elsewhere = paying_node.elsewhere
    patch.setattr(paying_node, "elsewhere", lambda p, network, url, ids: elsewhere(p, p.network, url, ids))


def any_node(patch: Patch) -> None:
    elsewhere = paying_node.elsewhere
    patch.setattr(
        paying_node, "elsewhere", lambda p, network, url, ids: elsewhere(p, network, p.node_url, p.node_ids)
    )


def whoever_answers_is_the_node(patch: Patch) -> None:
    patch.setattr(driver, "next_step", lambda p, now, ways, **given: steps.next_step(p, now, ways))


def an_accepted_order_is_sent_again(patch: Patch) -> None:
    paid = steps._STEPS[steps.State.PAID]

    def hasty(p: Purchase, now: int, ways: steps.Ways) -> Any:
        due = p.unseen and now >= p.next_node_ms
        return steps.Send(steps.Ask.PAY, steps._post(p, ways)) if due else paid(p, now, ways)

    patch.setitem(steps._STEPS, steps.State.PAID, hasty)


def a_gateways_404_is_the_nodes(patch: Patch) -> None:
    patch.setattr(payment, "no_such_route", lambda reply: reply.status in (404, 405))


def a_dialect_is_for_ever(patch: Patch) -> None:
    patch.setattr(payment, "_other_dialect", lambda p: p.but(dialect="seed"))


def the_time_is_not_heard(patch: Patch) -> None:
    patch.setattr(PayingNode, "hear", lambda self, reply: None)


def one_answer_says_the_time(patch: Patch) -> None:
    hear = PayingNode.hear

    def once(self: PayingNode, reply: Reply) -> None:
        if not self._clock._heard:
            hear(self, reply)

    patch.setattr(PayingNode, "hear", once)


def barred_for_ever(patch: Patch) -> None:
    patch.setattr(payment, "_barred_ms", lambda p, now, ways: FOR_EVER_MS)


# 5 to 8: troubles, patience, owed work, deadlines -------------------------------------------------------


def trouble_is_everybodys(patch: Patch) -> None:
    def raising(p: Purchase, error: Exception, *_: Any) -> Purchase:
        raise error

    patch.setattr(driver, "stumbled", raising)


def no_growing_pauses(patch: Patch) -> None:
    patch.setattr(easing, "_step", lambda tries, p, ways: 0)


def endless_patience(patch: Patch) -> None:
    for left in ("left_s", "within_s"):
        patch.setattr(f"masumi_tools.hire.operations.Patience.{left}", property(lambda self: 1e6))


def owed_work_is_finished(patch: Patch) -> None:
    patch.setattr(Purchase, "owed", property(lambda self: False))


def no_horizon(patch: Patch) -> None:
    check = acceptance.times_problem
    for module in (acceptance, steps):
        patch.setattr(module, "times_problem", lambda times, now, horizon_ms: check(times, now, FOR_EVER_MS))


# 9 and 11: equal calls ----------------------------------------------------------------------------------


def _ordered(patch: Patch, change: Callable[[Order, str], Order]) -> None:
    hire = Flows.hire

    def changed(self: Flows, order: Order, patience_s: float, owner: str, *more: Any) -> Any:
        return (yield from hire(self, change(order, owner), patience_s, owner, *more))

    patch.setattr(Flows, "hire", changed)


def a_restart_is_another(patch: Patch) -> None:
    _ordered(patch, lambda order, owner: replace(order, scope=owner.partition(":")[0]))


def any_budget_is_mine(patch: Patch) -> None:
    _ordered(patch, lambda order, owner: replace(order, budget=""))


def an_end_is_forgotten(patch: Patch) -> None:
    patch.setattr(Flows, "_awaits", lambda self, made, **_: False)


def what_came_to_nothing_is_bought_anew(patch: Patch) -> None:
    recent = flows._recent
    patch.setattr(flows, "_recent", lambda p, now, ms: p.result is not None and recent(p, now, ms))


# 11 and 12: limits --------------------------------------------------------------------------------------


def a_quote_is_a_permission(patch: Patch) -> None:
    refusal = rows.refusal

    def generous(p: Purchase, budget: Any, *more: Any, **named: Any) -> str | None:
        return None if budget is None else refusal(p, budget, *more, **named)

    patch.setattr(rows, "refusal", generous)


def limits_of_the_beginning(patch: Patch) -> None:
    def again(self: Driver, p: Purchase, *_: Any) -> Any:
        return True, p
        yield

    patch.setattr(Driver, "_limits_again", again)


def limits_of_whoever_began(patch: Patch) -> None:
    patch.setattr(driver, "_beyond", lambda p, step, cap: None)


def nobody_is_new(patch: Patch) -> None:
    patch.setattr(driver, "is_new", lambda *_: False)


# 13: words of services ----------------------------------------------------------------------------------


def one_failure_is_enough(patch: Patch) -> None:
    patch.setattr(history, "PACE", replace(PACE, failure_ms=0))


def an_unknown_job_has_failed(patch: Patch) -> None:
    readable = job._readable

    def hasty(reply: Reply) -> Any:
        found = read_status(reply.content, reply.status) if reply.status else None
        unknown = found is not None and found.state is JobState.NOT_FOUND
        return replace(found, state=JobState.FAILED) if found and unknown else readable(reply)

    patch.setattr(job, "_readable", hasty)


def one_mismatch_is_enough(patch: Patch) -> None:
    compared = proof.compared

    def hasty(p: Purchase, node: Any, now: int, ways: steps.Ways) -> Purchase:
        after = compared(p, node, now, ways)
        return compared(after.but(mismatch_again=True), node, now, ways) if after.mismatch_ms else after

    patch.setattr(payment, "compared", hasty)


def a_wish_is_never_taken_back(patch: Patch) -> None:
    patch.setattr(steps, "cancellable", lambda p: False)


def a_yes_to_whatever_is_asked_by_now(patch: Patch) -> None:
    decide = Flows.decide

    def unseen(self: Flows, hire_id: str, decision: approvals.Decision, *given: Any) -> Any:
        return decide(self, hire_id, replace(decision, seen=""), *given)

    patch.setattr(Flows, "decide", unseen)


def no_time_for_a_late_doubt(patch: Patch) -> None:
    patch.setattr(proof, "_patience_ms", lambda p, unlock, ways: ways.pace.failure_ms)


def a_day_alone_is_enough(patch: Patch) -> None:
    """Also one in which nobody asked."""
    patch.setattr(steps, "LAST_ASKS", 0)


def the_clock_never_goes_back(patch: Patch) -> None:
    patch.setattr(driver, "kept_up", lambda p, now: p)


def _deaf(asks: Callable[..., Any]) -> Callable[..., Any]:
    def deaf(self: Any, *given: Any) -> Any:
        self.hear = lambda reply: None
        try:
            return (yield from asks(self, *given))
        finally:
            vars(self).pop("hear", None)

    return deaf


def a_question_ends_by_its_own_clock(patch: Patch) -> None:
    """Also where that clock was a year ahead, as it is while the node's time is not heard right before the question."""
    for name in ("refuses", "elsewhere"):
        patch.setattr(PayingNode, name, _deaf(getattr(PayingNode, name)))
    patch.setattr(approvals, "is_over", lambda question, now: now >= question.until_ms)
