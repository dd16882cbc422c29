# SPDX-License-Identifier: AGPL-3.0-or-later
import asyncio
from collections.abc import Coroutine
from pathlib import Path

import pytest

from haoya.core.errors import Unready
from haoya.core.event import Entry, Refused
from haoya.journal import open_journal
from tests.journal.make import HOME, received


def numbers(entries: list[Entry]) -> list[int]:
    return [entry.number for entry in entries]


def test_a_step_is_written_even_if_its_caller_is_cancelled(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(journal.append(HOME, received("1")))
                await asyncio.sleep(0)
                task.cancel()
            await journal.append(HOME, received("2"))
            assert numbers(await journal.read(HOME.key)) == [1, 2]

    asyncio.run(run())


def test_closing_writes_what_was_handed_in(tmp_path: Path) -> None:
    async def run() -> None:
        async with asyncio.TaskGroup() as group, open_journal(tmp_path) as journal:
            steps = [received(str(number)) for number in range(1200)]
            tasks = [group.create_task(journal.append(HOME, step)) for step in steps]
            wrong = group.create_task(_overflow(journal))
            await anext(journal.follow(0))
        assert {len(await task) for task in tasks} == {1}
        assert await wrong
        with pytest.raises(Unready, match="closed"):
            await journal.append(HOME, received("late"))
        with pytest.raises(Unready, match="closed"):
            await journal.read(HOME.key)
        assert [entry async for entry in journal.follow(0)] == []
        async with open_journal(tmp_path) as journal:
            assert journal.figures().lines == 1200
            assert await journal.check() == []

    async def _overflow(journal) -> bool:
        with pytest.raises(OverflowError):
            await journal.append(HOME, Refused(of=2**70, reason=""))
        return True

    asyncio.run(run())


def test_closing_ends_a_check_and_a_long_read(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            asyncio.TaskGroup() as group,
            open_journal(tmp_path, synchronous="normal") as journal,
        ):
            for batch in range(20):
                many = (received(f"{batch}/{number}") for number in range(1000))
                await journal.append(HOME, *many)
            checking = group.create_task(interrupted(journal.check()))
            again = group.create_task(interrupted(journal.check()))
            reading = group.create_task(interrupted(journal.read(HOME.key)))
            await asyncio.sleep(0)
        assert checking.result()
        assert again.result()
        reading.result()
        assert await interrupted(journal.check())
        assert not (tmp_path / "journal.db-wal").exists()

    async def interrupted(work: Coroutine[None, None, object]) -> bool:
        try:
            await work
        except Unready as error:
            return "closed" in str(error)
        return False

    asyncio.run(run())
