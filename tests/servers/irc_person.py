# SPDX-License-Identifier: AGPL-3.0-or-later
"""A person on IRC: a raw client for tests that shares no code with the channel."""

import asyncio
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Spoken:
    """A PRIVMSG or NOTICE as it came: `raw` is the whole line with its end."""

    verb: str
    nick: str
    target: str
    text: str
    raw: bytes


@dataclass
class Person:
    """`lines` are all lines received since the first connection, `spoken` the messages in it."""

    nick: str
    port: int
    password: str = ""
    certificate: Path | None = None
    lines: list[str] = field(default_factory=list[str])
    spoken: list[Spoken] = field(default_factory=list[Spoken])
    _count: int = 0

    async def arrive(self, *rooms: str) -> None:
        """Connect, register and join."""
        tls = ssl.create_default_context(cafile=self.certificate) if self.certificate else None
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=tls)
        self._listening = asyncio.create_task(self._listen())
        if self.password:
            self.write(f"PASS {self.password}")
        self.write(f"NICK {self.nick}")
        self.write(f"USER {self.nick} 0 * :{self.nick}")
        mark = len(self.lines)
        await self._until(lambda: self._since(mark, " 376 ") or self._since(mark, " 422 "))
        for room in rooms:
            self.write(f"JOIN {room}")
        await self.sync()

    async def leave(self, reason: str = "bye") -> None:
        """QUIT, or just go where the server is dead already."""
        with suppress(OSError):
            self.write(f"QUIT :{reason}")
            await self._writer.drain()
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(1):
                await self._listening
        self._listening.cancel()
        self._writer.transport.abort()

    def write(self, line: str) -> None:
        """Send a line as it is."""
        self._writer.write(line.encode() + b"\r\n")

    async def sync(self) -> int:
        """Wait until the server has worked off all we wrote; where its last answers begin."""
        self._count += 1
        mark, token = len(self.lines), f"sync-{self._count}"
        self.write(f"PING {token}")
        await self._until(lambda: self._since(mark, token))
        return mark

    async def say(self, target: str, text: str, *, verb: str = "PRIVMSG") -> None:
        """Speak; to somebody who is not there (401), again until they are."""
        deadline = time.monotonic() + 15
        while True:
            self.write(f"{verb} {target} :{text}")
            mark = await self.sync()
            if not self._since(mark, " 401 "):
                return
            assert time.monotonic() < deadline, f"{target} never came"
            await asyncio.sleep(0.02)

    async def sees(self, what: str, *, seconds: float = 15) -> str:
        """The first line ever received that contains `what`, now or soon."""
        await self._until(lambda: self._since(0, what), seconds=seconds, what=what)
        return self._since(0, what)

    def texts(self, nick: str, target: str = "") -> list[str]:
        """What `nick` said to `target` (this person, if not given)."""
        target = target or self.nick
        return [one.text for one in self.spoken if (one.nick, one.target) == (nick, target)]

    def _since(self, mark: int, what: str) -> str:
        return next((line for line in self.lines[mark:] if what in line), "")

    async def _until(
        self, found: Callable[[], object], *, seconds: float = 15, what: str = ""
    ) -> None:
        deadline = time.monotonic() + seconds
        while not found():
            assert time.monotonic() < deadline, f"{self.nick}: no {what!r} in {self.lines[-8:]}"
            await asyncio.sleep(0.01)

    async def _listen(self) -> None:
        with suppress(OSError):
            while raw := await self._reader.readline():
                line = raw.decode("utf-8").rstrip("\r\n")
                if line.startswith("PING"):
                    self.write(f"PONG{line[4:]}")
                self.lines.append(line)
                source, verb, *rest = line.split(" ", 3)
                if verb in ("PRIVMSG", "NOTICE") and len(rest) == 2:
                    nick = source[1:].split("!")[0]
                    text = rest[1].removeprefix(":")
                    self.spoken.append(Spoken(verb, nick, rest[0], text, raw))
