"""The record of a job and the pure decisions about it: no clock, no I/O."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import get_args

import pytest

from masumi_tools.errors import StateError
from masumi_tools.seller.jobs.job import (
    CHAIN_ENDS,
    STATUS,
    TRANSITIONS,
    Chain,
    Event,
    Job,
    JobState,
    Question,
    Rules,
    Seen,
    due_ms,
    from_json,
    learn,
    lose,
    move,
    next_step,
    pause_ms,
    to_json,
)

MINUTE = 60_000
NOW = 1_800_000_000_000
RULES = Rules()
LOCKED = Chain("FundsLocked", "WaitingForExternalAction")


def job(state: JobState = JobState.AWAITING_PAYMENT, **more: object) -> Job:
    values: dict[str, object] = {
        "job_id": "j",
        "state": state,
        "agent_identifier": "a" * 60,
        "identifier_from_purchaser": "ab" * 10,
        "input_sent": {"text": "x"},
        "input_hash": "0" * 64,
        "created_ms": NOW,
        "changed_ms": NOW,
        "price": ((1_000_000, ""),),
        "blockchain_identifier": "bid",
        "source_type": "Web3CardanoV1",
        "pay_by_time": NOW + 60 * MINUTE,
        "submit_result_time": NOW + 360 * MINUTE,
        "unlock_time": NOW + 720 * MINUTE,
        "external_dispute_unlock_time": NOW + 1080 * MINUTE,
        **more,
    }
    return Job(**values)  # type: ignore[arg-type]


def said(**chain: object) -> Seen:
    base = {"state": "FundsLocked", "action": "WaitingForExternalAction", **chain}
    return Seen("bid", Chain(**base), ((1_000_000, ""),))  # type: ignore[arg-type]


@pytest.mark.parametrize(("state", "event"), list(itertools.product(JobState, get_args(Event))))
def test_every_event_in_every_state(state: JobState, event: Event):
    before = job(state)
    target = TRANSITIONS.get((state, event))
    if target is None:
        with pytest.raises(StateError, match=event):
            move(before, event, NOW + 1)
        assert before.state is state
    else:
        after = move(before, event, NOW + 1)
        assert (after.state, after.changed_ms) == (target, NOW + 1)


def test_every_state_has_a_word_and_every_state_but_the_first_is_reached():
    assert set(STATUS) == set(JobState)
    assert set(TRANSITIONS.values()) == set(JobState) - {JobState.AWAITING_PAYMENT}


def test_a_record_is_the_same_after_json():
    asked = Question("q", {"input_data": []}, "?", NOW, {"a": 1}, NOW + 1)
    one = job(JobState.RUNNING, questions=(asked,), chain=LOCKED, owner="p", attempt=2, result="ü\n")

    assert from_json(json.loads(json.dumps(to_json(one)))) == one
    assert from_json({**to_json(one), "of a later version": 1}) == one


@pytest.mark.parametrize(
    ("chain", "state"),
    [
        ({}, JobState.READY),
        ({"state": None}, JobState.AWAITING_PAYMENT),
        ({"action": "WaitingForManualAction"}, JobState.AWAITING_PAYMENT),
        ({"error": "Unknown"}, JobState.AWAITING_PAYMENT),
        ({"state": "RefundRequested"}, JobState.FAILED),
        ({"state": "Disputed"}, JobState.FAILED),
        ({"state": "RefundWithdrawn"}, JobState.FAILED),
        ({"state": "FundsOrDatumInvalid"}, JobState.LAPSED),
        ({"state": "FundsOrDatumInvalid", "tx_hash": "ab"}, JobState.FAILED),
        ({"state": "SomethingNew"}, JobState.FAILED),
    ],
)
def test_work_becomes_ready_only_on_a_whole_lock(chain, state):
    after = learn(job(), said(**chain), NOW, RULES)

    assert after.state is state
    assert (after.attempt == 1) == (state is JobState.READY)


def test_other_amounts_than_asked_are_not_worked_for():
    for funds in (((999_999, ""),), ((1_000_000, ""), (5, "ab" * 28)), ((1_000_000, "cd" * 28),)):
        assert learn(job(), replace(said(), funds=funds), NOW, RULES).state is JobState.FAILED
    split = replace(said(), funds=((400_000, ""), (600_000, "")))
    assert learn(job(), split, NOW, RULES).state is JobState.READY


def test_a_lock_that_comes_too_late_is_refused_and_one_after_giving_up_is_worked_for():
    late = job().submit_result_time - RULES.submit_margin_ms

    assert learn(job(), said(), late - 1, RULES).state is JobState.READY
    assert learn(job(), said(), late, RULES).state is JobState.FAILED
    assert learn(job(JobState.LAPSED), said(), NOW, RULES).state is JobState.READY
    assert learn(job(), said(), late - 1, Rules(least_work_ms=MINUTE)).state is JobState.FAILED


def test_the_deadline_is_checked_right_before_the_work():
    ready = job(JobState.READY, chain=LOCKED)
    by = RULES.submit_by(ready)

    assert next_step(ready, by - 1, RULES).do == "run"
    assert next_step(ready, by, RULES).do == "fail"
    assert due_ms(ready, NOW, RULES) == by


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.AWAITING_INPUT, JobState.FINISHED])
def test_what_is_not_done_in_time_fails(state: JobState):
    one = job(state, chain=LOCKED, result="x")
    by = RULES.submit_by(one)

    assert next_step(one, by - 1, RULES).do in ("wait", "submit")
    assert next_step(one, by, RULES).do == "fail"


def test_the_margin_is_the_nodes_and_its_interval():
    assert RULES.submit_margin_ms == 5 * MINUTE + 30_000


def test_an_unpaid_job_is_given_up_after_the_node_was_asked_once_more():
    until = job().pay_by_time + RULES.pay_grace_ms

    assert next_step(job(), until - 1, RULES).do == "wait"
    assert next_step(job(), until, RULES).do == "ask-node"
    assert due_ms(job(), NOW, RULES) == until


def test_completed_is_taken_back_when_the_hash_never_came():
    completed = job(JobState.COMPLETED, chain=LOCKED, result="x", result_hash="h")
    due = completed.submit_result_time

    assert next_step(completed, NOW, RULES).do == "submit"  # the node waits, and has no hash: again
    on_its_way = replace(completed, chain=replace(LOCKED, action="SubmitResultInitiated"))
    assert next_step(on_its_way, NOW, RULES).do == "wait"
    assert next_step(on_its_way, due, RULES).do == "undeliver"
    assert next_step(replace(completed, chain=replace(LOCKED, result_hash="h")), due, RULES).do == "rest"


@pytest.mark.parametrize(
    ("source", "chain", "state", "policy", "does"),
    [
        ("Web3CardanoV2", Chain("RefundRequested", "WaitingForExternalAction"), "failed", "no-result", True),
        ("Web3CardanoV2", Chain("Disputed", "WaitingForExternalAction", None, "h"), "failed", "no-result", True),
        ("Web3CardanoV2", Chain("Disputed", "WaitingForExternalAction", None, "h"), "completed", "no-result", False),
        ("Web3CardanoV2", Chain("Disputed", "WaitingForExternalAction", None, "h"), "completed", "always", True),
        ("Web3CardanoV2", Chain("RefundRequested", "WaitingForExternalAction"), "running", "always", False),
        ("Web3CardanoV2", Chain("RefundRequested", "SubmitResultRequested"), "failed", "no-result", False),
        ("Web3CardanoV2", Chain("FundsLocked", "WaitingForExternalAction"), "failed", "always", False),
        ("Web3CardanoV1", Chain("RefundRequested", "WaitingForExternalAction"), "failed", "always", False),
        ("Web3CardanoV1", Chain("Disputed", "WaitingForExternalAction", None, "h"), "failed", "no-result", True),
        ("Web3CardanoV2", Chain("RefundRequested", "WaitingForExternalAction"), "failed", "never", False),
        ("Web3CardanoV2", Chain("RefundRequested", "WaitingForExternalAction"), "failed", lambda job: False, False),
    ],
)  # fmt: skip
def test_a_refund_is_authorised_by_policy_and_where_the_contract_can(source, chain, state, policy, does):
    one = job(JobState(state), source_type=source, chain=chain, refund="wished")
    step = next_step(one, NOW, Rules(refunds=policy))

    assert (step.do == "authorise-refund") == does
    assert next_step(replace(one, refund="authorised"), NOW, Rules(refunds=policy)).do != "authorise-refund"


def test_a_wish_before_the_work_began_ends_it_and_later_does_not():
    wish = said(state="RefundRequested")

    assert learn(job(JobState.READY), wish, NOW, RULES).state is JobState.FAILED
    assert learn(job(JobState.RUNNING), wish, NOW, RULES).state is JobState.RUNNING
    assert learn(job(JobState.RUNNING), wish, NOW, RULES).refund == "wished"


def test_a_dead_process_loses_its_work_but_not_its_questions():
    assert lose(job(JobState.RUNNING, owner="p", attempt=1), NOW, RULES).state is JobState.READY
    assert lose(job(JobState.RUNNING, owner="p", attempt=1), NOW, RULES).attempt == 2
    assert lose(job(JobState.AWAITING_INPUT, owner="p"), NOW, RULES).state is JobState.AWAITING_INPUT
    assert lose(job(JobState.FINISHED, owner="p", next_try_ms=9), NOW, RULES).next_try_ms == 0
    assert lose(job(JobState.RUNNING, attempt=RULES.max_attempts), NOW, RULES).state is JobState.FAILED


@pytest.mark.parametrize("state", sorted(CHAIN_ENDS))
def test_an_escrow_that_ended_is_watched_no_more(state: str):
    assert not job(JobState.COMPLETED, chain=Chain(state)).watched
    assert job(JobState.COMPLETED, chain=LOCKED).watched


def test_pauses_grow_to_a_minute():
    assert [pause_ms(n) for n in (0, 1, 2, 6, 50)] == [1000, 2000, 4000, 60_000, 60_000]
