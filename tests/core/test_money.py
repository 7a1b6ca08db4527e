"""Amounts: what reads as one, what is refused and how that is said, and arithmetic within one unit."""

from __future__ import annotations

import operator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masumi_tools.errors import AmountError, InputError
from masumi_tools.money import Amount, as_wire, in_words, name_of, parse_amounts, total, unit_of

USDM = "c48cbb3d5e57ed56e276bc45f99ab39abe94e6cd7ac39fb402da47ad0014df105553444d"
TUSDM = "16a55b2a349361ff88c03788f93e1e966e5d689605d044fef722ddde0014df10745553444d"
USDCX = "1f3aec8bfe7ea4fe14c5f121e2a92e301afe414147860d557cac7e345553444378"
OTHER = "ab" * 28 + "746f6b656e"


@pytest.mark.parametrize(
    ("text", "quantity", "unit"),
    [
        ("1.5 ADA", 1_500_000, ""),
        ("2 ADA", 2_000_000, ""),
        ("0.000001 ada", 1, ""),
        ("0 ADA", 0, ""),
        ("1.5000000000 ADA", 1_500_000, ""),
        ("3 tADA", 3_000_000, ""),
        ("1500000 lovelace", 1_500_000, ""),
        ("  5   USDM ", 5_000_000, USDM),
        ("5 tusdm", 5_000_000, TUSDM),
        ("0.25 USDCx", 250_000, USDCX),
        (f"12 {OTHER}", 12, OTHER),
        (f"12 {OTHER.upper()}", 12, OTHER),
        (f"12 base units of {OTHER}", 12, OTHER),
        (f"12 {USDM}", 12, USDM),
        (f"12 base units of {USDM}", 12, USDM),
        ("12 base units of ADA", 12, ""),
    ],
)
def test_reads_what_people_write(text: str, quantity: int, unit: str) -> None:
    assert Amount.parse(text) == Amount(quantity, unit)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,5 ADA", "1.5 ADA"),
        ("1,000 ADA", "separators"),
        ("-1 ADA", "negative"),
        ("+1 ADA", "1.5 ADA"),
        ("1e3 ADA", "1.5 ADA"),
        ("NaN ADA", "1.5 ADA"),
        ("inf ADA", "1.5 ADA"),
        ("1_000 ADA", "1.5 ADA"),
        ("\u0661 ADA", "1.5 ADA"),
        (".5 ADA", "1.5 ADA"),
        ("5. ADA", "1.5 ADA"),
        ("0.0000001 ADA", "at most 6 decimals"),
        ("1.5 lovelace", "no decimals"),
        (f"1.5 {OTHER}", "no decimals"),
        ("5", "1.5 ADA"),
        ("ADA", "1.5 ADA"),
        ("", "1.5 ADA"),
        ("5 USD", "USDM"),
        ("5 EUR", "1.5 ADA"),
        ("1 2 ADA", "1.5 ADA"),
        ("9" * 26 + " ADA", "25 digits"),
        ("9" * 10_000 + " ADA", "25 digits"),
        ("1 " + "ab" * 27, "not a known unit"),
        ("1 " + "ab" * 76, "not a known unit"),
        (2, "no unit"),
        (1.5, "no unit"),
        (None, "no unit"),
    ],
)
def test_refuses_and_shows_a_right_one(text: Any, says: str) -> None:
    with pytest.raises(AmountError, match=says) as caught:
        Amount.parse(text)
    assert len(str(caught.value)) < 300
    assert isinstance(caught.value, InputError)
    assert caught.value.money == "none"


@pytest.mark.parametrize("quantity", [-1, 1.0, True, "1", None, float("nan"), 1 << 129])
def test_base_units_are_whole_and_not_negative(quantity: Any) -> None:
    with pytest.raises(AmountError):
        Amount(quantity)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (Amount(1_500_000), "1.5 ADA"),
        (Amount(0), "0 ADA"),
        (Amount(1), "0.000001 ADA"),
        (Amount(10_000_000), "10 ADA"),
        (Amount(1_234_567_000_000, USDM), "1234567 USDM"),
        (Amount(12, OTHER), f"12 base units of {OTHER}"),
    ],
)
def test_writes_for_people(amount: Amount, text: str) -> None:
    assert str(amount) == text


@given(st.integers(0, 10**18), st.sampled_from(["", USDM, TUSDM, USDCX, OTHER]))
def test_text_and_wire_read_back_the_same(quantity: int, unit: str) -> None:
    amount = Amount(quantity, unit)
    assert Amount.parse(str(amount)) == amount
    (wire,) = as_wire([amount])
    assert Amount.from_wire(wire["amount"], wire["unit"]) == amount


@given(st.one_of(st.text(), st.from_regex(r"[-+0-9.,e]{1,9} ?[A-Za-z]{0,5}")))
def test_any_text_is_an_amount_or_an_amount_error(text: str) -> None:
    try:
        amount = Amount.parse(text)
    except AmountError:
        return
    assert amount.quantity >= 0


