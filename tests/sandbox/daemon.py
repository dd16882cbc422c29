# SPDX-License-Identifier: AGPL-3.0-or-later
"""`python -m tests.sandbox.daemon LEVEL`: starts programs, says so, and waits to be killed."""

import asyncio
import sys
from contextlib import AsyncExitStack

from haoya.core.errors import Unready
from haoya.core.sandbox import Program
from haoya.sandbox.room import LEVELS, open_sandbox

SCRIPT = "setsid sleep 5431 & (sleep 5432 &) ; echo up; sleep 5433"


async def main(level: str) -> None:
    async with AsyncExitStack() as held:
        opening = open_sandbox([one for one in LEVELS if one == level])
        sandbox = await held.enter_async_context(opening)
        for _ in range(3):
            program = Program(argv=("sh", "-c", SCRIPT))
            process = await held.enter_async_context(sandbox.start(program))
            assert (await anext(process.output())).data == b"up\n"
        print("up", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1]))
    except Unready as error:
        print(error, flush=True)
