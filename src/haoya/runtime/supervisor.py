# SPDX-License-Identifier: AGPL-3.0-or-later
"""The one loop in which parts live: open, use, wait, open again; or park. The only retry loop."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar, cast

from haoya.core.errors import ConfigError, Rejected, Unready
from haoya.runtime.board import State

log = logging.getLogger("haoya.runtime")

FIRST_WAIT = 0.5
LONGEST_WAIT = 60.0
STEADY_SECONDS = 60.0
"""A part that was open this long starts its waits anew."""

OPEN_SECONDS = 90.0
"""How long opening may take before it counts as failed."""

Part = TypeVar("Part")
Report = Callable[[State, str], None]


async def supervise(
    name: str,
    open_: Callable[[], AbstractAsyncContextManager[Part]],
    use: Callable[[Part], Awaitable[None]],
    report: Report,
) -> None:
    """Keep one part alive until it is cancelled, parks, or `use` returns.

    `Rejected` and `ConfigError` park it: only the owner can help. `Unready` waits as long as the
    other side asked, or backs off. Anything else is a fault of ours: logged with its traceback,
    then waited for in the same way. A fault while the part closes never keeps it alive.
    """
    loop = asyncio.get_running_loop()
    failures = 0
    while True:
        report("opening", "")
        began = loop.time()
        try:
            # A task of its own: task groups within may leave it marked as being cancelled
            # (CPython before 3.13, gh-117407), while the mark on ours is always the owner's wish.
            await loop.create_task(_once(open_, use, report))
            return
        except Exception as caught:
            error = cause_of(caught)
            if (task := asyncio.current_task()) and task.cancelling():
                log.error("%s broke while it closed", name, exc_info=error)
                raise asyncio.CancelledError from caught
            if isinstance(error, Rejected | ConfigError):
                report("parked", _words(error))
                return
            if loop.time() - began > STEADY_SECONDS:
                failures = 0
            wait = pause(failures)
            if isinstance(error, Unready):
                wait = error.retry_after if error.retry_after is not None else wait
                report("waiting", str(error))
            else:
                log.error("%s broke", name, exc_info=error)
                report("waiting", f"internal error: {type(error).__name__}: {error}")
            failures += 1
        await asyncio.sleep(wait)


def pause(failures: int) -> float:
    """Seconds to wait after so many failures: doubling, at most a minute, with full jitter.

    Full jitter spreads the returns of many clients best (AWS Architecture Blog, 2015).
    """
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(failures, 16))
    return random.uniform(longest / 2, longest)


def cause_of(error: BaseException) -> BaseException:
    """The error to act on: of a group the one that asks for most (park, then wait)."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)
    leaves = [cause_of(inner) for inner in group.exceptions]
    for kind in (Rejected, ConfigError, Unready):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return leaf
    return leaves[0]


async def _once(
    open_: Callable[[], AbstractAsyncContextManager[Part]],
    use: Callable[[Part], Awaitable[None]],
    report: Report,
) -> None:
    """Open with a limit in time, use without one, and always leave."""
    context = open_()
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            part = await context.__aenter__()
    except TimeoutError as error:
        raise Unready(f"opening took over {OPEN_SECONDS:.0f} s") from error
    try:
        report("open", "")
        await use(part)
    except BaseException as error:
        if not await context.__aexit__(type(error), error, error.__traceback__):
            raise
    else:
        await context.__aexit__(None, None, None)


def _words(error: BaseException) -> str:
    cure = error.cure if isinstance(error, ConfigError) else ""
    return f"{error}; {cure}" if cure else str(error)
