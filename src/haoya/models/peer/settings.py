# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where the stronger machine is and how it is known to be the right one."""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

import pydantic

DEFAULT_PORT = 8643


class PeerSettings(pydantic.BaseModel):
    """A model of another haoya node of the owner's; `haoya peers invite` there prints it."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    address: str = pydantic.Field(
        description="https://HOST:PORT of the other node; http:// on this machine (a tunnel)"
    )
    token: str = pydantic.Field(
        min_length=1, description="What the invitation gave: secret:NAME or env:NAME"
    )
    model: str = pydantic.Field(
        default="main", min_length=1, description="What the other node's settings call the model"
    )
    fingerprint: str = pydantic.Field(
        default="",
        description="SHA-256 of the other node's certificate (hex); empty trusts the system's list",
    )
    first_seconds: float = pydantic.Field(default=120, gt=0, description="Wait for the first token")
    idle_seconds: float = pydantic.Field(default=60, gt=0, description="Wait between two tokens")

    @pydantic.field_validator("address")
    @classmethod
    def _an_address(cls, value: str) -> str:
        url = urlsplit(value)
        try:
            sound = url.scheme in ("http", "https") and url.hostname and (url.port or DEFAULT_PORT)
        except ValueError:
            sound = False
        if not sound or url.path.strip("/") or url.query or url.username:
            raise ValueError("not an address; write e.g. https://192.168.1.5:8643")
        if url.scheme == "http" and not is_loopback(url.hostname or ""):
            raise ValueError(
                "words would go through the network in the clear; use https://, or a tunnel to "
                "http://127.0.0.1:8643 such as ssh -L 8643:127.0.0.1:8643"
            )
        return value.rstrip("/")

    @pydantic.field_validator("fingerprint")
    @classmethod
    def _a_fingerprint(cls, value: str) -> str:
        digits = value.lower().removeprefix("sha256:").replace(":", "")
        if digits and not re.fullmatch("[0-9a-f]{64}", digits):
            raise ValueError("not a SHA-256 in hex; `haoya peers invite` prints it")
        return digits

    @property
    def url(self) -> SplitResult:
        """The address in its pieces."""
        return urlsplit(self.address)

    @property
    def port(self) -> int:
        """The port, or the one nodes listen at by default."""
        return self.url.port or DEFAULT_PORT


def is_loopback(host: str) -> bool:
    """Whether only this machine is behind that name.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("192.168.1.5")
    (True, True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
