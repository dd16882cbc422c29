# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ephemeral signs of life while a turn runs: typing, and the answer growing. Never journaled,
but for the one line that tells which network message the final answer must replace."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from haoya.core.errors import HaoyaError
from haoya.core.message import Address, Outbound, Text
from haoya.core.plan import plan
from haoya.core.ports import Connection, Drafts, Edits, ShowsTyping

log = logging.getLogger("haoya.runtime")

TYPING_AFTER = 0.7
"""A turn this short needs no sign that we are at work."""

TYPING_EVERY = 4.0
"""Telegram shows `typing` for five seconds (Bot API, sendChatAction)."""


class Stream:
    """One turn's words on their way to the people who watch."""

    def __init__(
        self,
        connection: Connection | None,
        address: Address,
        id: str,
        drafted: Callable[[str], Awaitable[None]],
        network_id: str = "",
    ) -> None:
        self.connection = connection
        self.address = address
        self.id = id
        self.drafted = drafted
        self.text = ""
        self.shown = ""
        self.network_id = network_id
        self.changed = asyncio.Event()
        self.done = asyncio.Event()
        self.still = asyncio.Event()

    def add(self, words: str) -> None:
        """More words of the answer."""
        self.text += words
        self.changed.set()

    def clear(self) -> None:
        """The words so far are void."""
        self.text = ""

    async def end(self) -> None:
        """Show nothing more; returns when what was on its way has arrived."""
        self.done.set()
        self.changed.set()
        await self.still.wait()

    async def run(self) -> None:
        """Show what there is, no faster than the network likes, until `end`."""
        try:
            if self.connection is not None:
                await self._show(self.connection)
        finally:
            self.still.set()

    async def _show(self, connection: Connection) -> None:
        pace = connection.capabilities.draft_seconds
        eager = isinstance(connection, Drafts)
        if not eager and not await self._wait(min(pace or TYPING_AFTER, TYPING_AFTER)):
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                if isinstance(connection, ShowsTyping):
                    tasks.create_task(self._type(connection))
                if pace and isinstance(connection, Drafts):
                    tasks.create_task(self._draft(connection, pace))
                elif pace and isinstance(connection, Edits):
                    tasks.create_task(self._edit(connection, pace))
        except* HaoyaError as trouble:
            log.debug("no more signs of life: %s", trouble.exceptions[0])

    async def _wait(self, seconds: float) -> bool:
        """Wait, but no longer than the turn; whether it goes on."""
        try:
            async with asyncio.timeout(seconds):
                await self.done.wait()
        except TimeoutError:
            return True
        return False

    async def _type(self, connection: ShowsTyping) -> None:
        while not self.network_id:
            await connection.typing(self.address)
            if not await self._wait(TYPING_EVERY):
                return

    async def _draft(self, connection: Drafts, pace: float) -> None:
        while not self.done.is_set():
            await self.changed.wait()
            self.changed.clear()
            if self.done.is_set():
                return
            await connection.draft(self._outbound())
            await self._wait(pace)

    async def _edit(self, connection: Edits, pace: float) -> None:
        while await self._wait(pace):
            if self.text.strip() and self.text != self.shown:
                await self._place(connection)

    async def _place(self, connection: Edits) -> None:
        assert self.connection is not None
        shown = self.text
        pieces = plan(self._outbound(), self.connection.capabilities).pieces
        if not pieces:
            return
        if self.network_id:
            await connection.edit(self.network_id, pieces[0])
        else:
            receipt = await self.connection.send(pieces[0])
            if receipt.ids:
                self.network_id = receipt.ids[0]
                await self.drafted(self.network_id)
        self.shown = shown

    def _outbound(self) -> Outbound:
        text = Text(text=self.text, markup="markdown")
        return Outbound(id=self.id, address=self.address, parts=(text,), finality="draft")
