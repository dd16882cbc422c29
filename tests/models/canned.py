# SPDX-License-Identifier: AGPL-3.0-or-later
"""A server that answers every request with the same bytes, and keeps what it was sent."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager


class Canned:
    def __init__(self, pieces: Sequence[bytes], holds: bool) -> None:
        self.pieces = pieces
        self.holds = holds
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.port = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            fields = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if line)
            self.bodies.append(await reader.readexactly(int(fields.get("content-length", "0"))))
            for piece in self.pieces:
                writer.write(piece)
                await writer.drain()
            if self.holds:
                await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def canned(
    *pieces: bytes, status: str = "200 OK", head: str = "", holds: bool = False
) -> AsyncGenerator[Canned, None]:
    """Serve `pieces` as one body that ends with the connection; `holds` keeps it open."""
    start = f"HTTP/1.1 {status}\r\n{head}Connection: close\r\n\r\n".encode()
    served = Canned([start, *pieces], holds)
    server = await asyncio.start_server(served.connected, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
