# SPDX-License-Identifier: AGPL-3.0-or-later
"""Other nodes of the owner's: who may ask our models, and the listener that lets them in."""

import asyncio
import hashlib
import hmac
import os
import re
import secrets
import tempfile
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec

from haoya.core.errors import ConfigError, Unready
from haoya.core.message import Word
from haoya.runtime.board import Board, State
from haoya.runtime.peers_settings import PeersSettings
from haoya.runtime.supervisor import supervise

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_CURE = "`haoya peers list` shows the nodes"


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
    """The invited nodes, kept in one file that only we can read; tokens only as digests.

    The file is read again whenever it has changed: a command may change it while no daemon runs,
    and one that runs must not believe an old one. `on_removed` are told the name of a node that
    was removed in this process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark: tuple[int, int] | None = None
        self._peers: dict[str, Peer] = {}
        self.on_removed: set[Callable[[str], None]] = set()
        self.seen: dict[str, Seen] = {}

    def figures(self, name: str) -> Seen:
        """What a node has done, to be read and counted up."""
        return self.seen.setdefault(name, Seen())

    def all(self) -> list[Peer]:
        """Every invited node, by name; ConfigError where the file cannot be read."""
        self._read()
        return [self._peers[name] for name in sorted(self._peers)]

    def known(self, token: str) -> Peer | None:
        """The node that holds this token. Takes equally long for every wrong one."""
        self._read()
        digest = _digest(token)
        found = [p for p in self._peers.values() if hmac.compare_digest(p.digest, digest)]
        return found[0] if found else None

    def invite(self, name: str, models: tuple[str, ...], at: float) -> str:
        """Let a node in; its token, which is not kept. A second invitation ends the first."""
        if not _NAME.fullmatch(name):
            cure = "use at most 40 letters, digits, '.', '_' or '-'"
            raise ConfigError(f"{name!r} cannot be the name of a node", cure=cure)
        self._read()
        renewed = name in self._peers
        token = secrets.token_urlsafe(32)
        peer = Peer(name=name, digest=_digest(token), models=models, at=at)
        self._write({**self._peers, name: peer})
        if renewed:
            self._tell(name)
        return token

    def remove(self, name: str) -> None:
        """Let a node in no more; ConfigError where there is none of that name."""
        self._read()
        if name not in self._peers:
            there = ", ".join(sorted(self._peers)) or "none"
            raise ConfigError(f"no node is named {name!r}; there are: {there}", cure=_CURE)
        self._write({key: peer for key, peer in self._peers.items() if key != name})
        self._tell(name)

    def _tell(self, name: str) -> None:
        for told in tuple(self.on_removed):
            told(name)

    def _read(self) -> None:
        try:
            found = self._path.stat()
            mark = (found.st_mtime_ns, found.st_ino)
            if mark == self._mark:
                return
            peers = msgspec.json.decode(self._path.read_bytes(), type=list[Peer])
        except FileNotFoundError:
            self._mark, self._peers = None, {}
            return
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            cure = f"remove {self._path} and invite the nodes again"
            raise ConfigError(f"the list of nodes cannot be read: {error}", cure=cure) from None
        self._mark, self._peers = mark, {peer.name: peer for peer in peers}

    def _write(self, peers: dict[str, Peer]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, name = tempfile.mkstemp(dir=self._path.parent)  # mode 0600
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(list(peers.values())))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except OSError as error:
            raise Unready(f"{self._path} cannot be written: {error.strerror}") from error
        self._read()


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


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
