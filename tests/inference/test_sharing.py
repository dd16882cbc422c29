# SPDX-License-Identifier: AGPL-3.0-or-later
"""Shares of one machine over long stretches of a simulated engine's time."""

import random

import pytest

from haoya.inference.memory import Memory
from haoya.inference.seating import LINGER_SECONDS, PRESENT_SECONDS, Request, Terms
from tests.inference.engine import PLENTY, World, p95


def visits(world: World, lane: int, person: str, times: int, rest: float) -> None:
    """Somebody who asks, reads the answer, and asks again."""

    def come(left: int) -> None:
        world.ask(
            person,
            lane,
            100,
            then=lambda request: (
                world.at(world.now + rest, lambda: come(left - 1)) if left > 1 else None
            ),
        )

    come(times)


def never_enough(world: World, lane: int, person: str, at_once: int, tokens: int) -> None:
    """Somebody who asks anew for each answer, with many at once."""

    def more(request: Request | None = None) -> None:
        world.ask(person, lane, tokens, then=more, room=f"{person}/{len(world.done) % at_once}")

    for _ in range(at_once):
        more()


@pytest.mark.parametrize("seats", [1, 2, 4])
def test_a_polite_person_beside_a_greedy_one_waits_at_most_twice_as_long(seats: int) -> None:
    alone = World()
    visits(alone, alone.lane(seats), "polite", 40, 4.0)
    alone.run(1000)
    world = World(terms=lambda: Terms(deadline=10_000))
    lane = world.lane(seats)
    visits(world, lane, "polite", 2, 1.0)
    world.run(60)
    world.done.clear()
    for number in range(20):
        world.ask("greedy", lane, 100, room=f"room {number}")
    visits(world, lane, "polite", 10, 2.0)
    world.run(1000)
    assert len(world.took("polite")) == 10 and len(world.took("greedy")) == 20
    ratio = p95(world.took("polite")) / p95(alone.took("polite"))
    assert ratio <= 2.0, ratio


def test_alone_one_person_has_all_seats() -> None:
    world = World()
    lane = world.lane(4)
    for number in range(6):
        world.ask("ann", lane, room=f"room {number}")
    assert len(world.running) == 4


def test_who_was_not_here_for_long_holds_no_seat_back() -> None:
    world = World(terms=lambda: Terms(deadline=1e9))
    lane = world.lane(4)
    world.ask("bob", lane)
    world.run(10)
    for number in range(4):
        world.ask("ann", lane, 100_000, room=f"room {number}")
    assert len(world.running) == 1
    world.run(10 + PRESENT_SECONDS + 1)
    assert len(world.running) == 4


@pytest.mark.parametrize("seats", [1, 3, 4])
@pytest.mark.parametrize("sizes", [(100, 100), (40, 400)])
def test_weights_hold_within_five_per_cent_in_the_long_run(
    seats: int, sizes: tuple[int, int]
) -> None:
    world = World(terms=lambda: Terms(weights={"ann": 3, "net": 1, "net:bob": 1}, deadline=1e9))
    lane = world.lane(seats)
    never_enough(world, lane, "ann", 8, sizes[0])
    never_enough(world, lane, "net:bob", 8, sizes[1])
    world.run(20_000)
    used = dict.fromkeys(("ann", "net:bob"), 0)
    for request, _ in world.done:
        used[request.person] += request.spent
    share = used["ann"] / sum(used.values())
    assert abs(share - 0.75) < 0.75 * 0.05, share


def test_many_conversations_of_one_person_are_no_larger_a_share() -> None:
    world = World(terms=lambda: Terms(deadline=1e9))
    lane = world.lane(2)
    never_enough(world, lane, "ann", 20, 100)
    never_enough(world, lane, "bob", 3, 100)
    world.run(5_000)
    tokens = {p: sum(r.spent for r, _ in world.done if r.person == p) for p in ("ann", "bob")}
    assert abs(tokens["ann"] / tokens["bob"] - 1) < 0.05


