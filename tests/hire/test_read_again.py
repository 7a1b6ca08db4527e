"""A record that comes back from the journal says and does what the one said that was written."""

from __future__ import annotations

from dataclasses import replace

from masumi_tools import Budget, Buyer
from masumi_tools.hire.purchase import Purchase
from masumi_tools.hire.rows import purchase_of
from masumi_tools.hire.steps import may_be_shared
from masumi_tools.journal.store import Journal
from masumi_tools.models.node import OnChainState
from masumi_tools.sandbox import Sandbox
from tests.tools.market import settings_of


def test_an_on_chain_state_is_as_well_known_as_before(tmp_path) -> None:
    with Sandbox() as sandbox:
        settings = settings_of(sandbox, tmp_path)
        with Buyer(settings, budget=Budget("9 ADA")) as buyer:
            made = buyer.hire("echo", {"text": "a"})
        journal = Journal(settings.database_url)
        row = journal.get(made.hire_id)
        journal.close()
    assert row is not None
    p = purchase_of(row)
    assert p.node is not None
    for state in (None, *OnChainState, "Moon"):
        written = p.but(node=replace(p.node, on_chain_state=state))
        again = Purchase.model_validate_json(written.model_dump_json())

        assert again == written and again.node is not None
        assert again.node.strange_state == ("Moon" if state == "Moon" else None)
        # No news of a state that nobody knows does not make it true: that hire asks for itself.
        assert may_be_shared(again, again.changed_ms) is (state != "Moon")
