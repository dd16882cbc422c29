# SPDX-License-Identifier: AGPL-3.0-or-later
"""A full disk and a read-only one: said clearly, survived calmly, and nothing is acknowledged that
is not stored. On a real small file system; skipped where none may be mounted."""

import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.journal.disk import Disk, small_disk
from tests.runtime.daemon import World, stage
from tests.runtime.waiting import run, until

TOY = '[models.main]\nuse = "script"\n'


def on_disk(
    tmp_path: Path, body: Callable[[World, Disk], Awaitable[None]], size: str = "6m"
) -> None:
    with small_disk(tmp_path / "home", size) as disk:
        disk.folder.chmod(0o700)

        async def staged() -> None:
            async with stage(tmp_path, model=False) as world:
                await body(world, disk)

        run(staged, seconds=90)


def make_writable(disk: Disk) -> None:
    """Undo `make_read_only`."""
    subprocess.run(["mount", "-o", "remount,rw", str(disk.folder)], check=True)


async def trouble(world: World) -> str:
    """What `status` says about the storage, "" while it is well."""
    status = await world.daemon.call("status")
    storage = status["storage"]
    assert (storage["state"] == "failing") == bool(storage["reason"])
    assert not storage["reason"] or status["state"] == "parked"
    return str(storage["reason"])


async def fill_up(world: World, disk: Disk) -> int:
    """Fill the disk to the last byte and talk until the house notices; how many words it took."""
    disk.fill()
    for number in range(200):
        await world.telegram.say("ann", f"while full {number} {'x' * 2000}")
        disk.fill()
        if await trouble(world):
            return number + 1
    raise AssertionError("the disk is never full")


def test_a_full_disk_loses_nothing_and_recovers_by_itself(tmp_path: Path) -> None:
    async def body(world: World, disk: Disk) -> None:
        await world.start(TOY, model=False)
        await world.telegram.say("ann", "before")
        await world.telegram.hears("before")
        count = await fill_up(world, disk)
        assert "disk is full" in await trouble(world)
        before = len(await world.telegram.texts())

        status, output = await world.daemon.cli("doctor", "--strict")
        assert status == 5 and "full" in output
        for _ in range(2):
            with pytest.raises(AssertionError, match="not stored"):
                await world.daemon.ask("can you hear me?", room="full")
            status, output = await world.daemon.cli("status")
            assert status == 0 and "disk is full" in output, "the door stays open"
        updates = (await world.telegram.control("stats"))["waiting"]
        assert updates, "what could not be stored was acknowledged"
        assert world.daemon.alive and "Traceback" not in world.daemon.words()

        disk.free()
        for number in range(count):
            await world.telegram.hears(f"while full {number} ")
        assert len(await world.telegram.texts()) == 1 + count >= before
        assert not await trouble(world)
        assert await world.daemon.ask("and now?")
        await until(lambda: _nothing_waits(world))
        assert not (await world.daemon.call("status"))["waiting"]

    on_disk(tmp_path, body)


async def _nothing_waits(world: World) -> bool:
    return not (await world.telegram.control("stats"))["waiting"]


def test_a_full_disk_is_no_crash_loop(tmp_path: Path) -> None:
    """The same process all the time, two lines for each try, and the tries grow rarer."""

    async def body(world: World, disk: Disk) -> None:
        await world.start(TOY, model=False)
        assert world.daemon.process
        pid = world.daemon.process.pid
        await fill_up(world, disk)
        polls = (await world.telegram.control("stats"))["calls"]["getUpdates"]
        log = len(world.daemon.words().splitlines())
        await until(lambda: _polled(world, polls + 3), seconds=30)
        assert (await world.daemon.call("status"))["pid"] == pid
        assert len(world.daemon.words().splitlines()) <= log + 2 * 4, world.daemon.words()
        assert "Traceback" not in world.daemon.words()
        assert await world.daemon.stop() < 5

    on_disk(tmp_path, body)


async def _polled(world: World, times: int) -> bool:
    return (await world.telegram.control("stats"))["calls"]["getUpdates"] >= times


def test_a_disk_that_fills_in_the_middle_of_a_turn_only_delays_it(tmp_path: Path) -> None:
    async def body() -> None:
        with small_disk(tmp_path / "home", "6m") as disk:
            disk.folder.chmod(0o700)
            async with stage(tmp_path) as world:
                await world.start()
                await world.thinker.control(first_delay=1.5, chunk_words=1000)
                await world.telegram.say("ann", "long 2000")
                await until(world.thinker.asked)
                disk.fill()

                async def failing() -> bool:
                    disk.fill()
                    return bool(await trouble(world))

                await until(failing, world.daemon.words)
                assert "Traceback" not in world.daemon.words()
                await world.thinker.control(first_delay=0)
                disk.free()
                await world.telegram.hears("word2000")
                assert (await world.daemon.part("tg"))["state"] == "open"

    run(body, seconds=90)


def test_a_start_on_a_full_disk_waits_for_room(tmp_path: Path) -> None:
    async def body(world: World, disk: Disk) -> None:
        world.daemon.write(world.settings(TOY, model=False))
        disk.fill()
        await world.daemon.start(ready=False)
        await until(lambda: "journal is waiting" in world.daemon.words(), world.daemon.words)
        assert "full" in world.daemon.words()
        await world.telegram.say("ann", "are you there?")
        disk.free()
        await world.telegram.hears("are you there?")

    on_disk(tmp_path, body)


def test_a_read_only_home_says_so_and_opens_when_it_can(tmp_path: Path) -> None:
    async def body(world: World, disk: Disk) -> None:
        world.daemon.write(world.settings(TOY, model=False))
        disk.make_read_only()
        await world.daemon.start(ready=False)
        await until(lambda: "journal is waiting" in world.daemon.words(), world.daemon.words)
        assert "read-only" in world.daemon.words().lower()
        assert world.daemon.alive and "Traceback" not in world.daemon.words()
        status, output = await world.daemon.cli("doctor", "--strict")
        assert status == 5 and "cannot be written" in output
        await world.telegram.say("ann", "hello")
        make_writable(disk)
        await world.telegram.hears("hello")
        await until(world.daemon.answers, world.daemon.words)
        assert await world.daemon.ask("well again?")

    on_disk(tmp_path, body)
