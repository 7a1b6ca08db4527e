"""The simulation bites: with a safety rule switched off it finds a violation, and says what was missed."""

from __future__ import annotations

import re

import pytest

from tests.worlds.mutations import MUTATIONS, Mutation, noticed


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.rule)
def test_a_rule_that_is_switched_off_is_missed(mutation: Mutation) -> None:
    found = noticed(mutation)

    assert found is not None and found.violation is not None, "the simulation does not notice"
    assert "TypeError" not in found.violation and re.search(mutation.says, found.violation)
