# SPDX-License-Identifier: AGPL-3.0-or-later
"""Connections to judged addresses: a name is resolved once, all its answers are judged, and what
is dialled is one of those answers.

This stands below the pool of connections, so one that is kept for reuse costs nothing more. TLS
asks for the name and checks the certificate for it, as ever.
"""

import asyncio
import base64
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import ip_address
from typing import Protocol, cast

import httpcore2
import httpx2

from haoya.policy.addresses import IP, kind_of
from haoya.policy.egress import Rules
from haoya.policy.hosts import Site

Resolve = Callable[[str, int], Awaitable[Sequence[IP]]]
Dial = Callable[[str, int, float | None], Awaitable[httpcore2.AsyncNetworkStream]]
"""Opens a TCP connection to an address (never a name) and port within so many seconds."""

SocketOption = httpcore2.SOCKET_OPTION

_TCP = httpcore2.AnyIOBackend()

STAGGER_SECONDS = 0.25
"""How long an address has to itself before the next one is tried beside it (RFC 8305, 5)."""

HEAD_BYTES = 16 * 1024
"""The most that a proxy may say before a tunnel stands."""


class Judge(Protocol):
    """What may be dialled, as a class of places has it; each answer is a reason, or ""."""

    def of(self, site: Site, answers: Sequence[IP]) -> str:
        """Why a name with these answers may not be dialled."""
        ...

    def unresolved(self, site: Site) -> str:
        """Why a name may not be left to a proxy's resolver."""
        ...

    def itself(self, site: Site, address: IP) -> str:
        """Why an address that is this machine's own may not be used."""
        ...


class Own:
    """What the owner wrote: anything but what the owner denies."""

    def __init__(self, rules: Callable[[], Rules]) -> None:
        self._rules = rules

    def of(self, site: Site, answers: Sequence[IP]) -> str:
        """Only `deny` counts."""
        rules = self._rules()
        return rules.denied(site, answers) if rules.deny else ""

    def unresolved(self, site: Site) -> str:
        """Only `deny` counts."""
        return self._rules().denied(site)

    def itself(self, site: Site, address: IP) -> str:
        """The owner may mean this machine."""
        return ""


class Chosen:
    """What data or a model chose: public addresses, and what the owner allows."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def of(self, site: Site, answers: Sequence[IP]) -> str:
        """All answers must be allowed."""
        return self._rules.refusal(site, answers)

    def unresolved(self, site: Site) -> str:
        """As far as a name can be judged."""
        return self._rules.unresolved(site)

    def itself(self, site: Site, address: IP) -> str:
        """A public address of this machine is a way round the rule about loopback."""
        return self._rules.mirrored(site, address) if kind_of(address)[0] == "public" else ""


async def resolve(host: str, port: int) -> Sequence[IP]:
    """The addresses of a name, as the system's resolver gives them."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise _unknown(host, error) from None
    return _addresses(found)


async def dial(host: str, port: int, seconds: float | None) -> httpcore2.AsyncNetworkStream:
    """A TCP connection."""
    tcp = cast("httpcore2.AsyncNetworkBackend", _TCP)
    return await tcp.connect_tcp(host, port, seconds)


def _unknown(host: str, error: Exception) -> httpcore2.ConnectError:
    why = getattr(error, "strerror", None) or type(error).__name__
    return httpcore2.ConnectError(f"{host} has no address ({why})")


def _addresses(
    found: Iterable[tuple[object, object, object, object, tuple[object, ...]]],
) -> list[IP]:
    return list(dict.fromkeys(ip_address(str(one[4][0])) for one in found))


