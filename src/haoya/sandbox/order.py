# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the daemon tells a keeper, and what a keeper tells the daemon: one line of JSON each.

Standard library only: the zygote imports this.
"""

import json
from typing import NamedTuple

PROXY_PORT = 3128
"""Where a program with egress finds its proxy, on the loopback of its own network."""

ME = 1000
"""Who a program is, inside."""

MOUNTS = 60
"""The most things that can be lent at once."""


class Lent(NamedTuple):
    """One mount: the real path on this machine, where it appears, the file's device and number."""

    path: str
    at: str
    writable: bool
    device: int
    number: int


class Order(NamedTuple):
    """All a keeper needs to know. Sizes in bytes."""

    level: str
    argv: list[str]
    folder: str
    environment: dict[str, str]
    mounts: list[Lent]
    memory: int
    file: int
    processes: int
    egress: bool

    def encode(self) -> bytes:
        """As one line."""
        return json.dumps(self).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> "Order":
        """From one line that `encode` made."""
        order = cls(*json.loads(line))
        return order._replace(mounts=[Lent(*lent) for lent in order.mounts])


class News(NamedTuple):
    """What a keeper says, in this order: perhaps `listening` (with a socket), then `started` or a
    fault (`missing`: a program, folder or place is not there; `unable`), at last `ended`."""

    kind: str
    text: str = ""
    status: int = 0
    bound: str = ""
    cpu: float = 0.0

    def encode(self) -> bytes:
        """As one line."""
        return json.dumps(self).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> "News":
        """From one line that `encode` made."""
        return cls(*json.loads(line))
