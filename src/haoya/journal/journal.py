# SPDX-License-Identifier: AGPL-3.0-or-later
"""The journal as the house sees it: asynchronous, one thread that writes, one that reads."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import apsw

from haoya.core.errors import Unready
from haoya.core.event import Entry, Event, Received
from haoya.core.message import Address, Inbound
from haoya.journal import query
from haoya.journal.check import check_file
from haoya.journal.codec import Censor, claim_of, pack
from haoya.journal.database import Database
from haoya.journal.failure import explain
from haoya.journal.ledger import Ledger, Step
from haoya.journal.lock import hold
from haoya.journal.schema import FILE, Synchronous, connect, make_folder
from haoya.journal.words import Conversation, Figures, Owed
from haoya.journal.writer import Writer

_log = logging.getLogger("haoya.journal")
_P = ParamSpec("_P")
_T = TypeVar("_T")

TAIL_ENTRIES = 256
"""The newest entries stay in memory, for all followers together; who lags reads the disk."""
_POLL_SECONDS = 0.2
"""How often a reader beside another process's writer looks for new entries."""


class Journal:
    """What happened, in order. Made by `open_journal`; used from its event loop."""

    def __init__(
        self,
        path: Path,
        reader: Database,
        ledger: Ledger | None,
        clock: Callable[[], float],
        censor: Censor | None = None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._censor = censor
        self._reader = reader
        self._writer = Writer(ledger, self._told) if ledger else None
        self._loop = asyncio.get_running_loop()
        self._reading = ThreadPoolExecutor(1, "journal-reader")
        self._checking = ThreadPoolExecutor(1, "journal-check")
        self._checker: Database | None = None
        self._closed = False
        self._unreadable = 0
        self._last = query.last(reader)
        self._tail: deque[Entry] = deque(maxlen=TAIL_ENTRIES)
        self._grown = asyncio.Event()

    # Writing

    async def append(self, address: Address, *events: Event) -> list[Entry]:
        """Write the events to one conversation in one atomic step; returns when they are durable.

        The whole step is dropped and [] returned if it holds a `Received` or `Said` whose id the
        journal already has. Once handed in, a step is written even if the caller is cancelled.
        The cursor of a `Received` moves either way. Raises `Unready` where the disk refuses; then
        nothing of the step was written.
        """
        if not events:
            return []
        claims = [claim for claim in map(claim_of, events) if claim]
        if len(set(claims)) < len(claims):
            raise ValueError("journal: the same message twice in one step")
        at = self._clock()
        items = tuple(pack(event, at, address, self._censor) for event in events)
        heard = [event.inbound for event in events if isinstance(event, Received)]
        return await self._submit(Step(items, cursors=_cursors(heard)))

    async def receive(self, inbounds: Sequence[Inbound]) -> list[Entry]:
        """Write what a channel heard, in one commit; returns the entries of what was new.

        Messages whose (channel, id) the journal already has are left out; the channel's cursor
        moves to the last one given either way, in the same commit. Raises as `append` does.
        """
        at = self._clock()
        items = tuple(
            pack(Received(inbound=inbound), at, censor=self._censor) for inbound in inbounds
        )
        if not items:
            return []
        return await self._submit(Step(items, whole=False, cursors=_cursors(inbounds)))

    def _submit(self, step: Step) -> asyncio.Future[list[Entry]]:
        if self._closed or self._writer is None:
            state = "closed" if self._closed else "opened for reading only"
            raise Unready(f"journal: {state}; write through the daemon that has it open")
        return self._writer.submit(step)

    def _told(self, entries: list[Entry]) -> None:
        if entries:
            self._tail.extend(entries)
            self._last = entries[-1].number
            self._grown.set()
            self._grown = asyncio.Event()

    # Reading

    async def read(
        self,
        conversation: str,
        *,
        after: int = 0,
        before: int | None = None,
        last: int | None = None,
        kinds: frozenset[str] = frozenset(),
    ) -> list[Entry]:
        """Entries of the conversation with that key, by rising number, between `after` and
        `before` (both exclusive); with `last` only so many at the end, with `kinds` only those."""
        return await self._page(
            query.read, conversation, after=after, before=before, newest=last, kinds=kinds
        )

    async def entry(self, number: int) -> Entry | None:
        """The entry with that number, None if there is none (or this version cannot read it)."""
        return next(iter(await self._page(query.entry, number)), None)

    async def find(self, channel: str, id: str) -> int | None:
        """The number of the `Received` that the channel heard as `id`."""
        return await self._ask(query.find, channel, id)

    async def owed(self, channel: str) -> list[Owed]:
        """Every `Said` to the channel without `Failed` or a last `Delivered`, oldest first."""
        return await self._ask(query.owed, channel)

    async def undecided(self) -> list[Entry]:
        """Every `Received` without `Admitted` or `Refused`, oldest first."""
        return await self._page(query.still_open, "undecided")

    async def asked(self) -> list[Entry]:
        """Every `Asked` without `Decided`, oldest first."""
        return await self._page(query.still_open, "asked")

    async def waiting(self) -> list[Address]:
        """Conversations with an `Admitted` that wakes and that no turn has read yet.

        `Said` or `Stopped` with turn n closes all before it with a number up to n.
        """
        return await self._ask(query.waiting)

    async def cursor(self, channel: str) -> str:
        """The last `Inbound.cursor` stored for the channel, or ""."""
        return await self._ask(query.cursor, channel)

    async def conversations(
        self, limit: int = 100, channel: str | None = None
    ) -> list[Conversation]:
        """The conversations (of one channel), the one with the newest line first."""
        return await self._ask(query.conversations, limit, channel)

    async def address(self, key: str) -> Address | None:
        """The whole address of the conversation with that key, None for one never heard of."""
        return await self._ask(query.address, key)

    async def recent(
        self, kinds: frozenset[str] = frozenset(), *, limit: int, before: int | None = None
    ) -> list[Entry]:
        """The newest entries of all conversations, newest first, of some `kinds` or of all."""
        return await self._page(query.recent, kinds, limit, before)

    async def follow(self, after: int) -> AsyncGenerator[Entry]:
        """Every entry with a number above `after`, in order, for ever; ends when the journal
        closes. A follower that lags reads from disk at its own pace and holds nobody up."""
        while not self._closed:
            if self._writer and after >= self._last:
                await self._grown.wait()
                continue
            if self._tail and self._tail[0].number <= after + 1 <= self._last:
                entries = list(islice(self._tail, after + 1 - self._tail[0].number, None))
                end = entries[-1].number
            else:
                try:
                    page = self._noted(await self._ask(query.following, after, TAIL_ENTRIES))
                except Unready:
                    if self._closed:
                        return
                    raise
                entries, end = page.entries, page.end
            for entry in entries:
                yield entry
            if end == after:  # only beside another process's writer
                await asyncio.sleep(_POLL_SECONDS)
            after = end

    async def check(self) -> list[str]:
        """What is wrong with the journal, in sentences; [] when SQLite finds the file sound and
        a replay of all entries gives the open state that is stored. Runs beside everything."""
        if self._closed:
            raise Unready("journal: closed")
        return await self._loop.run_in_executor(self._checking, check_file, self._path, self._begun)

    def figures(self) -> Figures:
        """How the journal is, at no cost."""
        log = self._path.with_name(f"{self._path.name}-wal")
        writer = self._writer
        return Figures(
            lines=self._last,
            bytes=sum(file.stat().st_size for file in (self._path, log) if file.exists()),
            commit_seconds=writer.ledger.commit_seconds if writer else 0,
            failure=writer.failure if writer else "",
            unreadable=self._unreadable,
        )

    def close(self) -> None:
        """Write what was handed in, then let go. Whoever still reads gets `Unready`; followers
        end. The writer's connection closes last: only it can fold the write-ahead log in."""
        self._closed = True
        with suppress(apsw.ConnectionClosedError):
            self._reader.interrupt()
            if checker := self._checker:
                checker.interrupt()
        self._reading.shutdown()
        self._checking.shutdown()
        self._reader.close()
        if self._writer:
            self._writer.close()
        self._grown.set()

    def _begun(self, checker: Database) -> None:
        self._checker = checker
        if self._closed:
            raise apsw.InterruptError

    def _noted(self, page: query.Page) -> query.Page:
        if page.unreadable:
            if not self._unreadable:
                _log.warning("journal: some lines cannot be read; ask: haoya doctor")
            self._unreadable += page.unreadable
        return page

    async def _page(
        self,
        question: Callable[Concatenate[Database, _P], query.Page],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> list[Entry]:
        return self._noted(await self._ask(question, *args, **kwargs)).entries

    async def _ask(
        self,
        question: Callable[Concatenate[Database, _P], _T],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        if self._closed:
            raise Unready("journal: closed")
        asked = partial(question, self._reader, *args, **kwargs)
        try:
            return await self._loop.run_in_executor(self._reading, self._answer, asked)
        except apsw.Error as error:
            raise explain(error) or error from error

    def _answer(self, asked: Callable[[], _T]) -> _T:
        if self._closed:
            raise apsw.InterruptError
        return asked()


def _cursors(inbounds: Sequence[Inbound]) -> tuple[tuple[str, str], ...]:
    """Where each channel stands after these messages."""
    return tuple({i.address.channel: i.cursor for i in inbounds if i.cursor}.items())


@asynccontextmanager
async def open_journal(
    folder: Path,
    *,
    clock: Callable[[], float] = time.time,
    synchronous: Synchronous = "full",
    read_only: bool = False,
    censor: Censor | None = None,
) -> AsyncGenerator[Journal]:
    """The journal in `folder` (made if missing), for one writing process at a time.

    With `read_only`, beside the process that writes. `synchronous` "normal" survives a killed
    process but may lose the last moments when the power fails. What the `censor` finds in an event
    is not written. Raises `Unready` where the disk refuses or another process writes,
    `ConfigError` where the file is no journal of ours.
    """
    with ExitStack() as held:
        try:
            path = folder / FILE
            ledger = None
            if not read_only:
                make_folder(folder)
                held.enter_context(hold(folder))
                ledger = Ledger(connect(path, synchronous=synchronous))
                held.callback(ledger.close)
            reader = held.enter_context(closing(connect(path, read_only=True)))
            journal = Journal(path, reader, ledger, clock, censor)
        except (OSError, apsw.Error) as error:
            raise explain(error) or error from error
        held.callback(journal.close)
        yield journal
