# SPDX-License-Identifier: AGPL-3.0-or-later
"""How many tokens each person has used, counted from the journal, and whether that is enough.

Nothing is kept but what was read: every `ModelAnswered` belongs to a turn, every turn to the
person whose message it answers. Tokens taken from a prompt cache cost nothing.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import msgspec

from haoya.core.event import Admitted, Entry, ModelAnswered, kind_of
from haoya.core.phrases import Language, phrase
from haoya.journal import Journal
from haoya.runtime.queue_settings import QueueSettings

PAGE = 500
"""Lines read at a time."""

_SAID = {"day": "budget-day", "hour": "budget-hour"}
_KINDS = frozenset({kind_of(Admitted), kind_of(ModelAnswered)})


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """An hour or a day of the machine's clock (Unix seconds), without its end."""

    start: float
    end: float


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody has used in a window; None in `limit` where all may be used."""

    span: str
    used: int
    limit: int | None
    refilled: float

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.limit is not None and self.used >= self.limit


class Budgets:
    """The budgets of one open journal."""

    def __init__(
        self,
        journal: Journal,
        settings: Callable[[], QueueSettings],
        clock: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._settings = settings
        self._clock = clock
        self._reading = asyncio.Lock()
        self._seen = 0
        self._day = 0.0
        self._tokens: Counter[tuple[str, float]] = Counter()
        """By person and start of an hour of the present day."""

    async def refusal(self, person: str, role: str, language: Language) -> str:
        """What to tell a person who has used up a budget; "" for one who may go on."""
        quota = self._settings().quota(person, role)
        if quota.hour is None and quota.day is None:
            return ""
        for use in await self.uses(person, role):
            if use.spent:
                at = time.strftime("%H:%M", time.localtime(use.refilled))
                key = _SAID[use.span]
                return phrase(key, language, used=use.used, limit=use.limit, time=at)
        return ""

    async def uses(self, person: str, role: str) -> list[Use]:
        """What a person has used of the present day and hour; the longer first."""
        now = self._clock()
        day, hour = day_of(now), hour_of(now)
        await self._catch_up(day)
        quota = self._settings().quota(person, role)
        whole = sum(n for (who, at), n in self._tokens.items() if who == person and at < day.end)
        return [
            Use(span="day", used=whole, limit=quota.day, refilled=day.end),
            Use(
                span="hour",
                used=self._tokens[person, hour.start],
                limit=quota.hour,
                refilled=hour.end,
            ),
        ]

    async def people(self) -> list[str]:
        """Everybody who has used tokens today."""
        await self._catch_up(day_of(self._clock()))
        return sorted({person for person, _ in self._tokens})

    async def _catch_up(self, day: Window) -> None:
        """Count the day's lines that are not counted yet."""
        async with self._reading:
            if day.start != self._day:
                self._day = day.start
                for key in [key for key in self._tokens if key[1] < day.start]:
                    del self._tokens[key]
            people: dict[int, str] = {}
            answered: list[Entry] = []
            last = self._seen
            for entry in await self._fresh(day.start):
                last = max(last, entry.number)
                if isinstance(entry.event, Admitted):
                    people[entry.number] = entry.event.person
                else:
                    answered.append(entry)
            for entry in answered:
                await self._count(entry, people)
            self._seen = last

    async def _fresh(self, since: float) -> list[Entry]:
        """The lines of today after the last one counted, newest first."""
        found: list[Entry] = []
        before: int | None = None
        while True:
            page = await self._journal.recent(_KINDS, limit=PAGE, before=before)
            fresh = [entry for entry in page if entry.number > self._seen and entry.at >= since]
            found += fresh
            if len(fresh) < PAGE:
                return found
            before = fresh[-1].number

    async def _count(self, entry: Entry, people: dict[int, str]) -> None:
        assert isinstance(entry.event, ModelAnswered)
        turn, usage = entry.event.turn, entry.event.usage
        if turn not in people:
            read = await self._journal.entry(turn)
            event = read.event if read else None
            people[turn] = event.person if isinstance(event, Admitted) else ""
        tokens = usage.prompt - usage.cached + usage.completion
        self._tokens[people[turn], hour_of(entry.at).start] += max(0, tokens)


def hour_of(at: float) -> Window:
    """The hour of the machine's clock that a moment lies in."""
    local = time.localtime(at)
    start = int(at) - local.tm_min * 60 - local.tm_sec
    return Window(start=start, end=start + 3600)


def day_of(at: float) -> Window:
    """The day of the machine's clock that a moment lies in; 23 or 25 hours where clocks change."""
    year, month, day, *_ = time.localtime(at)
    ends = [time.mktime((year, month, day + more, 0, 0, 0, 0, 0, -1)) for more in (0, 1)]
    return Window(start=ends[0], end=ends[1])
