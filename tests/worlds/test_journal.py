"""One contract for both journals: whatever is done to them in whatever order, they answer the same."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from masumi_tools.errors import JournalBusy, JournalError
from masumi_tools.journal.news import Place
from masumi_tools.journal.questions import Question
from masumi_tools.journal.row import Entry, Reservation, Row, Usage
from masumi_tools.journal.store import Journal
from masumi_tools.journal.turns import NO_HURRY
from tests.worlds.journal import MemoryJournal

IDS, KEYS, CALLS, OWNERS, BUDGETS = (
    "abcdef",
    ("k1", "k2", "k3"),
    ("c1", "c2"),
    ("o1", "o2", "dead"),
    ("x", "y"),
)


def _is_dead(owner: str) -> bool:
    return owner == "dead"


class Hands:
    """Does one random thing to a journal; the same things for the same seed."""

    def __init__(self, journal: Journal, clock: list[int], seed: int) -> None:
        self.journal, self.clock, self.rng = journal, clock, random.Random(seed)

    def row(self) -> Row:
        rng = self.rng
        hire_id = rng.choice(IDS)
        entries = tuple(
            Entry(unit, rng.randrange(1, 9), rng.randrange(2)) for unit in rng.choice(((), ("",), ("", "t")))
        )
        return Row(
            hire_id=hire_id,
            key=KEYS[ord(hire_id) % 3],
            state=rng.choice(("asked", "reserved", "locked")),
            is_open=rng.random() < 0.7,
            joinable=rng.random() < 0.6,
            budget=BUDGETS[ord(hire_id) % 2],
            service=rng.choice(("s", "t")),
            created_ms=ord(hire_id) // 2,
            changed_ms=self.clock[0],
            money=rng.choice(("reserved", "locked", "spent", "refunded", "released")) if entries else "",
            record=f"{rng.random()}",
            entries=entries,
            version=rng.choice((1, 1, 2, 3)),
            at_ms=rng.choice((0, 49, 51)),
            at_rest=rng.random() < 0.2,
            after=rng.choice((None, "", *IDS)),
            due_ms=rng.choice((5, 6, 900, 1100, 1300)),
            unlock_ms=rng.choice((0, 0, 900, 1200)),
            token=rng.choice(("", f"t{hire_id}")),
            known_ms=rng.choice((0, 1, 2)),
        )

    def known(self) -> Row:
        """A change of the record as it is, so that it is often taken."""
        row = self.row()
        kept = self.journal.get(row.hire_id)
        fresh = kept is not None and self.rng.random() < 0.8
        return replace(row, version=kept.version) if fresh and kept else row

    def do(self) -> Any:
        rng, journal = self.rng, self.journal
        row, known = self.row(), self.known()
        call, owner, key = rng.choice(CALLS), rng.choice(OWNERS), rng.choice(KEYS)
        flag, text = rng.random() < 0.5, str(rng.randrange(4))
        since = rng.choice((0, 49, 50, 51))

        news = {f"t{one}": rng.randrange(5) for one in rng.sample(IDS, 2)}
        place = Place(str(rng.randrange(9)), rng.choice((None, "r1", "r2")))
        asked = Question(row.hire_id, key, since, since + 9)

        def decide(usage: Usage) -> Row:
            return replace(known, record=repr(usage))

        def begin(usage: Usage) -> Row:
            return replace(row, record=repr(usage))

        deeds: list[Callable[[], Any]] = [
            lambda: journal.add(row, call if flag else None, owner if flag else None, 5),
            lambda: journal.save(known),
            lambda: journal.save(known),
            lambda: journal.save_decided(Reservation(known, decide, since, text if flag else "", since)),
            lambda: journal.add(
                row,
                call if flag else None,
                owner if flag else None,
                5,
                Reservation(row, begin, since, text, since),
            ),
            lambda: journal.take_lease(row.hire_id, owner, 5, _is_dead),
            lambda: journal.drop_lease(row.hire_id, owner),
            lambda: journal.link(call, row.hire_id) if journal.get(row.hire_id) else None,
            lambda: journal.note(call, text),
            lambda: journal.noted(call),
            lambda: journal.by_call(call),
            lambda: journal.known_under(key, rng.choice(KEYS)),
            lambda: journal.known_under("none", key),
            lambda: journal.due(
                self.clock[0], (rng.choice((0, 900, NO_HURRY + 5)), rng.choice(IDS)), _is_dead, 2
            ),
            lambda: journal.put_off([(one, 7) for one in journal.due(9_999, (0, ""), _is_dead)[:2]]),
            lambda: journal.count_open(),
            lambda: journal.hear(call, place, news, "5"),
            lambda: journal.heard_to(call),
            lambda: journal.oldest_open_ms(),
            lambda: list(journal.pages(only_open=flag, size=2)),
            lambda: journal.rows(only_open=flag, budget=rng.choice((None, *BUDGETS))),
            lambda: journal.usage(row, since, since + 3 if flag else None),
            lambda: sorted(journal.used(row.budget), key=repr),
            lambda: journal.budgets(),
            lambda: journal.ask(asked),
            lambda: journal.answer(asked, "yes" if flag else "no", owner, text, since),
            lambda: journal.question(row.hire_id, key if flag else None),
            lambda: journal.unanswered(rng.choice(("asked", "locked"))),
        ]
        self.clock[0] += rng.randrange(4)
        try:
            return rng.choice(deeds)()
        except JournalError as error:
            return type(error), isinstance(error, JournalBusy)


@pytest.fixture
def clock() -> list[int]:
    return [1000]


@pytest.fixture
def database(database_url: str, clock: list[int]) -> Iterator[Journal]:
    journal = Journal(database_url, lambda: clock[0])
    yield journal
    journal.close()


@pytest.mark.parametrize("seed", range(4))
def test_the_journal_in_memory_answers_as_the_database_does(
    database: Journal, clock: list[int], seed: int
) -> None:
    own = [1000]
    ours, theirs = Hands(MemoryJournal(lambda: own[0]), own, seed), Hands(database, clock, seed)

    for step in range(250):
        assert ours.do() == theirs.do(), f"step {step}"
        if step % 5 == 0:
            assert theirs.journal.wrong_totals() == 0, f"step {step}"

    assert ours.journal.rows() == theirs.journal.rows()
    for row in ours.journal.rows():
        assert ours.journal.take_lease(row.hire_id, "new", 1, lambda _: False) == theirs.journal.take_lease(
            row.hire_id, "new", 1, lambda _: False
        )
