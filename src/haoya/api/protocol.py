# SPDX-License-Identifier: AGPL-3.0-or-later
"""HTTP/1.1 at the window: uvicorn's protocol over httptools, with an end to a request's head."""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 * 1024
"""The longest request line and headers; the parser itself knows no limit."""


class Protocol(HttpToolsProtocol):
    """One connection of a client."""

    head = 0
    heading = False

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
