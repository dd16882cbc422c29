# SPDX-License-Identifier: AGPL-3.0-or-later
"""Group commit: whatever was asked to be written while the last transaction ran goes into the
next one, and all who asked wake together. Nobody waits for a timer."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from haoya.core.errors import Unready
from haoya.core.event import Entry
from haoya.journal.ledger import Ledger, Step

_log = logging.getLogger("haoya.journal")

BATCH_STEPS = 512
"""Steps in one transaction at most: a commit stays short, and with it the longest wait."""

_Written = Future[list[list[Entry]]]


class _Pending(NamedTuple):
    step: Step
    future: asyncio.Future[list[Entry]]
    alone: bool = False


class Writer:
    """Hands steps to the one thread that writes; used from one event loop.

    `told` is called with the new entries after each commit, before anyone who waits wakes.
    """

    def __init__(self, ledger: Ledger, told: Callable[[list[Entry]], None]) -> None:
        self.ledger = ledger
        self.failure = ""
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "journal-writer")
        self._queue: deque[_Pending] = deque()
        self._scheduled = False
        self._running: tuple[list[_Pending], _Written] | None = None

    def submit(self, step: Step) -> asyncio.Future[list[Entry]]:
        """The step's entries, once durable. It is written even if nobody waits any more."""
        future: asyncio.Future[list[Entry]] = self._loop.create_future()
        self._queue.append(_Pending(step, future))
        self._wake()
        return future

    def close(self) -> None:
        """Write what was handed in, then let go; waits in place, so that no cancellation can
        come between."""
        while self._running or self._start():
            self._finish()
        self._thread.shutdown()
        self.ledger.close()

    def _wake(self) -> None:
        """Start the next batch once all who are ready to run have handed in theirs."""
        if not self._scheduled and not self._running and self._queue:
            self._scheduled = True
            self._loop.call_soon(self._start)

    def _start(self) -> bool:
        self._scheduled = False
        batch = [] if self._running else self._next_batch()
        if not batch:
            return False
        written = self._thread.submit(self.ledger.write, [pending.step for pending in batch])
        self._running = batch, written
        written.add_done_callback(partial(self._loop.call_soon_threadsafe, self._finished))
        return True

    def _next_batch(self) -> list[_Pending]:
        batch: list[_Pending] = []
        while self._queue and len(batch) < BATCH_STEPS:
            if batch and (batch[0].alone or self._queue[0].alone):
                break
            batch.append(self._queue.popleft())
        return batch

    def _finished(self, written: _Written) -> None:
        if self._running and self._running[1] is written:  # else `close` was faster
            self._finish()
            self._wake()

    def _finish(self) -> None:
        assert self._running
        batch, written = self._running
        error = written.exception()
        self._running = None
        if error is None:
            self._settle(batch, written.result())
        else:
            self._fail(batch, error)

    def _settle(self, batch: list[_Pending], written: list[list[Entry]]) -> None:
        if self.failure:
            self.failure = ""
            _log.info("journal: writing works again")
        self._told([entry for entries in written for entry in entries])
        for pending, entries in zip(batch, written, strict=True):
            if not pending.future.done():
                pending.future.set_result(entries)

    def _fail(self, batch: list[_Pending], error: BaseException) -> None:
        """A refusing disk fails all of the batch; a fault of one step must fail only that one, so
        each is tried alone."""
        refused = isinstance(error, Unready)
        if not refused and len(batch) > 1:
            self._queue.extendleft(pending._replace(alone=True) for pending in reversed(batch))
            return
        if refused and not self.failure:
            _log.error("%s", error)
        if refused:
            self.failure = str(error)
        for pending in batch:
            if not pending.future.done():
                # Each waiter raises its own: a shared one would gather all their tracebacks.
                pending.future.set_exception(Unready(str(error)) if refused else error)
