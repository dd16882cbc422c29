# SPDX-License-Identifier: AGPL-3.0-or-later
"""The outbox of one channel: what is owed goes out in order, once, with its receipt written."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from haoya.core.capabilities import Capabilities, length
from haoya.core.errors import Throttled, Undeliverable, Unready
from haoya.core.event import Delivered, Event, Failed, Held, Sending
from haoya.core.message import Address, Outbound, Part, Receipt, Text
from haoya.core.plan import Plan, plan
from haoya.core.ports import Connection, Edits
from haoya.journal import Journal, Owed
from haoya.runtime.settings import DeliverySettings

SEND_SECONDS = 60.0
"""How long a network may take for one piece before the connection counts as gone."""

LAST_SECONDS = 1.0
"""What a sending that is under way may still take when the channel closes."""

LANES = 32
"""How many conversations of one channel are served at once."""

MARK = " ↻"
"""Stands behind a message that may be there twice: a crash hid whether the first one arrived."""


class Outbox:
    """One channel's debts. `push` may be called at any time; `speak` runs while it is open."""

    def __init__(
        self,
        channel: str,
        journal: Journal,
        settings: Callable[[], DeliverySettings],
        clock: Callable[[], float],
    ) -> None:
        self.channel = channel
        self.journal = journal
        self.settings = settings
        self.clock = clock
        self.queues: dict[str, deque[Owed]] = {}
        self.known: set[int] = set()
        self.lanes: set[str] = set()
        self.begun: set[int] = set()
        self.tasks: asyncio.TaskGroup | None = None
        self.early: list[Owed] | None = None
        self.room = asyncio.Semaphore(LANES)

    def begins(self, key: str) -> bool:
        """Whether a debt of this conversation would be paid at once, and the network needs a
        `Sending` before: then one is written together with the debt itself."""
        ready = self.tasks is not None and self.early is None
        free = key not in self.lanes and not self.room.locked()
        return ready and free and self.connection.capabilities.idempotent_send == "none"

    def push(self, owed: Owed, *, begun: bool = False) -> bool:
        """A new debt, its first piece already `Sending` if `begun`. False while the channel is
        closed: the journal alone remembers it then."""
        if self.tasks is None:
            return False
        if owed.entry.number in self.known:
            return True
        if self.early is not None:
            self.early.append(owed)
            return not begun
        if begun:
            self.begun.add(owed.entry.number)
        self.known.add(owed.entry.number)
        key = owed.address.key
        self.queues.setdefault(key, deque()).append(owed)
        if key not in self.lanes:
            self.lanes.add(key)
            self.tasks.create_task(self._lane(key))
        return True

    async def speak(self, connection: Connection) -> None:
        """Pay all debts over an open connection, old ones first. Raises `Unready` with it.

        What is pushed while the old debts are read waits, or it would overtake them.
        """
        self.queues, self.known, self.lanes, self.begun = {}, set(), set(), set()
        self.connection = connection
        try:
            async with asyncio.TaskGroup() as tasks:
                self.tasks, self.early = tasks, []
                old = await self.journal.owed(self.channel)
                early, self.early = self.early, None
                for owed in [*old, *early]:
                    self.push(owed)
                await asyncio.Event().wait()
        finally:
            self.tasks = None

    async def _lane(self, key: str) -> None:
        """Serve one conversation in order until nothing is left."""
        queue = self.queues[key]
        while queue:
            async with self.room:
                await self._deliver(queue[0])
            self.known.discard(queue.popleft().entry.number)
        self.lanes.discard(key)
        del self.queues[key]

    async def _deliver(self, owed: Owed) -> None:
        outbound = owed.said.outbound
        planned = plan(outbound, self.connection.capabilities)
        if outbound.ttl and self.clock() > owed.entry.at + outbound.ttl:
            await self._write(owed.address, Failed(of=owed.entry.number, error="too old to send"))
            return
        if len(planned.pieces) <= owed.piece:
            nothing = Delivered(of=owed.entry.number, piece=owed.piece, receipt=Receipt())
            await self._write(owed.address, nothing)
            return
        for index in range(owed.piece, len(planned.pieces)):
            if not await self._piece(owed, planned, index):
                return

    async def _piece(self, owed: Owed, planned: Plan, index: int) -> bool:
        """Send one piece and write down what became of it; whether to go on with the next."""
        number, address, piece = owed.entry.number, owed.address, planned.pieces[index]
        cautious = self.connection.capabilities.idempotent_send == "none"
        unknown = cautious and owed.sending and index == owed.piece
        if unknown and self.settings().repeat == "never":
            error = "a crash hid whether it arrived; it is not sent again (delivery.repeat)"
            await self._write(address, Failed(of=number, error=error))
            return False
        drafted = owed.drafted if index == 0 else ""
        if unknown and not drafted:
            piece = _marked(piece, self.connection.capabilities)
        while True:
            begun = index == 0 and number in self.begun
            self.begun.discard(number)
            if cautious and not drafted and not begun:
                await self._write(address, Sending(of=number, piece=index))
            try:
                sent = self._send(piece, drafted)
                await _finish(self._paid(owed, planned, index, sent, marked=unknown))
                return True
            except Throttled as error:
                await self._hold(owed, index, str(error), cautious)
                await asyncio.sleep(error.retry_after or 1)
                continue
            except Unready as error:
                if not error.reached:
                    await self._hold(owed, index, str(error), cautious)
                raise
            except Undeliverable as error:
                if drafted:
                    drafted = ""
                    continue
                await self._write(address, Failed(of=number, error=str(error)))
                return False

    async def _send(self, piece: Outbound, drafted: str) -> Receipt:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                if drafted and isinstance(self.connection, Edits):
                    return await self.connection.edit(drafted, piece)
                return await self.connection.send(piece)
        except TimeoutError as error:
            raise Unready(f"no answer to a message for {SEND_SECONDS:.0f} s") from error

    async def _hold(self, owed: Owed, index: int, reason: str, cautious: bool) -> None:
        if cautious:
            await self._write(owed.address, Held(of=owed.entry.number, piece=index, reason=reason))

    async def _paid(
        self, owed: Owed, planned: Plan, index: int, sent: Awaitable[Receipt], *, marked: bool
    ) -> None:
        """Wait for the network's receipt and write it down."""
        receipt = await sent
        last = index >= len(planned.pieces) - 1
        delivered = Delivered(
            of=owed.entry.number,
            piece=index,
            receipt=receipt,
            last=last,
            marked=marked,
            lost=planned.lost if last else (),
        )
        await self._write(owed.address, delivered)

    async def _write(self, address: Address, event: Event) -> None:
        await self.journal.append(address, event)


async def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Do it, and when told to stop meanwhile, give it a last moment to come to its end.

    A sending cut off in the middle would have to be sent again without need.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        done, _ = await asyncio.wait([task], timeout=LAST_SECONDS)
        if not done:
            task.cancel()
        elif not task.cancelled():
            task.exception()
        raise


def _marked(piece: Outbound, capabilities: Capabilities) -> Outbound:
    """The piece with the sign of a possible second sending behind its words, where it fits."""
    parts: list[Part] = list(piece.parts)
    for i in range(len(parts) - 1, -1, -1):
        part = parts[i]
        if isinstance(part, Text):
            if length(part.text + MARK, capabilities.unit) > capabilities.max_length:
                return piece
            parts[i] = msgspec.structs.replace(part, text=part.text + MARK)
            break
    return msgspec.structs.replace(piece, parts=tuple(parts))
