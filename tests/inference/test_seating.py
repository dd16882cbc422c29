# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whatever people do, in whatever order: no seat too many, none lost, nobody forgotten."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from haoya.inference.memory import Memory
from haoya.inference.seating import PRESENT_SECONDS, Request, Terms
from tests.inference.engine import PLENTY, Running, World

SHORT = Memory(total=8 * 2**30, available=300 * 2**20)
NONE = Memory(total=8 * 2**30, available=2**20)
PEOPLE = ("ann", "bob", "cid", "")


class People(RuleBasedStateMachine):
    """Requests end only where a rule says so, for here nobody looks at the engine's speed."""

    @initialize(beside=st.integers(0, 2), wait=st.sampled_from([5.0, 60.0]))
    def begin(self, beside: int, wait: float) -> None:
        self.terms = Terms(
            beside=beside,
            background_wait=wait,
            weights={"ann": 3, "bob": 0.2, "room 1": 2},
            deadline=90,
        )
        self.memory: Memory | None = PLENTY
        self.world = World(terms=lambda: self.terms, memory=lambda: self.memory)
        self.asked: list[Request] = []
        self.lanes = [self.world.lane(2), self.world.lane(1, pausable=False)]

    @rule(
        person=st.sampled_from(PEOPLE),
        room=st.sampled_from(["room 1", "room 2", ""]),
        lane=st.integers(0, 3),
        background=st.booleans(),
        guess=st.integers(1, 500),
    )
    def ask(self, person: str, room: str, lane: int, background: bool, guess: int) -> None:
        urgency: Any = "background" if background else "chat"
        number = self.lanes[lane % len(self.lanes)]
        request = self.world.ask(person, number, 50, room=room, urgency=urgency, guess=guess)
        self.asked.append(request)

    @precondition(lambda self: self.world.running)
    @rule(which=st.integers(0, 99), tokens=st.integers(0, 900))
    def finish(self, which: int, tokens: int) -> None:
        request = self.world.running[which % len(self.world.running)].request
        self.world.seating.spend(request, tokens)
        self.world.leave(request)
        self.world.seating.leave(request, self.world.now)  # twice is once

    @precondition(lambda self: self.asked)
    @rule(which=st.integers(0, 99))
    def give_up(self, which: int) -> None:
        self.world.leave(self.asked[which % len(self.asked)])

    @rule(seconds=st.sampled_from([0.01, 0.2, 4.0, 61.0, PRESENT_SECONDS]))
    def wait(self, seconds: float) -> None:
        for one in self.world.running:
            one.left = 1e12
        self.world.run(self.world.now + seconds)

    @rule(memory=st.sampled_from([PLENTY, SHORT, NONE, None]))
    def fill_memory(self, memory: Memory | None) -> None:
        self.memory = memory
        self.world.run(self.world.now + 0.3)

    @precondition(lambda self: len(self.lanes) < 4)
    @rule(seats=st.integers(1, 3), pausable=st.booleans())
    def open_lane(self, seats: int, pausable: bool) -> None:
        self.lanes.append(self.world.lane(seats, pausable=pausable))

    @precondition(lambda self: len(self.lanes) > 1)
    @rule(which=st.integers(0, 3))
    def close_lane(self, which: int) -> None:
        lane = self.lanes.pop(which % len(self.lanes))
        for request in self.world.seating.close(lane):
            assert request.began is None
        self.world.frozen.pop(lane, None)
        self.world.decide()

    @rule(beside=st.integers(0, 2))
    def change_settings(self, beside: int) -> None:
        self.terms = Terms(beside=beside, weights={"bob": 5}, deadline=self.terms.deadline)
        self.world.decide()

    def sitting(self, lane: int, urgency: str) -> list[Running]:
        running = self.world.running
        return [r for r in running if r.request.lane == lane and r.request.urgency == urgency]

    @invariant()
    def seats_are_never_exceeded_and_never_lost(self) -> None:
        for lane, place in self.world.seating.lanes.items():
            assert place.chats == len(self.sitting(lane, "chat")) <= place.seats
            assert len(place.background) == len(self.sitting(lane, "background")) <= 1

    @invariant()
    def who_could_begin_has_begun(self) -> None:
        seating = self.world.seating
        waiting = [r for r in seating.waiting if r.urgency == "chat"]
        if self.memory in (PLENTY, None):
            for request in waiting:
                place = seating.lanes[request.lane]
                mine = seating.running.get(request.person, 0)
                held = self.terms.beside and mine >= self.terms.beside
                assert place.chats == place.seats or held, request
        for request in seating.waiting:
            assert self.world.again is not None or self.world.running, request

    @invariant()
    def background_stands_still_beside_chats(self) -> None:
        seating = self.world.seating
        slice_now = self.world.seating._slice_end is not None
        chatting = any(seating.running) or seating.shares["chat"].waiting()
        for lane, place in seating.lanes.items():
            frozen = self.world.frozen.get(lane, False)
            if chatting and not slice_now and place.background and place.pausable:
                assert frozen

    def teardown(self) -> None:
        """Everybody who stays gets a turn, and then nothing is left."""
        if not hasattr(self, "world"):
            return
        self.memory = PLENTY
        self.world.run(self.world.now + 0.3)
        while self.world.running:
            self.world.leave(self.world.running[0].request)
            self.world.run(self.world.now + 0.2)
        seating = self.world.seating
        assert not seating.waiting and not seating.running
        for shares in seating.shares.values():
            assert not shares.waiting() and not list(shares.people())
            assert not shares._root.children
        assert not any(self.world.frozen.values())


People.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPeople = People.TestCase
