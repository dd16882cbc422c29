# SPDX-License-Identifier: AGPL-3.0-or-later
"""One engine process from start to end."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from haoya.core.errors import Rejected, Unready
from haoya.inference import leash, surroundings
from haoya.inference.engine import Engine, Launch
from haoya.inference.wire import request

READY_SECONDS = 300.0
"""The longest a model may take to load (70B from a slow disk); a dead process is seen at once."""

FOLDER = "haoya-engine-"
"""The socket's folder, after it the daemon's process id: what a killed one leaves can be told."""

LOOK_SECONDS = 0.02
STOP_SECONDS = 3.0

SPINS = "2000"
"""How long an engine's thread turns in place for the others of its step before it sleeps (libgomp,
GOMP_SPINCOUNT). The library's own 300,000 let one thread burn the time slice that the one it waits
for needs, as soon as anything else runs: 1 to 30 tokens a second instead of 90 here
(docs/benchmarks.md). So few cost a machine that does nothing else 2 % at most."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a process may take: `nice` as nice(2), `memory` the most private bytes (0: any)."""

    nice: int = 0
    memory: int = 0


class Running:
    """An engine that is up. `socket` is where it listens."""

    def __init__(self, process: Process, socket: str) -> None:
        self._process = process
        self.socket = socket
        self._frozen = False

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    def freeze(self, frozen: bool) -> None:
        """Stop it where it stands, or let it go on; at once, and nothing is lost."""
        if self.alive and frozen != self._frozen and sys.platform != "win32":
            self._frozen = frozen
            self._process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    async def ended(self) -> int:
        """Wait for its end; the exit status (negative: the signal)."""
        return await self._process.wait()

    async def stop(self) -> None:
        """End it: politely, then not."""
        self.freeze(False)
        for stop in (self._process.terminate, self._process.kill):
            with contextlib.suppress(ProcessLookupError):
                if self.alive:
                    stop()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
                    return


@asynccontextmanager
async def launched(
    engine: Engine, launch: Launch, log: Path, limits: Limits | None = None
) -> AsyncGenerator[Running, None]:
    """Start an engine and wait until it answers; leaving ends it.

    `launch.socket` is chosen here. What the engine says goes to `log`. Raises `Rejected` where it
    ends before it is ready (a file it cannot read), `Unready` where there is no memory for it or
    it takes too long.
    """
    limits = limits or Limits()
    # A socket's path may have 107 bytes (unix(7)); a home's folder may have more.
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-"))
    launch = msgspec.structs.replace(launch, socket=str(folder / "engine.sock"))
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(Path(leash.__file__))),
                *(str(os.getpid()), str(limits.nice), str(limits.memory)),
                *engine.command(launch),
                stdin=PIPE,
                stdout=DEVNULL,
                stderr=output,
                env=_environment(),
            )
        running = Running(process, launch.socket)
        try:
            await _ready(running, engine, launch, log)
            yield running
        finally:
            await running.stop()
    except OSError as error:
        raise Unready(f"the engine {engine.name} cannot be started: {error.strerror}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep() -> None:
    """Remove the sockets' folders that killed daemons left behind."""
    for left in Path(tempfile.gettempdir()).glob(f"{FOLDER}*-*"):
        owner = left.name.removeprefix(FOLDER).partition("-")[0]
        if owner.isdigit():
            try:
                os.kill(int(owner), 0)  # asks whether it lives
            except ProcessLookupError:
                shutil.rmtree(left, ignore_errors=True)
            except (OSError, OverflowError):
                continue


def _environment() -> dict[str, str]:
    return {"GOMP_SPINCOUNT": SPINS, **surroundings.running()}


async def _ready(running: Running, engine: Engine, launch: Launch, log: Path) -> None:
    name = Path(launch.model).name
    try:
        async with asyncio.timeout(READY_SECONDS):
            while not await _answers(running.socket):
                if not running.alive:
                    raise _failed(await running.ended(), engine, name, log)
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        text = f"the engine {engine.name} has not loaded {name} in {READY_SECONDS:.0f} s; see {log}"
        raise Unready(text, trouble="timeout") from None


async def _answers(socket: str) -> bool:
    try:
        async with request(socket, "GET", "/health") as reply:
            await reply.body()
            return reply.status == 200
    except Unready:
        return False


def _failed(status: int, engine: Engine, name: str, log: Path) -> Unready | Rejected:
    """Why an engine ended before it was ready."""
    said = last_words(log)
    text = f"the engine {engine.name} could not load {name}: {said or f'it ended with {status}'}"
    if status == -signal.SIGKILL or "alloc" in said.lower() or "memory" in said.lower():
        cure = "free memory, lower context_tokens or sessions, or take a smaller model"
        return Unready(f"{text}; {cure}", trouble="overloaded", retry_after=30)
    return Rejected(f"{text}; look at it with `haoya models info`, or see {log}")


def last_words(log: Path) -> str:
    """The last line of a log in which something went wrong, without its stamp."""
    try:
        lines = log.read_bytes()[-16384:].decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    bad = [line for line in lines if " E " in line or "rror" in line or "failed" in line]
    return (bad or [""])[-1].split(" E ", 1)[-1].strip()[:200]