class Tunnel:
    """A proxy that is asked for tunnels (RFC 9110, 9.3.6): only the address that was judged is
    named to it, unless it `resolves` names itself."""

    def __init__(self, proxy: httpx2.URL, *, resolves: bool) -> None:
        self.host = proxy.raw_host.decode("ascii")
        self.port = proxy.port or (443 if proxy.scheme == "https" else 80)
        self.secure = proxy.scheme == "https"
        self.resolves = resolves
        self._login = b""
        if proxy.username:
            pair = f"{proxy.username}:{proxy.password}".encode()
            self._login = b"Proxy-Authorization: Basic " + base64.b64encode(pair) + b"\r\n"

    def request(self, host: str, port: int) -> bytes:
        """What opens a tunnel."""
        to = (f"[{host}]" if ":" in host else host).encode("ascii") + b":%d" % port
        return b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (to, to, self._login)

    def stands(self, head: bytes) -> bool:
        """Whether the proxy has opened it; False while it has not said all. Raises ProxyError."""
        if b"\r\n\r\n" not in head:
            if len(head) > HEAD_BYTES:
                raise httpcore2.ProxyError("the proxy's answer has no end")
            return False
        line = head.partition(b"\r\n")[0].decode("latin-1")
        status = line.split(" ", 2)[1:2]
        if not line.startswith("HTTP/1.") or not status or not status[0].startswith("2"):
            raise httpcore2.ProxyError(f"the proxy opens no tunnel ({line[:80]})")
        return True


class Pinned(httpcore2.AsyncNetworkBackend):
    """Opens connections for a pool."""

    def __init__(
        self,
        judge: Judge,
        *,
        resolve: Resolve = resolve,
        dial: Dial = dial,
        tunnel: Callable[[Site], Tunnel | None] = lambda _: None,
    ) -> None:
        self._judge, self._resolve, self._dial, self._tunnel = judge, resolve, dial, tunnel

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to an address that was judged. Raises `ConnectError` with the reason."""
        site = Site(scheme="http", host=host, port=port)
        try:
            async with asyncio.timeout(timeout):
                return await self._connected(site, timeout)
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"{host} gave no connection in time") from None

    async def _connected(self, site: Site, timeout: float | None) -> httpcore2.AsyncNetworkStream:
        tunnel = self._tunnel(site)
        if tunnel is not None and tunnel.resolves and site.address is None:
            _check(self._judge.unresolved(site))
            return await self._through(tunnel, site.host, site.port, timeout)
        answers = await self._answers(site)
        _check(self._judge.of(site, answers))
        if tunnel is not None:
            return await self._through(tunnel, str(answers[0]), site.port, timeout)

        async def to(address: IP) -> httpcore2.AsyncNetworkStream:
            return await self._dial(str(address), site.port, timeout)

        stream = await _first(answers, to)
        if why := _itself(self._judge, site, stream.get_extra_info):
            await stream.aclose()
            _check(why)
        return stream

    async def _answers(self, site: Site) -> Sequence[IP]:
        if (literal := site.address) is not None:
            return (literal,)
        found = await self._resolve(site.host, site.port)
        if not found:
            raise httpcore2.ConnectError(f"{site.host} has no address")
        return found

    async def _through(
        self, tunnel: Tunnel, host: str, port: int, timeout: float | None
    ) -> httpcore2.AsyncNetworkStream:
        stream = await dial(tunnel.host, tunnel.port, timeout)
        try:
            if tunnel.secure:
                tls = httpx2.create_ssl_context()
                stream = await stream.start_tls(tls, tunnel.host, timeout)
            await stream.write(tunnel.request(host, port), timeout)
            head = b""
            while not tunnel.stands(head):
                more = await stream.read(HEAD_BYTES, timeout)
                if not more:
                    raise httpcore2.ProxyError("the proxy hung up")
                head += more
        except BaseException:
            await stream.aclose()
            raise
        return stream

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """There are none."""
        raise httpcore2.ConnectError("no Unix sockets are asked over HTTP")

    async def sleep(self, seconds: float) -> None:
        """For the pool's own waiting."""
        await asyncio.sleep(seconds)


