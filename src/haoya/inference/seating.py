# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who uses this machine's thinking now, as a state machine without clock and without I/O.

Lanes (one for each engine) share one machine. Chats take the seats of their lane in fair order;
work in the background has seats of its own, and stands still in every lane while a chat runs or
waits in any of them. `decide` says what is to be done at a moment and when to ask again.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial

import msgspec

from haoya.core.tool import Urgency
from haoya.inference.fairness import Path, Shares, Ticket
from haoya.inference.memory import Memory

PRESENT_SECONDS = 600.0
"""Who asked this lately is expected back: room is kept for their next request."""

LINGER_SECONDS = 0.1
"""Background work goes on this long after the last chat ended: within a turn, one model call
follows the other at once where the tool between them is quick."""

MEMORY_SECONDS = 0.25
"""How long a reading of the memory is good for."""

STALLED_PERCENT = 20.0
"""So much time lost to waiting for memory counts as having reached the floor."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner laid down. `weights` by person, channel or conversation (its key); times in
    seconds, `memory_floor` in bytes (None: `Memory.floor`)."""

    weights: Mapping[str, float] = {}
    deadline: float = 120.0
    """The longest a chat's request may wait for its beginning."""
    beside: int = 1
    """Requests that one person may have running while others, who were here lately, are silent;
    0 for no limit."""
    background_seats: int = 1
    background_wait: float = 60.0
    """Work in the background that was held up so long gets `background_slice` beside chats."""
    background_slice: float = 3.0
    memory_floor: int | None = None

    def weight(self, path: Path) -> float:
        """The weight of a person (own, else their channel's) or of a conversation.

        >>> Terms(weights={"tg": 2, "tg:7": 3}).weight(("tg:7",))
        3
        """
        key = path[-1]
        if key in self.weights:
            return self.weights[key]
        if len(path) > 1:
            return 1.0
        channel = key.partition(":")[0] if ":" in key else key.partition("/")[0]
        return self.weights.get(channel, 1.0)


class Request(Ticket, kw_only=True, eq=False):
    """One request from asking to leaving; `ahead` is how many ran or waited before it."""

    urgency: Urgency
    arrived: float
    began: float | None = None
    ahead: int = 0
    deadline: float | None = None
    spent: int = 0
    over: bool = False
    frozen: float = 0.0
    """Seconds it stood still for chats."""
    reasons: set[str] = msgspec.field(default_factory=set[str])

    @property
    def person(self) -> str:
        """Whose it is."""
        return self.path[0]


class Place(msgspec.Struct, kw_only=True, eq=False):
    """A lane's seats and who sits there. `pausable` where its work in the background
    can be frozen."""

    name: str
    seats: int
    pausable: bool = False
    chats: int = 0
    background: list[Request] = msgspec.field(default_factory=list[Request])
    frozen_at: float | None = None


class Decision(msgspec.Struct, kw_only=True):
    """What to do now, in this order: freeze or release lanes, then let requests begin, then turn
    away those that are too `late`. `again` is when to ask next, if ever."""

    pauses: list[tuple[int, bool]] = msgspec.field(default_factory=list[tuple[int, bool]])
    begin: list[Request] = msgspec.field(default_factory=list[Request])
    late: list[Request] = msgspec.field(default_factory=list[Request])
    again: float | None = None


