# SPDX-License-Identifier: AGPL-3.0-or-later
"""The one way out over HTTP, for all parts of the program.

A part may ask the addresses that stand in its own settings as they are written there, and its
secrets go nowhere else. Every other address was chosen by data, by a model or by somebody's answer:
it is brought into one form, judged, asked without credentials, and looked through for secrets on
the way out and back. A redirect is a request like any other.
"""

import re
import ssl
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

import httpx2

from haoya.core.errors import ConfigError
from haoya.core.message import Word
from haoya.policy.egress import Rule, Rules
from haoya.policy.hosts import PORTS, Site, site_of
from haoya.policy.leaks import Screen
from haoya.runtime.egress_settings import EgressSettings
from haoya.runtime.http import LIMITS, TIMEOUT_SECONDS, BlockingPool, Pool, Proxies
from haoya.runtime.pinning import (
    Chosen,
    Dial,
    Own,
    Pinned,
    PinnedBlocking,
    Resolve,
    Tunnel,
    dial,
    resolve,
)
from haoya.runtime.screening import Screened

Credential = Callable[[str, str], str]
"""A secret's value by its name and the origin it goes to; `ConfigError` where it may not."""

Origin = tuple[str, bytes, int | None]

_DEFAULT = EgressSettings()
_PLACEHOLDER = re.compile(rb"secret:([A-Za-z0-9][A-Za-z0-9._-]{0,63})")
_CREDENTIALS = frozenset(
    {b"authorization", b"proxy-authorization", b"cookie", b"x-api-key", b"api-key"}
)
"""Headers that no chosen place gets from a caller."""


class Leak(Word, frozen=True, kw_only=True):
    """Secrets (by name) that a part's request would have carried to `host`, or that came back."""

    part: str
    host: str
    names: frozenset[str]
    incoming: bool = False


def no_credential(name: str, origin: str) -> str:
    """Where there is no vault."""
    raise ConfigError(f"there is no secret named {name!r}", cure=f"run `haoya secrets set {name}`")


