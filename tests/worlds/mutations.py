"""Safety rules, and how to switch each one off: the simulation has to notice within so many histories.

`python -m tests.worlds.mutations` tells in which seed and step each is noticed first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any

import pytest

from masumi_tools.calls import node
from masumi_tools.calls.call import Reply
from masumi_tools.hire import acceptance, approvals, rows, steps
from masumi_tools.hire.driver import Driver
from masumi_tools.hire.flows import Flows
from masumi_tools.hire.operations import Do, Sleep
from masumi_tools.hire.purchase import Event, Purchase, State
from masumi_tools.hire.replies import _LEARN, payment
from masumi_tools.hire.replies import offer as learnt_offer
from masumi_tools.hire.request import Order
from masumi_tools.hire.steps import Ask, Ways
from masumi_tools.journal.news import Place
from masumi_tools.journal.row import Reservation, Row, Usage
from masumi_tools.journal.store import Journal
from tests.worlds import Outcome, switches
from tests.worlds.journal import MemoryJournal
from tests.worlds.many import run_one
from tests.worlds.plan import Plan, plan_of

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Mutation:
    """A rule, how to switch it off, and a word of what the simulation says then.

    `seed` noticed it last and is played first; plans that are drawn otherwise may have moved it. `among`: only
    histories with such a plan are played after it; the others do not have the trouble.
    """

    rule: str
    seed: int
    off: Callable[[Patch], None]
    says: str
    among: Callable[[Plan], object] = lambda plan: True


def no_announcement(patch: Patch) -> None:
    save = Driver.save

    def silent(self: Driver, before: Purchase, after: Purchase) -> Any:
        if after.state is State.PAYING and before.state is State.STARTED:
            return after
        return (yield from save(self, before, after))

    patch.setattr(Driver, "save", silent)


def other_bytes(patch: Patch) -> None:
    def post(p: Purchase, ways: Ways) -> Any:
        body = json.loads(p.purchase_body or "{}")
        if p.pay_attempts > 1:
            body = dict(sorted(body.items()))
        return node.purchase(ways.node, json.dumps(body, separators=(",", ":")).encode())

    patch.setattr(steps, "_post", post)


def any_spelling(patch: Patch) -> None:
    check = learnt_offer.check_offer

    def as_sent(**given: Any) -> Any:
        verdict = check(**given)
        if isinstance(verdict, acceptance.Accepted):
            spelled = given["terms"].blockchain_identifier
            return replace(verdict, terms=replace(verdict.terms, blockchain_identifier=spelled))
        return verdict

    patch.setattr(learnt_offer, "check_offer", as_sent)


def no_comparison(patch: Patch) -> None:
    patch.setattr(payment, "_is_anothers", lambda p, node: False)
    patch.setattr(payment, "_foreign", lambda p, node: None)


def unknown_is_no(patch: Patch) -> None:
    paid = payment.paid

    def hasty(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
        if reply.unknown and p.state is State.PAYING:
            return p.move(Event.REFUSED, now, reason="the node did not take it")
        return paid(p, reply, now, ways)

    patch.setitem(_LEARN, Ask.PAY, hasty)


def a_page_is_a_no(patch: Patch) -> None:
    patch.setattr(payment, "refused_order", lambda reply: reply.status in (400, 401, 403, 404, 405, 413, 451))


def a_redirect_is_a_no(patch: Patch) -> None:
    patch.setattr(payment, "refused_order", lambda reply: reply.status in (302, 307, 308))


def no_max_price(patch: Patch) -> None:
    for module in (acceptance, learnt_offer, rows):
        patch.setattr(module, "above", lambda price, cap: None)
    patch.setattr(
        acceptance, "price_asked", lambda listing, terms, agreed, cap: (terms.amounts or agreed, None)
    )


def no_budget(patch: Patch) -> None:
    patch.setattr("masumi_tools.hire.budget.Budget.refusal", lambda *_, **_named: None)


def a_month_of_a_moment(patch: Patch) -> None:
    patch.setattr("masumi_tools.hire.budget.Budget.month_start_ms", lambda self, now: now)


def reservation_in_two_steps(patch: Patch) -> None:
    def reserve(self: Driver, p: Purchase, owner: str, *_: Any) -> Any:
        budget, now = self.budget, self.clock.now()
        p = yield from self._heard_before(p)
        if budget is not None and budget.needs_approval(p.price) and not approvals.approved(p):
            return (yield from self._put_question(p, budget))
        since, month = rows.periods(budget, now)
        usage: Usage = yield Do(lambda: self.journal.usage(rows.row_of(p), since, month))
        yield Sleep(0.005)

        class Stale(MemoryJournal):
            def __init__(self, journal: Journal) -> None:
                self.journal = journal

            def save_decided(self, money: Reservation) -> Row:
                return self.journal.save_decided(replace(money, decide=lambda _: money.decide(usage)))

        reserving = rows.Reserving(p, budget, None, now)
        return (yield Do(lambda: reserving.saved(Stale(self.journal).save_decided(reserving.money))))

    patch.setattr(Driver, "_reserve", reserve)


def many_open_under_a_key(patch: Patch) -> None:
    add = MemoryJournal.add

    def forgetting(self: MemoryJournal, row: Row, *more: Any) -> tuple[Row, bool]:
        self._open.pop(row.key, None)
        return add(self, replace(row, after=None), *more)

    patch.setattr(MemoryJournal, "add", forgetting)


def last_save_wins(patch: Patch) -> None:
    save = MemoryJournal.save

    def overwriting(self: MemoryJournal, row: Row) -> Row:
        kept = self.get(row.hire_id)
        return save(self, replace(row, version=kept.version if kept else row.version))

    patch.setattr(MemoryJournal, "save", overwriting)


def any_signature(patch: Patch) -> None:
    patch.setattr(acceptance.identifier, "verify", lambda *_: None)


def any_times(patch: Patch) -> None:
    for module in (acceptance, steps):
        patch.setattr(module, "times_problem", lambda times, now, horizon_ms: None)


def no_refund_for_a_missing_text(patch: Patch) -> None:
    patch.setattr(payment, "NO_TEXT_MS", -(10**12))


def no_last_look_for_the_result(patch: Patch) -> None:
    patch.setattr(payment, "given_up", lambda p, now: True)


def absence_without_proof(patch: Patch) -> None:
    read = payment.read

    def hasty(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
        if reply.status == 404 and p.state is State.PAID:
            return p.move(Event.LAPSED, now, reason="the node does not know it")
        return read(p, reply, now, ways)

    patch.setitem(_LEARN, Ask.READ, hasty)


def _ends_when(patch: Patch, too_early: Callable[[Purchase, int], bool]) -> None:
    read = payment.read

    def hasty(p: Purchase, reply: Reply, now: int, ways: Ways) -> Purchase:
        after = read(p, reply, now, ways)
        if after.state is State.PAID and too_early(after, now):
            return after.move(Event.LAPSED, now, reason="nothing was locked, it seems")
        return after

    patch.setitem(_LEARN, Ask.READ, hasty)


def time_alone_ends_it(patch: Patch) -> None:
    _ends_when(patch, lambda p, now: p.terms is not None and now > p.terms.times.pay_by_time)


def a_denial_is_final(patch: Patch) -> None:
    _ends_when(patch, lambda p, now: p.node is not None and bool(p.node.error_note))


def a_strange_state_is_final(patch: Patch) -> None:
    _ends_when(patch, lambda p, now: p.node is not None and p.node.strange_state is not None)


def an_end_between_is_not_seen(patch: Patch) -> None:
    known = Flows._known

    def seen(self: Flows, order: Order, owner: str) -> Any:
        answer, after = yield from known(self, order, owner)
        if answer is None and after == "":
            row, _ = yield Do(lambda: self.journal.known_under(order.key, order.older_key))
            after = row.hire_id if row is not None else after
        return answer, after

    patch.setattr(Flows, "_known", seen)


def refunds_do_not_free_the_budget(patch: Patch) -> None:
    lines = rows._lines

    def kept(p: Purchase) -> Any:
        return lines(p.but(returned=()))

    patch.setattr(rows, "_lines", kept)


def results_are_not_saved(patch: Patch) -> None:
    save = Driver.save

    def careless(self: Driver, before: Purchase, after: Purchase) -> Any:
        return (yield from save(self, before, after.but(result=None) if before.result is None else after))

    patch.setattr(Driver, "save", careless)


def nobody_is_asked(patch: Patch) -> None:
    patch.setattr(approvals, "approved", lambda p: True)


def a_yes_to_anything(patch: Patch) -> None:
    patch.setattr(approvals, "digest_of", lambda p: p.hire_id)


def _is_away(where: str) -> Callable[[Plan], object]:
    return lambda plan: plan.more.away_ms and plan.more.away == where


def a_place_without_its_news(patch: Patch) -> None:
    hear = MemoryJournal.hear

    def moving(self: MemoryJournal, feed: str, to: Place, news: Any, wrong_after: str) -> set[str]:
        return hear(self, feed, to, {}, wrong_after)

    patch.setattr(MemoryJournal, "hear", moving)


MUTATIONS = (
    Mutation("a payment is announced in the journal before it is sent", 3, no_announcement, "announce"),
    Mutation("an order is repeated in the same bytes", 7, other_bytes, "other bytes"),
    Mutation("only the canonical identifier is paid", 5, any_spelling, "canonical"),
    Mutation(
        "a 200 or 409 is compared with what was ordered",
        496,
        no_comparison,
        "nothing was locked|another|chain says",
    ),
    Mutation("unknown is not no", 3, unknown_is_no, "refused|another job|of one key"),
    Mutation("only the node's own word is a no", 159, a_page_is_a_no, "refused|another job|of one key"),
    Mutation(
        "an order that was redirected may have been taken",
        1796,
        a_redirect_is_a_no,
        "refused|another job|of one key",
        lambda plan: plan.more.hostile,
    ),
    Mutation(
        "never more than max_price or the agreed price",
        124,
        no_max_price,
        "more than its|of who joined it|breaks a rule|without a yes to exactly that",
    ),
    Mutation("never more than the budget", 0, no_budget, "more than"),
    Mutation("never more than the month's budget", 160, a_month_of_a_moment, "more than per_month"),
    Mutation(
        "a person says yes before a price above the threshold is paid", 0, nobody_is_asked, "without a yes"
    ),
    Mutation("a yes is to exactly one price", 927, a_yes_to_anything, "without a yes"),
    Mutation("a reservation is one transaction", 155, reservation_in_two_steps, "more than"),
    Mutation("one open hire per key", 16, many_open_under_a_key, "of one key"),
    Mutation(
        "an equal hire that ends between look and record is the answer",
        7786,
        an_end_between_is_not_seen,
        "begun anew",
        lambda plan: plan.more.between,
    ),
    Mutation("who was overtaken cannot save", 21, last_save_wins, ""),
    Mutation("the seller's signature verifies", 19, any_signature, "breaks a rule"),
    Mutation("the times leave a margin", 16, any_times, "payByTime"),
    Mutation(
        "without a text the money is asked back in time",
        87,
        no_refund_for_a_missing_text,
        "asked back in time",
    ),
    Mutation("a result is fetched after the payout, too", 53, no_last_look_for_the_result, "still hands out"),
    Mutation(
        "who gives nothing is asked before it is given up",
        29302,
        switches.a_day_alone_is_enough,
        "still hands out",
        lambda plan: plan.chaos.crash,
    ),
    Mutation("a 404 is no proof of absence", 5, absence_without_proof, "lapsed"),
    Mutation("a denial by the wallet's policy may pass", 41, a_denial_is_final, "lapsed|reserved, locked"),
    Mutation(
        "a state of a later version is not final", 87, a_strange_state_is_final, "lapsed|reserved, locked"
    ),
    Mutation(
        "time alone ends nothing that may hold money", 11, time_alone_ends_it, "lapsed|reserved, locked"
    ),
    Mutation("the place in the feed moves with its news", 3, a_place_without_its_news, "comes to no end"),
    Mutation("a refund frees the budget", 12, refunds_do_not_free_the_budget, "budget"),
    Mutation("a result is saved before anything else", 3, results_are_not_saved, "result"),
    Mutation("a record knows its node", 116, switches.any_node, "another node", _is_away("elsewhere")),
    Mutation(
        "nothing is ordered where no node says which it is",
        1373,
        switches.whoever_answers_is_the_node,
        "another node",
        lambda plan: plan.chaos.node,
    ),
    Mutation("a record knows its network", 584, switches.any_network, "another network", _is_away("network")),
    Mutation("a dialect is chosen on proof", 20, switches.a_gateways_404_is_the_nodes, "older dialect"),
    Mutation(
        "a dialect is left when it is disproved",
        17409,
        switches.a_dialect_is_for_ever,
        "asked back in time",
        lambda plan: plan.more.replica,
    ),
    Mutation(
        "what nobody foresaw stays with its hire",
        80,
        switches.trouble_is_everybodys,
        "RuntimeError",
        lambda plan: plan.more.cursed,
    ),
    Mutation(
        "what repeats without news gets rarer",
        70,
        switches.no_growing_pauses,
        "without an answer",
        lambda plan: plan.chaos.outage_ms,
    ),
    Mutation(
        "owed work is open", 496, switches.owed_work_is_finished, "owed still", lambda plan: plan.chaos.crash
    ),
    Mutation(
        "money is not bound beyond the horizon",
        84,
        switches.no_horizon,
        "bound for a month",
        lambda plan: plan.more.temper == "binding",
    ),
    Mutation(
        "equal hires are equal after a restart",
        16,
        switches.a_restart_is_another,
        "of one key|begun anew",
        lambda plan: plan.chaos.crash,
    ),
    Mutation(
        "equal hires of two budgets are two",
        20,
        switches.any_budget_is_mine,
        "of another budget",
        lambda plan: len({limits and limits.name for limits in plan.limits}) > 1,
    ),
    Mutation(
        "without anybody's limit nothing is paid",
        20,
        switches.a_quote_is_a_permission,
        "permission",
        lambda plan: None in plan.limits,
    ),
    Mutation(
        "the limits of now are asked before the money leaves",
        536,
        switches.limits_of_the_beginning,
        "limits of now",
        lambda plan: plan.more.shrinks_ms,
    ),
    Mutation(
        "who never delivered gets no more than newcomers may",
        57,
        switches.nobody_is_new,
        "per_new_service",
        lambda plan: plan.more.newcomers,
    ),
    Mutation(
        "an order's window is longer than its time-out",
        282,
        switches.a_window_shorter_than_the_time_out,
        "refused",
        lambda plan: plan.more.shuts,
    ),
    Mutation(
        "an order that was taken is not sent again while it could be taken anew",
        857,
        switches.an_accepted_order_is_sent_again,
        "ordered anew",
        _is_away("restored"),
    ),
    Mutation(
        "the node's time is heard at each call's beginning",
        365,
        switches.the_time_is_not_heard,
        "a clock that is wrong",
        lambda plan: plan.more.skews,
    ),
    Mutation(
        "a yes is to what was seen",
        52232,
        switches.a_yes_to_whatever_is_asked_by_now,
        "without a yes to exactly that",
    ),
    Mutation(
        "a late doubt leaves a service some time",
        60913,
        switches.no_time_for_a_late_doubt,
        "accuses an honest seller",
        lambda plan: plan.more.temper == "amnesiac",
    ),
    Mutation(
        "several answers say the time",
        34803,
        switches.one_answer_says_the_time,
        "too near",
        lambda plan: plan.more.skews,
    ),
    Mutation(
        "waits end when the clock goes back",
        408,
        switches.the_clock_never_goes_back,
        "asked back in time|still hands out",
        lambda plan: plan.more.blackout,
    ),
    Mutation(
        "a question asked by a clock that was days ahead ends",
        8291,
        switches.a_question_ends_by_its_own_clock,
        "comes to no end",
        lambda plan: plan.more.skews,
    ),
    Mutation(
        "a key that was refused is tried again",
        295,
        switches.barred_for_ever,
        "asked back in time",
        lambda plan: plan.more.keyless,
    ),
    Mutation("patience is kept", 3, switches.endless_patience, "took"),
    Mutation(
        "who was told that a hire goes on is told of its end",
        265,
        switches.an_end_is_forgotten,
        "nobody was told",
        lambda plan: plan.more.regulars == "told",
    ),
    Mutation(
        "what came to nothing is not bought anew unasked",
        21,
        switches.what_came_to_nothing_is_bought_anew,
        "came to nothing",
        lambda plan: plan.more.regulars == "undone",
    ),
    Mutation(
        "who joins pays no more than he allows",
        1264,
        switches.limits_of_whoever_began,
        "who joined it",
        lambda plan: plan.more.regulars == "joined",
    ),
    Mutation(
        "a job that is not known has not failed",
        10,
        switches.an_unknown_job_has_failed,
        "said once",
        lambda plan: plan.more.temper == "amnesiac",
    ),
    Mutation(
        "our own wish is taken back when the result is proved",
        244,
        switches.a_wish_is_never_taken_back,
        "took the wish back",
        lambda plan: plan.more.temper == "flipper",
    ),
    Mutation(
        "one mismatch convicts nobody",
        612,
        switches.one_mismatch_is_enough,
        "of a lie",
        lambda plan: plan.more.spoilt,
    ),
    Mutation(
        "a failure is believed when it lasts",
        217,
        switches.one_failure_is_enough,
        "said once",
        lambda plan: plan.more.spoilt,
    ),
)
MOST_HISTORIES = 1_500


def noticed(mutation: Mutation, most: int = MOST_HISTORIES) -> Outcome | None:
    """A history in which the rule is missed: the known one, else the first; None when there is none in so many."""
    all_of_them = (seed for seed in count() if mutation.among(plan_of(seed)))
    return first_noticed(mutation, [mutation.seed]) or first_noticed(mutation, islice(all_of_them, most))


def first_noticed(mutation: Mutation, seeds: Iterable[int]) -> Outcome | None:
    with pytest.MonkeyPatch.context() as patch:
        mutation.off(patch)
        for seed in seeds:
            outcome = run_one(seed)
            if outcome.violation is not None:
                return outcome
    return None


if __name__ == "__main__":
    print("| rule switched off | noticed in seed | after steps | what is said |\n|---|---|---|---|")
    for mutation in MUTATIONS:
        found = first_noticed(mutation, (seed for seed in range(20_000) if mutation.among(plan_of(seed))))
        if found is None:
            print(f"| {mutation.rule} | not noticed | | |", flush=True)
        else:
            print(f"| {mutation.rule} | {found.seed} | {found.steps} | {found.violation} |", flush=True)