def test_a_guess_too_low_wins_nothing() -> None:
    world = World(terms=lambda: Terms(deadline=1e9))
    lane = world.lane(1)

    def more(person: str, guess: int) -> None:
        world.ask(person, lane, 200, guess=guess, then=lambda request: more(person, guess))

    for _ in range(3):
        more("liar", 1)
        more("honest", 200)
    world.run(5_000)
    assert abs(len(world.took("liar")) / len(world.took("honest")) - 1) < 0.05


def test_nobody_starves_among_many_of_all_weights() -> None:
    chance = random.Random(7)
    people = {f"p{n}": chance.choice([0.1, 1, 5]) for n in range(20)}
    world = World(terms=lambda: Terms(weights=people, deadline=1e9))
    lanes = [world.lane(2), world.lane(1)]
    for person in people:
        never_enough(world, chance.choice(lanes), person, chance.randint(2, 6), 50)
    world.run(3_000)
    assert all(world.took(person) for person in people)


def test_a_changed_weight_holds_at_once() -> None:
    weights = {"ann": 1.0}
    world = World(terms=lambda: Terms(weights=dict(weights), deadline=1e9))
    lane = world.lane(1)
    never_enough(world, lane, "ann", 3, 50)
    never_enough(world, lane, "bob", 3, 50)
    world.run(500)
    world.done.clear()
    weights["ann"] = 4.0
    world.run(4000)
    assert abs(len(world.took("ann")) / len(world.took("bob")) / 4 - 1) < 0.05


def test_background_work_stands_still_in_every_lane_while_a_chat_is_here() -> None:
    world = World()
    talking, indexing = world.lane(2), world.lane(1)
    job = world.ask("", indexing, 10_000, urgency="background")
    world.run(5)
    chat = world.ask("ann", talking, 36)
    assert world.frozen[indexing] and job.began is not None
    world.run(world.now + 1 + LINGER_SECONDS + 0.01)
    assert chat.began == chat.arrived
    assert not world.frozen[indexing]
    assert abs(job.frozen - 1 - LINGER_SECONDS) < 0.02


def test_background_work_waits_for_the_end_of_a_chat_but_not_for_ever() -> None:
    world = World(terms=lambda: Terms(background_wait=60, background_slice=3))
    talking, indexing = world.lane(1), world.lane(1)
    never_enough(world, talking, "ann", 2, 100)
    job = world.ask("", indexing, 200, urgency="background")
    world.run(59)
    assert job.began is None
    world.run(600)
    assert job in [request for request, _ in world.done]


def test_a_chat_freezes_the_work_in_the_background_of_its_own_lane_too() -> None:
    world = World()
    lane = world.lane(1)
    world.ask("", lane, 10_000, urgency="background")
    chat = world.ask("ann", lane, 36)
    assert world.frozen[lane] and chat.began == chat.arrived
    world.run(2.5)
    assert not world.frozen[lane]


def test_what_cannot_begin_in_time_is_turned_away_with_a_time_to_come_back() -> None:
    world = World(terms=lambda: Terms(deadline=20))
    lane = world.lane(1)
    world.ask("ann", lane, 36 * 100)
    late = world.ask("bob", lane, 36)
    world.run(20.9)
    assert not world.late
    world.run(21.1)
    assert world.late == [late]
    assert world.seating.retry_after(lane) >= 1


def test_under_the_floor_of_memory_one_goes_at_a_time_and_far_under_it_none() -> None:
    memory = [PLENTY]
    world = World(memory=lambda: memory[0])
    lane = world.lane(4)
    memory[0] = Memory(total=8 * 2**30, available=300 * 2**20)
    for person in ("ann", "bob", "cid"):
        world.ask(person, lane, 36)
    assert len(world.running) == 1
    world.run(1.5)
    memory[0] = Memory(total=8 * 2**30, available=100 * 2**20)
    world.run(30)
    assert len(world.done) == 1 and not world.running
    memory[0] = PLENTY
    world.run(40)
    assert len(world.done) == 3


def test_a_machine_that_stalls_for_memory_counts_as_short_of_it() -> None:
    stalled = Memory(total=8 * 2**30, available=4 * 2**30, stalled=40.0)
    world = World(memory=lambda: stalled)
    lane = world.lane(2)
    world.ask("ann", lane)
    assert "memory was short" in world.ask("bob", lane).reasons