class Egress:
    """Holds the connections; use as an async context manager.

    `credential` turns a secret's name into its value at the last moment, `screen` knows what must
    not leave, `told` hears of each leak that was stopped.
    """

    def __init__(
        self,
        settings: Callable[[], EgressSettings] = lambda: _DEFAULT,
        *,
        credential: Credential = no_credential,
        screen: Callable[[], Screen] = lambda: Screen({}),
        told: Callable[[Leak], None] = lambda _: None,
        resolve: Resolve = resolve,
        dial: Dial = dial,
        tls: Callable[[], ssl.SSLContext] = httpx2.create_ssl_context,
        http2: bool = False,
    ) -> None:
        self._settings, self.credential = settings, credential
        self._screen, self._told = screen, told
        self._resolve, self._dial = resolve, dial
        self._tls, self._http2 = tls(), http2
        self._seen = settings()
        self._rules = self._seen.rules()
        self._proxies = Proxies()
        self._denied: tuple[Rule, ...] = self._rules.deny
        self._own = self._open_own()
        self._proxied = {
            str(url): httpx2.AsyncHTTPTransport(verify=self._tls, proxy=url, limits=LIMITS)
            for url in self._proxies.urls.values()
        }
        self._chosen = self._open_chosen()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for pool in (self._own, self._chosen, *self._proxied.values()):
            await pool.aclose()

    def client(
        self, part: str, addresses: Iterable[str] = (), secrets: Iterable[str] = ()
    ) -> httpx2.AsyncClient:
        """A part's own client: no cookies, no redirects. `addresses` are those of its settings,
        `secrets` the names in them. It needs no closing."""
        way = _Way(self, part, origins(addresses), frozenset(secrets))
        return httpx2.AsyncClient(transport=way, timeout=TIMEOUT_SECONDS, trust_env=False)

    def rules(self) -> Rules:
        """The owner's rules as they are now."""
        if (now := self._settings()) is not self._seen:
            self._seen, self._rules = now, now.rules()
        return self._rules

    async def own(self, request: httpx2.Request) -> httpx2.Response:
        """Ask what the owner wrote."""
        url, rules = request.url, self.rules()
        if rules.deny != self._denied:
            self._denied, old, self._own = rules.deny, self._own, self._open_own()
            await old.aclose()  # what was open under other rules ends
        if rules.deny:
            _refuse(rules.denied(_plainly(url)), request)
        if self._proxied and (proxy := self._proxies.of(url.scheme, url.host)):
            return await self._proxied[str(proxy)].handle_async_request(request)
        return await self._own.handle_async_request(request)

    async def chosen(self, part: str, request: httpx2.Request) -> httpx2.Response:
        """Ask what somebody chose."""
        rules, before = self.rules(), self._laid
        if before != (rules, self._seen.proxy_resolves):
            old, self._chosen = self._chosen, self._open_chosen()
            await old.aclose()
        site, aimed = aim(request, rules)
        screen = self._screen()
        if not screen:
            return await self._chosen.handle_async_request(aimed)
        names = screen.find(await _all_of(aimed))
        if names:
            self._told(Leak(part=part, host=site.host, names=names))
            _refuse("the request holds a secret of the owner's and was not sent", request)
        answer = await self._chosen.handle_async_request(aimed)

        def told(names: frozenset[str]) -> None:
            self._told(Leak(part=part, host=site.host, names=names, incoming=True))

        encoding = answer.headers.get("content-encoding", "").strip().lower()
        body = answer.stream
        assert isinstance(body, httpx2.AsyncByteStream)
        return httpx2.Response(
            answer.status_code,
            headers=answer.headers,
            stream=Screened(body, screen, encoding, told),
            extensions=answer.extensions,
        )

    def _pool(self, backend: Pinned) -> Pool:
        return Pool(backend, self._tls, http2=self._http2)

    def _open_own(self) -> Pool:
        return self._pool(Pinned(Own(self.rules), resolve=self._resolve, dial=self._dial))

    def _open_chosen(self) -> Pool:
        rules, resolves = self._rules, self._seen.proxy_resolves
        self._laid = (rules, resolves)

        def tunnel(site: Site) -> Tunnel | None:
            return self._proxies.tunnel(site, resolves=resolves)

        judge = Chosen(rules)
        return self._pool(Pinned(judge, resolve=self._resolve, dial=self._dial, tunnel=tunnel))


class _Way(httpx2.AsyncBaseTransport):
    """One part's way out."""

    def __init__(
        self, egress: Egress, part: str, own: frozenset[Origin], secrets: frozenset[str]
    ) -> None:
        self._egress, self._part, self._own, self._secrets = egress, part, own, secrets

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """By whether the owner wrote where it goes."""
        url = request.url
        if (url.scheme, url.raw_host, url.port) not in self._own:
            return await self._egress.chosen(self._part, request)
        if self._secrets:
            request = swapped(request, self._secrets, self._egress.credential)
        return await self._egress.own(request)

    async def aclose(self) -> None:
        """The connections belong to the house."""


def swapped(
    request: httpx2.Request, allowed: frozenset[str], credential: Credential
) -> httpx2.Request:
    """The request with real secrets for `secret:NAME` in its headers and its path; the one that
    the caller keeps has none. Other names than the allowed ones stay as they are."""
    target, headers = request.url.raw_path, request.headers.raw
    if b"secret:" not in target and not any(b"secret:" in value for _, value in headers):
        return request
    origin = str(_plainly(request.url))

    def value(match: re.Match[bytes]) -> bytes:
        name = match[1].decode("ascii")
        return credential(name, origin).encode() if name in allowed else match[0]

    path, mark, query = target.partition(b"?")
    return httpx2.Request(
        request.method,
        request.url.copy_with(raw_path=_PLACEHOLDER.sub(value, path) + mark + query),
        headers=[(name, _PLACEHOLDER.sub(value, text)) for name, text in headers],
        stream=request.stream,
        extensions=request.extensions,
    )


