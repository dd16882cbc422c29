# SPDX-License-Identifier: AGPL-3.0-or-later
"""The sandbox as the house has it: opened with the house, opened again where it fell."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from haoya.core.errors import Unready
from haoya.core.sandbox import Level, Process, Program
from haoya.runtime.board import Board, State
from haoya.runtime.home import Home
from haoya.runtime.settings import Finding
from haoya.runtime.supervisor import supervise
from haoya.sandbox.room import Room, open_sandbox

KEY = "sandbox"
SETTLE_SECONDS = 20.0


class Confinement:
    """The sandbox that is open now, for parts that outlive its reopening."""

    def __init__(self, home: Home, board: Board) -> None:
        self._home, self._board = home, board
        self._room: Room | None = None
        self._looked = asyncio.Event()

    async def live(self) -> None:
        """Keep it open until cancelled, and say how strong it is."""
        own = private(self._home)
        await supervise(KEY, lambda: open_sandbox(private=own), self._use, self._report)

    async def settled(self) -> None:
        """Wait until it is known whether programs can be run here."""
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._looked.wait()
        except TimeoutError:
            return

    @property
    def level(self) -> Level:
        """How programs are kept in here; `Unready` where none can be run."""
        return self._open().level

    def start(self, program: Program) -> AbstractAsyncContextManager[Process]:
        """Run it; leaving ends it."""
        return self._open().start(program)

    def _open(self) -> Room:
        if self._room is None:
            reason = self._board.part(KEY).reason or "it is starting"
            raise Unready(f"the sandbox is not open: {reason}")
        return self._room

    async def _use(self, room: Room) -> None:
        self._room = room
        self._looked.set()
        self._board.find(KEY, *findings(room))
        try:
            await asyncio.Event().wait()
        finally:
            self._room = None

    def _report(self, state: State, why: str) -> None:
        self._board.report(KEY, state, why)
        if state in ("waiting", "parked"):
            self._looked.set()


def private(home: Home) -> tuple[Path, ...]:
    """What of the home is lent to no program, whoever asks: keys, settings, what was said."""
    journal = (home.journal / f"journal.db{end}" for end in ("", "-wal", "-shm"))
    return (
        *(home.settings, home.secrets, home.token, home.peers, home.last_good, home.blobs),
        *(home.folder / "run", home.folder / "backups", *journal),
    )


def findings(room: Room) -> list[Finding]:
    """What the owner should know about the level that this machine allows."""
    if room.level == "namespaces":
        return []
    return [
        Finding(
            id="sandbox-weak",
            severity="warning",
            section=KEY,
            message=(
                f"programs are kept in by {room.level} alone, which hides less: they see the names "
                "of files and processes, and have no way out to a proxy"
                + "".join(f" ({weakness})" for weakness in room.weaknesses)
            ),
            cure="allow unprivileged user namespaces on this machine: see docs/security/sandbox.md",
        )
    ]
