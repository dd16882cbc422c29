# SPDX-License-Identifier: AGPL-3.0-or-later
"""A small internet on loopback: a real name server, and a real web server at every address.

`resolve` and `dial` are lent to whoever is to live in it. Every address answers, the forbidden
ones too; `hits` tells which were really asked, and for what.
"""

import asyncio
import socket
import ssl
import struct
import subprocess
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import httpcore2
import msgspec

A, AAAA = 1, 28
HEADER = struct.Struct("!6H")
SECONDS = 10

IP = IPv4Address | IPv6Address


class Hit(msgspec.Struct, frozen=True):
    """A request that arrived at an address."""

    address: str
    port: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""


class Page(msgspec.Struct, frozen=True):
    """What is answered; `headers` without Content-Length where the body is to end with the line."""

    body: bytes = b"ok"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "text/plain"),)
    pause: float = 0
    """Seconds before each piece of 1000 bytes."""


class Names(asyncio.DatagramProtocol):
    """A name server (RFC 1035). Each name has a list of answers: one for each time it is asked,
    the last one for ever."""

    def __init__(self) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []
        self._turns: dict[tuple[str, int], int] = {}
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        number = HEADER.unpack_from(data)[0]
        name, end = _name_at(data, 12)
        (kind,) = struct.unpack_from("!H", data, end)
        if kind == A:
            self.asked.append(name)
        answers = self._answers(name, kind)
        code = 0 if name in self.names else 3
        head = HEADER.pack(number, 0x8180 | code, 1, len(answers), 0, 0)
        records = [
            b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 0, len(one)) + one for one in answers
        ]
        self.transport.sendto(head + data[12 : end + 4] + b"".join(records), addr)

    def _answers(self, name: str, kind: int) -> list[bytes]:
        turns = self.names.get(name, [[]])
        turn = self._turns.get((name, kind), 0)
        self._turns[name, kind] = turn + 1
        version = 4 if kind == A else 6
        found = [ip_address(one) for one in turns[min(turn, len(turns) - 1)]]
        return [one.packed for one in found if one.version == version]


def _name_at(data: bytes, at: int) -> tuple[str, int]:
    labels: list[str] = []
    while size := data[at]:
        labels.append(data[at + 1 : at + 1 + size].decode("latin-1"))
        at += 1 + size
    return ".".join(labels).lower(), at + 1


class Internet:
    """Use as an async context manager. `pages` are by host and path, `tls` makes port 443 speak
    TLS, `silent` are addresses that nobody answers at."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.dns = Names()
        self.pages: dict[tuple[str, str], Page] = {}
        self.hits: list[Hit] = []
        self.dialled: list[tuple[str, int]] = []
        self.silent: set[str] = set()
        self.serve: Callable[..., Coroutine[None, None, None]] | None = None
        self._tls = tls
        self._ports: dict[tuple[str, int], int] = {}
        self._stack = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: self.dns, local_addr=("127.0.0.1", 0)
        )
        self._stack.callback(transport.close)
        self.dns_port = transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self._stack.aclose()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def name(self, name: str, *answers: str | list[str]) -> None:
        """Let a name have these answers, each a list of addresses or one address."""
        self.dns.names[name] = [[one] if isinstance(one, str) else one for one in answers]

    async def resolve(self, host: str, port: int) -> Sequence[IP]:
        """Ask our name server, as a stub resolver does (RFC 1035, 4.2.1)."""
        found: list[IP] = []
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            line.connect(("127.0.0.1", self.dns_port))
            labels = [len(x).to_bytes() + x.encode() for x in host.split(".")]
            for number, kind in enumerate((A, AAAA)):
                question = b"".join(labels) + b"\0" + struct.pack("!HH", kind, 1)
                await loop.sock_sendall(line, HEADER.pack(number, 0x0100, 1, 0, 0, 0) + question)
                async with asyncio.timeout(SECONDS):
                    reply = await loop.sock_recv(line, 4096)
                found += _addresses(reply)
        return found

    async def dial(
        self, host: str, port: int, seconds: float | None
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the server that stands at an address."""
        self.dialled.append((host, port))
        if host in self.silent:
            await asyncio.sleep(seconds or SECONDS)
            raise httpcore2.ConnectTimeout(f"{host} is silent")
        place = (str(ip_address(host)), port)
        if place not in self._ports:
            serve = partial(self.serve or self._web, *place)

            def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.ensure_future(serve(reader, writer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

            tls = self._tls if port == 443 else None
            server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
            self._stack.callback(server.close)
            self._ports[place] = server.sockets[0].getsockname()[1]
        backend = httpcore2.AnyIOBackend()
        return await backend.connect_tcp("127.0.0.1", self._ports[place], seconds)

    async def _web(
        self, address: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while await self._request(address, port, reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()

    async def _request(
        self, address: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        headers = {k.lower(): v.strip() for k, _, v in (x.partition(":") for x in head[1:] if x)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.hits.append(Hit(address, port, method, target, headers, body))
        page = self.pages.get((headers.get("host", ""), target), Page())
        lines = [f"HTTP/1.1 {page.status} Yes"]
        lines += [f"{name}: {value}" for name, value in page.headers]
        lines.append(f"Content-Length: {len(page.body)}")
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        step = 1000 if page.pause else max(1, len(page.body))
        for at in range(0, len(page.body), step):
            await asyncio.sleep(page.pause)
            writer.write(page.body[at : at + step])
            await writer.drain()
        return True


def _addresses(reply: bytes) -> list[IP]:
    _, flags, _, count, _, _ = HEADER.unpack_from(reply)
    if flags & 15:
        return []
    _, at = _name_at(reply, 12)
    at += 4
    found: list[IP] = []
    for _ in range(count):
        _, _, _, size = struct.unpack_from("!HHIH", reply, at + 2)
        found.append(ip_address(reply[at + 12 : at + 12 + size]))
        at += 12 + size
    return found


def certified(folder: Path, *names: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """TLS for servers of these names, and for clients who trust them."""
    key, cert = folder / "key.pem", folder / "cert.pem"
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    san = "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)
    out = ["-keyout", str(key), "-out", str(cert), "-subj", "/CN=internet", "-addext", san]
    subprocess.run(["openssl", "req", "-x509", *kind, *out], check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    return server, ssl.create_default_context(cafile=str(cert))


def moved(to: str, status: int = 302) -> Page:
    """A redirect."""
    return Page(b"", status, (("Location", to),))
