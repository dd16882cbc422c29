# SPDX-License-Identifier: AGPL-3.0-or-later
"""Short ways to run something in a sandbox."""

from dataclasses import dataclass
from typing import Any

from haoya.core.sandbox import Ended, Program, Sandbox


@dataclass
class Done:
    out: bytes
    err: bytes
    ended: Ended

    @property
    def text(self) -> str:
        return self.out.decode()


async def run(sandbox: Sandbox, *argv: str, put: bytes | None = None, **rest: Any) -> Done:
    """Run a program to its end; `put` is short enough for a pipe."""
    async with sandbox.start(Program(argv=argv, **rest)) as process:
        if put is not None:
            await process.write(put)
            await process.close_input()
        said = {1: b"", 2: b""}
        async for piece in process.output():
            said[piece.stream] += piece.data
        return Done(said[1], said[2], await process.wait())


async def sh(sandbox: Sandbox, script: str, **rest: Any) -> Done:
    """Run a script of the shell."""
    return await run(sandbox, "sh", "-c", script, **rest)
