# SPDX-License-Identifier: AGPL-3.0-or-later
"""The life of a strict stand-in: HTTP, keys, faults. What is a wire's own is its `Dialect`."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec

from tests.servers.rote import Answer
from tests.servers.strict.asked import Asked, Refused


class Faults(msgspec.Struct):
    """How to misbehave, until it is changed. Delays are in seconds.

    `status` instead of an answer, `times` times. `die_after`, `hang_after` and `bad_after` are
    numbers of events; then the line breaks, falls silent, or brings bytes that are no event.
    `error_after` sends the wire's own error event (`overloaded`). `hang_up` closes the line before
    any answer. `thoughts` are thought before each answer. Arguments of calls come in pieces of
    `split` characters, the bytes of an answer in pieces of `cut`.
    """

    status: int = 0
    times: int = 1
    retry_after: str = ""
    words: str = "told to fail"
    die_after: int | None = None
    hang_after: int | None = None
    bad_after: int | None = None
    error_after: int | None = None
    hang_up: int = 0
    thoughts: str = ""
    split: int = 3
    cut: int = 0
    context: int = 0


class Dialect(Protocol):
    """What one wire adds."""

    name: str
    path: str
    listing: str
    embedding: str
    mime: str
    models: tuple[str, ...]

    def allowed(self, headers: dict[str, str], key: str) -> bool: ...
    def asked(self, body: bytes) -> Asked: ...
    def events(self, asked: Asked, said: Answer, faults: Faults) -> Sequence[bytes]: ...
    def whole(self, asked: Asked, said: Answer, faults: Faults) -> bytes: ...
    def error(self, status: int, words: str) -> bytes: ...
    def failing(self) -> bytes: ...
    def listed(self) -> bytes: ...
    def embedded(self, body: bytes) -> bytes: ...


class Life:
    """One stand-in: its wire, its faults, what it was asked."""

    def __init__(self, dialect: Dialect, key: str = "") -> None:
        self.dialect = dialect
        self.key = key
        self.faults = Faults()
        self.bodies: deque[bytes] = deque(maxlen=200)
        self.heads: deque[dict[str, str]] = deque(maxlen=200)
        self.port = 0
        self.lost = 0
        self.open: set[asyncio.StreamWriter] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(writer)
        try:
            while await self.request(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # cancelled only when the loop ends
        finally:
            self.open.discard(writer)
            writer.close()

    async def request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection may take another."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, _, rest = head.partition("\r\n")
        method, path, _ = line.split(" ", 2)
        headers = {
            name.lower(): value.strip()
            for name, _, value in (field.partition(":") for field in rest.splitlines() if field)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        dialect = self.dialect
        if path == "/control":
            self.faults = msgspec.json.decode(body, type=Faults)
            _reply(writer, 200, b"{}")
        elif not dialect.allowed(headers, self.key):
            _reply(writer, 401, dialect.error(401, "the key is not known"))
        elif (method, path) == ("GET", dialect.listing):
            _reply(writer, 200, dialect.listed())
        elif (method, path) == ("POST", dialect.embedding) and path:
            self._checked(writer, body, headers)
        elif (method, path) == ("POST", dialect.path):
            self.heads.append(headers)
            self.bodies.append(body)
            return await self.answer(body, reader, writer)
        else:
            _reply(writer, 404, dialect.error(404, f"no such path: {path}"))
        return True

    def _checked(self, writer: asyncio.StreamWriter, body: bytes, headers: dict[str, str]) -> None:
        self.heads.append(headers)
        self.bodies.append(body)
        try:
            _reply(writer, 200, self.dialect.embedded(body))
        except (Refused, msgspec.DecodeError) as e:
            _reply(writer, 400, self.dialect.error(400, str(e)))

    async def answer(
        self, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        faults, dialect = self.faults, self.dialect
        if faults.hang_up > 0:
            faults.hang_up -= 1
            return False
        if faults.status and faults.times > 0:
            faults.times -= 1
            told = dialect.error(faults.status, faults.words)
            _reply(writer, faults.status, told, faults.retry_after)
            return True
        try:
            asked = dialect.asked(body)
        except (Refused, msgspec.DecodeError) as e:
            _reply(writer, 400, dialect.error(400, f"invalid request: {e}"))
            return True
        if asked.model not in dialect.models:
            _reply(writer, 404, dialect.error(404, f"model '{asked.model}' not found"))
            return True
        said = asked.answered()
        if faults.context and said.prompt > faults.context:
            words = f"prompt is too long: {said.prompt} tokens > {faults.context} maximum"
            _reply(writer, 400, dialect.error(400, words))
            return True
        if not asked.stream:
            _reply(writer, 200, dialect.whole(asked, said, faults))
            return True
        return await self.streamed(dialect.events(asked, said, faults), reader, writer)

    async def streamed(
        self, events: Sequence[bytes], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        faults = self.faults
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {self.dialect.mime}\r\n"
        writer.write(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        for mark, piece in ((faults.bad_after, b"data: {]\n\n"), (faults.error_after, b"")):
            if mark is not None:
                events = [*events[:mark], piece or self.dialect.failing()]
        ends = [mark for mark in (faults.die_after, faults.hang_after) if mark is not None]
        data = b"".join(events[: ends[0]] if ends else events)
        size = faults.cut or len(data) or 1
        for i in range(0, len(data), size):
            writer.write(_framed(data[i : i + size]))
            await writer.drain()
        if faults.hang_after is not None:
            await reader.read()  # until the client has had enough
            self.lost += 1
            return False
        if faults.die_after is not None:
            return False
        writer.write(b"0\r\n\r\n")
        return True


@asynccontextmanager
async def serving(dialect: Dialect, *, key: str = "", port: int = 0) -> AsyncGenerator[Life, None]:
    """A stand-in on loopback, within this process."""
    life = Life(dialect, key)
    server = await asyncio.start_server(life.connected, "127.0.0.1", port)
    life.port = server.sockets[0].getsockname()[1]
    try:
        yield life
    finally:
        server.close()
        for writer in life.open:
            writer.close()


def pieces(text: str, size: int) -> list[str]:
    """`text` in pieces of `size` characters."""
    return [text[i : i + size] for i in range(0, len(text), max(1, size))]


def event(data: object, name: str = "") -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: ".encode() + msgspec.json.encode(data) + b"\n\n"


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _reply(writer: asyncio.StreamWriter, status: int, body: bytes, retry_after: str = "") -> None:
    extra = f"Retry-After: {retry_after}\r\n" if retry_after else ""
    head = f"HTTP/1.1 {status} .\r\nContent-Type: application/json\r\n{extra}"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
