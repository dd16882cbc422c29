# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the owner writes under `[channels.NAME]` for an IRC account."""

import re
from typing import Annotated

import pydantic

_NICK = re.compile(r"[^\s\x00-\x1f,:*?!@#&+.$0-9-][^\s\x00-\x1f,*?!@.]*")
_ROOM = re.compile(r"[#&+!][^\s\x00-\x1f,]*(?: [^\s\x00-\x1f,]+)?")


class IrcSettings(pydantic.BaseModel, extra="forbid", frozen=True, use_attribute_docstrings=True):
    """An account on one network. Without `port` and `tls` the line is encrypted on 6697."""

    host: str = pydantic.Field(min_length=1, pattern=r"^\S+$")
    """The server's name or address."""
    port: int | None = pydantic.Field(default=None, ge=1, le=65535)
    """6697 with encryption, 6667 without."""
    tls: bool | None = None
    """Encrypt; where it is not said, yes unless `port` is another than 6697."""
    tls_verify: bool = True
    """Whether the server's certificate must be valid for its name."""
    tls_ca: str = ""
    """A file of certificates to trust instead of the system's (PEM)."""
    nick: str
    """The name to go by; while it is taken, another with `_` behind."""
    username: str = ""
    """Empty for the letters of the nick."""
    realname: str = ""
    """What `WHOIS` shows; empty for the nick."""
    rooms: list[str] = []
    """Rooms to be in, each `#room` or `#room key`."""
    password: str = ""
    """The server's password (PASS)."""
    sasl_user: str = ""
    """The account to sign in to with SASL PLAIN."""
    sasl_password: str = ""
    """Its password."""
    ping_seconds: Annotated[float, pydantic.Field(gt=0, le=240)] = 90
    """How long the line may be silent before we ask whether the server is still there."""
    burst: Annotated[int, pydantic.Field(ge=1, le=100)] = 5
    """Lines that may go out at once before pacing begins."""
    pace_seconds: Annotated[float, pydantic.Field(ge=0, le=60)] = 2
    """Flood pacing (RFC 1459 8.10): `burst` lines at once, then one every `pace_seconds`."""

    @pydantic.field_validator("nick")
    @classmethod
    def _nick(cls, nick: str) -> str:
        if not _NICK.fullmatch(nick):
            raise ValueError(f"{nick!r} cannot be a nick; write letters first, no spaces, ,:*?!@.")
        return nick

    @pydantic.field_validator("username")
    @classmethod
    def _username(cls, username: str) -> str:
        if re.search(r"[\s@!:\x00]", username):
            raise ValueError(f"{username!r} cannot be a user name; write it without spaces, @!:")
        return username

    @pydantic.field_validator("rooms")
    @classmethod
    def _rooms(cls, rooms: list[str]) -> list[str]:
        for room in rooms:
            if not _ROOM.fullmatch(room):
                raise ValueError(f"{room!r} is no room; write '#room' or '#room key'")
        return rooms

    @pydantic.model_validator(mode="after")
    def _sasl(self) -> "IrcSettings":
        if bool(self.sasl_user) != bool(self.sasl_password):
            raise ValueError("sasl_user and sasl_password belong together; write both or none")
        return self

    @property
    def encrypted(self) -> bool:
        """Whether the line is TLS, from `tls` or else from `port`."""
        return self.tls if self.tls is not None else self.port in (None, 6697)

    @property
    def port_number(self) -> int:
        """`port`, or the usual one."""
        return self.port or (6697 if self.encrypted else 6667)

    @property
    def user(self) -> str:
        """`username`, or the letters of the nick."""
        return self.username or re.sub(r"\W", "", self.nick, flags=re.ASCII) or "haoya"
