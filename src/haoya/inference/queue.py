# SPDX-License-Identifier: AGPL-3.0-or-later
"""The fair queue in front of local models: `haoya.core.ports.Queue` over a `Seating`.

with queue.lane("main", seats=4, pause=freeze) as lane:
    async with lane.enter(prompt, tokens=900) as seat:
        ...
        seat.spent(412)
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

import msgspec

from haoya.core.errors import Unready
from haoya.core.tool import Prompt, Urgency
from haoya.inference.memory import Memory, read_memory
from haoya.inference.seating import Place, Request, Seating, Terms

NOTED_SECONDS = 0.05
"""A shorter wait is not worth a word."""


class LaneRow(msgspec.Struct, frozen=True, kw_only=True):
    """How a lane stands: chats and background work running, and waiting, and whether it is
    frozen."""

    name: str
    seats: int
    running: int
    waiting: int
    background: int
    background_waiting: int
    frozen: bool


class PersonRow(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests of a person run and wait; "" for nobody in particular."""

    person: str
    urgency: Urgency
    running: int
    waiting: int


class FairQueue:
    """All lanes of this machine. Used from one event loop; makes no task of its own."""

    def __init__(
        self,
        terms: Callable[[], Terms] = Terms,
        *,
        memory: Callable[[], Memory | None] = read_memory,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seating = Seating(terms, memory)
        self._clock = clock
        self._asked: dict[Request, asyncio.Future[None]] = {}
        self._pauses: dict[int, Callable[[bool], None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def lane(
        self, name: str, seats: int, *, pause: Callable[[bool], None] | None = None
    ) -> Generator["FairLane"]:
        """A lane while it is held; whoever still waits for it then is turned away."""
        lane = self.open(name, seats, pause)
        try:
            yield lane
        finally:
            self._close(lane)

    def open(
        self, name: str, seats: int, pause: Callable[[bool], None] | None = None
    ) -> "FairLane":
        """A lane that stands as long as the queue does."""
        place = Place(name=name, seats=max(1, seats), pausable=pause is not None)
        number = self._seating.open(place)
        if pause is not None:
            self._pauses[number] = pause
        return FairLane(self, number, place)

    def _close(self, lane: "FairLane") -> None:
        for request in self._seating.close(lane.number):
            text = f"{lane.place.name}: it was closed while this waited"
            self._refuse(request, Unready(text, trouble="overloaded"))
        if lane.place.frozen_at is not None:
            self._pause(lane.number, frozen=False)
        self._pauses.pop(lane.number, None)
        self.step()

    @property
    def terms(self) -> Terms:
        """What holds now."""
        return self._seating.terms()

    def load(self, number: int) -> float:
        """Chats running or waiting for each seat of a lane; 0 for one that is closed."""
        return self._seating.load(number) if number in self._seating.lanes else 0.0

    @asynccontextmanager
    async def enter(self, number: int, prompt: Prompt, tokens: int) -> AsyncGenerator["FairSeat"]:
        """A seat in a lane once it is this request's turn; see `haoya.core.ports.Lane.enter`."""
        if number not in self._seating.lanes:
            raise Unready("this model was closed just now", trouble="overloaded", reached=False)
        seating, now = self._seating, self._clock()
        request = Request(
            path=(prompt.person or prompt.conversation, prompt.conversation),
            lane=number,
            tokens=max(1, tokens),
            urgency=prompt.urgency,
            arrived=now,
        )
        turn = self._asked[request] = asyncio.get_running_loop().create_future()
        seating.ask(request, now)
        self.step()
        try:
            await turn
            yield FairSeat(self, request)
        finally:
            self._asked.pop(request, None)
            seating.leave(request, self._clock())
            self.step()

    def spent(self, request: Request, tokens: int) -> None:
        """What a request has cost so far."""
        self._seating.spend(request, tokens)

    def step(self) -> None:
        """Do what is due now and set the clock for what is due next."""
        decision = self._seating.decide(self._clock())
        for number, frozen in decision.pauses:
            self._pause(number, frozen=frozen)
        for request in decision.begin:
            if not self._asked[request].done():  # else its task is cancelled, and leaves
                self._asked[request].set_result(None)
        for request in decision.late:
            self._refuse(request, self._too_late(request))
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if decision.again is not None:
            delay = max(0.001, decision.again - self._clock())
            self._timer = asyncio.get_running_loop().call_later(delay, self.step)

    def lanes(self) -> list[LaneRow]:
        """How each lane stands."""
        seating = self._seating
        return [
            LaneRow(
                name=place.name,
                seats=place.seats,
                running=place.chats,
                waiting=seating.shares["chat"].waiting(number),
                background=len(place.background),
                background_waiting=seating.shares["background"].waiting(number),
                frozen=place.frozen_at is not None,
            )
            for number, place in seating.lanes.items()
        ]

    def people(self) -> list[PersonRow]:
        """Who has requests here."""
        return [
            PersonRow(person=person, urgency=urgency, running=running, waiting=waiting)
            for urgency, shares in self._seating.shares.items()
            for person, waiting, running in shares.people()
        ]

    def _pause(self, number: int, *, frozen: bool) -> None:
        with contextlib.suppress(OSError):  # its process is gone; its lane will be, too
            self._pauses[number](frozen)

    def _refuse(self, request: Request, error: Unready) -> None:
        turn = self._asked.get(request)
        if turn is not None and not turn.done():
            turn.set_exception(error)

    def _too_late(self, request: Request) -> Unready:
        place = self._seating.lanes[request.lane]
        waited = self._clock() - request.arrived
        why = "; ".join(sorted(request.reasons))
        return Unready(
            f"{place.name} is too busy: no turn within {waited:.0f} s behind {request.ahead} "
            f"others{f' ({why})' if why else ''}; raise deadline in [queue], or name a second "
            "model in [agent]",
            retry_after=self._seating.retry_after(request.lane),
            trouble="overloaded",
            reached=False,
        )


class FairLane:
    """One engine's lane; see `haoya.core.ports.Lane`."""

    def __init__(self, queue: FairQueue, number: int, place: Place) -> None:
        self._queue = queue
        self.number = number
        self.place = place

    @property
    def load(self) -> float:
        """Chats running or waiting for each seat."""
        return self._queue.load(self.number)

    def enter(
        self, prompt: Prompt, tokens: int
    ) -> contextlib.AbstractAsyncContextManager["FairSeat"]:
        """Wait for this request's turn."""
        return self._queue.enter(self.number, prompt, tokens)


class FairSeat:
    """Leave to use the engine now; see `haoya.core.ports.Seat`."""

    def __init__(self, queue: FairQueue, request: Request) -> None:
        self._queue = queue
        self._request = request

    @property
    def notes(self) -> tuple[str, ...]:
        """How long it waited and why, where that is worth a word."""
        return notes_of(self._request)

    def spent(self, tokens: int) -> None:
        """What this request has cost so far, in all."""
        self._queue.spent(self._request, tokens)


def notes_of(request: Request) -> tuple[str, ...]:
    """What became of a request in the queue, in words for the owner.

    >>> one = Request(path=("tg:7", "tg//7"), lane=1, tokens=9, urgency="chat", arrived=0)
    >>> one.began, one.ahead = 2.5, 3
    >>> notes_of(one)
    ('waited 2.5 s in the queue behind 3 others',)
    """
    notes: list[str] = []
    waited = (request.began or request.arrived) - request.arrived
    if waited >= NOTED_SECONDS:
        why = "".join(f"; {reason}" for reason in sorted(request.reasons))
        others = "1 other" if request.ahead == 1 else f"{request.ahead} others"
        notes.append(f"waited {waited:.1f} s in the queue behind {others}{why}")
    if request.frozen >= NOTED_SECONDS:
        notes.append(f"stood still {request.frozen:.1f} s while people were answered")
    return tuple(notes)
