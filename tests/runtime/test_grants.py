# SPDX-License-Identifier: AGPL-3.0-or-later
"""Standing leaves through the real daemon: an owner's `always`, exact, expiring, revoked."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from haoya.core.errors import ConfigError
from haoya.core.event import Granted, kind_of
from haoya.journal import open_journal
from tests.runtime.daemon import World, person_id, stage
from tests.runtime.waiting import run, until

ANN, BOB, BOSS = (person_id(name) for name in ("ann", "bob", "boss"))
ASK = 'verdicts = { "owner.send" = "ask" }\n'


def send(text: str, *, to: int = ANN) -> str:
    return "tool message " + json.dumps({"to": f"tg//{to}", "text": text})


async def house(world: World, *known: str, policy: str = "", **settings: Any) -> None:
    world.make_owner("boss")
    await world.start(policy=f"{ASK}{policy}", **settings)
    for name in known:
        await world.telegram.say(name, f"hello, {name}")
        await world.telegram.hears(f"heard: hello, {name}")


async def asked(world: World, *, count: int = 1) -> None:
    message = await world.telegram.hears("message (", count=count)
    assert message["chat"]["id"] == BOSS


@pytest.mark.parametrize("word", ["always", "一直允许"])
def test_always_does_it_and_the_same_again_without_a_question(tmp_path: Path, word: str) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await house(world, "ann", "bob")
            await world.telegram.say("boss", send("one"))
            await asked(world)
            await world.telegram.say("boss", word)
            await world.telegram.hears("haoya grants")
            await world.telegram.hears("done: ")
            await world.telegram.say("boss", send("two"))
            await world.telegram.hears("done: ", count=2)
            assert (await world.telegram.texts(ANN))[1:] == ["one", "two"]
            await world.telegram.say("boss", send("three", to=BOB))
            await asked(world, count=2)
            assert await world.telegram.texts(BOB) == ["heard: hello, bob"], (
                "another is asked about"
            )

    run(body)


def test_a_leave_outlives_the_daemon_and_ends_when_it_is_revoked(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await house(world, "ann")
            await world.telegram.say("boss", send("one"))
            await asked(world)
            await world.telegram.say("boss", "always")
            await world.telegram.hears("done: ")
            await world.daemon.kill()
            status, output = await world.daemon.cli("grants", "--json")
            (offline,) = json.loads(output)
            assert status == 0 and offline["tool"] == "message"
            await world.daemon.start()
            await world.daemon.becomes("tg", "open")
            (leave,) = await world.daemon.call("grants_list")
            assert leave == offline
            assert leave["arguments"] == {"to": f"tg//{ANN}"}
            assert (leave["person"], leave["conversation"]) == (f"tg:{BOSS}", f"tg//{BOSS}")
            await world.telegram.say("boss", send("two"))
            await world.telegram.hears("done: ", count=2)
            status, output = await world.daemon.cli("grants", "revoke", str(leave["number"]))
            assert status == 0 and "counts no more" in output
            await world.telegram.say("boss", send("three"))
            await asked(world, count=2)
            status, output = await world.daemon.cli("grants")
            assert status == 0 and "without asking" in output
            with pytest.raises(ConfigError):
                await world.daemon.call("grants_revoke", number=leave["number"])

    run(body)


def test_a_leave_expires(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await house(world, "ann", policy="grant_days = 0.000001\n")
            await world.telegram.say("boss", send("one"))
            await asked(world)
            await world.telegram.say("boss", "always")
            await world.telegram.hears("done: ")
            await until(lambda: _no_leaves(world))
            await world.telegram.say("boss", send("two"))
            await asked(world, count=2)

    run(body)


async def _no_leaves(world: World) -> bool:
    return not await world.daemon.call("grants_list")


def test_a_button_counts_for_its_own_question_alone(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await house(world, "ann")
            await world.telegram.say("boss", send("one"))
            await asked(world)
            message = await world.telegram.hears("message (")
            buttons = [b for row in message["reply_markup"]["inline_keyboard"] for b in row]
            assert [button["text"] for button in buttons] == ["Yes", "No", "Always"]
            words = [button["callback_data"] for button in buttons]
            assert all(re.fullmatch(r"(yes|no|always) [0-9a-f]{12}", word) for word in words)
            await world.telegram.say("boss", words[1])
            await world.telegram.hears("done: ")
            await world.telegram.say("boss", send("two"))
            await asked(world, count=2)
            await world.telegram.say("boss", words[0])
            await world.telegram.hears("closed already")
            assert len(await world.daemon.call("asks")) == 1
            assert (await world.telegram.texts(ANN))[1:] == []

    run(body)


def test_a_member_reaches_the_owner_after_a_yes_and_gives_no_leave(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await house(world, "boss", access=f'["{ANN}", "{BOB}"]')
            for name in ("ann", "bob"):
                await world.telegram.say(name, f"hello, {name}")
                await world.telegram.hears(f"heard: hello, {name}")
            await world.telegram.say("ann", send("may I come in?", to=BOSS))
            await asked(world)
            for word in ("always", "yes"):
                await world.telegram.say("ann", word)
            assert len(await world.daemon.call("asks")) == 1
            assert not await world.daemon.call("grants_list")
            await world.telegram.say("boss", "always")
            await world.telegram.hears("may I come in?", count=2)
            await world.telegram.say("ann", send("and now?", to=BOSS))
            await world.telegram.hears("and now?")
            await until(lambda: _said(world, BOSS, "and now?"))
            await world.telegram.say("ann", send("hi bob", to=BOB))
            await asked(world, count=2)
            await world.telegram.say("boss", "yes")
            await world.telegram.hears("no chat")
            assert await world.telegram.texts(BOB) == ["heard: hello, bob"]

    run(body)


async def _said(world: World, person: int, text: str) -> bool:
    return text in await world.telegram.texts(person)


def test_the_terminal_gives_a_leave_too(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await house(world, "ann")
            await world.telegram.say("boss", send("one"))
            await asked(world)
            (waiting,) = await world.daemon.call("asks")
            status, output = await world.daemon.cli("asks", "always", str(waiting["number"]))
            assert status == 0 and "without asking" in output
            await world.telegram.hears("done: ")
            await world.daemon.stop()
            async with open_journal(world.daemon.home, read_only=True) as journal:
                given = await journal.recent(frozenset({kind_of(Granted)}), limit=9)
            (granted,) = [entry.event for entry in given]
            assert isinstance(granted, Granted) and granted.by == "local:owner"

    run(body)
