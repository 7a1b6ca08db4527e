"""What a notebook shows: receipts and quotes as small tables, with every foreign word escaped."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import pytest

from masumi_tools.errors import AmountError
from masumi_tools.hire.budget import Budget
from masumi_tools.hire.receipt import Receipt
from masumi_tools.hire.receipts import Receipts
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


def test_a_list_of_receipts_is_a_table_with_every_foreign_word_escaped():
    receipts = Receipts(
        Receipt(hire_id=f"h{n}", outcome="completed", service=HOSTILE, result=HOSTILE * 50) for n in range(60)
    )

    shown = receipts._repr_html_()

    assert "60 receipts (the first 50)" in shown and "h49" in shown and "h50" not in shown
    assert "<script" not in shown and "\x1b" not in shown
    assert len(shown) < 60_000


@pytest.mark.parametrize("begins", ["=1+1", "@cmd", "+1", "-1", " =1", "\uff1d1", "\t=1"])
def test_csv_of_receipts_holds_no_formula(tmp_path, begins):
    receipts = Receipts([Receipt(hire_id="h", outcome="refused", service=begins, reason="a\nb,\x1bc")])

    text = receipts.to_csv(tmp_path / "hires.csv")
    (line,) = csv.DictReader(io.StringIO(text))

    assert (tmp_path / "hires.csv").read_text(encoding="utf-8") == text
    assert line["service"].startswith("'") and line["hire_id"] == "h"
    assert "\x1b" not in text


def test_a_buyer_gives_such_lists_and_a_budget_shows_its_limits(buyer):
    made = buyer.hire_many([("echo", {"text": "a"})])

    assert buyer.hires().to_csv().count("\n") == 2
    assert "Echo" in made._repr_html_() and "Echo" in buyer.hires()._repr_html_()
    shown = Budget("20 ADA", per_month="5 ADA", name="<b>")._repr_html_()
    assert "per month" in shown and "5 ADA" in shown and "&lt;b&gt;" in shown and "per day" not in shown
