# SPDX-License-Identifier: AGPL-3.0-or-later
import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from haoya.core.errors import Unready
from haoya.core.event import Entry
from haoya.journal import Journal, open_journal
from haoya.journal.journal import TAIL_ENTRIES
from tests.journal.make import HOME, received


async def collect(journal: Journal, after: int, end: int) -> list[int]:
    seen: list[int] = []
    async for entry in journal.follow(after):
        seen.append(entry.number)
        if entry.number == end:
            break
    return seen


def test_followers_see_old_and_new_lines_without_gaps(tmp_path: Path) -> None:
    async def run() -> None:
        total = TAIL_ENTRIES * 4
        async with open_journal(tmp_path) as journal:
            for number in range(TAIL_ENTRIES):
                await journal.append(HOME, received(f"old {number}"))
        async with open_journal(tmp_path) as journal, asyncio.timeout(60):
            async with asyncio.TaskGroup() as group:
                starts = (0, 100, TAIL_ENTRIES, TAIL_ENTRIES + 7)
                watching = [group.create_task(collect(journal, n, total)) for n in starts]
                for number in range(total - TAIL_ENTRIES):
                    await journal.append(HOME, received(str(number)))
            for start, task in zip(starts, watching, strict=True):
                assert task.result() == list(range(start + 1, total + 1))

    asyncio.run(run())


def test_a_slow_follower_holds_nobody_up_and_still_misses_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            follower = journal.follow(0)
            await journal.append(HOME, received("first"))
            seen = [(await anext(follower)).number]
            many = TAIL_ENTRIES * 3
            await asyncio.gather(
                *(journal.append(HOME, received(str(number))) for number in range(many))
            )
            while len(seen) < many + 1:
                seen.append((await anext(follower)).number)
            assert seen == list(range(1, many + 2))
            await follower.aclose()

    asyncio.run(run())


async def rest_of(follower: AsyncGenerator[Entry]) -> list[int]:
    return [entry.number async for entry in follower]


def test_followers_end_when_the_journal_closes(tmp_path: Path) -> None:
    async def run() -> None:
        async with asyncio.TaskGroup() as group, open_journal(tmp_path) as journal:
            await journal.append(HOME, received("1"))
            follower = journal.follow(0)
            assert (await anext(follower)).number == 1
            task = group.create_task(rest_of(follower))
            await asyncio.sleep(0)
        assert task.result() == []

    asyncio.run(run())


def test_a_follower_that_reads_the_disk_ends_quietly_too(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            await journal.append(HOME, *(received(str(number)) for number in range(5000)))
        async with asyncio.TaskGroup() as group, open_journal(tmp_path) as journal:
            # Held up behind a long read, so that it is asking when the journal closes.
            reading = group.create_task(closed(journal))
            task = group.create_task(rest_of(journal.follow(0)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert task.result() == []
        reading.result()

    async def closed(journal: Journal) -> None:
        with contextlib.suppress(Unready):
            await journal.read(HOME.key)

    asyncio.run(run())


def test_a_follower_tells_of_a_failing_disk(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            await journal.append(HOME, *(received(str(number)) for number in range(5000)))
        async with open_journal(tmp_path) as journal:
            path = tmp_path / "journal.db"
            path.write_bytes(b"\x55" * path.stat().st_size)
            with pytest.raises(Unready, match="journal: the file is damaged"):
                await anext(journal.follow(0))

    asyncio.run(run())
