"""An event loop in which blocking calls raise, as `langgraph dev` has it: an AsyncBuyer blocks nothing there."""

from __future__ import annotations

from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx

from masumi_tools import AsyncBuyer, Budget, Settings
from masumi_tools.errors import JournalError
from masumi_tools.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


def settings(sandbox: Sandbox, file: Path) -> Settings:
    return Settings.from_sandbox(sandbox, database_url=f"sqlite:///{file}")


async def test_a_buyer_is_made_and_hires_without_blocking(sandbox, tmp_path):
    echo = sandbox.service("echo").agent_identifier
    here = settings(sandbox, tmp_path / "new" / "hires.sqlite3")
    with blockbuster_ctx():
        buyer = AsyncBuyer(here, budget=Budget("20 ADA"))
        made = await buyer.hire(echo, {"text": "x"})
        await buyer.aclose()
    assert (made.outcome, made.paid_text) == ("completed", "1 ADA")


async def test_every_method_of_a_buyer_runs_without_blocking(sandbox, tmp_path):
    echo, human = (sandbox.service(name).agent_identifier for name in ("echo", "human"))
    with blockbuster_ctx():
        async with AsyncBuyer(settings(sandbox, tmp_path / "h.sqlite3"), budget=Budget("20 ADA")) as buyer:
            assert "Echo" in [one.name for one in await buyer.find("echo")]
            assert (await buyer.quote("Echo")).price_text == "1 ADA"
            (one, two) = await buyer.hire_many([(echo, {"text": "1"}), (echo, {"text": "2"})])
            asked = await buyer.hire(human, {"text": "x"})
            answered = await buyer.answer(asked.hire_id, {"approve": True})
            assert (await buyer.resume(one.hire_id)).result == "1"
            assert (await buyer.receipt(two.hire_id)).result == "2"
            assert (await buyer.refund(two.hire_id)).hire_id == two.hire_id
            await buyer.sweep()
    assert (asked.outcome, answered.outcome) == ("needs_input", "completed")


async def test_a_journal_that_cannot_be_opened_is_told_before_anything_is_sent(sandbox, tmp_path):
    blocked = tmp_path / "a file"
    blocked.write_text("no folder")
    before = len(sandbox.requests)
    buyer = AsyncBuyer(settings(sandbox, blocked / "h.sqlite3"), budget=Budget("20 ADA"))
    with pytest.raises(JournalError, match="cannot be opened"):
        await buyer.hire(sandbox.service("echo").agent_identifier, {"text": "x"})
    with pytest.raises(JournalError, match="cannot be opened"):
        async with buyer:
            pass
    assert [one.path for one in sandbox.requests[before:] if one.method == "POST"] == []
