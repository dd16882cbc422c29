# SPDX-License-Identifier: AGPL-3.0-or-later
"""A thread outside the event loop that notices when the loop stands still."""

import asyncio
import logging
import sys
import threading
import time
import traceback

log = logging.getLogger("haoya.runtime")

EVERY_SECONDS = 0.25
STALL_SECONDS = 1.0
"""A loop that does not answer for this long is reported, with where it stands."""


class Watchdog:
    """Asks the loop for a sign of life four times a second and measures how late it comes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.thread_id = threading.get_ident()
        self.answered = time.monotonic()
        self.late = 0.0
        self.worst = 0.0
        self.stalls = 0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        """Start watching."""
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        self.stop.set()
        self.thread.join(2)

    def _answer(self, asked: float) -> None:
        self.answered = time.monotonic()
        self.late = self.answered - asked
        self.worst = max(self.worst, self.late)

    def _watch(self) -> None:
        stalled = False
        asked = time.monotonic()
        self.answered = asked
        while not self.stop.wait(EVERY_SECONDS):
            now = time.monotonic()
            if self.answered >= asked:
                stalled = False
                asked = now
                try:
                    self.loop.call_soon_threadsafe(self._answer, now)
                except RuntimeError:
                    return
            elif now - asked > STALL_SECONDS and not stalled:
                stalled = True
                self.stalls += 1
                self.worst = max(self.worst, now - asked)
                log.warning("the event loop stands still at:\n%s", self._where())

    def _where(self) -> str:
        frame = sys._current_frames().get(self.thread_id)  # pyright: ignore[reportPrivateUsage]
        return "".join(traceback.format_stack(frame)[-6:]) if frame else "unknown"
