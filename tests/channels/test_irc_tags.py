# SPDX-License-Identifier: AGPL-3.0-or-later
"""Accounts, SASL and server time, against the small stand-in of tests/servers/ircv3.py."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from haoya.channels.irc import plugin
from tests.conformance.counterpart import until
from tests.conformance.house import House, text
from tests.servers.irc_person import Person
from tests.servers.ircv3 import TIME, Ircv3

LONG = "p" * 400


@asynccontextmanager
async def standing(**options: object) -> AsyncIterator[Ircv3]:
    server = Ircv3({"haoya": "geheim", "Ann": LONG}, **options)  # type: ignore[arg-type]
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def house(folder: Path, server: Ircv3, nick: str = "haoya", **settings: object) -> House:
    usual = {"host": "127.0.0.1", "port": server.port, "nick": nick, "rooms": ["#kitchen"]}
    usual |= {"pace_seconds": 0.01}
    return House(plugin, usual | settings, folder / nick, name="irc")


def run(claim: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(30):
            await claim()

    asyncio.run(limited())


@pytest.mark.parametrize("sasl", ["=PLAIN,EXTERNAL", ""])
@pytest.mark.parametrize("echoing", [True, False])
def test_accounts_are_vouched_for_and_strangers_are_not(
    tmp_path: Path, sasl: str, echoing: bool
) -> None:
    async def claim() -> None:
        async with standing(sasl=sasl, echoing=echoing) as server:
            ours = house(tmp_path, server, sasl_user="haoya", sasl_password="geheim")
            anns = house(tmp_path, server, "ann", sasl_user="Ann", sasl_password=LONG)
            bob = Person("Bob[1]", server.port)
            async with ours.living(), anns.living():
                await ours.ready()
                await anns.ready()
                await bob.arrive()
                await bob.say("#kitchen", "from bob")
                stranger = await ours.hears("from bob")
                (receipt,) = await anns.say(stranger.address, text("from ann"))
                friend = await ours.hears("from ann")
                await bob.leave()
            assert (friend.sender.id, friend.sender.proof) == ("account:ann", "network")
            assert (stranger.sender.id, stranger.sender.proof) == ("bob{1}!u@h", "none")
            assert friend.id == "id-2" and receipt.ids == (("id-2",) if echoing else ())
            assert friend.at == datetime(2026, 11, 20, 12, 0, 0, 500000, UTC).timestamp()
            assert TIME.startswith("2026-11-20T12:00:00.5")

    run(claim)


def test_wrong_sasl_password_is_rejected_with_the_words_of_the_server(tmp_path: Path) -> None:
    async def claim() -> None:
        async with standing() as server:
            wrong = house(tmp_path, server, sasl_user="haoya", sasl_password="falsch")
            async with wrong.living():
                await until(lambda: wrong.rejected)
            assert "904 SASL authentication failed" in str(wrong.rejected)
            assert "falsch" not in str(wrong.rejected)

    run(claim)


def test_no_login_where_the_server_offers_none(tmp_path: Path) -> None:
    async def claim() -> None:
        async with standing(sasl="=EXTERNAL") as server:
            early = house(tmp_path, server, sasl_user="haoya", sasl_password="geheim")
            async with early.living():
                await until(lambda: early.faults)
            assert "SASL" in str(early.faults[0]) and early.opened == 0

    run(claim)


def test_a_tag_nobody_agreed_to_vouches_for_nothing(tmp_path: Path) -> None:
    async def claim() -> None:
        async with standing() as server:
            ours = house(tmp_path, server)
            async with ours.living():
                connection = await ours.ready()
                connection._caps.clear()  # type: ignore[attr-defined]
                ann = house(tmp_path, server, "ann", sasl_user="Ann", sasl_password=LONG)
                async with ann.living():
                    await ann.ready()
                    bob = Person("bob", server.port)
                    await bob.arrive()
                    await bob.say("ann", "where?")
                    address = (await ann.hears("where?")).address
                    await ann.say(address.__class__(channel="irc", room="haoya"), text("psst"))
                    await bob.leave()
                heard = await ours.hears("psst")
            assert heard.sender.proof == "none" and heard.sender.id == "ann!u@h"

    run(claim)
