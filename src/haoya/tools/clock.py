# SPDX-License-Identifier: AGPL-3.0-or-later
"""The time, and what a model is bad at: counting days."""

import os
import re
from calendar import monthrange
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import pydantic
from msgspec import Meta

from haoya.core.plugin import Context, Plugin
from haoya.core.ports import Tool
from haoya.core.schema import schema_of
from haoya.core.tool import Scene, ToolResult, ToolSpec

_UNITS = {
    "second": ("second", "seconds", "sec", "secs", "s", "秒"),
    "minute": ("minute", "minutes", "min", "mins", "分钟", "分"),
    "hour": ("hour", "hours", "hr", "hrs", "h", "小时"),
    "day": ("day", "days", "d", "天", "日"),
    "week": ("week", "weeks", "w", "周", "星期"),
    "month": ("month", "months", "mo", "个月", "月"),
    "year": ("year", "years", "y", "yr", "yrs", "年"),
}
_UNIT_OF = {word: unit for unit, words in _UNITS.items() for word in words}
_STEP = re.compile(
    r"[\s,]*(?:and\s+)?([+-]?)\s*(\d{1,9}(?:\.\d{1,9})?)\s*([a-z]+|[\u4e00-\u9fff]+)"
)
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?([0-5]\d))?", re.IGNORECASE)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}


class ClockSettings(pydantic.BaseModel):
    """Which zone counts as here."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    zone: str = pydantic.Field(default="", description="IANA name; empty for the system's own")

    @pydantic.field_validator("zone")
    @classmethod
    def _known(cls, value: str) -> str:
        if value:
            zone_of(value)
        return value


class Clock(msgspec.Struct):
    """What a model may ask of the clock; all of it may be left out."""

    zone: str = ""
    base: Annotated[str, Meta(description="ISO, default now")] = ""
    add: Annotated[str, Meta(description='e.g. "3 days", "-1 month"')] = ""
    until: Annotated[str, Meta(description="ISO date to count to")] = ""


SPEC = ToolSpec(
    name="clock",
    purpose="Current date and time; date arithmetic.",
    schema=schema_of(Clock),
    idempotent=True,
    author="owner",
)


def zone_of(name: str) -> tzinfo:
    """The zone of an IANA name or of an offset such as `UTC+8`; ValueError where there is none.

    >>> zone_of("UTC+5:30").utcoffset(None)
    datetime.timedelta(seconds=19800)
    """
    if name.upper() in ("UTC", "GMT", "Z"):
        return UTC
    if offset := _OFFSET.fullmatch(name.strip()):
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        if minutes < 24 * 60:
            return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes))
    try:
        return ZoneInfo(name.strip())
    except (ZoneInfoNotFoundError, ValueError, OSError):
        cure = "write an IANA name such as Asia/Shanghai, or UTC+8"
        raise ValueError(f"no time zone {name!r}; {cure}") from None


def local_zone() -> tzinfo:
    """The system's own zone with its rules for summer time, as `TZ` or `/etc/localtime` say."""
    try:
        if name := os.environ.get("TZ", "").removeprefix(":"):
            return ZoneInfo(name)
        _, found, name = str(Path("/etc/localtime").resolve()).rpartition("/zoneinfo/")
        if found:
            return ZoneInfo(name)
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return datetime.now().astimezone().tzinfo or UTC


def moment(text: str, now: datetime) -> datetime:
    """The time an ISO 8601 text means, in the zone of `now`; a bare date is its midnight.

    Raises ValueError in words for a model.
    """
    text = text.strip()
    if text.lower() in ("now", "today"):
        return now
    try:
        if ":" in text and "-" not in text.split(":")[0]:
            return datetime.combine(now.date(), time.fromisoformat(text), now.tzinfo)
        found = datetime.fromisoformat(text)
    except ValueError:
        cure = "write it like 2026-01-31 or 2026-01-31T09:00"
        raise ValueError(f"not an ISO date: {text!r}; {cure}") from None
    return found.astimezone(now.tzinfo) if found.tzinfo else found.replace(tzinfo=now.tzinfo)


