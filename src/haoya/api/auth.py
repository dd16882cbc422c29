# SPDX-License-Identifier: AGPL-3.0-or-later
"""The guard at the window: nothing is routed before it is known who asks.

Every request passes here first. The `Host` must be one we listen as, an `Origin` must be ours,
and everything but the few public ways needs the owner's token, a session, or the token of a device
that was let in. Whoever fails gets one constant reply, whatever the reason was and whatever was
asked for. The owner's own token never counts from another machine: there, each device has its own.
"""

import hashlib
import hmac
import math
import secrets
import time
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache
from http.cookies import CookieError, SimpleCookie
from typing import Literal

import msgspec
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from haoya.api.replies import Refusal
from haoya.api.session import write_private
from haoya.api.window import Window
from haoya.core.errors import ConfigError
from haoya.runtime.devices import SCOPES
from haoya.runtime.devices import Scope as DeviceScope
from haoya.runtime.home import Home
from haoya.runtime.peers_settings import is_loopback
from haoya.runtime.secrets import Secrets

Needed = DeviceScope | Literal["public", "session"]
"""What a way needs: nothing, a scope of a token (the owner's has all), or a session's own."""

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
TOO_FAST = (
    b'{"type":"error","error":{"message":"This device asks too often.",'
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


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: the owner (by token or session) or a device, and what that opens."""

    name: str
    scopes: frozenset[Needed]
    per_minute: int = 0


OWNER = Visitor(name="owner", scopes=frozenset({*SCOPES, "session"}))


def beyond(visitor: Visitor | None, needed: Needed) -> Refusal | None:
    """Why this visitor may not go this way, None where he may."""
    if needed == "public" or (visitor and needed in visitor.scopes):
        return None
    has = ", ".join(sorted(visitor.scopes)) if visitor else "nothing"
    text = f"this token opens {has}; here it takes {needed}"
    return Refusal(403, text, code="insufficient_scope")


class Paces:
    """How fast each device may ask: a bucket that holds a minute's requests and refills evenly."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.left: dict[str, tuple[float, float]] = {}

    def wait(self, name: str, per_minute: int) -> float:
        """Count one request; the seconds until it may come, 0 for now.

        >>> paces = Paces(lambda: 0.0)
        >>> [paces.wait("phone", 2) for _ in range(3)]
        [0.0, 0.0, 30.0]
        """
        now = self.clock()
        left, at = self.left.get(name, (float(per_minute), now))
        left = min(float(per_minute), left + (now - at) * per_minute / 60)
        if left < 1:
            self.left[name] = (left, now)
            return (1 - left) * 60 / per_minute
        self.left[name] = (left - 1, now)
        return 0.0


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
        self.paces = Paces()
        self.digest = _digest(window.token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, or answer it here."""
        if scope["type"] != "http":
            return
        send = _with_headers(send)
        headers = Headers(scope=scope)
        peer = str((scope.get("client") or ("",))[0])
        known, wrong = self._known(scope, headers, peer)
        scope.setdefault("state", {})["known"] = known
        placed = headers.get("host", "") in self.window.hosts and self._own_origin(headers)
        if placed and (known or (scope["method"], scope["path"]) in self.public):
            pause = self._pause(known)
            if pause:
                await _answer(send, 429, TOO_FAST, ("retry-after", str(math.ceil(pause))))
                return
            await self.app(scope, receive, send)
            return
        if wrong and self.failures.note(peer):
            await _answer(send, 429, TOO_MANY, ("retry-after", str(int(FAILURE_SECONDS))))
        else:
            await _answer(send, 401, REFUSAL, ("www-authenticate", "Bearer"))

    def _pause(self, visitor: Visitor | None) -> float:
        """Seconds that this visitor has to wait, 0 for none."""
        if visitor is None or not visitor.per_minute:
            return 0.0
        return self.paces.wait(visitor.name, visitor.per_minute)

    def _known(self, scope: Scope, headers: Headers, peer: str) -> tuple[Visitor | None, bool]:
        """Who asks, and whether with a wrong token (a session that has ended is no wrong token).
        Anthropic's clients send the token as `x-api-key`."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        keys = [given.strip()] if scheme.lower() == "bearer" else []
        keys += headers.getlist("x-api-key")
        if scheme or keys:
            here = is_loopback(peer)
            if here and any(hmac.compare_digest(_digest(key), self.digest) for key in keys):
                return OWNER, False
            devices = [one for key in keys if (one := self._device(key))]
            return (devices[0] if devices else None), not devices
        cookie = session_cookie(headers, self.window.cookie)
        known = bool(cookie) and self.window.sessions.knows(cookie)
        return (OWNER if known and self._same_page(scope["method"], headers) else None), False

    def _device(self, key: str) -> Visitor | None:
        try:
            device = self.window.house.devices.known(key)
        except ConfigError:  # the file is broken: nobody is let in
            return None
        if device is None:
            return None
        return Visitor(
            name=device.name, scopes=frozenset(device.scopes), per_minute=device.per_minute
        )

    def _own_origin(self, headers: Headers) -> bool:
        """A browser that names an origin must name ours, as it was reached."""
        origin = headers.get("origin")
        return origin is None or origin == f"{self.window.scheme}://{headers.get('host', '')}"

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
