# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the endpoints of one open window share."""

import asyncio
import os
import pwd
from typing import cast

from starlette.requests import HTTPConnection

from haoya.api.session import Sessions
from haoya.api.tally import Tally
from haoya.runtime.house import DOOR, House


class Window:
    """An open window: the house behind it, where it listens, who may look in.

    `hosts` are the only values of `Host` that are answered; an `Origin` must be one of them
    after `http://`. A page elsewhere whose name resolves to this machine (DNS rebinding) fails
    both.
    """

    def __init__(self, house: House, *, host: str, port: int, token: str) -> None:
        self.house = house
        shown = f"[{host}]" if ":" in host else host
        names = {"127.0.0.1", "localhost", "[::1]", shown}
        self.port = port
        self.url = f"http://{shown}:{port}"
        self.hosts = frozenset(f"{name}:{port}" for name in names) | (
            names if port == 80 else frozenset[str]()
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
