# SPDX-License-Identifier: AGPL-3.0-or-later
"""A part that fails while it closes does not come back to life."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from haoya.runtime.supervisor import supervise


async def _stop_a_part_that_breaks_while_closing() -> int:
    opened = 0
    up = asyncio.Event()

    @asynccontextmanager
    async def part() -> AsyncGenerator[None, None]:
        nonlocal opened
        opened += 1
        try:
            yield
        finally:
            raise RuntimeError("it would not close")

    async def use(_: None) -> None:
        up.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as tasks:
        living = tasks.create_task(supervise("part", part, use, lambda state, why: None))
        await up.wait()
        living.cancel()
        async with asyncio.timeout(10):
            await asyncio.wait([living])
    return opened


def test_a_fault_while_closing_ends_the_part_all_the_same() -> None:
    assert asyncio.run(_stop_a_part_that_breaks_while_closing()) == 1
