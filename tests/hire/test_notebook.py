"""What a notebook shows: receipts and quotes as small tables, with every foreign word escaped."""

from __future__ import annotations

from decimal import Decimal

import pytest

from masumi_tools.errors import AmountError
from masumi_tools.hire.receipt import Receipt
from masumi_tools.money import Amount
from tests.tools.fixtures import buyer, sandbox, settings

__all__ = ["buyer", "sandbox", "settings"]
HOSTILE = "<script>alert(1)</script>\x1b[2J\u202e & 'more'"


def test_a_receipt_shows_outcome_money_and_result():
    shown = Receipt(
        hire_id="h1", outcome="completed", service="Echo", result="A\nB", paid=(Amount.parse("1 ADA"),)
    )._repr_html_()

    assert "completed: Echo" in shown and "1 ADA" in shown and "A<br>B" in shown and "h1" in shown
    assert "refunded" not in shown and "reason" not in shown


def test_no_foreign_word_is_markup_or_control():
    shown = Receipt(hire_id="h1", outcome="failed", service=HOSTILE, reason=HOSTILE)._repr_html_()

    assert "<script" not in shown and "&lt;script&gt;" in shown
    assert "\x1b" not in shown and "\u202e" not in shown


def test_a_quote_shows_its_price_and_its_input(buyer):
    shown = buyer.quote("echo")._repr_html_()

    assert "quote: Echo" in shown and "1 ADA" in shown and "text (text, required)" in shown


def test_an_amount_is_exact_in_whole_coins():
    assert Amount.parse("1.5 ADA").decimal == Decimal("1.5")
    assert Amount.parse("0.000001 USDM").decimal == Decimal("0.000001")
    assert Amount(10**30).decimal == Decimal(10) ** 24
    with pytest.raises(AmountError, match="base units"):
        _ = Amount(5, "ab" * 30).decimal
