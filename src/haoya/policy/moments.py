# SPDX-License-Identifier: AGPL-3.0-or-later
"""Days and times of the day as people write them in Chinese and English, made exact."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache

from haoya.policy.canonical import fold

_MONTHS = "january february march april may june july august september october november december"
_MONTH = {name[:3]: number for number, name in enumerate(_MONTHS.split(), 1)}
_NAMES = "|".join(f"{name[:3]}(?:{name[3:]})?" for name in _MONTHS.split())
_DAYS = {name: number for number, name in enumerate("mon tue wed thu fri sat sun".split())}
_DAYS_ZH = {name: number for number, name in enumerate("一二三四五六")} | {"日": 6, "天": 6}
_RELATIVE = {
    "the day after tomorrow": 2, "day after tomorrow": 2, "tomorrow": 1, "today": 0, "tonight": 0,
    "yesterday": -1, "大后天": 3, "后天": 2, "明天": 1, "明日": 1, "今天": 0, "今日": 0, "今晚": 0,
    "明晚": 1, "昨天": -1, "前天": -2,
}  # fmt: skip
_ISO = re.compile(r"(?<!\d)(\d{4})[-/.年] ?(\d{1,2})[-/.月] ?(\d{1,2})(?!\d)")
_MONTH_DAY = re.compile(
    rf"(?<![a-z])({_NAMES})\.? (\d{{1,2}})(?:st|nd|rd|th)?(?:,? (\d{{4}}))?(?!\d)"
)
_DAY_MONTH = re.compile(
    rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? ({_NAMES})(?![a-z])\.?,?(?: (\d{{4}}))?"
)
_ZH_DAY = re.compile(r"(?<![\d年])(\d{1,2})月(\d{1,2})[日号]?")
_SLASHED = re.compile(r"(?<!\d)(\d{1,2})[/.](\d{1,2})[/.](\d{4})(?!\d)")
_WEEKDAY = re.compile(
    r"(?<![a-z])(next )?(mon|tue|wed|thu|fri|sat|sun)(?:s|nes|rs|ur)?(?:day)?(?![a-z])"
)
_WEEKDAY_ZH = re.compile(r"(下+)?(?:个)?(?:周|星期|礼拜)([一二三四五六日天])")
_IN_DAYS = re.compile(r"in (\d{1,3}) (day|week)s?(?![a-z])|(\d{1,3}) ?(天|周|个星期)后")
_CLOCK = re.compile(
    r"(?<![\d:.])(\d{1,2})[:h](\d{2})(?::\d{2}(?:\.\d+)?)? ?(am|pm|a\.m\.|p\.m\.)?(?![\d:])"
)
_HOUR = re.compile(r"(?<![\d:.])(\d{1,2}) ?(am|pm|a\.m\.|p\.m\.|o'clock)(?![a-z])")
_CLOCK_ZH = re.compile(
    r"(上午|早上|凌晨|中午|下午|晚上|今晚|明晚)? ?"
    r"(\d{1,2}|十?[一二两三四五六七八九]|十)[点时](?:(半)|(\d{1,2})分?)?"
)
_EXACT = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})(?:[t ](\d{2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?(z|[+-]\d{2}:\d{2})?)?"
)
_SMALL = {one: number for number, one in enumerate("一二三四五六七八九十", 1)} | {"两": 2}


def exact(value: str) -> tuple[date, time | None] | None:
    """The day, and the time if it has one, of an argument in ISO 8601; None for anything else.

    >>> exact("2024-05-19 12:00")
    (datetime.date(2024, 5, 19), datetime.time(12, 0))
    """
    found = _EXACT.fullmatch(fold(value))
    if not found:
        return None
    day = _date(found[1], found[2], found[3])
    clock = _time(found[4], found[5]) if found[4] else None
    return (day, clock) if day and (clock or not found[4]) else None


def said(value: str, text: str, now: float) -> bool:
    """Whether a text names the day of `value`, and its time if it has one other than midnight.

    `now` (Unix seconds) is what relative words are reckoned from, in UTC.

    >>> said("2024-05-16 15:30", "明天下午3点半", 1715731200)
    True
    """
    wanted = exact(value)
    if wanted is None:
        clock = _clock(value)
        return clock is not None and clock in times(text)
    day, clock = wanted
    if day not in days(text, now):
        return False
    return clock in (None, time(0)) or clock in times(text)


def apart(one: str, other: str) -> timedelta | None:
    """How much later `other` is than `one`; None where either is no moment."""
    first, second = exact(one), exact(other)
    if not first or not second:
        return None
    return datetime.combine(second[0], second[1] or time(0)) - datetime.combine(
        first[0], first[1] or time(0)
    )


def _clock(value: str) -> time | None:
    found = re.fullmatch(r"(\d{1,2}):(\d{2})(?::00)?", value.strip())
    return _time(found[1], found[2]) if found else None


@lru_cache(maxsize=256)
def days(text: str, now: float) -> frozenset[date]:
    """All days that a text names."""
    today = datetime.fromtimestamp(now, UTC).date()
    whole = fold(text)
    found = {*_written(whole, today), *_reckoned(whole, today)}
    return frozenset(day for day in found if day)


def _written(text: str, today: date) -> Iterator[date | None]:
    """Days with their month; without a year both of the nearest that are not long past."""
    for year, month, day in _ISO.findall(text):
        yield _date(year, month, day)
    for name, day, year in _MONTH_DAY.findall(text):
        yield from _in_year(_MONTH[name[:3]], day, year, today)
    for day, name, year in _DAY_MONTH.findall(text):
        yield from _in_year(_MONTH[name[:3]], day, year, today)
    for month, day in _ZH_DAY.findall(text):
        yield from _in_year(int(month), day, "", today)
    for first, second, year in _SLASHED.findall(text):
        # 3/4/2024 may be either; only one of them over 12 (or both equal) says which is which.
        if int(first) > 12 or first == second:
            yield _date(year, second, first)
        elif int(second) > 12:
            yield _date(year, first, second)


def _in_year(month: int, day: str, year: str, today: date) -> Iterator[date | None]:
    if year:
        yield _date(year, month, day)
        return
    this = _date(today.year, month, day)
    yield this
    if this and this < today:
        yield _date(today.year + 1, month, day)


def _reckoned(text: str, today: date) -> Iterator[date | None]:
    """Days told from today."""
    rest = text
    for word, offset in _RELATIVE.items():
        if word in rest:
            rest = rest.replace(word, " ")
            yield today + timedelta(days=offset)
    monday = today - timedelta(days=today.weekday())
    for after, name in _WEEKDAY.findall(text):
        coming = today + timedelta(days=(_DAYS[name] - today.weekday()) % 7)
        yield coming
        if after:
            yield monday + timedelta(days=7 + _DAYS[name])
    for after, name in _WEEKDAY_ZH.findall(text):
        yield monday + timedelta(days=7 * len(after) + _DAYS_ZH[name])
    for count, unit, count_zh, unit_zh in _IN_DAYS.findall(text):
        each = 7 if "week" in unit or unit_zh in ("周", "个星期") else 1
        yield today + timedelta(days=each * int(count or count_zh))


@lru_cache(maxsize=256)
def times(text: str) -> frozenset[time]:
    """All times of the day that a text names."""
    whole = fold(text)
    found: set[time | None] = set()
    for hour, minute, half in _CLOCK.findall(whole):
        found.add(_time(_half(int(hour), half), minute))
    for hour, half in _HOUR.findall(whole):
        found.add(_time(_half(int(hour), half), 0))
    for part, hour, half, minute in _CLOCK_ZH.findall(whole):
        number = int(hour) if hour.isdigit() else _number(hour)
        late = part in ("下午", "晚上", "今晚", "明晚") and number < 12
        found.add(_time(number + 12 * late, 30 if half else int(minute or 0)))
    if "noon" in whole or "正午" in whole:
        found.add(time(12))
    return frozenset(one for one in found if one is not None)


def _half(hour: int, half: str) -> int:
    if half.startswith("p"):
        return hour + 12 * (hour < 12)
    return hour % 12 if half.startswith("a") else hour


def _number(text: str) -> int:
    """One to nineteen in Chinese."""
    return sum(_SMALL[one] for one in text)


def _date(year: int | str, month: int | str, day: int | str) -> date | None:
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        return None


def _time(hour: int | str, minute: int | str) -> time | None:
    try:
        return time(int(hour), int(minute))
    except ValueError:
        return None
