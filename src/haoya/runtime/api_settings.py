# SPDX-License-Identifier: AGPL-3.0-or-later
"""`[api]`: where the HTTP API and the panel listen."""

import pydantic
from pydantic import Field

from haoya.runtime.peers_settings import is_loopback
from haoya.runtime.section import Section


class ApiSettings(Section):
    """`[api]`: where the HTTP API listens. `token` is a secret reference; empty: made at start.

    An address that other machines can reach needs `cert` and `key` (PEM files, relative to the
    home), and a device that was let in (`haoya devices add`). `names` are the names by which they
    call this machine; requests for other names are not answered.
    """

    cert: str = ""
    key: str = ""
    host: str = "127.0.0.1"
    port: int = Field(8642, ge=0, le=65535)
    token: str = ""
    names: list[str] = Field([])

    @pydantic.field_validator("host")
    @classmethod
    def _secured(cls, value: str, info: pydantic.ValidationInfo) -> str:
        if not is_loopback(value) and not (info.data.get("cert") and info.data.get("key")):
            raise ValueError(
                f"{value} can be reached by others, which needs TLS; name cert and key, or keep "
                "127.0.0.1 and use a tunnel such as ssh -L 8642:127.0.0.1:8642"
            )
        return value

    @pydantic.field_validator("names")
    @classmethod
    def _plain(cls, value: list[str]) -> list[str]:
        for name in value:
            if not name or any(letter in name for letter in "/:@*? "):
                raise ValueError(f"{name!r} is no name; write a host name without port")
        return [name.lower() for name in value]
