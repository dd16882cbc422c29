# SPDX-License-Identifier: AGPL-3.0-or-later
"""HTTP/1.1 for stand-ins, as small and light as it gets: keep-alive, Content-Length, no TLS.

Light because benchmarks measure the daemon while a stand-in runs beside it on the same cores.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

import msgspec

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


@dataclass(slots=True)
class Upload:
    """A file that came in a multipart form."""

    name: str
    mime: str
    data: bytes


@dataclass(slots=True)
class Request:
    """A request; `reply` answers it, now or later, `drop` closes the line without an answer.

    `gone` is called when the client hung up before there was an answer.
    """

    method: str
    path: str
    params: dict[str, object]
    uploads: dict[str, Upload]
    reply: Callable[[int, bytes, str], None]
    drop: Callable[[], None]
    gone: list[Callable[[], None]] = field(default_factory=list)


class Line(asyncio.Protocol):
    """One connection."""

    def __init__(self, app: Callable[[Request], None]) -> None:
        self.app = app
        self.buffer = bytearray()
        self.transport: asyncio.Transport | None = None
        self.request: Request | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        request, self.request = self.request, None
        for hung_up in request.gone if request else ():
            hung_up()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self._next()

    def _next(self) -> None:
        """Take up the next request once the one before is answered."""
        if self.request or (end := self.buffer.find(b"\r\n\r\n")) < 0:
            return
        lines = self.buffer[:end].decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        size = int(headers.get("content-length", "0"))
        if len(self.buffer) < end + 4 + size:
            return
        body = bytes(self.buffer[end + 4 : end + 4 + size])
        del self.buffer[: end + 4 + size]
        method, target, _ = lines[0].split(" ", 2)
        path, _, query = target.partition("?")
        params: dict[str, object] = dict(parse_qsl(query, keep_blank_values=True))
        uploads: dict[str, Upload] = {}
        _read_body(headers.get("content-type", ""), body, params, uploads)
        self.request = Request(method, unquote(path), params, uploads, self._reply, self._drop)
        self.app(self.request)

    def _reply(self, status: int, body: bytes, mime: str = "application/json") -> None:
        self.request = None
        if self.transport is None or self.transport.is_closing():
            return
        head = f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}\r\nContent-Type: {mime}\r\n"
        self.transport.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        if self.buffer:
            asyncio.get_running_loop().call_soon(self._next)

    def _drop(self) -> None:
        self.request = None
        if self.transport is not None:
            self.transport.abort()


def _read_body(
    kind: str, body: bytes, params: dict[str, object], uploads: dict[str, Upload]
) -> None:
    """The fields of a JSON, urlencoded or multipart body, added to `params` and `uploads`."""
    if kind.startswith("application/json") and body:
        params.update(msgspec.json.decode(body))
    elif kind.startswith("application/x-www-form-urlencoded"):
        params.update(parse_qsl(body.decode(), keep_blank_values=True))
    elif kind.startswith("multipart/form-data"):
        boundary = b"--" + kind.partition("boundary=")[2].strip('"').encode()
        for chunk in body.split(boundary)[1:-1]:
            head, _, data = chunk.removeprefix(b"\r\n").partition(b"\r\n\r\n")
            _read_field(head.decode(), data.removesuffix(b"\r\n"), params, uploads)


def _read_field(
    head: str, data: bytes, params: dict[str, object], uploads: dict[str, Upload]
) -> None:
    name = filename = mime = ""
    for line in head.split("\r\n"):
        key, _, value = line.partition(":")
        if key.lower() == "content-type":
            mime = value.strip()
        for piece in value.split(";") if key.lower() == "content-disposition" else ():
            what, _, content = piece.strip().partition("=")
            name = content.strip('"') if what == "name" else name
            filename = content.strip('"') if what == "filename" else filename
    if filename:
        uploads[name] = Upload(filename, mime, data)
    else:
        params[name] = data.decode()