class Seating:
    """The lanes of this machine. Call `decide` after every change and at `Decision.again`."""

    def __init__(self, terms: Callable[[], Terms], memory: Callable[[], Memory | None]) -> None:
        self.terms = terms
        self.lanes: dict[int, Place] = {}
        self.waiting: dict[Request, None] = {}
        self.shares: dict[Urgency, Shares[Request]] = {
            "chat": Shares(self._weight),
            "background": Shares(self._weight),
        }
        self.running: dict[str, int] = {}
        """Chats that run, by person."""
        self.present: dict[str, float] = {}
        self.service = 10.0
        """Seconds a chat's request takes, a moving mean."""
        self._memory = memory
        self._fresh_until = 0.0
        self._crowded = 0
        self._quiet_at = 0.0
        self._held_at: float | None = None
        self._slice_end: float | None = None
        self._made = 0

    def open(self, place: Place) -> int:
        """A lane from now on; its number."""
        self._made += 1
        self.lanes[self._made] = place
        return self._made

    def close(self, lane: int) -> list[Request]:
        """A lane no more; the requests that waited for it, which now are nowhere."""
        orphans = [request for request in self.waiting if request.lane == lane]
        for request in orphans:
            self._forget(request)
        del self.lanes[lane]
        return orphans

    def ask(self, request: Request, now: float) -> None:
        """A request arrives and waits."""
        place = self.lanes[request.lane]
        line = self.shares[request.urgency]
        sitting = place.chats if request.urgency == "chat" else len(place.background)
        request.ahead = line.waiting(request.lane) + sitting
        if request.urgency == "chat":
            self._seen(request.person, now)
            longest = self.terms().deadline
            request.deadline = now + longest if longest < math.inf else None
        self.waiting[request] = None
        line.add(request)

    def leave(self, request: Request, now: float) -> None:
        """A request is over, whether it waits, runs or has been turned away."""
        if request in self.waiting:
            self._forget(request)
            self._quieten(request, now)
        elif request.taken and not request.over:
            request.over = True
            if request.spent:
                self.shares[request.urgency].charge(request, request.spent)
            self.shares[request.urgency].remove(request)
            self._stand_up(request, now)

    def spend(self, request: Request, tokens: int) -> None:
        """What a running request has cost so far; more than was guessed counts at once."""
        request.spent = tokens
        if request.taken and not request.over and tokens > request.tokens:
            self.shares[request.urgency].charge(request, tokens)

    def load(self, lane: int) -> float:
        """Chats running or waiting for each seat."""
        place = self.lanes[lane]
        return (place.chats + self.shares["chat"].waiting(lane)) / place.seats

    def retry_after(self, lane: int) -> float:
        """Seconds in which those who wait now will have begun, as things go."""
        place = self.lanes[lane]
        turns = (self.shares["chat"].waiting(lane) + 1) / place.seats
        return round(min(600.0, max(1.0, turns * self.service)), 1)

    def decide(self, now: float) -> Decision:
        """What is to be done at this moment; called with a clock that never goes back."""
        decision = Decision()
        wakes: list[float] = []
        self._turn_away(now, decision, wakes)
        self._begin_chats(now, decision, wakes)
        free = self._background_may_run(now, wakes)
        if free:
            self._begin_background(now, decision, wakes)
        for lane, place in self.lanes.items():
            still = place.pausable and bool(place.background) and not free
            if still != (place.frozen_at is not None):
                self._freeze(place, now if still else None, now)
                decision.pauses.append((lane, still))
        decision.again = min(wakes, default=None)
        return decision

    def _weight(self, path: Path) -> float:
        return self.terms().weight(path)

    def _turn_away(self, now: float, decision: Decision, wakes: list[float]) -> None:
        for request in [r for r in self.waiting if r.deadline is not None]:
            if request.deadline is not None and request.deadline <= now:
                decision.late.append(request)
                self._forget(request)
                self._quieten(request, now)
            elif request.deadline is not None:
                wakes.append(request.deadline)

    def _begin_chats(self, now: float, decision: Decision, wakes: list[float]) -> None:
        line = self.shares["chat"]
        if not line.waiting():
            return
        rivals = self._rivals(now)
        for lane, place in self.lanes.items():
            while place.chats < place.seats and line.waiting(lane):
                if not self._room(now, sum(self.running.values())):
                    self._mark(lane, "memory was short")
                    wakes.append(self._fresh_until)
                    break
                request = line.take(lane, partial(self._may, rivals))
                if request is None:
                    self._mark(lane, "room was kept for others who are here")
                    wakes += [at + PRESENT_SECONDS for at in rivals.values() if at < now]
                    break
                self._sit_down(request, now, decision)
                rivals = self._rivals(now)

    def _seen(self, person: str, now: float) -> None:
        """Somebody is here; who was not for long is forgotten. The latest stands last."""
        self.present.pop(person, None)
        self.present[person] = now
        while (oldest := next(iter(self.present))) and self._gone(self.present[oldest], now):
            del self.present[oldest]

    def _gone(self, at: float, now: float) -> bool:
        return at + PRESENT_SECONDS <= now

    def _rivals(self, now: float) -> dict[str, float]:
        """Who runs something or was here lately, and waits for nothing: for them the machine is
        kept quick. Those who wait are looked after by the fair order."""
        here = {p: at for p, at in self.present.items() if not self._gone(at, now)}
        here |= dict.fromkeys(self.running, now)
        waiting = {person for person, count, _ in self.shares["chat"].people() if count}
        return {person: at for person, at in here.items() if person not in waiting}

    def _may(self, rivals: Mapping[str, float], person: str) -> bool:
        beside = self.terms().beside
        return not rivals or not beside or self.running.get(person, 0) < beside

    def _room(self, now: float, running: int) -> bool:
        """Whether there is memory for one more beside `running` others."""
        if now >= self._fresh_until:
            self._fresh_until, self._crowded = now + MEMORY_SECONDS, self._crowding()
        return running == 0 if self._crowded == 1 else not self._crowded

    def _crowding(self) -> int:
        """0 where memory is plenty, 1 where one request at a time can still be served, 2 where
        none can."""
        memory = self._memory()
        if memory is None:
            return 0
        asked = self.terms().memory_floor
        floor = memory.floor if asked is None else asked
        if memory.available * 2 < floor:
            return 2
        return int(memory.available < floor or (floor > 0 and memory.stalled > STALLED_PERCENT))

    def _background_may_run(self, now: float, wakes: list[float]) -> bool:
        """Whether work in the background may go on: no chat is here, or it was held up too long."""
        line = self.shares["background"]
        wanted = line.waiting() or any(place.background for place in self.lanes.values())
        chatting = bool(self.running) or self.shares["chat"].waiting() > 0
        if not wanted or (not chatting and now >= self._quiet_at):
            self._held_at = self._slice_end = None
            return True
        if not chatting:
            wakes.append(self._quiet_at)
            return False
        terms = self.terms()
        if self._slice_end is not None:
            if now < self._slice_end:
                wakes.append(self._slice_end)
                return True
            self._slice_end, self._held_at = None, now
        if self._held_at is None:
            self._held_at = now
        if now < self._held_at + terms.background_wait:
            wakes.append(self._held_at + terms.background_wait)
            return False
        self._slice_end = now + terms.background_slice
        wakes.append(self._slice_end)
        return True

    def _begin_background(self, now: float, decision: Decision, wakes: list[float]) -> None:
        line = self.shares["background"]
        for lane, place in self.lanes.items():
            while len(place.background) < self.terms().background_seats and line.waiting(lane):
                others = sum(self.running.values()) + sum(
                    len(place.background) for place in self.lanes.values()
                )
                if not self._room(now, others):
                    wakes.append(self._fresh_until)
                    break
                request = line.take(lane, lambda _: True)
                assert request is not None
                self._sit_down(request, now, decision)

    def _sit_down(self, request: Request, now: float, decision: Decision) -> None:
        request.began = now
        del self.waiting[request]
        place = self.lanes[request.lane]
        if request.urgency == "chat":
            place.chats += 1
            self.running[request.person] = self.running.get(request.person, 0) + 1
        else:
            place.background.append(request)
        decision.begin.append(request)

    def _stand_up(self, request: Request, now: float) -> None:
        place = self.lanes.get(request.lane)
        if request.urgency == "background":
            if place:
                place.background.remove(request)
                request.frozen += now - place.frozen_at if place.frozen_at is not None else 0.0
            return
        if place:
            place.chats -= 1
        self.running[request.person] -= 1
        if not self.running[request.person]:
            del self.running[request.person]
        self._seen(request.person, now)
        if request.began is not None:
            self.service += (now - request.began - self.service) * 0.1
        self._quieten(request, now)

    def _quieten(self, request: Request, now: float) -> None:
        if request.urgency == "chat":
            self._quiet_at = now + LINGER_SECONDS

    def _forget(self, request: Request) -> None:
        del self.waiting[request]
        self.shares[request.urgency].remove(request)

    def _freeze(self, place: Place, at: float | None, now: float) -> None:
        if place.frozen_at is not None:
            for request in place.background:
                request.frozen += now - place.frozen_at
        place.frozen_at = at

    def _mark(self, lane: int, reason: str) -> None:
        for request in self.waiting:
            if request.lane == lane:
                request.reasons.add(reason)
