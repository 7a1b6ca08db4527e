"""Ctrl-C at every moment of a hire: a KeyboardInterrupt and nothing else, and the same buyer goes on with the same hire."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from masumi_tools import Buyer
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.interrupts import heard, held
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from masumi_tools.settings import Settings
from tests.hire.clocked import ClockedBuyer, purchases

# Where a database library tells its listeners of what it is in the middle of.
MOMENTS = {
    "begin": sa.Engine,
    "before_cursor_execute": sa.Engine,
    "commit": sa.Engine,
    "checkout": sa.pool.Pool,
    "checkin": sa.pool.Pool,
}


class Pressed:
    """Ctrl-C is pressed when a moment comes for the n-th time; never where n is 0."""

    def __init__(self) -> None:
        self.seen, self.at = 0, 0

    def __call__(self, *_: object) -> None:
        self.seen += 1
        if self.seen == self.at:
            signal.raise_signal(signal.SIGINT)

    def begin(self, at: int) -> None:
        self.seen, self.at = 0, at


@contextmanager
def pressed_at(moment: str) -> Iterator[Pressed]:
    pressed = Pressed()
    event.listen(MOMENTS[moment], moment, pressed)
    try:
        yield pressed
    finally:
        event.remove(MOMENTS[moment], moment, pressed)


@pytest.mark.parametrize("moment", MOMENTS)
def test_ctrl_c_while_the_journal_is_written_is_heard_after_it_and_the_same_call_goes_on(
    database_url: str, moment: str
) -> None:
    with (
        Sandbox(manual_clock=True, listen=False, seed=1) as sandbox,
        closing(Journal(database_url)) as journal,
        pressed_at(moment) as pressed,
    ):
        buyer = ClockedBuyer(sandbox, Budget("900 ADA"), journal)
        echo = sandbox.service("echo").agent_identifier

        def hire(number: int) -> str | None:
            return buyer.hire(echo, {"text": str(number)}, patience_s=60).result

        at = pressed.seen = 1
        while pressed.seen >= at:  # until a hire is over before the moment comes so often
            pressed.begin(at)
            with suppress(KeyboardInterrupt):
                hire(at)
                assert pressed.seen < at, "not heard"
            seen = pressed.seen
            pressed.begin(0)
            assert hire(at) == str(at)
            assert len(purchases(sandbox)) == at, f"{moment} {at}"
            pressed.seen, at = seen, at + 1
        assert at > 5, "there are several such moments in a hire"
        assert journal._engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_ctrl_c_ends_the_waiting_of_all_hires_of_a_call_and_they_can_be_continued(sqlite_url: str) -> None:
    with Sandbox() as sandbox, closing(Journal(sqlite_url)) as journal:
        buyer = Buyer(Settings.from_sandbox(sandbox), budget=Budget("900 ADA"), journal=journal)
        silent = sandbox.service("silent").agent_identifier

        def press_when_all_are_locked() -> None:
            while [row.state for row in journal.rows()] != ["locked"] * 3:
                ended.wait(0.05)
            os.kill(os.getpid(), signal.SIGINT)

        ended = threading.Event()
        beside = threading.Thread(target=press_when_all_are_locked)
        beside.start()
        with pytest.raises(KeyboardInterrupt):
            buyer.hire_many([(silent, {"text": str(number)}) for number in range(3)], patience_s=3_600)
        beside.join()
        made = [buyer.resume(row.hire_id, patience_s=0) for row in journal.rows()]
        buyer.close()

    assert [one.outcome for one in made] == ["open"] * 3
    assert len(purchases(sandbox)) == 3


def test_a_handler_that_exits_ends_the_waiting_too(sqlite_url: str) -> None:
    """As a service manager's SIGTERM does where a program leaves by SystemExit."""
    with Sandbox() as sandbox, closing(Journal(sqlite_url)) as journal, sigterm_exits():
        buyer = Buyer(Settings.from_sandbox(sandbox), budget=Budget("900 ADA"), journal=journal)
        silent = sandbox.service("silent").agent_identifier
        stop = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM))
        stop.start()
        with pytest.raises(SystemExit):
            buyer.hire_many([(silent, {"text": str(number)}) for number in range(3)], patience_s=3_600)
        stop.join()
        buyer.close()


@contextmanager
def sigterm_exits() -> Iterator[None]:
    def leave(*_: object) -> None:
        raise SystemExit

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def handler(does: Any) -> Iterator[None]:
    before = signal.signal(signal.SIGINT, does)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_it_waits_for_a_moment_of_waiting_or_for_the_end() -> None:
    done: list[str] = []

    def waits() -> None:
        with held():
            press()
            done.append("written")
            with heard():
                done.append("asked")

    def ends() -> None:
        with held():
            press()
            done.append("written")

    for work in (waits, ends):
        with pytest.raises(KeyboardInterrupt):
            work()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert done == ["written", "written"]


def test_who_waits_hears_it_at_once_and_who_presses_twice_does_not_wait() -> None:
    for often, where in ((1, heard), (2, held)):
        with pytest.raises(KeyboardInterrupt), held(), where():
            for _ in range(often):
                press()
            pytest.fail("not heard")


def test_another_handler_is_called_once_and_later_too() -> None:
    called: list[int] = []
    with handler(lambda number, _frame: called.append(number)):
        with held():
            with held():
                press()
            assert called == []
        assert called == [signal.SIGINT]


@pytest.mark.parametrize("does", [signal.SIG_IGN, signal.SIG_DFL])
def test_what_python_does_not_handle_is_left_alone(does: Any) -> None:
    with handler(does), held(), heard():
        assert signal.getsignal(signal.SIGINT) == does


def test_a_handler_that_the_callers_function_sets_stays() -> None:
    def own(*_: object) -> None: ...

    def sets(block: Callable[[], Any]) -> Any:
        with held(), block():
            signal.signal(signal.SIGINT, own)
        return signal.getsignal(signal.SIGINT)

    for block in (heard, held):
        with handler(signal.default_int_handler):
            assert sets(block) is own
