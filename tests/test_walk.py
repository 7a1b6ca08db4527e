"""How far one call walks through the house before its first request leaves: `python -m tests.walk` shows each step."""

from __future__ import annotations

from tests.walk import walk_of_a_tool

# Some 25 of them are statements of the journal, which take half of the CPU that SQLAlchemy takes for them.
MOST_STEPS = 200


def test_one_call_takes_few_steps_and_reads_its_input_once():
    steps = walk_of_a_tool().steps
    read = [step for step in steps if step[:2] == ("tools/arguments.py", "inputs/check.py")]

    assert len(read) == 1
    assert len(steps) <= MOST_STEPS
