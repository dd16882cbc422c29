# SPDX-License-Identifier: AGPL-3.0-or-later
"""Files that an owner edits, watched by looking."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

LOOK_SECONDS = 0.25

Stamp = tuple[int, int, int] | None
"""What tells one state of a file from another; None for one that is not there."""


async def changes(paths: Sequence[Path]) -> AsyncGenerator[None]:
    """Yields each time one of the files has changed and then stayed as it is for a moment.

    Looking (two `stat` calls, four times a second) is cheaper than being told: a watch on the
    folder wakes up at every line that the journal beside them writes.
    """
    known = seen = [stamp(path) for path in paths]
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        before, seen = seen, [stamp(path) for path in paths]
        if seen == before and seen != known:
            known = seen
            yield


def stamp(path: Path) -> Stamp:
    """The present state of a file: when it was changed, its size, its inode."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
