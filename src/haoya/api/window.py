# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the endpoints of one open window share."""

import asyncio
import os
import pwd
from collections.abc import Sequence
from typing import cast

from starlette.requests import HTTPConnection

from haoya.api.session import Sessions
from haoya.api.tally import Tally
from haoya.runtime.house import DOOR, House


class Window:
    """An open window: the house behind it, where it listens, who may look in.

    `hosts` are the only values of `Host` that are answered; an `Origin` must be one of them
    after our `scheme`. `names` are further ones than the machine has for itself. A page elsewhere
    whose name resolves to this machine (DNS rebinding) fails both.
    """

    def __init__(
        self,
        house: House,
        *,
        host: str,
        port: int,
        token: str,
        names: Sequence[str] = (),
        tls: bool = False,
    ) -> None:
        self.house = house
        everywhere = host in ("0.0.0.0", "::")
        shown = f"[{host}]" if ":" in host else host
        own = {"127.0.0.1", "localhost", "[::1]", *names, *([] if everywhere else [shown])}
        self.port = port
        self.scheme = "https" if tls else "http"
        self.url = f"{self.scheme}://{(*names, 'localhost' if everywhere else shown)[0]}:{port}"
        self.hosts = frozenset(f"{name}:{port}" for name in own) | (
            own if port == (443 if tls else 80) else frozenset[str]()
        )
        self.token = token
        self.sessions = Sessions(house.home.token.with_name("api-sessions.json"), house.clock)
        self.tally = Tally()
        self.leashes: set[asyncio.Timeout] = set()
        self.closing = False
        self.owner = _account()
        self.channel = DOOR

    @property
    def cookie(self) -> str:
        """The session cookie's name. Browsers share cookies between ports, so it bears ours."""
        return f"haoya_{self.port}"

    def close(self) -> None:
        """Ask every open response to end now."""
        self.closing = True
        now = asyncio.get_running_loop().time()
        for leash in tuple(self.leashes):
            if not leash.expired():  # Its client may have hung up this very moment.
                leash.reschedule(now)


def window_of(connection: HTTPConnection) -> Window:
    """The window a request came through."""
    return cast("Window", connection.app.state.window)


def _account() -> str:
    """What to call the owner: the account haoya runs as."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "owner"
