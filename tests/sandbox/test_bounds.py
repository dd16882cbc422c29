# SPDX-License-Identifier: AGPL-3.0-or-later
"""No program takes more than it may."""

import asyncio

from haoya.core.sandbox import Bounds
from tests.sandbox.baits import python, python_mounts
from tests.sandbox.conftest import Open
from tests.sandbox.running import Done, run, sh


def test_time_is_bounded(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            done = await sh(sandbox, "sleep 4325", bounds=Bounds(seconds=0.2))
            assert (done.ended.bound, done.ended.status) == ("seconds", -9)

    asyncio.run(go())


def test_time_is_bounded_for_a_program_that_will_not_hear_of_it(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            script = "trap '' TERM INT HUP; while :; do :; done"
            done = await sh(sandbox, script, bounds=Bounds(seconds=0.3))
            assert done.ended.bound == "seconds"

    asyncio.run(go())


def test_memory_is_bounded(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            done = await _python(
                sandbox,
                "import time; x = b'x' * (200 << 20); print('got it', flush=True); time.sleep(60)",
                Bounds(memory_mib=128),
            )
            assert done.ended.bound == "memory"

    asyncio.run(go())


def test_one_process_cannot_ask_for_twice_the_memory(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            done = await _python(sandbox, "x = bytearray(300 << 20)", Bounds(memory_mib=128))
            assert done.ended.status and b"MemoryError" in done.err

    asyncio.run(go())


def test_memory_is_bounded_over_all_processes_together(opened: Open) -> None:
    """Four that are each within the bound; pages they share count once."""

    async def go() -> None:
        async with opened() as sandbox:
            code = "import os, time; {}; os.fork(); os.fork(); {}; time.sleep({}); print('end')"
            take = "x = bytearray(b'x') * (60 << 20)"
            own = await _python(sandbox, code.format("0", take, 60), Bounds(memory_mib=160))
            assert own.ended.bound == "memory"
            shared = await _python(sandbox, code.format(take, "0", 0.5), Bounds(memory_mib=160))
            assert shared.ended.status == 0

    asyncio.run(go())


def test_files_in_tmp_count_as_memory(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            if sandbox.level != "namespaces":
                return  # there /tmp is on the disk, each file bounded
            script = "for n in 1 2 3 4; do head -c 20000000 /dev/zero > /tmp/$n; done; sleep 60"
            done = await sh(sandbox, script, bounds=Bounds(memory_mib=64))
            assert done.ended.bound == "memory" or b"No space" in done.err

    asyncio.run(go())


def test_no_file_grows_beyond_its_bound(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            script = "head -c 3000000 /dev/zero > $TMPDIR/x; wc -c < $TMPDIR/x"
            done = await sh(sandbox, script, bounds=Bounds(file_mib=1))
            assert int(done.text.split()[-1]) == 1024 * 1024

    asyncio.run(go())


def test_output_beyond_its_bound_is_counted_and_dropped(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            done = await sh(sandbox, "head -c 5000000 /dev/zero", bounds=Bounds(output=1000))
            assert len(done.out) == 1000
            assert done.ended.dropped == 4_999_000 and done.ended.status == 0

    asyncio.run(go())


def test_a_fork_bomb_stays_small_and_ends(opened: Open) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            script = "bomb() { bomb | bomb & }; bomb; sleep 60"
            bounds = Bounds(processes=20, seconds=2)
            done = await sh(sandbox, script, bounds=bounds)
            assert done.ended.bound in ("seconds", "processes") or done.ended.status
            assert (await sh(sandbox, "echo well")).text == "well\n"

    asyncio.run(go())


async def _python(sandbox: object, code: str, bounds: Bounds) -> Done:
    return await run(
        sandbox,  # pyright: ignore
        python(),
        "-c",
        code,
        mounts=python_mounts(),
        bounds=bounds,
    )
