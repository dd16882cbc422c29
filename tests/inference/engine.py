# SPDX-License-Identifier: AGPL-3.0-or-later
"""An engine on a clock of its own, with people who ask it: the machine's decisions at any load
in no time."""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from haoya.core.tool import Urgency
from haoya.inference.memory import Memory
from haoya.inference.seating import Place, Request, Seating, Terms

PLENTY = Memory(total=8 * 2**30, available=4 * 2**30)

SPEED = {1: 36.0, 2: 43.0, 3: 50.0, 4: 51.0}
"""Tokens a second of all streams together, by their number: 1.5B on two cores."""


@dataclass
class Running:
    request: Request
    left: float


@dataclass
class World:
    """Lanes, people and time. `then` is called when a request is done."""

    terms: Callable[[], Terms] = Terms
    memory: Callable[[], Memory | None] = lambda: PLENTY
    now: float = 1.0
    seating: Seating = field(init=False)
    running: list[Running] = field(default_factory=list[Running])
    frozen: dict[int, bool] = field(default_factory=dict[int, bool])
    then: dict[Request, Callable[[Request], None]] = field(default_factory=dict)
    late: list[Request] = field(default_factory=list[Request])
    done: list[tuple[Request, float]] = field(default_factory=list[tuple[Request, float]])
    again: float | None = None

    def __post_init__(self) -> None:
        self.seating = Seating(self.terms, self.memory)
        self.planned: list[tuple[float, int, Callable[[], None]]] = []
        self.count = itertools.count()

    def lane(self, seats: int, *, pausable: bool = True) -> int:
        return self.seating.open(Place(name="lane", seats=seats, pausable=pausable))

    def at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.planned, (when, next(self.count), what))

    def ask(
        self,
        person: str,
        lane: int,
        tokens: int = 100,
        *,
        room: str = "",
        urgency: Urgency = "chat",
        then: Callable[[Request], None] = lambda request: None,
        guess: int = 0,
    ) -> Request:
        request = Request(
            path=(person, room or person),
            lane=lane,
            tokens=guess or tokens,
            urgency=urgency,
            arrived=self.now,
        )
        request.spent = tokens
        self.then[request] = then
        self.seating.ask(request, self.now)
        self.decide()
        return request

    def leave(self, request: Request) -> None:
        self.running = [one for one in self.running if one.request is not request]
        self.seating.leave(request, self.now)
        self.decide()

    def decide(self) -> None:
        decision = self.seating.decide(self.now)
        for lane, frozen in decision.pauses:
            assert self.frozen.get(lane, False) != frozen
            self.frozen[lane] = frozen
        for request in decision.begin:
            self.running.append(Running(request, request.spent))
        self.late += decision.late
        self.again = decision.again

    def speed(self) -> float:
        """Of each stream that is not frozen."""
        streams = [one for one in self.running if not self.stands(one.request)]
        return SPEED[min(len(streams), 4)] / len(streams) if streams else 0.0

    def stands(self, request: Request) -> bool:
        return request.urgency == "background" and self.frozen.get(request.lane, False)

    def run(self, until: float) -> None:
        """Let time pass."""
        while True:
            speed = self.speed()
            ends = [one.left / speed for one in self.running if not self.stands(one.request)]
            times = [self.now + min(ends)] if ends else []
            times += [self.planned[0][0]] if self.planned else []
            times += [self.again] if self.again is not None else []
            when = min([*times, until])
            passed, self.now = max(0.0, when - self.now), max(when, self.now)
            for one in self.running:
                one.left -= 0 if self.stands(one.request) else speed * passed
            over = [one for one in self.running if one.left <= 1e-6]
            for one in over:
                self.done.append((one.request, self.now - one.request.arrived))
                self.leave(one.request)
                self.then[one.request](one.request)
            while self.planned and self.planned[0][0] <= self.now:
                heapq.heappop(self.planned)[2]()
            if self.now >= until:
                return
            self.decide()

    def took(self, person: str) -> list[float]:
        return sorted(seconds for request, seconds in self.done if request.person == person)


def p95(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.95))]
