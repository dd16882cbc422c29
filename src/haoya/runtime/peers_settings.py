# SPDX-License-Identifier: AGPL-3.0-or-later
"""`[peers]`: where other haoya nodes of the owner's may ask our models."""

import ipaddress

import pydantic


class PeersSettings(pydantic.BaseModel):
    """`[peers]`: where other haoya nodes of the owner's may ask our models; nowhere by default.

    `cert` and `key` are PEM files, relative to the home. Without them only this machine's own
    address may be listened at.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    cert: str = ""
    key: str = ""
    listen: str = ""

    @pydantic.field_validator("listen")
    @classmethod
    def _an_address(cls, value: str, info: pydantic.ValidationInfo) -> str:
        host, _, port = value.rpartition(":")
        if value and not (host and port.isdecimal() and int(port) <= 65535):
            raise ValueError("not HOST:PORT; write e.g. 127.0.0.1:8643")
        secured = info.data.get("cert") and info.data.get("key")
        if value and not secured and not is_loopback(host):
            raise ValueError(
                f"{host} can be reached by others, which needs TLS; name cert and key, or keep "
                "127.0.0.1 and use a tunnel such as ssh -L 8643:127.0.0.1:8643"
            )
        return value

    @property
    def host(self) -> str:
        """The address to listen at."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port to listen at, 0 for any free one."""
        return int(self.listen.rpartition(":")[2] or 0)


def is_loopback(host: str) -> bool:
    """Whether only this machine can be behind that address.

    >>> is_loopback("[::1]"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
