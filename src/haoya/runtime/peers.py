# SPDX-License-Identifier: AGPL-3.0-or-later
"""Other nodes of the owner's: who may ask our models, and the listener that lets them in."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec

from haoya.core.message import Word
from haoya.runtime.board import Board, State
from haoya.runtime.enrolled import Enrolled, digest_of_token, new_token
from haoya.runtime.peers_settings import PeersSettings
from haoya.runtime.supervisor import supervise


class Peer(Word, frozen=True, kw_only=True):
    """A node that was invited. `digest` is the SHA-256 (hex) of its token, `models` are the names
    of those it may ask, `at` is when it was invited (Unix seconds)."""

    name: str
    digest: str
    models: tuple[str, ...] = ()
    at: float = 0

    @property
    def person(self) -> str:
        """Who it is to the queue and to budgets."""
        return f"peer:{self.name}"


class Seen(msgspec.Struct, kw_only=True):
    """What a node has done since this process started; `last` in Unix seconds, 0 for never."""

    connections: int = 0
    asked: int = 0
    last: float = 0


class Peers:
    """The invited nodes.

    `on_removed` are told the name of a node that was removed in this process.
    """

    def __init__(self, path: Path) -> None:
        self._enrolled = Enrolled(path, Peer, noun="node", command="haoya peers")
        self.on_removed: set[Callable[[str], None]] = set()
        self.seen: dict[str, Seen] = {}

    def figures(self, name: str) -> Seen:
        """What a node has done, to be read and counted up."""
        return self.seen.setdefault(name, Seen())

    def all(self) -> list[Peer]:
        """Every invited node, by name; ConfigError where the file cannot be read."""
        return self._enrolled.all()

    def known(self, token: str) -> Peer | None:
        """The node that holds this token."""
        return self._enrolled.known(token)

    def invite(self, name: str, models: tuple[str, ...], at: float) -> str:
        """Let a node in; its token, which is not kept. A second invitation ends the first."""
        token = new_token()
        peer = Peer(name=name, digest=digest_of_token(token), models=models, at=at)
        if self._enrolled.put(peer):
            self._tell(name)
        return token

    def remove(self, name: str) -> None:
        """Let a node in no more; ConfigError where there is none of that name."""
        self._enrolled.remove(name)
        self._tell(name)

    def _tell(self, name: str) -> None:
        for told in tuple(self.on_removed):
            told(name)


Open = Callable[[PeersSettings], AbstractAsyncContextManager[str]]


class Listener:
    """The listener's life: there while the settings want it, reopened by the supervisor."""

    def __init__(self, open_: Open, board: Board, tasks: asyncio.TaskGroup) -> None:
        self.address = ""
        """Where it listens now, `https://HOST:PORT`; empty where it does not."""
        self._open = open_
        self._board = board
        self._tasks = tasks
        self._settings = PeersSettings()
        self._task: asyncio.Task[None] | None = None

    async def apply(self, settings: PeersSettings) -> None:
        """Listen as these settings say."""
        ended = self._task is None or self._task.done()
        if settings == self._settings and not (ended and settings.listen):
            return
        self._settings = settings
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
            self._board.forget("peers")
        if settings.listen:

            def report(state: State, why: str) -> None:
                self._board.report("peers", state, why)

            serving = supervise("peers", lambda: self._open(settings), self._use, report)
            self._task = self._tasks.create_task(serving)

    async def _use(self, address: str) -> None:
        self.address = address
        try:
            await asyncio.Event().wait()
        finally:
            self.address = ""
