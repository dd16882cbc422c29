# SPDX-License-Identifier: AGPL-3.0-or-later
"""A stand-in as a child process: started, really killed, started again on the same port."""

import asyncio
import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
START_SECONDS = 20


class Child:
    """`python -m module arguments…` that prints one line of JSON when it is ready."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.module = module
        self.arguments = arguments
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start, on the same port as before; returns when it answers."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", self.module, "--port", str(self.port), *self.arguments),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout
        async with asyncio.timeout(START_SECONDS):
            self.port = int(json.loads(await self._process.stdout.readline())["port"])

    async def kill(self) -> None:
        """End it as `kill -9` does; also where it is not running."""
        process, self._process = self._process, None
        if process and process.returncode is None:
            process.kill()
            await process.wait()
