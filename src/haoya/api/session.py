# SPDX-License-Identifier: AGPL-3.0-or-later
"""Sessions of browsers: a one-time code from the owner's terminal becomes a cookie."""

import asyncio
import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec

SESSION_SECONDS = 30 * 86400.0
"""How long a browser stays signed in."""

MOST_SESSIONS = 100
"""Past this the session that ends first is forgotten."""


def use_code(codes: dict[str, float], given: str, now: float) -> bool:
    """Whether a one-time code is good; it is used up. `codes` are the codes the house has given
    out, each with the Unix seconds until which it may be used.

    >>> codes = {"abc": 60.0}
    >>> use_code(codes, "abc", 59), use_code(codes, "abc", 59)
    (True, False)
    """
    wanted = given.encode()
    found = [code for code in codes if hmac.compare_digest(code.encode(), wanted)]
    return any(codes.pop(code) > now for code in found)


class Sessions:
    """Who is signed in. On disk lie only SHA-256 digests of the cookies, so that reading the
    file lets nobody in; where the disk refuses, sessions last as long as the process."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self.path = path
        self.clock = clock
        self.expiries = self._read()

    async def open(self) -> str:
        """A new session; returns the cookie's value."""
        cookie = secrets.token_urlsafe(32)
        self.expiries[_digest(cookie)] = self.clock() + SESSION_SECONDS
        await self._keep()
        return cookie

    def knows(self, cookie: str) -> bool:
        """Whether the cookie belongs to a session that has not ended."""
        return self.expiries.get(_digest(cookie), 0) > self.clock()

    async def end(self, cookie: str) -> None:
        """Sign out."""
        if self.expiries.pop(_digest(cookie), None) is not None:
            await self._keep()

    def _read(self) -> dict[str, float]:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=dict[str, float])
        except (OSError, msgspec.DecodeError):
            return {}

    async def _keep(self) -> None:
        now = self.clock()
        alive = sorted((end, key) for key, end in self.expiries.items() if end > now)
        self.expiries = {key: end for end, key in alive[-MOST_SESSIONS:]}
        with contextlib.suppress(OSError):
            await asyncio.to_thread(write_private, self.path, msgspec.json.encode(self.expiries))


def write_private(path: Path, data: bytes) -> None:
    """Replace a file by one that only we can read; OSError where the disk refuses."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()
