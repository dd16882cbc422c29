# SPDX-License-Identifier: AGPL-3.0-or-later
"""The IRC channel against a real ngircd with two people on it."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from haoya.channels.irc import plugin
from haoya.core.plugin import Plugin
from tests.conformance.counterpart import Ability, Evidence, Heard
from tests.servers import ngircd
from tests.servers.irc_person import Person

NICKS = ("haoya", "second")
ROOM = "#kitchen"


class Counterpart:
    """Two accounts on one server; ann and bob are on it and in the room."""

    name = "irc"
    evidence: Evidence = "real"
    server = "ngircd"
    abilities: frozenset[Ability] = frozenset(
        {"people", "restarts", "accounts", "rooms", "credentials", "silence"}
    )
    plugin: Plugin[Any, Any] = plugin
    room = ROOM
    called = "haoya: "
    refusal = "Bad password"

    def missing(self) -> str:
        return ngircd.missing()

    async def start(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._server = ngircd.Ngircd(Path(self._folder.name), password="geheim")
        await self._server.start()
        people = [Person(nick, self._server.port, "geheim") for nick in ("ann", "bob")]
        self._people = {person.nick: person for person in people}
        await self._arrive()

    async def stop(self) -> None:
        self._server.resume()
        await self._leave()
        self._server.stop()
        self._folder.cleanup()

    async def kill(self) -> None:
        self._server.kill()

    async def back(self) -> None:
        await self._leave()
        await self._server.start()
        await self._arrive()

    async def _arrive(self) -> None:
        for person in self._people.values():
            await person.arrive(ROOM)

    async def _leave(self) -> None:
        for person in self._people.values():
            await person.leave()

    def settings(self, account: int = 0) -> Mapping[str, object]:
        return {
            "host": "127.0.0.1",
            "port": self._server.port,
            "nick": NICKS[account],
            "password": "geheim",
            "rooms": [ROOM],
            "ping_seconds": 2,
            "pace_seconds": 0.02,
        }

    def wrong_settings(self) -> Mapping[str, object]:
        return {**self.settings(), "password": "falsch"}

    async def person_says(
        self, text: str, *, person: str = "ann", room: str = "", account: int = 0
    ) -> None:
        await self._people[person].say(room or NICKS[account], text)

    async def person_shows(
        self, data: bytes, *, mime: str, name: str, caption: str = "", account: int = 0
    ) -> None:
        raise NotImplementedError("IRC carries words only")

    async def heard(self, account: int = 0) -> list[Heard]:
        ann, bob = self._people.values()
        return [
            Heard(room=one.target if one.target == ROOM else person.nick, text=one.text)
            for person in (ann, bob)
            for one in person.spoken
            if one.nick == NICKS[account] and (one.target != ROOM or person is ann)
        ]

    async def throttle(self, n: int, retry_after: float) -> None:
        raise NotImplementedError("IRC servers ask for no pause")

    async def redeliver(self, account: int = 0) -> None:
        raise NotImplementedError("IRC delivers once")

    async def fall_silent(self) -> None:
        self._server.pause()


counterpart = Counterpart
