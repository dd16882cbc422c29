# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a channel is tested against: the far side of the wire, with people on it.

A counterpart drives a network's server (a real one, an emulator, or our stand-in) and the people
who use it. It never touches the channel: the suite opens that itself, through its plugin.
Register one by putting `tests/conformance/counterparts/<name>.py` with an attribute `counterpart`
(a class or function without arguments) into place.
"""

import asyncio
import importlib
import pkgutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from haoya.core.plugin import Plugin
from tests.conformance import counterparts

Evidence = Literal["real", "emulator", "stand-in"]
"""Whose code the far side is: the network's own or another's real server, an emulator that
someone else wrote, or a small implementation of ours."""

Ability = Literal[
    "people",  # ann and bob are two different senders
    "restarts",  # kill() and back() work
    "accounts",  # settings(0) and settings(1) are two accounts that work at once
    "rooms",  # people can speak in the shared room `room`
    "redelivers",  # what we did not acknowledge is heard again when the channel reopens
    "duplicates",  # redeliver() sends old messages once more
    "throttles",  # throttle() works
    "credentials",  # wrong_settings() are refused by the server
    "silence",  # fall_silent() works
    "images",  # person_shows() works and heard() gives the bytes of what we showed
    "edits",  # our messages can be edited, heard() applies it
    "replies",  # heard() tells what our message is a reply to
]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A message that the network really took from us, as its people see it now.

    `room` is the id that the channel uses as `Address.room`. `text` is the latest wording, a
    caption included. `data` holds the bytes of a medium.
    """

    room: str
    text: str
    id: str = ""
    reply_to: str = ""
    edited: bool = False
    data: bytes = b""


class Counterpart(Protocol):
    """One network for one test: started, used, stopped.

    All waiting is the suite's: `person_says` returns when the server has taken the words, `heard`
    is a look at what is there now.
    """

    name: str
    """The channel's name, as in `haoya.channels.<name>`."""
    evidence: Evidence
    server: str
    """What the far side is, for the matrix: `ngircd 26`, `tests/servers/telegram.py`."""
    abilities: frozenset[Ability]
    plugin: Plugin[Any, Any]
    room: str
    """The shared room, as `Address.room` will call it; empty without `rooms`."""
    called: str
    """What a person writes in front of words in a room to address us, e.g. `haoya: `."""
    refusal: str
    """Words of the server's refusal that `Rejected` must repeat."""

    def missing(self) -> str:
        """Why this counterpart cannot run here (`ngircd is not installed`), empty if it can."""
        ...

    async def start(self) -> None:
        """Start the server on a free port and bring the people on; returns when it answers."""
        ...

    async def stop(self) -> None:
        """End everything that was started, also after `kill`."""
        ...

    async def kill(self) -> None:
        """The server dies at once, as with `kill -9`."""
        ...

    async def back(self) -> None:
        """The server lives again on the same port, and the people are back on it."""
        ...

    def settings(self, account: int = 0) -> Mapping[str, object]:
        """The settings table of account 0 or 1, as the owner would write it (without `use`)."""
        ...

    def wrong_settings(self) -> Mapping[str, object]:
        """The same with credentials that the server refuses."""
        ...

    async def person_says(
        self, text: str, *, person: str = "ann", room: str = "", account: int = 0
    ) -> None:
        """A person (`ann` or `bob`) writes to `account`, privately or in the shared room."""
        ...

    async def person_shows(
        self, data: bytes, *, mime: str, name: str, caption: str = "", account: int = 0
    ) -> None:
        """A person sends an image privately."""
        ...

    async def heard(self, account: int = 0) -> list[Heard]:
        """What the network took from this account since `start`, in order, edits applied.

        It outlives `kill`: what was heard before stays in the list where the network keeps it or
        the people remember it.
        """
        ...

    async def throttle(self, n: int, retry_after: float) -> None:
        """Refuse our next `n` sendings and ask for a pause of `retry_after` seconds."""
        ...

    async def redeliver(self, account: int = 0) -> None:
        """Deliver everything people said so far once more, as a faulty upstream would."""
        ...

    async def fall_silent(self) -> None:
        """The server keeps its connections open and says nothing from now on (until `stop`)."""
        ...


def registered() -> dict[str, Callable[[], Counterpart]]:
    """Makers of all counterparts by channel name, found by listing the folder."""
    found: dict[str, Callable[[], Counterpart]] = {}
    for module in pkgutil.iter_modules(counterparts.__path__):
        found[module.name] = importlib.import_module(
            f"{counterparts.__name__}.{module.name}"
        ).counterpart
    return found


async def until(what: Callable[[], object], *, seconds: float = 15, why: str = "") -> None:
    """Look again and again until `what()` is true; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise AssertionError(why or f"not within {seconds:g} s")
        await asyncio.sleep(0.01)
