# SPDX-License-Identifier: AGPL-3.0-or-later
"""The local channel once it is open: what was said here goes in, what is said here is shown."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import get_args

from haoya.core.capabilities import Capabilities
from haoya.core.errors import Unready
from haoya.core.message import Address, Inbound, Outbound, Part, Receipt
from haoya.core.plugin import Context

BATCH = 64
KNOWN_IDS = 1024
"""How many sent ids are remembered, so that a second sending shows nothing twice."""
KEPT_ANSWERS = 32
"""How many finals are kept for a watcher that was away when they were said."""
WAITING_FINALS = 1000
"""Past this a watcher that does not read is sent away, rather than losing one in silence."""
SEEN_SECONDS = 1.0
"""How long a sending waits for a watcher to have it."""
CLOSE_SECONDS = 1.0

_EVERYTHING = frozenset(str(part.__struct_config__.tag) for part in get_args(Part))


class Watcher:
    """One who looks at a room: all finals in order, and the newest draft while there is time.

    Coming back for the next one says that the one before is dealt with (written, shown).
    """

    def __init__(self) -> None:
        self.late = False
        self._finals: deque[Outbound] = deque()
        self._draft: Outbound | None = None
        self._in_hand = False
        self._news = asyncio.Event()
        self._even = asyncio.Event()
        self._even.set()
        self._gone = ""

    def show(self, outbound: Outbound) -> None:
        """Put one before the watcher; a draft takes the place of the draft not yet seen."""
        if outbound.finality == "draft":
            self._draft = outbound
        elif len(self._finals) >= WAITING_FINALS:
            self.leave("this watcher does not read; what it missed is in the journal")
        elif not self._gone:
            self._draft = None
            self._finals.append(outbound)
            self._even.clear()
        self._news.set()

    async def even(self) -> None:
        """Return once the watcher has dealt with all finals, or left."""
        await self._even.wait()

    def leave(self, reason: str) -> None:
        """End the watching with `Unready` once the finals at hand are read."""
        self._gone = self._gone or reason
        self._news.set()
        self._even.set()

    def __aiter__(self) -> AsyncIterator[Outbound]:
        return self

    async def __anext__(self) -> Outbound:
        if self._in_hand and not self._finals:
            self.late = False
            self._even.set()
        while True:
            self._in_hand = bool(self._finals)
            if self._finals:
                return self._finals.popleft()
            if self._gone:
                raise Unready(self._gone)
            if self._draft is not None:
                draft, self._draft = self._draft, None
                return draft
            self._news.clear()
            await self._news.wait()


class LocalConnection:
    """A `Connection`, a `Desk` and `Drafts` for people on this machine.

    `send` is content with nobody watching: the journal is the mailbox, and whoever comes later
    reads there what was said. The last few finals are kept for those who ask for an answer
    they were waiting for when the line broke.
    """

    capabilities = Capabilities(
        max_length=1_000_000,
        markup="markdown",
        hears=_EVERYTHING,
        says=_EVERYTHING,
        draft_seconds=0.05,
        buttons=True,
        idempotent_send="native",
        ack="after_commit",
    )

    def __init__(self, context: Context) -> None:
        self.context = context
        self.peers: dict[asyncio.Task[None], asyncio.Timeout] = {}
        self._heard: asyncio.Queue[tuple[Inbound, asyncio.Future[None]]] = asyncio.Queue()
        self._watchers: dict[str, set[Watcher]] = {}
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._kept: deque[Outbound] = deque(maxlen=KEPT_ANSWERS)
        self._closed = False

    async def receive(self) -> AsyncGenerator[Sequence[Inbound], None]:
        """What was said here, everything at hand in one batch; resumed once it is stored."""
        while True:
            batch = [await self._heard.get()]
            while len(batch) < BATCH and not self._heard.empty():
                batch.append(self._heard.get_nowait())
            try:
                yield [inbound for inbound, _ in batch]
                _settle(batch, stored=True)
            finally:
                _settle(batch, stored=False)

    async def send(self, outbound: Outbound) -> Receipt:
        """Show it to all who watch its room; a second sending of one id shows nothing.

        Returns once the watchers have it, so that a daemon killed right after the receipt has
        not kept it to itself. A late watcher is waited for once, and then not until it has
        caught up.
        """
        if self._closed:
            raise Unready(_CLOSED)
        self.context.alive()
        key = (outbound.id, outbound.finality)
        if key not in self._known:
            self._known[key] = None
            if len(self._known) > KNOWN_IDS:
                self._known.popitem(last=False)
            self._kept.append(outbound)
            self._show(outbound)
            await self._seen(outbound.address.room)
        return Receipt(ids=(outbound.id,))

    async def draft(self, outbound: Outbound) -> None:
        """Show the answer so far to all who watch its room."""
        self._show(outbound)

    async def hand_in(self, inbound: Inbound) -> None:
        """Put a message into `receive`; returns once it is stored. Raises `Unready`."""
        await self.take(inbound)

    def address(self, room: str) -> Address:
        """Where the conversation named `room` is."""
        return Address(channel=self.context.name, room=room)

    def take(self, inbound: Inbound) -> asyncio.Future[None]:
        """As `hand_in`, in the order of the calls: the future is done once it is stored."""
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._closed:
            stored.set_exception(Unready(_CLOSED))
        else:
            self._heard.put_nowait((inbound, stored))
        return stored

    @asynccontextmanager
    async def watch(self, room: str) -> AsyncGenerator[AsyncIterator[Outbound], None]:
        """Everything said in one room from now on, drafts included."""
        watcher = self.enter(room)
        try:
            yield watcher
        finally:
            self.leave(room, watcher)

    def enter(self, room: str, awaited: Sequence[str] = ()) -> Watcher:
        """Begin to watch; first come the kept finals that answer one of the `awaited` ids."""
        if self._closed:
            raise Unready(_CLOSED)
        watcher = Watcher()
        for outbound in self._kept:
            if outbound.address.room == room and not set(awaited).isdisjoint(outbound.answers):
                watcher.show(outbound)
        self._watchers.setdefault(room, set()).add(watcher)
        return watcher

    def leave(self, room: str, watcher: Watcher) -> None:
        """End what `enter` began."""
        watcher.leave("left")
        watchers = self._watchers.get(room, set())
        watchers.discard(watcher)
        if not watchers:
            self._watchers.pop(room, None)

    async def close(self) -> None:
        """Tell all who wait or watch that the door is closed, and see the peers off."""
        self._closed = True
        while not self._heard.empty():
            _settle([self._heard.get_nowait()], stored=False)
        for watcher in [one for group in self._watchers.values() for one in group]:
            watcher.leave(_CLOSED)
        now = asyncio.get_running_loop().time()
        peers = dict(self.peers)
        for leash in peers.values():
            leash.reschedule(now)
        if peers:
            await asyncio.wait(peers, timeout=CLOSE_SECONDS)

    async def _seen(self, room: str) -> None:
        for watcher in [one for one in self._watchers.get(room, ()) if not one.late]:
            try:
                async with asyncio.timeout(SEEN_SECONDS):
                    await watcher.even()
            except TimeoutError:
                watcher.late = True

    def _show(self, outbound: Outbound) -> None:
        for watcher in tuple(self._watchers.get(outbound.address.room, ())):
            watcher.show(outbound)


_CLOSED = "the local channel is closed; the message was not stored"


def _settle(batch: list[tuple[Inbound, asyncio.Future[None]]], *, stored: bool) -> None:
    for _, future in batch:
        if not future.done():
            if stored:
                future.set_result(None)
            else:
                future.set_exception(Unready("the message was not stored; send it again"))
