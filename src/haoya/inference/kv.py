# SPDX-License-Identifier: AGPL-3.0-or-later
"""Saved slots on disk: the beginnings that agents share, and conversations that had to leave.

A file can be read only by the same engine version with the same model and cache type, so all of
one such kind lie in one folder; folders of other kinds are removed when space is needed.
"""

import hashlib
import os
from pathlib import Path

import msgspec

from haoya.core.tool import Line, Prompt, ToolSpec

MAX_PREFIXES = 16
"""Beginnings kept, by recency: one for each agent and set of tools."""


class _Beginning(msgspec.Struct, frozen=True):
    system: tuple[Line, ...]
    tools: tuple[ToolSpec, ...]


class SavedSlots:
    """The saved slots of one engine, model and cache type in `folder`, at most `max_bytes`."""

    def __init__(self, folder: Path, kind: str, max_bytes: int) -> None:
        self.folder = folder / hashlib.sha256(kind.encode()).hexdigest()[:16]
        self._all = folder
        self._max_bytes = max_bytes

    def prepare(self) -> None:
        """Make the folder, for the owner alone; OSError where that is impossible."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def has(self, name: str) -> bool:
        """Whether a file of that name is there; marks it as used."""
        path = self.folder / name
        try:
            os.utime(path)
            return path.stat().st_size > 0
        except OSError:
            return False

    def forget(self, name: str) -> None:
        """Remove one, as it cannot be read."""
        (self.folder / name).unlink(missing_ok=True)

    def make_room(self) -> None:
        """Remove what was longest unused until all fits; beginnings beyond their number first."""
        files = sorted(
            (path for path in self._all.glob("*/*.kv") if path.is_file()),
            key=lambda path: path.stat().st_mtime,
        )
        beginnings = [path for path in files if path.name.startswith("begin-")]
        for path in beginnings[:-MAX_PREFIXES]:
            path.unlink(missing_ok=True)
            files.remove(path)
        total = sum(path.stat().st_size for path in files)
        for path in files:
            if total <= self._max_bytes:
                return
            total -= path.stat().st_size
            path.unlink(missing_ok=True)


def conversation_file(conversation: str) -> str:
    """The name of a conversation's saved slot."""
    return f"talk-{hashlib.sha256(conversation.encode()).hexdigest()[:24]}.kv"


def beginning_of(prompt: Prompt) -> Prompt | None:
    """The part of a prompt that it shares with all others of its agent: the system lines and the
    tools. None where there is none."""
    system = tuple(line for line in prompt.lines[:1] if line.role == "system")
    if not system and not prompt.tools:
        return None
    # Many chat templates refuse a prompt in which nobody speaks.
    return Prompt(lines=(*system, Line(role="user", text=".")), tools=prompt.tools)


def size_of(prompt: Prompt) -> int:
    """Bytes of a prompt's words and tools."""
    words = sum(len(line.text.encode()) for line in prompt.lines)
    return words + sum(len(spec.purpose) + len(bytes(spec.schema)) for spec in prompt.tools)


def beginning_file(prompt: Prompt) -> str:
    """The name under which the beginning of a prompt is saved."""
    shared = _Beginning(
        tuple(line for line in prompt.lines[:1] if line.role == "system"), prompt.tools
    )
    return f"begin-{hashlib.sha256(msgspec.json.encode(shared)).hexdigest()[:24]}.kv"
