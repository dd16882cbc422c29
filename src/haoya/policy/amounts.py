# SPDX-License-Identifier: AGPL-3.0-or-later
"""Amounts as people write them, and the reckoning they ask for."""

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import lru_cache

from haoya.policy.canonical import fold

_NUMBER = re.compile(
    r"(?<![a-z0-9.,:/-])([-]?)(?:[$€£¥]|usd|eur|gbp|cny|rmb)? ?"
    r"(\d{1,3}(?:[, ']\d{3})+|\d+)(\.\d+|,\d{1,2}(?!\d))?"
    r" ?(%|percent|k(?![a-z])|万|千|百|亿|million)?(?![\d:]|[a-z]*\d|-\d)"
)
_TIMES = {"k": 1000, "千": 1000, "百": 100, "万": 10_000, "亿": 10**8, "million": 10**6}
_ZH_DIGIT = {one: number for number, one in enumerate("零一二三四五六七八九")} | {"两": 2}
_ZH_NUMBER = re.compile(
    r"(?<![\d万千百])[零一二两三四五六七八九十百千万]+(?=[元块角分美欧英%％]|人民币|块钱)"
)
_ZH_UNIT = {"十": 10, "百": 100, "千": 1000}
_CENT = Decimal("0.01")


def amount(value: str) -> Decimal | None:
    """The number that an argument is; None where it is none.

    >>> amount("98.70"), amount("1e3"), amount("ten")
    (Decimal('98.70'), None, None)
    """
    if not re.fullmatch(r"-?\d+(\.\d+)?", value.strip()):
        return None
    return Decimal(value.strip())


@lru_cache(maxsize=256)
def amounts(text: str) -> frozenset[Decimal]:
    """All numbers of a text, without those that are parts of words, dates, times or accounts.

    >>> sorted(amounts("£1,050.50, 12 and 3万元 or 一百二十元, not x5 or 2024-05-01"))
    [Decimal('12'), Decimal('120'), Decimal('1050.50'), Decimal('30000')]
    """
    return frozenset(number for number, _ in _found(fold(text)))


@lru_cache(maxsize=256)
def percents(text: str) -> frozenset[Decimal]:
    """All percentages of a text."""
    return frozenset(number for number, unit in _found(fold(text)) if unit in ("%", "percent"))


def _found(text: str) -> Iterator[tuple[Decimal, str]]:
    for sign, whole, rest, unit in _NUMBER.findall(text):
        digits = re.sub(r"[, ']", "", whole) + rest.replace(",", ".")
        yield Decimal(sign + digits) * _TIMES.get(unit, 1), unit
    for written in _ZH_NUMBER.findall(text):
        if number := _zh(written):
            yield Decimal(number), "元"


def _zh(text: str) -> int:
    """A number in Chinese numerals.

    >>> _zh("三万五千"), _zh("十二")
    (35000, 12)
    """
    total = below = digit = 0
    for one in text:
        if one in _ZH_DIGIT:
            digit = _ZH_DIGIT[one]
        elif one == "万":
            total, below, digit = (below + digit) * 10_000, 0, 0
        else:
            below, digit = below + (digit or 1) * _ZH_UNIT[one], 0
    return total + below + digit


def reckoned(value: Decimal, text: str, known: Iterable[Decimal]) -> bool:
    """Whether an amount follows from a number or a percentage of the person's own `text` and a
    `known` one in one step of everyday reckoning: a share of, the difference, half of it.

    It is never more than the larger of the two, so that a wrong choice among the known amounts
    cannot become more than the person has before his eyes.

    >>> from decimal import Decimal as D
    >>> reckoned(D("4"), "we spent 12.00 in total", [D(10)]), reckoned(D("5"), "10% of", [D(50)])
    (True, True)
    >>> reckoned(D("200.29"), "an additional 19.5% of it + a fee of 5.29", [D(1000)])
    True
    """
    own, shares = amounts(text) - percents(text), percents(text)
    for other in known:
        for result in _results(other, own, shares):
            if abs(result - value) < _CENT / 2 and 0 < value <= max((other, *own)):
                return True
    return False


def _results(
    known: Decimal, own: Iterable[Decimal], shares: Iterable[Decimal]
) -> Iterator[Decimal]:
    numbers = tuple(own)
    for share in shares:
        part = known * share / 100
        yield part
        yield known - part
        for number in numbers:
            yield part + number
            yield part - number
    for number in numbers:
        yield abs(known - number)
        yield abs(known - number / 2)
        yield number / 2
