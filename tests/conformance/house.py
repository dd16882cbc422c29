# SPDX-License-Identifier: AGPL-3.0-or-later
"""A tiny true house: keeps the contract between a channel and the house, in memory.

What a channel yields is stored before its generator is resumed; messages are unique by
(channel, id); the last `Inbound.cursor` is lent back on opening; `Unready` reopens, `Throttled`
waits, `Rejected` parks. What may have arrived is not sent again.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2

from haoya.core.errors import Rejected, Throttled, Unready
from haoya.core.message import Address, Blob, Inbound, Outbound, Part, Receipt, Text
from haoya.core.plan import plan
from haoya.core.plugin import Context, Plugin
from haoya.core.ports import Connection
from tests.conformance.counterpart import until

TICK_SECONDS = 0.02


class MemoryBlobs:
    """A blob store in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def put(self, data: bytes, *, mime: str = "", name: str = "") -> Blob:
        sha256 = hashlib.sha256(data).hexdigest()
        self.kept[sha256] = data
        mime = mime or "application/octet-stream"
        return Blob(sha256=sha256, size=len(data), mime=mime, name=name)

    async def get(self, sha256: str) -> bytes:
        return self.kept[sha256]


class StoringFailed(Exception):
    """The disk was full."""


class House:
    """One channel's worth of house; `living` runs it, and may be entered again."""

    def __init__(
        self,
        plugin: Plugin[Any, Any],
        settings: Mapping[str, object],
        folder: Path,
        *,
        name: str = "chat",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.plugin = plugin
        self.settings = plugin.settings.model_validate(dict(settings))
        self.name = name
        self.folder = folder
        self.clock = clock
        self.blobs = MemoryBlobs()
        self.heard: list[Inbound] = []
        self.arrivals = 0
        self.cursor = ""
        self.opened = 0
        self.faults: list[Unready] = []
        self.rejected: Rejected | None = None
        self.pauses: list[float] = []
        self.refuse_storing = 0
        self.connection: Connection | None = None
        self._ids: set[str] = set()
        self._alive_at = 0.0
        self._broken = asyncio.Event()

    @asynccontextmanager
    async def living(self) -> AsyncIterator[None]:
        """Open the channel, listen, reopen it as needed; leaving closes it."""
        async with httpx2.AsyncClient() as http:
            supervisor = asyncio.create_task(self._supervise(http))
            try:
                yield
            finally:
                supervisor.cancel()
                with suppress(asyncio.CancelledError):
                    await supervisor
        if supervisor.done() and not supervisor.cancelled():
            supervisor.result()

    async def ready(self) -> Connection:
        """The open connection; AssertionError if there is none in time."""
        await until(lambda: self.connection or self.rejected, why=f"not open: {self.faults[-3:]}")
        assert self.connection, f"refused: {self.rejected}"
        return self.connection

    async def hears(self, text: str, *, seconds: float = 15) -> Inbound:
        """The first message stored that contains `text`, now or soon."""

        def found() -> list[Inbound]:
            return [inbound for inbound in self.heard if text in words(inbound)]

        why = f"{text!r} was not heard; heard: {[words(x) for x in self.heard]}; {self.faults[-2:]}"
        await until(found, seconds=seconds, why=why)
        return found()[0]

    async def say(self, address: Address, *parts: Part, reply_to: str = "") -> list[Receipt]:
        """Plan and send; what surely did not arrive stays owed and goes out later."""
        connection = await self.ready()
        id = f"out-{time.monotonic_ns()}"
        outbound = Outbound(id=id, address=address, parts=parts, reply_to=reply_to)
        return [
            await self._deliver(piece) for piece in plan(outbound, connection.capabilities).pieces
        ]

    async def _deliver(self, piece: Outbound) -> Receipt:
        while True:
            connection = await self.ready()
            try:
                return await connection.send(piece)
            except Throttled as pause:
                self.pauses.append(pause.retry_after or 0)
                await asyncio.sleep(pause.retry_after or 0)
            except Unready as fault:
                self.faults.append(fault)
                self._broken.set()
                if fault.reached:
                    return Receipt(status="unknown", error=str(fault))
                await asyncio.sleep(TICK_SECONDS)

    async def _supervise(self, http: httpx2.AsyncClient) -> None:
        while True:
            try:
                async with self.plugin.open(self.settings, self._context(http)) as connection:
                    self.connection = connection
                    self.opened += 1
                    await self._use(connection)
            except Rejected as refusal:
                self.rejected = refusal
                return
            except Unready as fault:
                self.faults.append(fault)
            except StoringFailed:
                pass
            finally:
                self.connection = None
            await asyncio.sleep(TICK_SECONDS)

    async def _use(self, connection: Connection) -> None:
        """Listen until the channel breaks, a sending finds it broken, or it goes deaf."""
        self._broken.clear()
        self._alive()
        listening = asyncio.create_task(self._listen(connection))
        broken = asyncio.create_task(self._broken.wait())
        deaf = asyncio.create_task(self._deaf())
        tasks = {listening, broken, deaf}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        for task in done:
            task.result()

    async def _listen(self, connection: Connection) -> None:
        async with aclosing(connection.receive()) as batches:
            async for batch in batches:
                self._store(list(batch))
        raise AssertionError("receive() ended by itself")

    def _store(self, batch: list[Inbound]) -> None:
        self.arrivals += len(batch)
        if self.refuse_storing:
            self.refuse_storing -= 1
            raise StoringFailed
        for inbound in batch:
            if inbound.id not in self._ids:
                self._ids.add(inbound.id)
                self.heard.append(inbound)
            self.cursor = inbound.cursor or self.cursor

    async def _deaf(self) -> None:
        patience = self.plugin.silent_seconds or float("inf")
        while True:
            left = patience - (time.monotonic() - self._alive_at)
            if left <= 0:
                raise Unready(f"{self.name}: nothing heard for {patience:g} s")
            await asyncio.sleep(min(left, 3600))

    def _alive(self) -> None:
        self._alive_at = time.monotonic()

    def _context(self, http: httpx2.AsyncClient) -> Context:
        self.folder.mkdir(parents=True, exist_ok=True)
        return Context(
            name=self.name,
            state=self.folder,
            clock=self.clock,
            http=http,
            secret=lambda value: value,
            blobs=self.blobs,
            cursor=self.cursor,
            alive=self._alive,
        )


def words(inbound: Inbound) -> str:
    """The plain words of a message, its captions included."""
    texts = [getattr(part, "text", "") or getattr(part, "caption", "") for part in inbound.parts]
    return "\n".join(text for text in texts if text)


def text(words: str) -> Text:
    """Plain words as a part."""
    return Text(text=words)
