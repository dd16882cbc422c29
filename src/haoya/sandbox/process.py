# SPDX-License-Identifier: AGPL-3.0-or-later
"""A running program, as the daemon holds it: three pipes and a line to its keeper."""

import asyncio
import contextlib
import math
import os
import signal
import socket
from collections import deque
from collections.abc import AsyncIterator
from typing import Literal, TypeVar, cast

from haoya.core.errors import ConfigError, Unready
from haoya.core.sandbox import Bounds, Ended, Piece
from haoya.sandbox.launcher import writable
from haoya.sandbox.order import News
from haoya.sandbox.relay import Relay

READ_BYTES = 65536
BUFFERED_BYTES = 256 * 1024
"""How much output waits here for its reader; beyond it the program waits."""

START_SECONDS = 20.0
END_SECONDS = 15.0
"""How long a keeper may take to end everything before it is said that it did not."""


Value = TypeVar("Value")


class Running:
    """The port `Process`, made of callbacks of the event loop alone: no task is needed."""

    def __init__(
        self, control: socket.socket, streams: tuple[int, int, int], bounds: Bounds, egress: str
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._control, self._bounds = control, bounds
        self._input: int | None = streams[0]
        self._sources: dict[int, Literal[1, 2]] = {streams[1]: 1, streams[2]: 2}
        self._listening = self._hoards = self._taken_up = False
        self._pieces: deque[Piece] = deque()
        self._held = self._taken = self._dropped = 0
        self._fresh = asyncio.Event()
        self._writing = asyncio.Lock()
        self._heard = b""
        self._started: asyncio.Future[None] = self._loop.create_future()
        self._ended: asyncio.Future[News] = self._loop.create_future()
        self._bound = ""
        self._alarm: asyncio.TimerHandle | None = None
        self._relay = Relay(egress) if egress else None
        for fd in (control.fileno(), *streams):
            os.set_blocking(fd, False)
        self._loop.add_reader(control.fileno(), self._hear)
        self._resume()

    async def ready(self) -> None:
        """Until it runs; raises where it does not."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._started
        except TimeoutError:
            raise Unready(
                "the sandbox takes too long to start a program", trouble="timeout"
            ) from None
        if math.isfinite(self._bounds.seconds):
            self._alarm = self._loop.call_later(self._bounds.seconds, self._too_long)

    async def write(self, data: bytes) -> None:
        """Put bytes into its input; waits while it does not read."""
        async with self._writing:
            rest = memoryview(data)
            while rest:
                if self._input is None or self._ended.done():
                    raise Unready("the program takes no more input: it has ended or was told so")
                try:
                    rest = rest[os.write(self._input, rest) :]
                except BlockingIOError:
                    await writable(self._input)
                except BrokenPipeError:
                    raise Unready("the program has closed its input") from None

    async def close_input(self) -> None:
        """No more input comes."""
        async with self._writing:
            self._shut_input()

    async def output(self) -> AsyncIterator[Piece]:
        """What it writes, as it comes."""
        self._taken_up = True
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._held -= len(piece.data)
                if self._held < BUFFERED_BYTES // 2:
                    self._resume()
                yield piece
            if not self._sources:
                return
            self._fresh.clear()
            await self._fresh.wait()

    async def wait(self) -> Ended:
        """Wait for its end. Output that nobody reads is kept meanwhile, up to its bound."""
        if not self._taken_up:
            self._hoards = True
            self._resume()
        news = await asyncio.shield(self._ended)
        return Ended(
            status=news.status,
            bound=cast(Literal["", "seconds", "memory", "processes"], self._bound or news.bound),
            dropped=self._dropped,
            cpu_seconds=news.cpu,
        )

    async def stop(self) -> Ended:
        """End it now, and all it started."""
        self._halt()
        try:
            async with asyncio.timeout(END_SECONDS):
                return await self.wait()
        except TimeoutError:
            raise Unready("a program in the sandbox cannot be ended; restart haoya") from None

    def close(self) -> None:
        """Let go of everything; the keeper ends the program when its line closes."""
        if self._alarm:
            self._alarm.cancel()
        if self._relay:
            self._relay.close()
        self._shut_input()
        for fd in list(self._sources):
            self._shut(fd)
        self._deaf()
        for future in (self._started, self._ended):
            future.cancel()

    def _halt(self) -> None:
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    def _too_long(self) -> None:
        self._bound = "seconds"
        self._halt()

    def _hear(self) -> None:
        """News from the keeper, perhaps with a socket."""
        try:
            data, fds, *_ = socket.recv_fds(self._control, READ_BYTES, 4, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        for fd in fds:
            if self._relay:
                self._relay.open(socket.socket(fileno=fd))
            else:
                os.close(fd)
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            self._take(News.decode(line))
        if not data:
            self._take(News("ended", "its keeper died", -signal.SIGKILL))

    def _take(self, news: News) -> None:
        if news.kind == "started":
            _settle(self._started, None)
        elif news.kind == "missing":
            cure = "name a program of the system's, or lend what it needs with a mount"
            _fail(self._started, ConfigError(f"{news.text} (as seen in the sandbox)", cure=cure))
        elif news.kind == "unable":
            _fail(self._started, Unready(f"the sandbox cannot run programs: {news.text}"))
        elif news.kind == "ended":
            _fail(self._started, Unready(f"the sandbox cannot run programs: {news.text}"))
            self._deaf()
            for fd in list(self._sources):
                while fd in self._sources and self._read(fd):
                    pass
                if fd in self._sources:
                    self._shut(fd)
            _settle(self._ended, news)

    def _deaf(self) -> None:
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control.fileno())
            self._control.close()

    def _read(self, fd: int) -> bool:
        """Take what a stream holds; false once it is empty or over."""
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._shut(fd)
            return False
        room = max(0, self._bounds.output - self._taken)
        kept = data[:room]
        self._dropped += len(data) - len(kept)
        self._taken += len(kept)
        if kept:
            self._held += len(kept)
            self._pieces.append(Piece(self._sources[fd], kept))
            self._fresh.set()
            if self._held >= BUFFERED_BYTES and not self._hoards:
                self._pause()
        return True

    def _pause(self) -> None:
        for fd in self._sources:
            self._loop.remove_reader(fd)
        self._listening = False

    def _resume(self) -> None:
        if not self._listening:
            for fd in self._sources:
                self._loop.add_reader(fd, self._read, fd)
        self._listening = True

    def _shut(self, fd: int) -> None:
        self._loop.remove_reader(fd)
        os.close(fd)
        del self._sources[fd]
        self._fresh.set()

    def _shut_input(self) -> None:
        if self._input is not None:
            self._loop.remove_writer(self._input)
            os.close(self._input)
            self._input = None


def _settle(future: asyncio.Future[Value], value: Value) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
