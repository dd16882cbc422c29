# SPDX-License-Identifier: AGPL-3.0-or-later
"""The owner's own door: the people are programs at its socket, so nothing is stood in for."""

import asyncio
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from haoya.channels.local import plugin
from haoya.core.message import Outbound, text_of
from haoya.core.place import socket_path
from haoya.core.plugin import Plugin
from tests.conformance.counterpart import Ability, Evidence, Heard


class Program:
    """One program at one socket: it says, and it watches the room it speaks in."""

    def __init__(self, home: Path, room: str) -> None:
        self.home = home
        self.room = room
        self.heard: dict[str, Heard] = {}
        self.task: asyncio.Task[None] | None = None

    async def say(self, text: str) -> None:
        """Connect if need be, watch, and say it; returns when the channel has read the line."""
        if self.task is None or self.task.done():
            self.reader, self.writer = await asyncio.open_unix_connection(
                socket_path(self.home), limit=16_000_000
            )
            self._write({"watch": {"room": self.room}})
            await self.reader.readline()
            self.task = asyncio.create_task(self._listen())
        self._write({"say": {"text": text, "room": self.room}})
        await self.writer.drain()

    def _write(self, request: object) -> None:
        self.writer.write(json.dumps(request).encode() + b"\n")

    async def _listen(self) -> None:
        while line := await self.reader.readline():
            reply = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
            if "outbound" in reply:
                said = msgspec.json.decode(reply["outbound"], type=Outbound)
                if said.finality == "final":
                    room = said.address.room
                    text = text_of(said.parts)
                    self.heard[said.id] = Heard(room=room, text=text, id=said.id)

    async def leave(self) -> None:
        """Hang up."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
            self.writer.close()


class Counterpart:
    """Two homes, each with a socket; ann and bob are programs with a room of their own."""

    name = "local"
    evidence: Evidence = "real"
    server = "its own Unix socket"
    abilities: frozenset[Ability] = frozenset({"accounts"})
    plugin: Plugin[Any, Any] = plugin
    room = ""
    called = ""
    refusal = ""

    def missing(self) -> str:
        return ""

    async def start(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._homes = [Path(self._folder.name) / name for name in ("one", "two")]
        for home in self._homes:
            home.mkdir(mode=0o700)
        self._people = {
            (who, account): Program(home, who)
            for who in ("ann", "bob")
            for account, home in enumerate(self._homes)
        }

    async def stop(self) -> None:
        for program in self._people.values():
            await program.leave()
        self._folder.cleanup()

    async def kill(self) -> None:
        raise NotImplementedError("the channel is its own server")

    async def back(self) -> None:
        raise NotImplementedError("the channel is its own server")

    def settings(self, account: int = 0) -> Mapping[str, object]:
        return {"home": str(self._homes[account])}

    def wrong_settings(self) -> Mapping[str, object]:
        raise NotImplementedError("the operating system knows who we are")

    async def person_says(
        self, text: str, *, person: str = "ann", room: str = "", account: int = 0
    ) -> None:
        await self._people[person, account].say(text)

    async def person_shows(
        self, data: bytes, *, mime: str, name: str, caption: str = "", account: int = 0
    ) -> None:
        raise NotImplementedError("programs at the socket say words only")

    async def heard(self, account: int = 0) -> list[Heard]:
        return [
            message
            for (_, number), program in self._people.items()
            if number == account
            for message in program.heard.values()
        ]

    async def throttle(self, n: int, retry_after: float) -> None:
        raise NotImplementedError("nobody asks for a pause")

    async def redeliver(self, account: int = 0) -> None:
        raise NotImplementedError("programs say things once")

    async def fall_silent(self) -> None:
        raise NotImplementedError("the channel is its own server")


counterpart = Counterpart
