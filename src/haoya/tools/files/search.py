# SPDX-License-Identifier: AGPL-3.0-or-later
"""Looking for words in the files of the workspace; blocking, bounded, never through a link."""

import os
import time
from collections.abc import Generator
from pathlib import Path

import msgspec

from haoya.tools.files.workspace import folder, open_file, parts_of, temporary

MAX_HITS = 50
MAX_FILES = 5000
MAX_DEPTH = 16
MAX_FILE_BYTES = 1024 * 1024
MAX_SECONDS = 5.0
_SHOWN = 160


class _Look(msgspec.Struct):
    """What is looked for and what may still be spent on it."""

    phrase: str
    words: list[str]
    until: float
    files: int = MAX_FILES
    cut: bool = False

    def fits(self, line: str) -> bool:
        """Whether a line has the phrase, or all of its words in any order."""
        line = line.casefold()
        return self.phrase in line or all(word in line for word in self.words)

    def spent(self) -> bool:
        self.cut = self.cut or self.files <= 0 or time.monotonic() > self.until
        return self.cut


def search(root: Path, query: str, path: str) -> str:
    """Names and lines with the query, as `path:line: text`; hidden folders are left out."""
    phrase = query.strip().casefold()
    if not phrase:
        raise ValueError("the query is empty; write words to look for")
    look = _Look(phrase, phrase.split(), time.monotonic() + MAX_SECONDS)
    steps = parts_of(path, root)
    hits: list[str] = []
    with folder(root, steps) as held:
        for hit in _within(held, "/".join(steps), look, MAX_DEPTH):
            hits.append(hit)
            if len(hits) >= MAX_HITS:
                look.cut = True
                break
    if look.cut:
        hits.append("[stopped early; give a path or more words]")
    return "\n".join(hits) or "nothing found"


def _within(held: int, below: str, look: _Look, depth: int) -> Generator[str, None, None]:
    with os.scandir(held) as entries:
        found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_folder in found:
        if look.spent():
            return
        shown = f"{below}/{name}" if below else name
        if name.startswith(".") and (is_folder or temporary(name)):
            continue
        if look.fits(name):
            yield f"{shown}/" if is_folder else shown
        if is_folder:
            yield from _inside(held, name, shown, look, depth)
        else:
            yield from _lines(held, name, shown, look)


def _inside(
    held: int, name: str, shown: str, look: _Look, depth: int
) -> Generator[str, None, None]:
    if depth <= 0:
        look.cut = True
        return
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        inner = os.open(name, flags, dir_fd=held)
    except OSError:  # gone, locked away, or a link by now
        return
    try:
        yield from _within(inner, shown, look, depth - 1)
    finally:
        os.close(inner)


def _lines(held: int, name: str, shown: str, look: _Look) -> Generator[str, None, None]:
    look.files -= 1
    try:
        opened = open_file(held, name, shown)
    except (ValueError, OSError):
        return
    with os.fdopen(opened, "rb") as file:
        data = file.read(MAX_FILE_BYTES)
    if b"\0" in data[:1024]:
        return
    text = data.decode("utf-8", "replace")
    if not all(word in text.casefold() for word in look.words):
        return
    for number, line in enumerate(text.splitlines(), 1):
        if look.fits(line):
            yield f"{shown}:{number}: {_around(line, look)}"


def _around(line: str, look: _Look) -> str:
    """The part of a long line where the query is."""
    folded = line.casefold()
    at = folded.find(look.phrase)
    at = at if at >= 0 else folded.find(look.words[0])
    start = max(0, at - _SHOWN // 4) if len(line) > _SHOWN else 0
    return line[start : start + _SHOWN].strip()
