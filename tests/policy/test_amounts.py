# SPDX-License-Identifier: AGPL-3.0-or-later
"""Amounts as people write them; what follows from them, and what does not."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haoya.policy.amounts import amount, amounts, percents, reckoned

WRITTEN = [
    ("£1,050", {D(1050)}),
    ("$1 234 567.89", {D("1234567.89")}),
    ("12.00", {D(12)}),
    ("12,50 €", {D("12.50")}),
    ("-5", {D(-5)}),
    ("2k", {D(2000)}),
    ("3万", {D(30000)}),
    ("5千元", {D(5000)}),
    ("2百", {D(200)}),
    ("1亿", {D(10**8)}),
    ("2 million", {D(2_000_000)}),
    ("１２", {D(12)}),
    ("USD 30", {D(30)}),
    ("一百二十元", {D(120)}),
    ("三万五千块", {D(35000)}),
    ("两百零五元", {D(205)}),
    ("十元", {D(10)}),
    ("10%", {D(10)}),
    ("2024-05-01 at 10:30", set[D]()),
    ("x12, a12b, GB29NWBK60161331926819", set[D]()),
    ("万元", set[D]()),
]


@pytest.mark.parametrize(("text", "found"), WRITTEN)
def test_numbers_are_read(text: str, found: set[D]) -> None:
    assert amounts(text) == found


def test_percentages_are_read() -> None:
    assert percents("10% of 50 and 2.5 percent") == {D(10), D("2.5")}


def test_an_argument_is_a_number_or_none() -> None:
    assert amount("98.70") == D("98.7")
    assert amount(" -3 ") == D(-3)
    assert [amount(one) for one in ("", "1e9", "nan", "1.", "0x10", "1,000")] == [None] * 6


RECKONED = [
    ("4", "we spent 12.00 in total", [10]),
    ("2", "the price is 12, send the difference", [10]),
    ("2", "the price is 8, send the difference", [10]),
    ("6", "we spent 12.00, half is mine", [10]),
    ("5", "10% of it", [50]),
    ("45", "with 10% off", [50]),
    ("8", "10% of it and 3", [50]),
    ("2", "10% of it less 3", [50]),
    ("0.5", "10% of it", [5]),
    ("0.12", "10% of it", ["1.2451"]),
    ("200.29", "19.5% of the amount + a fee of 5.29", [1000]),
]
RECKONED_NOT = [
    ("5.5", "10% of it", [50]),
    ("0.12", "10% of it", ["1.25"]),
    ("0.13", "10% of it", ["1.25"]),
    ("0.12", "10% of it", ["1.27"]),
    ("60", "price 10", [50]),
    ("0", "the price is 10", [10]),
    ("0", "0%", [10]),
    ("30", "the rest", [30, 60]),
    ("4", "we spent 12.00", []),
    ("1000", "10%", [50]),
    ("4.01", "we spent 12.00 in total", [10]),
]


@pytest.mark.parametrize(("value", "text", "known"), RECKONED)
def test_one_step_of_reckoning_is_followed(value: str, text: str, known: list[int | str]) -> None:
    assert reckoned(D(value), text, map(D, known))


@pytest.mark.parametrize(("value", "text", "known"), RECKONED_NOT)
def test_more_than_that_is_not(value: str, text: str, known: list[int | str]) -> None:
    assert not reckoned(D(value), text, map(D, known))


@given(
    st.decimals(0, 10**6, places=2),
    st.lists(st.integers(0, 1000), max_size=3),
    st.lists(st.integers(0, 1000), max_size=3),
)
def test_nothing_reckoned_is_more_than_what_was_before_ones_eyes(
    value: D, own: list[int], known: list[int]
) -> None:
    text = " and ".join(str(one) for one in own) + " at 10%"
    if reckoned(value, text, map(D, known)):
        assert 0 < value <= max((*own, *known))
