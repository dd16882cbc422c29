# SPDX-License-Identifier: AGPL-3.0-or-later
"""Notices when the owner edits a file.

Looking is cheaper than being told: a watch on the folder wakes up at every line that the journal
beside the settings writes.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from haoya.core.errors import Unready

LOOK_SECONDS = 0.25
"""How often the files are looked at; a change counts once two looks agree on it."""

Stamp = tuple[int, int, int] | None


async def watch(paths: Sequence[Path], changed: Callable[[], Awaitable[None]]) -> None:
    """Call `changed` whenever one of the files has changed on disk and stays as it is."""
    loaded = seen = _stamps(paths)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        before, seen = seen, _stamps(paths)
        if seen == before and seen != loaded:
            loaded = seen
            with contextlib.suppress(Unready):  # the board tells of a failing disk
                await changed()


def _stamps(paths: Sequence[Path]) -> list[Stamp]:
    """What tells one state of the files from another; None for one that is not there."""
    stamps: list[Stamp] = []
    for path in paths:
        try:
            found = path.stat()
            stamps.append((found.st_mtime_ns, found.st_size, found.st_ino))
        except OSError:
            stamps.append(None)
    return stamps
