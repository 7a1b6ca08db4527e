"""The table of moves: every pair is either in it or refused, and the drawing in docs/states.md is of this table."""

from __future__ import annotations

from pathlib import Path

import pytest

from masumi_tools.errors import StateError
from masumi_tools.hire.counting import COUNTS
from masumi_tools.hire.purchase import BEFORE_PAYING, ENDED, TRANSITIONS, Event, Moment, Purchase, State
from masumi_tools.hire.steps import _STEPS

DOCS = Path(__file__).parents[2] / "docs" / "states.md"


def record(state: State) -> Purchase:
    return Purchase(
        hire_id="h",
        key="k",
        target="t",
        budget="b",
        network="Preprod",
        input_data={},
        nonce="ab" * 10,
        created_ms=1,
        changed_ms=1,
        state=state,
        history=(Moment(state=state, at_ms=1),),
    )


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("event", list(Event))
def test_a_move_is_in_the_table_or_is_refused_and_changes_nothing(state: State, event: Event) -> None:
    before = record(state)
    target = TRANSITIONS[state].get(event)

    if target is None:
        with pytest.raises(StateError, match=f"{state.value} cannot take the event {event.value}"):
            before.move(event, 2)
        assert before == record(state)
    else:
        after = before.move(event, 2)
        assert (after.state, after.changed_ms, after.history[-1]) == (
            target,
            2,
            Moment(state=target, at_ms=2),
        )


def test_every_state_is_reached_from_asked_and_every_open_state_can_end() -> None:
    def reachable(start: State) -> set[State]:
        seen, todo = {start}, [start]
        while todo:
            for target in TRANSITIONS[todo.pop()].values():
                if target not in seen:
                    seen.add(target)
                    todo.append(target)
        return seen

    assert reachable(State.ASKED) == set(State)
    assert all(reachable(state) & ENDED for state in State)


def test_every_open_state_has_a_next_step_and_every_state_counts_in_a_budget() -> None:
    assert set(_STEPS) == set(State) - ENDED
    assert set(COUNTS) == set(State)


def test_refused_is_reached_only_while_nothing_was_paid() -> None:
    into_refused = {state for state, moves in TRANSITIONS.items() if State.REFUSED in moves.values()}

    assert into_refused == BEFORE_PAYING | {State.PAYING}


def test_a_record_survives_json_unchanged() -> None:
    for state in State:
        assert Purchase.model_validate_json(record(state).model_dump_json()) == record(state)


def drawing() -> str:
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> asked"]
    for state, moves in TRANSITIONS.items():
        targets: dict[State, list[str]] = {}
        for event, target in moves.items():
            targets.setdefault(target, []).append(event.value)
        lines += [
            f"    {state.value} --> {target.value}: {', '.join(events)}" for target, events in targets.items()
        ]
        if state in ENDED:
            lines.append(f"    {state.value} --> [*]")
    return "\n".join([*lines, "```"])


def test_the_drawing_in_the_docs_is_of_this_table() -> None:
    assert drawing() in DOCS.read_text(), "docs/states.md is stale: run python -m tests.hire.test_states"


if __name__ == "__main__":
    text = DOCS.read_text()
    head, tail = text.split("```mermaid", 1)[0], text.split("```", 2)[2]
    DOCS.write_text(head + drawing() + tail)
