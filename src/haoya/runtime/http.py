# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pools of HTTP connections, and the environment's proxies."""

import logging
import ssl
from urllib.request import getproxies, proxy_bypass

import httpcore2
import httpx2

from haoya.policy.hosts import Site
from haoya.runtime.pinning import Pinned, PinnedBlocking, Tunnel

log = logging.getLogger("haoya.runtime")

IDLE_CONNECTIONS = 8
"""HTTP connections kept for reuse; the client looks at each idle one for every request."""

CONNECTIONS = 100
IDLE_SECONDS = 5.0

TIMEOUT_SECONDS = 30.0
"""For requests whose plugin sets none of its own."""

LIMITS = httpx2.Limits(
    max_connections=CONNECTIONS,
    max_keepalive_connections=IDLE_CONNECTIONS,
    keepalive_expiry=IDLE_SECONDS,
)
_HERE = ("127.0.0.1", "localhost", "::1")


class Proxies:
    """The proxies that the environment names (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`;
    `NO_PROXY` says what does not go through them), as other programs use them; what runs on this
    machine is always reached directly. A proxy that cannot be used (SOCKS, a broken address) is
    told and left out."""

    def __init__(self) -> None:
        self.urls: dict[str, httpx2.URL] = {}
        for scheme, written in getproxies().items():
            if scheme not in ("http", "https", "all") or not written:
                continue
            try:
                url = httpx2.URL(written if "://" in written else f"http://{written}")
                if url.scheme not in ("http", "https") or not url.host:
                    raise ValueError(f"{url.scheme}:// is no proxy that speaks HTTP")
            except (ValueError, httpx2.InvalidURL) as error:
                log.warning(
                    "the environment's proxy cannot be used and is left out: %s; "
                    "set HTTPS_PROXY to an http:// address",
                    str(error).split(".", 1)[0],
                )
                continue
            self.urls[scheme] = url

    def of(self, scheme: str, host: str) -> httpx2.URL | None:
        """The proxy for a host; None where it is asked directly."""
        if not self.urls or host in _HERE or proxy_bypass(host):
            return None
        return self.urls.get(scheme) or self.urls.get("all")

    def tunnel(self, site: Site, *, resolves: bool) -> Tunnel | None:
        """The proxy that lets a judged address be dialled through it: HTTPS's before HTTP's."""
        proxy = self.of("https", site.host) or self.of("http", site.host)
        return Tunnel(proxy, resolves=resolves) if proxy else None


class Pool(httpx2.AsyncHTTPTransport):
    """Connections that `backend` opens."""

    def __init__(self, backend: Pinned, tls: ssl.SSLContext, *, http2: bool = False) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=CONNECTIONS,
            max_keepalive_connections=IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
            http2=http2,
            network_backend=backend,
        )


class BlockingPool(httpx2.HTTPTransport):
    """The same for a program that has nothing else to do meanwhile."""

    def __init__(self, backend: PinnedBlocking, tls: ssl.SSLContext) -> None:
        self._pool = httpcore2.ConnectionPool(
            ssl_context=tls,
            max_connections=CONNECTIONS,
            max_keepalive_connections=IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=backend,
        )
