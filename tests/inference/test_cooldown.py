# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pauses after failures, by a clock that the test holds."""

import math

from hypothesis import given
from hypothesis import strategies as st

from haoya.inference.cooldown import CAP_SECONDS, FIRST_SECONDS, PROBE_SECONDS, Cooldown

KINDS = ("unreachable", "throttled", "overloaded", "timeout", "broken", "request", "refused", "")


def test_pauses_double_up_to_the_cap_and_end_with_an_answer() -> None:
    cooldown, now, pauses = Cooldown(), 1000.0, list[float]()
    for _ in range(10):
        cooldown.asked("m", now)
        cooldown.failed("m", "unreachable", now)
        pauses.append(cooldown.until("m", now) - now)
        now = cooldown.until("m", now)
        assert cooldown.until("m", now) == 0
    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses[-1] == CAP_SECONDS
    cooldown.forget("m")
    cooldown.failed("m", "unreachable", now)
    assert cooldown.until("m", now) - now == FIRST_SECONDS["unreachable"]


def test_one_probe_goes_and_the_others_wait_for_its_outcome() -> None:
    cooldown = Cooldown()
    cooldown.failed("m", "broken", 0)
    assert cooldown.until("m", 5) == 0
    cooldown.asked("m", 5)
    assert cooldown.until("m", 6) > 6
    cooldown.failed("m", "broken", 7)
    assert cooldown.until("m", 7) == 7 + 10
    cooldown.asked("m", 17)
    cooldown.forget("m")
    assert cooldown.until("m", 18) == 0


def test_a_probe_that_was_lost_is_followed_by_another() -> None:
    cooldown = Cooldown()
    cooldown.failed("m", "broken", 0)
    cooldown.asked("m", 5)
    assert cooldown.until("m", 5 + PROBE_SECONDS - 1) > 0
    assert cooldown.until("m", 5 + PROBE_SECONDS) == 0


def test_many_failures_at_once_count_as_one() -> None:
    cooldown = Cooldown()
    for i in range(10):
        cooldown.failed("m", "unreachable", i / 10)
    assert cooldown.until("m", 1) == 5


def test_the_other_sides_wish_is_kept() -> None:
    cooldown = Cooldown()
    cooldown.failed("m", "throttled", 0, retry_after=2)
    assert cooldown.until("m", 0) == 2
    cooldown.failed("m", "throttled", 1, retry_after=30)
    assert cooldown.until("m", 1) == 31
    cooldown.failed("n", "overloaded", 0, retry_after=45)
    assert cooldown.until("n", 0) == 45
    cooldown.failed("o", "throttled", 0, retry_after=1e12)
    assert cooldown.until("o", 0) <= 86_400


def test_a_request_too_large_rests_nobody_and_a_refusal_lasts() -> None:
    cooldown = Cooldown()
    cooldown.failed("m", "request", 0)
    assert cooldown.until("m", 0) == 0
    cooldown.failed("m", "refused", 0)
    assert cooldown.until("m", 1e12) == math.inf
    assert cooldown.trouble("m") == "refused"
    cooldown.forget("m")
    assert cooldown.until("m", 0) == 0
    assert cooldown.trouble("m") == ""


def test_a_probe_that_asked_too_much_tells_nothing() -> None:
    cooldown = Cooldown()
    cooldown.failed("m", "broken", 0)
    cooldown.asked("m", 5)
    cooldown.failed("m", "request", 6)
    assert cooldown.until("m", 6) == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.floats(0, 100), st.floats(-1, 1e6), st.booleans()),
        max_size=60,
    )
)
def test_a_pause_always_ends_unless_somebody_must_change_something(
    events: list[tuple[str, float, float, bool]],
) -> None:
    cooldown, now = Cooldown(), 0.0
    for trouble, passes, retry_after, asked in events:
        now += passes
        if asked:
            cooldown.asked("m", now)
        cooldown.failed("m", trouble, now, retry_after)
        until = cooldown.until("m", now)
        assert until == math.inf or until <= now + 86_400
        if math.isinf(until):
            assert any(kind == "refused" for kind, *_ in events)
