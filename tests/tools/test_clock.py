# SPDX-License-Identifier: AGPL-3.0-or-later
"""The clock tool: what a model asks and reads."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haoya.core.tool import ToolResult
from haoya.tools.clock import Clock, ClockSettings, later, local_zone, moment, plugin, told
from tests.tools.lent import box

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def ask(folder: Path, settings_zone: str = "UTC", **arguments: str) -> ToolResult:
    async def run() -> ToolResult:
        async with box(plugin, folder, {"zone": settings_zone}) as tools:
            return await tools.run("clock", **arguments)

    return asyncio.run(run())


def test_now_has_date_time_weekday_and_zone(tmp_path: Path) -> None:
    assert ask(tmp_path).text == "2026-01-01 00:00:00 Thursday (UTC+00:00)"
    there = ask(tmp_path, zone="Asia/Shanghai").text
    assert there == "2026-01-01 08:00:00 Thursday (Asia/Shanghai, UTC+08:00)"
    assert ask(tmp_path, "Asia/Shanghai").text == there


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (Clock(add="90 minutes"), "2026-01-01 01:30:00 Thursday"),
        (Clock(add="-2 weeks"), "2025-12-18 00:00:00 Thursday"),
        (Clock(base="2026-01-31", add="1 month"), "2026-02-28 00:00:00 Saturday"),
        (Clock(base="2024-02-29", add="1 year"), "2025-02-28 00:00:00 Friday"),
        (Clock(base="2026-03-15T10:00Z", add="1 week, 2 days and 3h"), "2026-03-24 13:00:00"),
        (Clock(base="2026-03-15", add="3 days ago"), "2026-03-12 00:00:00 Thursday"),
        (Clock(base="2026-03-15", add="3天"), "2026-03-18 00:00:00"),
        (Clock(base="2026-03-15", add="2个月前"), "2026-01-15 00:00:00"),
        (Clock(base="14:30"), "2026-01-01 14:30:00"),
        (Clock(base="today", add="1.5 days"), "2026-01-02 12:00:00"),
        (Clock(zone="UTC+5:30"), "2026-01-01 05:30:00 Thursday (UTC+05:30)"),
        (Clock(zone="-03:00"), "2025-12-31 21:00:00 Wednesday (UTC-03:00)"),
        (Clock(until="2026-12-25"), "2026-12-25 00:00:00 Friday (UTC+00:00) is 358 days later"),
        (Clock(base="2026-01-01T10:00", until="2026-01-02T12:30"), "is 1 days 2 h 30 min later"),
        (Clock(until="2025-12-31"), "is 1 days earlier"),
        (Clock(until="2026-01-01"), "is 0 days later"),
    ],
)
def test_dates_are_counted(asked: Clock, answer: str) -> None:
    assert answer in told(asked, NOW)


def test_days_keep_the_wall_clock_and_hours_are_real_over_summer_time() -> None:
    berlin = datetime(2026, 3, 28, 12, tzinfo=ZoneInfo("Europe/Berlin"))
    assert later(berlin, "1 day").isoformat() == "2026-03-29T12:00:00+02:00"
    assert later(berlin, "24 hours").isoformat() == "2026-03-29T13:00:00+02:00"
    gap = datetime(2026, 3, 28, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"))
    assert later(gap, "1 day").isoformat() == "2026-03-29T03:30:00+02:00"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"zone": "Mars/Base"}, "no time zone 'Mars/Base'; write an IANA name"),
        ({"zone": "../../etc/passwd"}, "no time zone"),
        ({"zone": "UTC+99"}, "no time zone"),
        ({"base": "soon"}, "not an ISO date: 'soon'; write it like"),
        ({"until": "25:99"}, "not an ISO date"),
        ({"add": "some days"}, "not a duration"),
        ({"add": "3 fortnights"}, "not a duration"),
        ({"add": "0.5 months"}, "whole"),
        ({"add": "999999999 years"}, "the calendar ends there"),
        ({"add": "999999999 days"}, "the calendar ends there"),
    ],
)
def test_what_cannot_be_understood_is_told_with_the_cure(
    tmp_path: Path, arguments: dict[str, str], words: str
) -> None:
    result = ask(tmp_path, **arguments)
    assert not result.ok
    assert words in result.text


@settings(deadline=None)
@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_no_arguments_raise_anything_but_words(zone: str, base: str, add: str, until: str) -> None:
    try:
        assert told(Clock(zone=zone, base=base, add=add, until=until), NOW)
    except (ValueError, OverflowError) as e:
        assert str(e)


@settings(deadline=None)
@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.integers(-5000, 5000))
def test_going_and_coming_back_is_staying(at: datetime, days: int) -> None:
    start = at.replace(tzinfo=UTC)
    assert later(later(start, f"{days} days"), f"{-days} days") == start


def test_zones_of_the_settings_and_the_system_are_known() -> None:
    with pytest.raises(pydantic.ValidationError, match="no time zone"):
        ClockSettings(zone="Nowhere")
    assert moment("now", datetime.now(local_zone())).utcoffset() is not None


def test_the_system_zone_follows_tz(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert local_zone() == ZoneInfo("Asia/Tokyo")
    monkeypatch.setenv("TZ", "Not/There")
    assert datetime.now(local_zone()).utcoffset() is not None