def aim(request: httpx2.Request, rules: Rules) -> tuple[Site, httpx2.Request]:
    """A chosen request as it will be sent: to the canonical host, without credentials. Raises
    `ConnectError` with the reason where it may not be sent."""
    url = request.url
    try:
        site = site_of(url.scheme, url.raw_host.decode("ascii"), url.port)
    except ValueError as error:
        _refuse(str(error), request)
        raise
    if url.userinfo:
        _refuse("the address has a user name in it; leave that out", request)
    _refuse(rules.refusal(site), request)
    headers = [
        (name, value)
        for name, value in request.headers.raw
        if name.lower() not in _CREDENTIALS and name.lower() != b"host" and b"secret:" not in value
    ]
    timeout = request.extensions.get("timeout")
    return site, httpx2.Request(
        request.method,
        url.copy_with(host=site.host),
        headers=[(b"Host", site.authority.encode("ascii")), *headers],
        stream=request.stream,
        extensions={} if timeout is None else {"timeout": timeout},
    )


def origins(addresses: Iterable[str]) -> frozenset[Origin]:
    """The origins of web addresses, as requests to them will name them; others are left out."""
    found: set[Origin] = set()
    for address in addresses:
        try:
            url = httpx2.URL(address)
        except httpx2.InvalidURL:
            continue
        if url.scheme and url.raw_host:
            found.add((url.scheme, url.raw_host, url.port))
    return frozenset(found)


def _plainly(url: httpx2.URL) -> Site:
    """The origin of what the owner wrote, canonical where it can be."""
    host = url.raw_host.decode("ascii")
    port = url.port or PORTS.get(url.scheme, 0)
    try:
        return site_of(url.scheme, host, port)
    except ValueError:
        return Site(scheme=url.scheme, host=host, port=port)


def _refuse(why: str, request: httpx2.Request) -> None:
    if why:
        raise httpx2.ConnectError(why, request=request)


async def _all_of(request: httpx2.Request) -> bytes:
    """All that would be sent, in one piece."""
    head = b"\n".join(value for _, value in request.headers.raw)
    return b"\n".join((str(request.url).encode(), head, await request.aread()))


@asynccontextmanager
async def open_client(*addresses: str) -> AsyncGenerator[httpx2.AsyncClient, None]:
    """A client for these addresses, with a way out of its own."""
    async with Egress() as egress:
        yield egress.client("", addresses)


def open_blocking_client(settings: EgressSettings, *addresses: str) -> httpx2.Client:
    """The same for a command line, which has nothing else to do meanwhile; it closes what it
    opened."""
    way = _BlockingWay(settings, origins(addresses))
    return httpx2.Client(transport=way, timeout=TIMEOUT_SECONDS, trust_env=False)


class _BlockingWay(httpx2.BaseTransport):
    def __init__(self, settings: EgressSettings, own: frozenset[Origin]) -> None:
        self._rules, self._own_origins = settings.rules(), own
        tls, proxies = httpx2.create_ssl_context(), Proxies()
        self._proxies = proxies
        self._proxied = {
            str(url): httpx2.HTTPTransport(verify=tls, proxy=url, limits=LIMITS)
            for url in proxies.urls.values()
        }

        def tunnel(site: Site) -> Tunnel | None:
            return proxies.tunnel(site, resolves=settings.proxy_resolves)

        self._own = BlockingPool(PinnedBlocking(Own(lambda: self._rules)), tls)
        self._chosen = BlockingPool(PinnedBlocking(Chosen(self._rules), tunnel=tunnel), tls)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        if (url.scheme, url.raw_host, url.port) not in self._own_origins:
            return self._chosen.handle_request(aim(request, self._rules)[1])
        _refuse(self._rules.denied(_plainly(url)), request)
        if self._proxied and (proxy := self._proxies.of(url.scheme, url.host)):
            return self._proxied[str(proxy)].handle_request(request)
        return self._own.handle_request(request)

    def close(self) -> None:
        for pool in (self._own, self._chosen, *self._proxied.values()):
            pool.close()
