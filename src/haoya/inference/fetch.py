# SPDX-License-Identifier: AGPL-3.0-or-later
"""One file over HTTP, piece by piece until its digest is right; what is there is kept.

Ranges are those of RFC 9110, section 14: a server that answers 200 sends the file anew.
"""

import errno
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import httpx2

from haoya.core.errors import ConfigError, Unready
from haoya.inference.hashing import read_into, sync_file
from haoya.inference.header import Header, parse
from haoya.inference.hubs import Remote
from haoya.inference.web import Hub, Web

Grown = Callable[[int], None]
"""Hears how many bytes of a file are there now."""

FIRST_PEEK = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class Fetch:
    """Fetches a file of a registry into `part`; runs again where it was left."""

    def __init__(self, web: Web, hub: Hub, what: str, remote: Remote, part: Path) -> None:
        self.web = web
        self.hub = hub
        self.what = what
        self.remote = remote
        self.part = part
        self._running = hashlib.sha256()
        self._hashed = 0

    @property
    def have(self) -> int:
        """How many bytes are there."""
        return self.part.stat().st_size if self.part.exists() else 0

    def header(self) -> Header:
        """The file's header, fetching no more of it than that takes."""
        wanted = FIRST_PEEK
        while True:
            wanted = min(wanted, self.remote.bytes)
            if self.have < wanted:
                self._grow(wanted, lambda bytes: None)
            with self.part.open("rb") as file:
                found = parse(file.read(wanted), self.remote.bytes, name=self.remote.name)
            if isinstance(found, Header):
                return found
            wanted = max(found, wanted * 4)

    def whole(self, grown: Grown) -> str:
        """Fetch what is missing and return the SHA-256; the file is on disk for good then.

        Raises `ConfigError` where the bytes are not what the registry promised or the disk is
        full, `Unready` where the registry cannot be reached.
        """
        resumed = self.have > 0
        self._digest()
        self._grow(self.remote.bytes, grown)
        digest = self._digest()
        if self.remote.sha256 not in ("", digest) and resumed:
            # What was there from before may belong to an older file of this name.
            self._drop()
            self._grow(self.remote.bytes, grown)
            digest = self._digest()
        if self.remote.sha256 not in ("", digest):
            self._drop()
            raise ConfigError(
                f"{self.remote.name} is not what {self.hub.host} promised: "
                f"its SHA-256 is {digest}, not {self.remote.sha256}",
                cure="try again; if it stays so, use another endpoint in [downloads]",
            )
        sync_file(self.part)
        return digest

    def _digest(self) -> str:
        """The digest of what is there; only what this process has not seen yet is read."""
        if self.have > self._hashed:
            self._hashed += read_into(self.part, self._running, start=self._hashed)
        return self._running.hexdigest()

    def _drop(self) -> None:
        """Begin anew."""
        self.part.unlink(missing_ok=True)
        self._running, self._hashed = hashlib.sha256(), 0

    def _grow(self, end: int, grown: Grown) -> None:
        """Go on until `end` bytes are there; gives up only where several attempts bring none."""
        attempt = 0
        if self.have > self.remote.bytes:
            self._drop()
        grown(self.have)
        while (have := self.have) < end:
            try:
                self._ask(have, end, grown)
                error: Exception = Unready("the answer ended too early")
            except (httpx2.TransportError, Unready) as failure:
                error = failure
            if self.have >= end:
                break
            attempt = 0 if self.have > have else attempt
            attempt += 1
            self.web.pause(self.hub, attempt, error)

    def _ask(self, have: int, end: int, grown: Grown) -> None:
        """One request; what it brings is appended."""
        headers = {"Accept-Encoding": "identity", "Range": f"bytes={have}-{end - 1}"}
        with self.web.open(self.hub, self.remote.url, self.what, headers) as answer:
            start, size = self._place(answer, have)
            if size not in (None, self.remote.bytes):
                raise ConfigError(
                    f"{self.remote.name} has {size:,} bytes at {self.hub.host}, "
                    f"not {self.remote.bytes:,} as promised",
                    cure="try again; if it stays so, use another endpoint in [downloads]",
                )
            if start is None:
                self._drop()
                raise Unready("it does not know the bytes asked for")
            self._write(answer, start, end, grown)

    def _place(self, answer: httpx2.Response, have: int) -> tuple[int | None, int | None]:
        """Where in the file the answer begins (None: nowhere of use), and the file's size."""
        if answer.status_code == 206:
            told = _RANGE.fullmatch(answer.headers.get("content-range", ""))
            if told is None or int(told[1]) != have:
                return None, None
            return have, int(told[2]) if told[2] != "*" else None
        if answer.status_code == 200:
            told = answer.headers.get("content-length", "")
            return 0, int(told) if told.isdigit() else None
        return None, None

    def _write(self, answer: httpx2.Response, start: int, end: int, grown: Grown) -> None:
        try:
            if not start:
                self._drop()
            with self.part.open("r+b" if start else "wb", buffering=0) as file:
                at = file.seek(start)
                for piece in answer.iter_raw():
                    kept = memoryview(piece)[: end - at]
                    while kept:
                        written = file.write(kept)
                        if at == self._hashed:
                            self._running.update(kept[:written])
                            self._hashed += written
                        at += written
                        kept = kept[written:]
                    grown(at)
                    if at >= end:
                        return
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise ConfigError(
                f"the disk of {self.part.parent} is full: {self.have:,} of "
                f"{self.remote.bytes:,} bytes of {self.remote.name} are there and kept",
                cure=f"make {self.remote.bytes - self.have:,} bytes of room and run the same "
                "command again",
            ) from error