class PinnedBlocking(httpcore2.NetworkBackend):
    """The same for a program that has nothing else to do meanwhile."""

    def __init__(
        self, judge: Judge, *, tunnel: Callable[[Site], Tunnel | None] = lambda _: None
    ) -> None:
        self._judge, self._tunnel = judge, tunnel
        self._tcp = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore2.NetworkStream:
        """A connection to an address that was judged. Raises `ConnectError` with the reason."""
        site = Site(scheme="http", host=host, port=port)
        tunnel = self._tunnel(site)
        if tunnel is not None and tunnel.resolves and site.address is None:
            _check(self._judge.unresolved(site))
            return self._through(tunnel, host, port, timeout)
        answers = self._answers(site)
        _check(self._judge.of(site, answers))
        if tunnel is not None:
            return self._through(tunnel, str(answers[0]), port, timeout)
        stream = self._first(answers, port, timeout)
        if why := _itself(self._judge, site, stream.get_extra_info):
            stream.close()
            _check(why)
        return stream

    def _answers(self, site: Site) -> Sequence[IP]:
        if (literal := site.address) is not None:
            return (literal,)
        try:
            found = socket.getaddrinfo(site.host, site.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise _unknown(site.host, error) from None
        return _addresses(found)

    def _first(
        self, answers: Sequence[IP], port: int, timeout: float | None
    ) -> httpcore2.NetworkStream:
        """One after the other; the time is shared between them."""
        share = None if timeout is None else timeout / len(answers)
        for address in answers[:-1]:
            try:
                return self._tcp.connect_tcp(str(address), port, share, None, ())
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return self._tcp.connect_tcp(str(answers[-1]), port, share, None, ())

    def _through(
        self, tunnel: Tunnel, host: str, port: int, timeout: float | None
    ) -> httpcore2.NetworkStream:
        stream = self._tcp.connect_tcp(tunnel.host, tunnel.port, timeout, None, ())
        try:
            if tunnel.secure:
                stream = stream.start_tls(httpx2.create_ssl_context(), tunnel.host, timeout)
            stream.write(tunnel.request(host, port), timeout)
            head = b""
            while not tunnel.stands(head):
                more = stream.read(HEAD_BYTES, timeout)
                if not more:
                    raise httpcore2.ProxyError("the proxy hung up")
                head += more
        except BaseException:
            stream.close()
            raise
        return stream


def _check(why: str) -> None:
    if why:
        raise httpcore2.ConnectError(why)


def _itself(judge: Judge, site: Site, about: Callable[[str], object]) -> str:
    """Whoever dials an address of this machine comes from that address."""
    near, far = about("client_addr"), about("server_addr")
    if not isinstance(near, tuple) or not isinstance(far, tuple) or near[0] != far[0]:
        return ""
    return judge.itself(site, ip_address(str(cast("tuple[object, ...]", far)[0])))


async def _first(
    answers: Sequence[IP], dial: Callable[[IP], Awaitable[httpcore2.AsyncNetworkStream]]
) -> httpcore2.AsyncNetworkStream:
    """The first connection that stands, the addresses tried a little apart (RFC 8305)."""
    if len(answers) == 1:
        return await dial(answers[0])
    failure: BaseException | None = None
    trying: set[asyncio.Future[httpcore2.AsyncNetworkStream]] = set()
    left = list(answers)
    try:
        while left or trying:
            if left:
                trying.add(asyncio.ensure_future(dial(left.pop(0))))
            done, trying = await asyncio.wait(
                trying,
                timeout=STAGGER_SECONDS if left else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for one in done:
                if (error := one.exception()) is None:
                    done.discard(one)
                    trying |= done
                    return one.result()
                failure = failure or error
    finally:
        await _drop(trying)
    raise failure or httpcore2.ConnectError("there is no address")


async def _drop(trying: set[asyncio.Future[httpcore2.AsyncNetworkStream]]) -> None:
    for one in trying:
        one.cancel()
    for outcome in await asyncio.gather(*trying, return_exceptions=True):
        if isinstance(outcome, httpcore2.AsyncNetworkStream):
            await outcome.aclose()
