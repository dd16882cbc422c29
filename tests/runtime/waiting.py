# SPDX-License-Identifier: AGPL-3.0-or-later
"""Waiting for a claim to come true, never for time to pass."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

SECONDS = 15.0

Found = TypeVar("Found")


async def until(
    found: Callable[[], Found | Awaitable[Found]], why: object = "", *, seconds: float = SECONDS
) -> Found:
    """The first true value of `found`; AssertionError with `why` if it never comes."""
    deadline = time.monotonic() + seconds
    while True:
        value: Any = found()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        shown = why() if callable(why) else why
        assert time.monotonic() < deadline, f"not in {seconds:.0f} s: {shown}"
        await asyncio.sleep(0.01)


def run(body: Callable[[], Awaitable[None]], *, seconds: float = 60) -> None:
    """Run a test's body, and end it if it hangs."""

    async def bounded() -> None:
        async with asyncio.timeout(seconds):
            await body()

    asyncio.run(bounded())
