# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who holds a token of ours: kept in one file that only we can read, tokens only as digests."""

import hashlib
import hmac
import os
import re
import secrets
import tempfile
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import msgspec

from haoya.core.errors import ConfigError, Unready

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


class Holder(Protocol):
    """Whoever holds a token: a name, and the SHA-256 (hex) of the token."""

    @property
    def name(self) -> str:
        """What the owner calls it."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of its token."""
        ...


One = TypeVar("One", bound=Holder)


class Enrolled(Generic[One]):
    """Holders by name, in a file.

    The file is read again whenever it has changed: a command may change it while no daemon runs,
    and one that runs must not believe an old one: who was removed is out at once.
    """

    def __init__(self, path: Path, kind: type[One], *, noun: str, command: str) -> None:
        self._path, self._kind = path, kind
        self._noun, self._command = noun, command
        self._mark: tuple[int, int] | None = None
        self._held: dict[str, One] = {}

    def all(self) -> list[One]:
        """Everybody, by name; ConfigError where the file cannot be read."""
        self._read()
        return [self._held[name] for name in sorted(self._held)]

    def known(self, token: str) -> One | None:
        """Who holds this token. Takes equally long for every wrong one."""
        self._read()
        digest = digest_of_token(token)
        found = [one for one in self._held.values() if hmac.compare_digest(one.digest, digest)]
        return found[0] if found else None

    def put(self, one: One) -> bool:
        """Keep a holder; whether one of that name was there, whose token counts no more."""
        if not _NAME.fullmatch(one.name):
            cure = "use at most 40 letters, digits, '.', '_' or '-'"
            raise ConfigError(f"{one.name!r} cannot be the name of a {self._noun}", cure=cure)
        self._read()
        renewed = one.name in self._held
        self._write({**self._held, one.name: one})
        return renewed

    def remove(self, name: str) -> None:
        """Let somebody in no more; ConfigError where there is none of that name."""
        self._read()
        if name not in self._held:
            there = ", ".join(sorted(self._held)) or "none"
            raise ConfigError(
                f"no {self._noun} is named {name!r}; there are: {there}",
                cure=f"`{self._command} list` shows them",
            )
        self._write({key: one for key, one in self._held.items() if key != name})

    def _read(self) -> None:
        try:
            found = self._path.stat()
            mark = (found.st_mtime_ns, found.st_ino)
            if mark == self._mark:
                return
            held = msgspec.json.decode(self._path.read_bytes(), type=list[self._kind])
        except FileNotFoundError:
            self._mark, self._held = None, {}
            return
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            cure = f"remove {self._path} and enrol them again: {self._command}"
            raise ConfigError(f"{self._path.name} cannot be read: {error}", cure=cure) from None
        self._mark, self._held = mark, {one.name: one for one in held}

    def _write(self, held: dict[str, One]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor, name = tempfile.mkstemp(dir=self._path.parent)  # mode 0600
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(list(held.values())))
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path)
        except OSError as error:
            raise Unready(f"{self._path} cannot be written: {error.strerror}") from error
        self._read()


def new_token() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(32)


def digest_of_token(token: str) -> str:
    """What is kept of a token: its SHA-256 (hex)."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
