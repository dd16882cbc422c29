# SPDX-License-Identifier: AGPL-3.0-or-later
"""Money by day and month, on the owner's calendar."""

import time

import pytest

from haoya.inference.spending import Budget, Price, Spending, left, month_begins

DAY = 86_400.0
MAY = time.mktime((2026, 5, 30, 12, 0, 0, 0, 0, -1))
PRICE = Price(into=1, out=2)


def test_days_and_months_are_counted_apart() -> None:
    spending = Spending()
    spending.add("m", MAY, 1_000_000, 500_000)
    spending.add("m", MAY, 1_000_000, 0)
    spending.add("m", MAY + DAY, 500_000, 0)
    assert spending.cost("m", PRICE, MAY) == pytest.approx((3.0, 3.5))
    assert spending.cost("m", PRICE, MAY + DAY) == pytest.approx((0.5, 3.5))
    assert spending.cost("m", PRICE, MAY + 2 * DAY) == (0, 0)
    assert spending.cost("other", PRICE, MAY) == (0, 0)


def test_the_last_month_is_forgotten_when_the_next_is_counted() -> None:
    spending = Spending()
    spending.add("m", MAY, 1_000_000, 0)
    spending.add("m", MAY + 2 * DAY, 2_000_000, 0)
    assert spending.cost("m", PRICE, MAY + 2 * DAY) == (2.0, 2.0)
    assert month_begins(MAY + 2 * DAY) == time.mktime((2026, 6, 1, 0, 0, 0, 0, 0, -1))


def test_what_is_left_is_the_least_of_both_limits() -> None:
    assert left(Budget(), 100, 100) == float("inf")
    assert left(Budget(day=1), 3, 100) == -2
    assert left(Budget(month=10), 3, 4) == 6
