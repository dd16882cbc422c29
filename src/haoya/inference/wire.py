# SPDX-License-Identifier: AGPL-3.0-or-later
"""HTTP/1.1 over an engine's Unix socket, as little of it as our own child needs.

The house's HTTP client costs about 0.13 ms of processor time for each streamed token, this 0.03
(docs/decisions/0009); on two cores the engine needs them both. One connection for each request:
closing it is how an answer is stopped.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from haoya.core.errors import Unready

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_LINE_BYTES = 1024 * 1024


class Reply:
    """An answer of the engine: status and the body as it comes."""

    def __init__(self, status: int, headers: dict[str, str], reader: asyncio.StreamReader) -> None:
        self.status = status
        self.mime = headers.get("content-type", "application/json")
        self._length = headers.get("content-length")
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        self._reader = reader

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body piece by piece; `Unready` where it breaks off."""
        try:
            if not self._chunked:
                yield await self._reader.readexactly(int(self._length or 0))
                return
            while size := int((await self._reader.readline()).split(b";")[0], 16):
                yield (await self._reader.readexactly(size + 2))[:-2]
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            raise Unready("the engine broke off its answer", trouble="broken") from error

    async def body(self) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self.pieces()])


@asynccontextmanager
async def request(
    socket: str, method: str, path: str, body: bytes = b""
) -> AsyncGenerator[Reply, None]:
    """Send a request; leaving drops the connection, and with it an answer not yet ended.

    Raises `Unready` (`reached` is false where nobody listens).
    """
    try:
        reader, writer = await asyncio.open_unix_connection(socket, limit=MAX_LINE_BYTES)
    except OSError as error:
        text = f"the engine does not listen ({error.strerror})"
        raise Unready(text, trouble="unreachable", reached=False) from error
    try:
        head = f"{method} {path} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        try:
            await writer.drain()
            reply = await _head(reader)
        except (OSError, asyncio.IncompleteReadError, LookupError, ValueError) as error:
            raise Unready("the engine broke off", trouble="broken") from error
        yield reply
    finally:
        writer.transport.abort()


async def _head(reader: asyncio.StreamReader) -> Reply:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(lines[0].split(" ", 2)[1])
    fields = (line.partition(":") for line in lines[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    return Reply(status, headers, reader)
