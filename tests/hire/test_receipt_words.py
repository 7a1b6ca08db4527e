"""A receipt printed: one line that says the outcome, the money, and the result or why there is none."""

from __future__ import annotations

from masumi_tools import Amount, Receipt

ADA = (Amount.parse("1 ADA"),)


def test_a_result_is_printed_with_its_price_and_whether_it_is_what_was_sold():
    receipt = Receipt(hire_id="h", outcome="completed", paid=ADA, result="HELLO", verified=True)

    assert str(receipt) == "completed (1 ADA paid, the result matches the hash on the chain): HELLO"


def test_a_result_that_does_not_match_is_told_loudly():
    receipt = Receipt(hire_id="h", outcome="completed", paid=ADA, result="HELLO", verified=False)

    assert "does NOT match" in str(receipt)


def test_a_refusal_is_printed_with_its_reason():
    receipt = Receipt(hire_id="h", outcome="refused", reason="too dear")

    assert str(receipt) == "refused (nothing paid): too dear"


def test_money_that_came_back_is_printed():
    receipt = Receipt(hire_id="h", outcome="refunded", paid=ADA, refunded=ADA, reason="no result")

    assert str(receipt) == "refunded (1 ADA paid, 1 ADA refunded): no result"


def test_a_long_result_with_control_characters_stays_one_short_line():
    receipt = Receipt(hire_id="h", outcome="completed", result="a\x1b[31m\nb" * 1000)

    assert "\x1b" not in str(receipt)
    assert "\n" not in str(receipt)
    assert len(str(receipt)) < 400
