# SPDX-License-Identifier: AGPL-3.0-or-later
"""HTTP/1.1 at the window: uvicorn's protocol over httptools, with an end to a request's head.

What is written within one turn of the event loop goes out in one piece: a head with its body, the
events of a burst. Each piece is a system call here, a sixth of all that a short request costs,
and a wake-up at the client.
"""

import asyncio

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 * 1024
"""The longest request line and headers; the parser itself knows no limit."""


class Protocol(HttpToolsProtocol):
    """One connection of a client."""

    head = 0
    heading = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A client is there."""
        super().connection_made(Corked(transport))

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.head, self.heading = 0, True

    def on_url(self, url: bytes) -> None:
        """The request line."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The end of the head."""
        self.heading = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes came; one header without end is cut off here."""
        super().data_received(data)
        if self.heading and not self.transport.is_closing():
            self.head += len(data)
            if self.head > 2 * HEAD_BYTES:  # what stands in whole headers was counted already
                self.send_400_response("The head of this request is too long.")

    def _count(self, size: int) -> None:
        self.head += size
        if self.head > HEAD_BYTES:
            raise httptools.HttpParserError("the head of this request is too long")


class Corked(asyncio.Transport):
    """A transport that gathers what is written until the loop comes round."""

    def __init__(self, inner: asyncio.Transport) -> None:
        super().__init__()
        self._inner = inner
        self._held: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send soon."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(bytes(data))

    def _flush(self) -> None:
        if self._held:
            self._inner.write(b"".join(self._held))
            self._held.clear()

    def close(self) -> None:
        """Send what is held, then close."""
        self._flush()
        self._inner.close()

    def abort(self) -> None:
        """Close at once; what is held is lost."""
        self._held.clear()
        self._inner.abort()

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._inner.is_closing()

    def pause_reading(self) -> None:
        """Take nothing more for a while."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """Take again."""
        self._inner.resume_reading()

    def get_extra_info(self, name: str, default: object = None) -> object:
        """What is known of the socket."""
        return self._inner.get_extra_info(name, default)
