# SPDX-License-Identifier: AGPL-3.0-or-later
"""A hedged request: when a model is slow to begin, the next one begins too; the first word wins."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec

from haoya.core.errors import Rejected, Unready
from haoya.core.ports import Model
from haoya.core.tool import Delta, Finish, Prompt

Runner = tuple[str, Model]
"""A model by its name in the settings."""

Failure = Unready | Rejected
News = tuple[int, Delta | Failure | None]
"""Whose news, and what: a word, a failure, or (None) its end."""


class Hedged:
    """A `Model` made of two, for one turn. Whoever won a step is asked first in the next one, for
    it has the conversation in its cache.

    `failed` is told of a failure that the other's answer covers up.
    """

    def __init__(
        self, first: Runner, second: Runner, seconds: float, failed: Callable[[str, Failure], None]
    ) -> None:
        self._runners = [first, second]
        self._seconds = seconds
        self._failed = failed

    @property
    def speaker(self) -> str:
        """The part asked first, and from its first word on the one whose answer is taken."""
        return self._runners[0][0]

    @property
    def name(self) -> str:
        """What its server calls the speaker."""
        return self._runners[0][1].name

    @property
    def context_tokens(self) -> int:
        """What both can take."""
        return min(model.context_tokens for _, model in self._runners)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """The answer of whoever begins first; the other is cancelled. Raises as the port says:
        what befell the first where both failed, or it failed before the second began."""
        names = [name for name, _ in self._runners]
        news: asyncio.Queue[News] = asyncio.Queue()
        tasks = [asyncio.create_task(self._run(0, prompt, news))]
        try:
            try:
                async with asyncio.timeout(self._seconds):
                    winner, said = await news.get()
                note = ""
            except TimeoutError:
                tasks.append(asyncio.create_task(self._run(1, prompt, news)))
                winner, said = await self._race(news)
                late = f"{names[0]} had not begun after {self._seconds:g} s"
                note = f"hedged: {late}, {names[winner]} was first to begin"
            if len(tasks) == 2:
                tasks[1 - winner].cancel()
            if winner:
                self._runners.reverse()
            while said is not None:
                if isinstance(said, Unready | Rejected):
                    raise said
                if isinstance(said, Finish) and note:
                    said = msgspec.structs.replace(said, notes=(*said.notes, note))
                yield said
                said = await self._next(news, winner)
            await tasks[winner]  # a fault that is no failure of a model comes out here
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _race(self, news: asyncio.Queue[News]) -> News:
        """The first word of either; the first one's failure where neither has one."""
        failures: dict[int, Failure] = {}
        while True:
            whose, said = await news.get()
            if not isinstance(said, Unready | Rejected):
                for loser, error in failures.items():
                    self._failed(self._runners[loser][0], error)
                return whose, said
            failures[whose] = said
            if len(failures) == len(self._runners):
                self._failed(self._runners[1][0], failures[1])
                return 0, failures[0]

    async def _next(self, news: asyncio.Queue[News], whose: int) -> Delta | Failure | None:
        while True:
            who, said = await news.get()
            if who == whose:
                return said

    async def _run(self, who: int, prompt: Prompt, news: asyncio.Queue[News]) -> None:
        """Pass on all that a model says; a task of its own from its first word to its last, for
        it may hold locks and time limits that belong to one."""
        end: Failure | None = None
        try:
            async with aclosing(self._runners[who][1].stream(prompt)) as deltas:
                async for delta in deltas:
                    news.put_nowait((who, delta))
        except (Unready, Rejected) as error:
            end = error
        finally:
            news.put_nowait((who, end))
