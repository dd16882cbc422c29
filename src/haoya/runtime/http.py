# SPDX-License-Identifier: AGPL-3.0-or-later
"""The one HTTP client that all plugins share, and its like for the command line."""

import logging
from typing import TypeVar
from urllib.request import getproxies

import httpx2

log = logging.getLogger("haoya.runtime")

IDLE_CONNECTIONS = 8
"""HTTP connections kept for reuse; the client looks at each idle one for every request."""

TIMEOUT_SECONDS = 30.0
"""For requests whose plugin sets none of its own."""

_Client = TypeVar("_Client", httpx2.AsyncClient, httpx2.Client)
_HERE = ("127.0.0.1", "localhost", "[::1]")


def open_client() -> httpx2.AsyncClient:
    """A client without cookies and redirects.

    It goes through the proxy that the environment names (`HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`;
    `NO_PROXY` says what does not), as other programs do; what runs on this machine is always
    reached directly. A proxy that cannot be used (SOCKS, a broken address) is told and left out.
    """
    return _opened(httpx2.AsyncClient)


def open_blocking_client() -> httpx2.Client:
    """The same for a command line, which has nothing else to do meanwhile."""
    return _opened(httpx2.Client)


def _opened(kind: type[_Client]) -> _Client:
    limits = httpx2.Limits(max_connections=100, max_keepalive_connections=IDLE_CONNECTIONS)
    if not getproxies():  # looking for a way around one costs a tenth of a millisecond a request
        return kind(limits=limits, timeout=TIMEOUT_SECONDS, trust_env=False)
    directly: dict[str, None] = {f"all://{host}": None for host in _HERE}
    try:
        return kind(limits=limits, timeout=TIMEOUT_SECONDS, mounts=directly)
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        log.warning(
            "the environment's proxy cannot be used and is left out: %s; "
            "set HTTPS_PROXY to an http:// address",
            str(error).split(".", 1)[0],
        )
        return kind(limits=limits, timeout=TIMEOUT_SECONDS, trust_env=False)