@pytest.mark.parametrize(
    ("amount", "unit", "right"),
    [
        ("2000000", "", Amount(2_000_000)),
        ("2000000", "lovelace", Amount(2_000_000)),
        (2_000_000, "Lovelace", Amount(2_000_000)),
        ("5", TUSDM, Amount(5, TUSDM)),
    ],
)
def test_reads_the_wire(amount: object, unit: object, right: Amount) -> None:
    assert Amount.from_wire(amount, unit) == right


@pytest.mark.parametrize(
    ("amount", "unit"),
    [
        ("1.5", ""), ("-1", ""), (-1, ""), (1.0, ""), (True, ""), (None, ""), ("", ""), (" 12 ", ""),
        ("0x10", ""), ("1" * 26, ""), (10**25, ""), ("1", "EUR"), ("1", None),
        ("1", 5), ("1", ["x"]), (1 << 400, ""),
    ],
)  # fmt: skip
def test_refuses_what_is_no_amount_on_the_wire(amount: object, unit: object) -> None:
    with pytest.raises(AmountError):
        Amount.from_wire(amount, unit)


def test_hostile_values_are_refused_by_a_short_sentence() -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    hostile: list[Any] = [nested, [10**5000], 10**5000, -(10**5000), "9" * 100_000]
    for value in hostile:
        for refused in (Amount.parse, Amount, lambda v: Amount.from_wire(v, v), unit_of):
            with pytest.raises(AmountError) as caught:
                refused(value)
            assert len(str(caught.value)) < 300


def test_one_form_of_ada_inside() -> None:
    assert Amount(5, "lovelace") == Amount(5, "ADA") == Amount(5)
    assert {unit_of(word) for word in ("ADA", "ada", "tADA", "lovelace", "LOVELACE", "")} == {""}
    assert as_wire([Amount(5, "lovelace")]) == [{"amount": "5", "unit": ""}]


def test_units_have_names() -> None:
    assert [name_of(u) for u in ("", USDM, TUSDM, USDCX, OTHER)] == ["ADA", "USDM", "tUSDM", "USDCx", OTHER]
    assert [unit_of(name_of(u)) for u in ("", USDM, TUSDM, USDCX, OTHER)] == ["", USDM, TUSDM, USDCX, OTHER]


def test_arithmetic_within_one_unit() -> None:
    one, two = Amount.parse("1 ADA"), Amount.parse("2 ADA")
    assert one + two == Amount.parse("3 ADA")
    assert two - one == one
    assert two - two == Amount(0)
    assert one < two and one <= two and one <= Amount(1_000_000) and two > one and two >= one
    assert not (two < one or two <= one)
    with pytest.raises(AmountError, match="taken from"):
        one - two


def test_units_never_mix() -> None:
    ada, usdm = Amount.parse("1 ADA"), Amount.parse("1 USDM")
    assert ada != usdm
    for put_together in (
        lambda: ada + usdm,
        lambda: ada - usdm,
        lambda: ada < usdm,
        lambda: ada <= usdm,
        lambda: ada > usdm,
    ):
        with pytest.raises(AmountError, match="different units"):
            put_together()


def test_a_bare_number_is_no_amount_in_arithmetic() -> None:
    amount: Any = Amount(1)
    for operation in (operator.add, operator.sub, operator.lt, operator.le, operator.gt, operator.ge):
        with pytest.raises(TypeError):
            operation(amount, 1)


def test_total_sums_each_unit_sorted() -> None:
    amounts = [Amount(1, USDM), Amount(2), Amount(3, TUSDM), Amount(4), Amount(5, USDM)]
    assert total(amounts) == (Amount(6), Amount(3, TUSDM), Amount(6, USDM))
    assert total([]) == ()


def test_several_amounts_from_text_amount_or_list() -> None:
    assert parse_amounts("2 ADA") == parse_amounts(Amount(2_000_000)) == (Amount(2_000_000),)
    assert parse_amounts(["5 USDM", Amount(1)]) == (Amount(1), Amount(5_000_000, USDM))
    assert parse_amounts([]) == ()


@pytest.mark.parametrize("value", [["2 ADA", "3 ADA"], ["2 ADA", 5], 5, None, "2 ADA, 5 USDM", 2.5])
def test_refuses_a_unit_named_twice_and_bare_numbers(value: Any) -> None:
    with pytest.raises(AmountError):
        parse_amounts(value)


def test_says_several_amounts_in_one_phrase() -> None:
    assert in_words(parse_amounts(["2 ADA", "5 USDM"])) == "2 ADA and 5 USDM"
    assert in_words([]) == "nothing"


def test_amounts_are_values() -> None:
    assert len({Amount(1), Amount(1, "ADA"), Amount(1, USDM)}) == 2
    with pytest.raises(AttributeError):
        Amount(1).quantity = 2  # type: ignore[misc]
