# SPDX-License-Identifier: AGPL-3.0-or-later
"""What was used of each model this month, in tokens by day; money follows from today's prices."""

import time

import msgspec

MILLION = 1_000_000
Day = tuple[int, int, int]
"""Year, month and day on the owner's calendar."""


def day_of(at: float) -> Day:
    """The calendar day of a moment (Unix seconds) where this machine stands."""
    local = time.localtime(at)
    return local.tm_year, local.tm_mon, local.tm_mday


def month_begins(now: float) -> float:
    """Unix seconds of the first moment of the month that `now` is in."""
    local = time.localtime(now)
    return time.mktime((local.tm_year, local.tm_mon, 1, 0, 0, 0, 0, 0, -1))


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """Money for a million tokens, in whatever currency the owner counts."""

    into: float = 0.0
    out: float = 0.0

    def of(self, tokens_in: float, tokens_out: float) -> float:
        """What so many tokens cost.

        >>> Price(into=2, out=8).of(500_000, 250_000)
        3.0
        """
        return (self.into * tokens_in + self.out * tokens_out) / MILLION


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """The most to be spent in a day and in a month; 0 for no limit."""

    day: float = 0.0
    month: float = 0.0


class Spending:
    """Tokens by model and day, of this month alone."""

    def __init__(self) -> None:
        self._used: dict[str, dict[Day, tuple[int, int]]] = {}

    def add(self, name: str, at: float, tokens_in: int, tokens_out: int) -> None:
        """A request has used so many tokens."""
        day = day_of(at)
        days = self._used.setdefault(name, {})
        if days and next(iter(days))[:2] < day[:2]:
            days.clear()
        before = days.get(day, (0, 0))
        days[day] = (before[0] + tokens_in, before[1] + tokens_out)

    def cost(self, name: str, price: Price, now: float) -> tuple[float, float]:
        """What a model has cost today and this month."""
        today = day_of(now)
        days = self._used.get(name, {})
        month = sum(price.of(*used) for day, used in days.items() if day[:2] == today[:2])
        return price.of(*days.get(today, (0, 0))), month


def left(budget: Budget, today: float, month: float) -> float:
    """The money that may still be spent now, infinite without a limit.

    >>> left(Budget(day=2, month=20), 0.5, 19.0)
    1.0
    """
    rooms = [
        limit - spent for limit, spent in ((budget.day, today), (budget.month, month)) if limit
    ]
    return min(rooms, default=float("inf"))
