# SPDX-License-Identifier: AGPL-3.0-or-later
"""Devices and programs of the owner's that may use the API, each with a token and scopes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from haoya.core.errors import ConfigError
from haoya.core.message import Word
from haoya.runtime.enrolled import Enrolled, digest_of_token, new_token

Scope = Literal["models", "chat", "metrics", "manage"]
"""What a token opens: the models' endpoints; the owner's own chat; figures; every verb of the
house. A token has the scopes it was given and no other; none of them implies another."""

SCOPES: tuple[Scope, ...] = get_args(Scope)

PER_MINUTE = 600
"""Requests a minute that a device may make where the owner says nothing."""


class Device(Word, frozen=True, kw_only=True):
    """A device. `digest` is the SHA-256 (hex) of its token, `per_minute` the requests it may make
    a minute, `at` when it was enrolled (Unix seconds)."""

    name: str
    digest: str
    scopes: tuple[Scope, ...] = ()
    per_minute: int = PER_MINUTE
    at: float = 0


class Devices:
    """The enrolled devices."""

    def __init__(self, path: Path) -> None:
        self._enrolled = Enrolled(path, Device, noun="device", command="haoya devices")

    def all(self) -> list[Device]:
        """Every device, by name; ConfigError where the file cannot be read."""
        return self._enrolled.all()

    def known(self, token: str) -> Device | None:
        """The device that holds this token."""
        return self._enrolled.known(token)

    def enrol(self, name: str, scopes: Sequence[str], per_minute: int, at: float) -> str:
        """Let a device in; its token, which is not kept. Enrolling it again ends the old one."""
        wanted: list[Scope] = [scope for scope in SCOPES if scope in scopes]
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not wanted:
            said = f"there is no scope {unknown[0]!r}" if unknown else "no scope is named"
            cure = "name some of them"
            raise ConfigError(f"{said}; there are: {', '.join(SCOPES)}", cure=cure)
        if per_minute < 1:
            cure = "name a number of requests"
            raise ConfigError("a device that may ask nothing needs no token", cure=cure)
        token = new_token()
        self._enrolled.put(
            Device(
                name=name,
                digest=digest_of_token(token),
                scopes=tuple(wanted),
                per_minute=per_minute,
                at=at,
            )
        )
        return token

    def remove(self, name: str) -> None:
        """Let a device in no more, from its next request on."""
        self._enrolled.remove(name)