def later(start: datetime, text: str) -> datetime:
    """`start` moved by durations such as `1 month, -2 days` or `90 minutes ago`.

    Days and longer keep the wall clock, months end on their last day (31 January and a month is
    28 February); hours and shorter are real time. A sign holds until the next one.
    Raises ValueError in words for a model.

    >>> later(datetime(2026, 1, 31, 9, tzinfo=UTC), "1 month").isoformat()
    '2026-02-28T09:00:00+00:00'
    """
    rest = text.strip().lower()
    back = rest.endswith(("ago", "前"))
    rest = rest.removesuffix("ago").rstrip("前后 ")
    at, sign = 0, 1
    while at < len(rest):
        step = _STEP.match(rest, at)
        unit = _UNIT_OF.get(step[3]) if step else None
        if step is None or unit is None:
            cure = "write it like '3 days' or '-1 month, 2 hours'"
            raise ValueError(f"not a duration: {text!r}; {cure}")
        if step[1]:
            sign = -1 if step[1] == "-" else 1
        amount = float(step[2]) * sign * (-1 if back else 1)
        start = _moved(start, amount, unit)
        at = step.end()
    return start


def _moved(start: datetime, amount: float, unit: str) -> datetime:
    try:
        if unit in _SECONDS:
            utc = start.astimezone(UTC) + timedelta(seconds=amount * _SECONDS[unit])
            return utc.astimezone(start.tzinfo)
        if unit in ("day", "week"):
            wall = start + timedelta(days=amount * (7 if unit == "week" else 1))
        else:
            wall = _months(start, amount * (12 if unit == "year" else 1))
        return wall.astimezone(UTC).astimezone(start.tzinfo)  # leaves a gap of summer time
    except OverflowError:
        raise ValueError("the calendar ends there; keep to the years 1 to 9999") from None


def _months(start: datetime, amount: float) -> datetime:
    if amount != int(amount):
        raise ValueError("months and years are whole; write days for a part of one")
    count = start.year * 12 + start.month - 1 + int(amount)
    year, month = count // 12, count % 12 + 1
    if not 1 <= year <= 9999:
        raise OverflowError
    return start.replace(year=year, month=month, day=min(start.day, monthrange(year, month)[1]))


def _apart(start: datetime, end: datetime, whole: bool) -> str:
    """How far apart, in days and the rest; calendar days where `end` is a bare date."""
    gap = end.date() - start.date() if whole else end.astimezone(UTC) - start.astimezone(UTC)
    direction = "earlier" if gap < timedelta() else "later"
    gap = abs(gap)
    minutes, seconds = divmod(gap.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    counts = ((gap.days, "days"), (hours, "h"), (minutes, "min"), (seconds, "s"))
    return " ".join([f"{n} {unit}" for n, unit in counts if n] or ["0 days"]) + f" {direction}"


def _shown(at: datetime) -> str:
    offset = at.strftime("%z")
    key = getattr(at.tzinfo, "key", None)
    zone = f"{key}, " if key else ""
    when = at.isoformat(sep=" ", timespec="seconds")[:19]
    return f"{when} {_WEEKDAYS[at.weekday()]} ({zone}UTC{offset[:3]}:{offset[3:5]})"


def told(asked: Clock, now: datetime) -> str:
    """The answer for a model; `now` carries the zone. Raises ValueError in words for a model."""
    if asked.zone:
        now = now.astimezone(zone_of(asked.zone))
    at = moment(asked.base, now) if asked.base else now
    if asked.add:
        at = later(at, asked.add)
    if not asked.until:
        return _shown(at)
    end = moment(asked.until, now)
    try:
        whole = bool(date.fromisoformat(asked.until.strip()))
    except ValueError:
        whole = False
    return f"{_shown(end)} is {_apart(at, end, whole)} than {_shown(at)}"


@asynccontextmanager
async def _open(
    settings: ClockSettings, context: Context
) -> AsyncGenerator[tuple[Tool[Any], ...], None]:
    here = zone_of(settings.zone) if settings.zone else local_zone()

    async def run(asked: Clock, scene: Scene) -> ToolResult:
        try:
            now = datetime.fromtimestamp(int(context.clock()), here)
            return ToolResult(text=told(asked, now))
        except (ValueError, OverflowError) as e:
            return ToolResult(text=str(e), ok=False)

    yield (Tool(spec=SPEC, arguments=Clock, run=run),)


plugin = Plugin(
    kind="tools",
    name="clock",
    settings=ClockSettings,
    open=_open,
    summary="The time anywhere, and counting with dates",
    summary_zh="查询各地时间，计算日期",
)
