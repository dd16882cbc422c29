# SPDX-License-Identifier: AGPL-3.0-or-later
"""The guard at the window: nothing is routed before it is known who asks.

Every request passes here first. The `Host` must be one we listen as, an `Origin` must be ours,
and everything but the few public ways needs the bearer token or a session. Whoever fails gets
one constant reply, whatever the reason was and whatever was asked for.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from haoya.api.session import write_private
from haoya.api.window import Window
from haoya.runtime.home import Home
from haoya.runtime.secrets import Secrets

REFUSAL = (
    b'{"type":"error","error":{"message":"Not signed in. Run `haoya open`, or send the token of '
    b'the API as `Authorization: Bearer` or `x-api-key`.","type":"authentication_error",'
    b'"param":null,"code":"invalid_api_key","cure":"haoya open","kind":"Rejected"}}'
)
TOO_MANY = (
    b'{"type":"error","error":{"message":"Too many wrong keys; wait a minute.",'
    b'"type":"rate_limit_error","param":null,"code":"rate_limit_exceeded","cure":"",'
    b'"kind":"Throttled"}}'
)
FAILURES = 20
FAILURE_SECONDS = 60.0
"""More wrong keys than `FAILURES` from one peer in this time are answered with 429. The right
key always passes: on loopback all peers look alike, and nobody shall lock the owner out."""

PEERS = 1000
"""How many peers' failures are remembered at most."""

HEADERS = (
    (
        "Content-Security-Policy",
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "object-src 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


_RAW = [(name.lower().encode(), value.encode()) for name, value in HEADERS]
_NO_STORE = (b"cache-control", b"no-store")


def token_of(home: Home, wanted: str, vault: Secrets) -> str:
    """The bearer token: the secret the settings name, else the one in the home, made if missing.

    Raises `ConfigError` where the settings name a secret that is not there. Where the disk
    refuses, the token lasts as long as the process: the page still opens by its link.
    """
    if wanted:
        return vault.resolve(wanted)
    try:
        found = home.token.read_text("ascii").strip()
        if len(found) >= 32:
            home.token.chmod(0o600)
            return found
    except (OSError, UnicodeDecodeError):
        pass
    token = secrets.token_urlsafe(32)
    try:
        write_private(home.token, token.encode() + b"\n")
    except OSError:
        return token
    return token


class Failures:
    """How often each peer came with a wrong key lately."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.times: dict[str, list[float]] = {}

    def note(self, peer: str) -> bool:
        """Count one more; whether that is too many."""
        since = self.clock() - FAILURE_SECONDS
        recent = [at for at in self.times.pop(peer, ()) if at > since][-FAILURES:]
        recent.append(self.clock())
        self.times[peer] = recent
        if len(self.times) > PEERS:
            del self.times[next(iter(self.times))]
        return len(recent) > FAILURES


class Guard:
    """ASGI middleware around everything. `public` are (method, path) pairs open to all."""

    def __init__(self, app: ASGIApp, window: Window, public: frozenset[tuple[str, str]]) -> None:
        self.app = app
        self.window = window
        self.public = public
        self.failures = Failures()
        self.digest = _digest(window.token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, or answer it here."""
        if scope["type"] != "http":
            return
        send = _with_headers(send)
        headers = Headers(scope=scope)
        known, wrong = self._known(scope, headers)
        scope.setdefault("state", {})["known"] = known
        placed = headers.get("host", "") in self.window.hosts and self._own_origin(headers)
        if placed and (known or (scope["method"], scope["path"]) in self.public):
            await self.app(scope, receive, send)
            return
        peer = str((scope.get("client") or ("",))[0])
        if wrong and self.failures.note(peer):
            await _answer(send, 429, TOO_MANY, ("retry-after", str(int(FAILURE_SECONDS))))
        else:
            await _answer(send, 401, REFUSAL, ("www-authenticate", "Bearer"))

    def _known(self, scope: Scope, headers: Headers) -> tuple[bool, bool]:
        """Whether the request bears a good key, and whether it bears a wrong token (a session
        that has ended is no wrong token). Anthropic's clients send the token as `x-api-key`."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        keys = [given.strip()] if scheme.lower() == "bearer" else []
        keys += headers.getlist("x-api-key")
        if scheme or keys:
            good = any(hmac.compare_digest(_digest(key), self.digest) for key in keys)
            return good, not good
        cookie = session_cookie(headers, self.window.cookie)
        known = bool(cookie) and self.window.sessions.knows(cookie)
        return known and self._same_page(scope["method"], headers), False

    def _own_origin(self, headers: Headers) -> bool:
        """A browser that names an origin must name ours, as it was reached."""
        origin = headers.get("origin")
        return origin is None or origin == f"http://{headers.get('host', '')}"

    def _same_page(self, method: str, headers: Headers) -> bool:
        """A cookie counts only where the browser vouches that our own page asks: other ports of
        this machine are the same site, so `SameSite` does not keep their pages out."""
        if "origin" in headers:
            return self._own_origin(headers)
        site = headers.get("sec-fetch-site", "")
        return method in ("GET", "HEAD") and site in ("same-origin", "none")


def session_cookie(headers: Headers, name: str) -> str:
    """The value of our cookie, empty where there is none."""
    jar = SimpleCookie()
    try:
        jar.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[name].value if name in jar else ""


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _with_headers(send: Send) -> Send:
    """The same `send`, which adds what every response bears."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), *_RAW, (b"date", _date(int(time.time())))]
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append(_NO_STORE)
            message["headers"] = headers
        await send(message)

    return sending


@lru_cache(maxsize=1)
def _date(now: int) -> bytes:
    """The `Date` of this second."""
    return formatdate(now, usegmt=True).encode()


async def _answer(send: Send, status: int, body: bytes, *more: tuple[str, str]) -> None:
    headers = [("content-type", "application/json"), ("content-length", str(len(body))), *more]
    raw = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
