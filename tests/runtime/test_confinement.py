# SPDX-License-Identifier: AGPL-3.0-or-later
"""The sandbox as the house lends it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from haoya.core.errors import ConfigError, Unready
from haoya.core.sandbox import Level, Mount, Program
from haoya.runtime import confinement
from haoya.runtime.board import Board
from haoya.runtime.confinement import Confinement
from haoya.runtime.home import Home
from haoya.sandbox import room


def home(folder: Path) -> Home:
    made = Home(folder=folder / "home")
    made.prepare()
    return made


async def opened(sandbox: Confinement, tasks: asyncio.TaskGroup) -> asyncio.Task[None]:
    living = tasks.create_task(sandbox.live())
    await sandbox.settled()
    return living


async def status(sandbox: Confinement, *mounts: Mount) -> int:
    async with sandbox.start(Program(argv=("true",), mounts=mounts)) as process:
        return (await process.wait()).status


def test_before_it_is_open_it_says_so(tmp_path: Path) -> None:
    sandbox = Confinement(home(tmp_path), Board())
    with pytest.raises(Unready, match="starting"):
        _ = sandbox.level
    with pytest.raises(Unready):
        sandbox.start(Program(argv=("true",)))


def test_programs_run_and_the_houses_own_files_are_lent_to_none(tmp_path: Path) -> None:
    async def go() -> None:
        board, place = Board(), home(tmp_path)
        sandbox = Confinement(place, board)
        async with asyncio.TaskGroup() as tasks:
            living = await opened(sandbox, tasks)
            if board.part("sandbox").state != "open":
                living.cancel()
                pytest.skip(board.part("sandbox").reason)
            assert await status(sandbox, Mount(path=str(place.workspace), at="/work")) == 0
            for closed in (place.folder, place.token.parent, tmp_path):
                with pytest.raises(ConfigError):
                    await status(sandbox, Mount(path=str(closed), at="/work"))
            living.cancel()
        with pytest.raises(Unready):
            _ = sandbox.level

    asyncio.run(go())


def test_a_weaker_level_is_told_to_the_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without namespaces, as the zygote sees one whose flags the kernel refuses."""
    levels: Sequence[Level] = ("landlock",)

    async def go() -> None:
        board = Board()
        sandbox = Confinement(home(tmp_path), board)
        only_landlock = lambda **rest: room.open_sandbox(levels, **rest)  # noqa: E731
        monkeypatch.setattr(confinement, "open_sandbox", only_landlock)
        async with asyncio.TaskGroup() as tasks:
            living = await opened(sandbox, tasks)
            if board.part("sandbox").state != "open":
                living.cancel()
                pytest.skip(board.part("sandbox").reason)
            assert sandbox.level == "landlock"
            assert [finding.id for finding in board.all_findings()] == ["sandbox-weak"]
            living.cancel()

    asyncio.run(go())


def test_without_any_level_nothing_runs_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def go() -> None:
        board = Board()
        sandbox = Confinement(home(tmp_path), board)
        monkeypatch.setattr(
            confinement, "open_sandbox", lambda **rest: room.open_sandbox((), **rest)
        )
        async with asyncio.TaskGroup() as tasks:
            living = await opened(sandbox, tasks)
            assert board.part("sandbox").state == "waiting"
            with pytest.raises(Unready, match="no program can be run safely"):
                await status(sandbox)
            living.cancel()

    asyncio.run(go())
