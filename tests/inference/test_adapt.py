# SPDX-License-Identifier: AGPL-3.0-or-later
"""Precision by load: one step at a time, only what is allowed, and no swinging."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from haoya.inference.adapt import (
    BETTER_SECONDS,
    WORSE_SECONDS,
    Allowance,
    Standing,
    Strain,
    adapt,
    rungs,
)

BUSY, CALM, BETWEEN = Strain(load=4.0), Strain(load=0.2), Strain(load=1.2)
ALL = Allowance(min_context_tokens=2048, lighter="main-q4")


def test_nothing_changes_that_the_owner_has_not_allowed() -> None:
    choice = adapt(Standing(), 8192, BUSY, Allowance(), 100)
    assert (choice.use.context_tokens, choice.use.lighter, choice.notes) == (8192, False, ())


def test_strain_goes_down_the_ladder_and_calm_up_again() -> None:
    standing, now, seen = Standing(), 100.0, []
    for _ in range(5):
        choice = adapt(standing, 8192, BUSY, ALL, now)
        standing, now = choice.standing, now + WORSE_SECONDS
        seen.append((choice.use.context_tokens, choice.use.lighter))
    assert seen == [(4096, False), (2048, False), (2048, True), (2048, True), (2048, True)]
    assert "lighter main-q4" in choice.notes[1]
    for _ in range(5):
        now += BETTER_SECONDS
        choice = adapt(standing, 8192, CALM, ALL, now)
        standing = choice.standing
        seen.append((choice.use.context_tokens, choice.use.lighter))
    assert seen[5:] == [(2048, False), (4096, False), (8192, False), (8192, False), (8192, False)]
    assert choice.notes == ()


def test_between_the_thresholds_everything_stays() -> None:
    for rung in range(3):
        choice = adapt(Standing(rung=rung, since=0), 8192, BETWEEN, ALL, 1e6)
        assert choice.standing.rung == rung


def test_memory_alone_is_strain_and_must_be_plenty_again() -> None:
    short, so_so = Strain(load=0.1, room=0.8), Strain(load=0.1, room=1.2)
    choice = adapt(Standing(), 8192, short, ALL, 0)
    assert choice.standing.rung == 1 and "memory is short" in choice.notes[0]
    assert adapt(choice.standing, 8192, so_so, ALL, 1e6).standing.rung == 1


def test_a_ladder_made_shorter_by_new_settings_is_no_trouble() -> None:
    choice = adapt(Standing(rung=3, since=0), 8192, BETWEEN, Allowance(), 10)
    assert choice.use == rungs(8192, Allowance())[0]


@given(st.lists(st.tuples(st.floats(0, 6), st.floats(0, 30)), max_size=80))
def test_it_never_swings_faster_than_it_may(course: list[tuple[float, float]]) -> None:
    standing, now, changes = Standing(), 0.0, []
    for load, passed in course:
        now += passed
        before = standing.rung
        standing = adapt(standing, 8192, Strain(load=load), ALL, now).standing
        if standing.rung != before:
            assert abs(standing.rung - before) == 1
            changes.append((now, standing.rung - before))
    for (earlier, _), (later, way) in pairwise(changes):
        assert way > 0 or later - earlier >= BETTER_SECONDS
