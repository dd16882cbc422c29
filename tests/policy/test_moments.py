# SPDX-License-Identifier: AGPL-3.0-or-later
"""Days and times in Chinese and English, and what is none."""

from datetime import date, time, timedelta

import pytest

from haoya.policy.moments import apart, days, exact, said, times
from tests.policy.cases import NOON

SAID = [
    ("2024-05-26", "on May 26th?"),
    ("2024-05-26", "26 May 2024"),
    ("2024-05-26", "the 26th of May"),
    ("2024-05-26", "May 26, 2024"),
    ("2024-05-26", "2024-5-26"),
    ("2024-05-26", "2024/05/26"),
    ("2024-05-26", "26.05.2024"),
    ("2024-05-26", "05/26/2024"),
    ("2024-05-05", "05/05/2024"),
    ("2024-05-26", "5月26日"),
    ("2024-05-26", "2024年5月26日"),
    ("2025-01-02", "2 January"),
    ("2024-05-15", "today"),
    ("2024-05-16", "Tomorrow"),
    ("2024-05-17", "the day after tomorrow"),
    ("2024-05-14", "yesterday"),
    ("2024-05-15", "今天"),
    ("2024-05-16", "明天"),
    ("2024-05-17", "后天"),
    ("2024-05-18", "大后天"),
    ("2024-05-13", "前天"),
    ("2024-05-18", "on Saturday"),
    ("2024-05-15", "Wednesday"),
    ("2024-05-20", "next Monday"),
    ("2024-05-23", "next Thursday"),
    ("2024-05-20", "下周一"),
    ("2024-05-19", "星期天"),
    ("2024-05-27", "下下周一"),
    ("2024-05-18", "in 3 days"),
    ("2024-05-29", "in 2 weeks"),
    ("2024-05-18", "3天后"),
    ("2024-05-29", "2周后"),
    ("2024-05-19 12:00", "2024-05-19 at 12:00"),
    ("2024-05-19T12:00:00", "2024-05-19 at noon"),
    ("2024-05-19T12:00:00Z", "2024-05-19 正午"),
    ("2024-05-16 15:30", "明天下午3点半"),
    ("2024-05-16 20:15", "明天晚上八点15分"),
    ("2024-05-15 10:00", "today at 10 am"),
    ("2024-05-15 00:30", "today at 12:30 am"),
    ("2024-05-15 12:30", "today at 12:30pm"),
    ("2024-05-15 22:00", "today, 10 p.m."),
    ("2024-05-15 09:00", "today at 9 o'clock"),
    ("2024-05-15 12:00", "今天十二点"),
    ("2024-05-15 14:00", "今天下午两点"),
    ("2024-05-19 00:00", "2024-05-19"),
    ("15:30", "at 3:30 pm"),
    ("15:30:00", "15:30"),
]
SAID_NOT = [
    ("2024-05-26", "on May 27th"),
    ("2024-05-26", "06/05/2024"),
    ("2024-06-05", "06/05/2024"),
    ("2024-05-17", "tomorrow"),
    ("2024-05-16", "the day after tomorrow"),
    ("2024-05-16", "大后天"),
    ("2024-05-19 12:00", "2024-05-19"),
    ("2024-05-19 12:00", "2024-05-18 at 12:00"),
    ("2024-05-19 12:00", "2024-05-19 at 13:00"),
    ("2024-05-15 10:00", "today at 10 pm"),
    ("2024-02-30", "2024-02-30"),
    ("2024-05-19 25:00", "2024-05-19 at 25:00"),
    ("soon", "soon"),
    ("25:10", "25:10"),
    ("2024-05-13", "Monday"),
    ("2026-05-26", "May 26th"),
]


@pytest.mark.parametrize(("value", "text"), SAID)
def test_a_moment_is_understood(value: str, text: str) -> None:
    assert said(value, text, NOON)


@pytest.mark.parametrize(("value", "text"), SAID_NOT)
def test_another_moment_is_another(value: str, text: str) -> None:
    assert not said(value, text, NOON)


def test_a_day_without_a_year_is_this_or_the_coming_one() -> None:
    assert days("May 26", NOON) == {date(2024, 5, 26)}
    assert days("May 15", NOON) == {date(2024, 5, 15)}
    assert days("May 14", NOON) == {date(2024, 5, 14), date(2025, 5, 14)}


def test_a_word_that_holds_another_is_only_itself() -> None:
    assert days("大后天", NOON) == {date(2024, 5, 18)}
    assert days("sunday", NOON) == {date(2024, 5, 19)}
    assert days("the sun shines, satisfying", NOON) == {date(2024, 5, 19)}
    assert days("下周三", NOON) == {date(2024, 5, 22)}


def test_exact_moments_and_how_far_they_are_apart() -> None:
    assert exact("2024-05-19") == (date(2024, 5, 19), None)
    assert exact("2024-05-19T08:05:10.5+02:00") == (date(2024, 5, 19), time(8, 5))
    assert exact("2024-13-19") is None
    assert exact("2024-05-19 24:61") is None
    assert exact("19.5.2024") is None
    assert apart("2024-05-19 10:00", "2024-05-19 11:30") == timedelta(minutes=90)
    assert apart("2024-05-19", "2024-05-18") == timedelta(days=-1)
    assert apart("x", "2024-05-18") is None
    assert apart("2024-05-18", "x") is None


def test_times_of_the_day() -> None:
    assert times("10:00 to 11:30") == {time(10), time(11, 30)}
    assert times("14h30") == {time(14, 30)}
    assert times("3.5 of 100, room 12, 1:2:3") == frozenset()
    assert times("凌晨一点") == {time(1)}
    assert times("晚上十九点") == {time(19)}
    assert times("12 pm, 12 am") == {time(12), time(0)}
