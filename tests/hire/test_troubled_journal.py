"""A journal that fails after money may have moved: the caller gets the receipt, never an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from masumi_tools.errors import JournalBusy, JournalError
from masumi_tools.hire.budget import Budget
from masumi_tools.journal.row import Row
from masumi_tools.journal.store import Journal
from masumi_tools.sandbox import Sandbox
from tests.hire.clocked import ClockedBuyer, purchases


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(manual_clock=True, listen=False, seed=1) as sandbox:
        yield sandbox


class Troubled(Journal):
    """Fails in one of its methods once the node holds a purchase."""

    def __init__(self, url: str, sandbox: Sandbox, broken: str, error: JournalError) -> None:
        super().__init__(url)
        self.sandbox, self.broken, self.error = sandbox, broken, error

    def _maybe_fail(self, method: str) -> None:
        if method == self.broken and purchases(self.sandbox):
            raise self.error

    def take_lease(self, hire_id: str, owner: str, for_ms: int, is_dead: Callable[[str], bool]) -> bool:
        self._maybe_fail("take_lease")
        return super().take_lease(hire_id, owner, for_ms, is_dead)

    def save(self, row: Row) -> Row:
        self._maybe_fail("save")
        return super().save(row)

    def get(self, hire_id: str) -> Row | None:
        self._maybe_fail("get")
        return super().get(hire_id)


@pytest.mark.parametrize("broken", ["take_lease", "save"])
def test_a_journal_that_fails_after_the_payment_does_not_raise(
    sandbox: Sandbox, sqlite_url: str, broken: str
) -> None:
    journal = Troubled(sqlite_url, sandbox, broken, JournalError("the disk is full"))
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    target = sandbox.service("slow").agent_identifier

    receipt = buyer.hire(target, {"text": "hello", "seconds": 300}, patience_s=1000)

    assert receipt.open and any("the disk is full" in note for note in receipt.notes)
    assert len(purchases(sandbox)) == 1
    journal.broken = ""
    again = buyer.hire(target, {"text": "hello", "seconds": 300}, patience_s=1000)
    assert (again.hire_id, again.outcome) == (receipt.hire_id, "completed")
    assert len(purchases(sandbox)) == 1
    journal.close()


@pytest.mark.parametrize("error", [JournalError, JournalBusy])
def test_the_same_call_tells_where_the_money_is_while_the_journal_can_only_be_read(
    sandbox: Sandbox, sqlite_url: str, error: type[JournalError]
) -> None:
    journal = Troubled(sqlite_url, sandbox, "save", error("the disk is full"))
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)
    order: tuple[str, dict[str, object]] = (
        sandbox.service("slow").agent_identifier,
        {"text": "hello", "seconds": 300},
    )
    journal.broken = ""
    begun = buyer.hire(*order, patience_s=30)
    journal.broken = "take_lease"

    for receipt in (buyer.hire(*order, patience_s=1), buyer.resume(begun.hire_id, patience_s=1)):
        assert receipt.hire_id == begun.hire_id and receipt.open and receipt.money == "locked"
        assert any("the disk is full" in note for note in receipt.notes)
    assert len(purchases(sandbox)) == 1
    journal.close()


def test_who_was_overtaken_after_the_payment_and_cannot_read_does_not_raise(
    sandbox: Sandbox, sqlite_url: str
) -> None:
    class Overtaken(Troubled):
        def save(self, row: Row) -> Row:
            if purchases(self.sandbox):
                raise JournalBusy("another process saved this hire first")
            return super().save(row)

    journal = Overtaken(sqlite_url, sandbox, "get", JournalError("the file is damaged"))
    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), journal)

    receipt = buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"}, patience_s=100)

    assert receipt.open and any("the file is damaged" in note for note in receipt.notes)
    journal.close()


def test_before_the_payment_the_same_failure_is_raised(sandbox: Sandbox, sqlite_url: str) -> None:
    class Full(Journal):
        def save_decided(self, *args: object, **options: object) -> Row:
            raise JournalError("the disk is full")

    buyer = ClockedBuyer(sandbox, Budget("20 ADA"), Full(sqlite_url))

    with pytest.raises(JournalError, match="the disk is full"):
        buyer.hire(sandbox.service("echo").agent_identifier, {"text": "hello"})

    assert purchases(sandbox) == []
    buyer.journal.close()
