# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a command is lent: the home it speaks of, and how it shows what it found."""

import json
import os
import sys
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from haoya.cli.words import say

OK, ERROR, USAGE, NOT_RUNNING, FINDINGS = 0, 1, 2, 3, 5
"""Exit statuses of every command."""

Colour = Literal["red", "yellow", "green", "dim", "bold"]
_CODES: dict[Colour, int] = {"red": 31, "yellow": 33, "green": 32, "dim": 2, "bold": 1}


@dataclass(frozen=True, kw_only=True)
class View:
    """`json` promises exactly one JSON document on standard output, and no questions."""

    home: Path
    json: bool = False

    @property
    def interactive(self) -> bool:
        """Whether a person sits there who can be asked."""
        return not self.json and _is_terminal(sys.stdin) and _is_terminal(sys.stdout)

    def print(self, *lines: str) -> None:
        """Show lines to a person."""
        for line in lines:
            print(line)

    def document(self, result: object) -> None:
        """Show the one JSON document."""
        print(
            json.dumps(result, ensure_ascii=False, indent=2 if _is_terminal(sys.stdout) else None)
        )

    def complain(self, message: str, cure: str = "", *, kind: str = "error") -> None:
        """Say what went wrong and the exact next step."""
        if self.json:
            self.document({"error": {"message": message, "cure": cure, "kind": kind}})
            return
        tail = f" — {cure}" if cure else ""
        print(f"{paint('haoya:', 'red', sys.stderr)} {message}{tail}", file=sys.stderr)


def _is_terminal(stream: TextIO | None) -> bool:
    """A daemon started without standard streams has None in their place."""
    return stream is not None and stream.isatty()


def paint(text: str, colour: Colour, stream: TextIO | None = None) -> str:
    """`text` in a colour where the terminal shows colours and NO_COLOR (no-color.org) allows."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if plain or not _is_terminal(stream or sys.stdout):
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def cells(text: str) -> int:
    """How many cells of a terminal `text` fills (Unicode, UAX 11).

    >>> cells("好a"), cells("\\x1b[31mred\\x1b[0m")
    (3, 3)
    """
    count, escaped = 0, False
    for character in text:
        if escaped:
            escaped = character != "m"
        elif character == "\x1b":
            escaped = True
        elif not unicodedata.combining(character):
            count += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return count


def table(rows: Sequence[Sequence[str]], indent: str = "  ") -> list[str]:
    """Rows with their columns aligned; the last column runs free.

    >>> table([("好", "x"), ("abc", "y")])
    ['  好   x', '  abc  y']
    """
    columns = max((len(row) for row in rows), default=0)
    widths = [
        max((cells(row[i]) for row in rows if i < len(row)), default=0) for i in range(columns)
    ]
    lines: list[str] = []
    for row in rows:
        padded = [cell + " " * (widths[i] - cells(cell)) for i, cell in enumerate(row)]
        lines.append(indent + "  ".join(padded).rstrip())
    return lines


def duration(seconds: float) -> str:
    """A length of time in its two largest units.

    >>> duration(7), duration(3700)
    ('7 s', '1 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def clock(at: float) -> str:
    """A moment (Unix seconds) in the reader's time zone; the date where it is not today."""
    if not at:
        return "—"
    then = time.localtime(at)
    today = time.localtime()[:3] == then[:3]
    return time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M", then)


def ago(at: float) -> str:
    """How long ago a moment (Unix seconds) was."""
    return say("ago", time=duration(max(0, time.time() - at))) if at else say("never")
