# SPDX-License-Identifier: AGPL-3.0-or-later
"""How far long work is: a bar for a person, plain lines for a log, JSON lines for a program.

All of it goes to standard error; standard output keeps the one result.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable

from haoya.cli.view import View, cells, duration
from haoya.cli.words import say

BAR_CELLS = 24
SHOWN_SECONDS = 0.2
LINE_SECONDS = 10.0
JSON_SECONDS = 1.0


def size(count: float) -> str:
    """Bytes as registries and disks tell them.

    >>> size(4_683_000_000), size(999)
    ('4.68 GB', '999 B')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


class Progress:
    """One piece of work after another; call `at` as often as you like."""

    def __init__(self, view: View, clock: Callable[[], float] = time.monotonic) -> None:
        self.json = view.json
        self.clock = clock
        self.bar = not view.json and sys.stderr.isatty()
        self.every = JSON_SECONDS if view.json else SHOWN_SECONDS if self.bar else LINE_SECONDS
        self.what = ""
        self.began = self.shown = clock()
        self.first = 0
        self.open = self.whole = False

    def at(self, what: str, have: int, total: int) -> None:
        """`have` of `total` bytes of `what` are done."""
        now = self.clock()
        if what != self.what:
            self.end()
            self.what, self.began, self.first, self.shown = what, now, have, now - self.every
            self.whole = False
        if self.whole or (now - self.shown < self.every and have < total):
            return
        self.whole = have >= total
        self.shown = now
        seconds = now - self.began
        rate = (have - self.first) / seconds if seconds > 0 else 0.0
        if self.json:
            self.event({"event": "bytes", "file": what, "have": have, "total": total})
            return
        left = duration((total - have) / rate) if rate and have < total else ""
        share = have / total if total else 1.0
        words = say(
            "progress",
            percent=f"{share:4.0%}",
            have=size(have),
            total=size(total),
            rate=f"{size(rate)}/s",
        )
        line = "  ".join([words, say("progress.left", time=left)] if left else [words])
        if not self.bar:
            print(f"{what}: {line.strip()}", file=sys.stderr, flush=True)
            return
        self._draw(what, share, line)

    def event(self, told: object) -> None:
        """One JSON line; nothing where a person reads."""
        if self.json:
            print(json.dumps(told, ensure_ascii=False), file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        """A line of its own for a person."""
        if not self.json:
            self.end()
            print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the bar standing and go to the next line."""
        if self.open:
            print(file=sys.stderr, flush=True)
        self.open, self.what = False, ""

    def _draw(self, what: str, share: float, line: str) -> None:
        full = min(BAR_CELLS, int(share * BAR_CELLS))
        bar = "█" * full + "░" * (BAR_CELLS - full)
        width = shutil.get_terminal_size().columns - 1
        shown = f"{bar} {line}  {what}"
        while cells(shown) > width:
            shown = shown[:-1]
        print(f"\r\x1b[K{shown}", end="", file=sys.stderr, flush=True)
        self.open = True
