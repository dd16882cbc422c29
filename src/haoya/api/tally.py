# SPDX-License-Identifier: AGPL-3.0-or-later
"""Counts of what happened since the window opened, kept by following the journal."""

import asyncio
from collections import Counter
from contextlib import aclosing

from haoya.core.errors import Unready
from haoya.core.event import Entry, ModelAnswered, Said, ToolReturned, kind_of
from haoya.runtime.house import House

PAUSE_SECONDS = 1.0


class Tally:
    """Events by kind, answers, tokens and tool failures."""

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.answers = 0
        self.tokens: Counter[tuple[str, str]] = Counter()
        self.model_seconds = 0.0
        self.tools: Counter[str] = Counter()

    async def follow(self, house: House) -> None:
        """Count for ever. A follower that lags reads the disk and holds nobody up."""
        after: int | None = None
        while True:
            await house.ready.wait()
            if gateway := house.gateway:
                after = gateway.journal.figures().lines if after is None else after
                try:
                    async with aclosing(gateway.journal.follow(after)) as entries:
                        async for entry in entries:
                            after = entry.number
                            self.note(entry)
                except Unready:
                    pass  # The journal shut; it is followed again once it is open.
            await asyncio.sleep(PAUSE_SECONDS)

    def note(self, entry: Entry) -> None:
        """Count one line."""
        self.events[kind_of(entry.event)] += 1
        match entry.event:
            case Said(turn=turn) if turn:
                self.answers += 1
            case ModelAnswered(model=model, usage=usage, seconds=seconds):
                self.tokens[model, "prompt"] += usage.prompt
                self.tokens[model, "completion"] += usage.completion
                self.tokens[model, "cached"] += usage.cached
                self.model_seconds += seconds
            case ToolReturned(ok=ok):
                self.tools["ok" if ok else "failed"] += 1
            case _:
                pass
