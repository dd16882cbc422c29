# SPDX-License-Identifier: AGPL-3.0-or-later
"""The whole daemon on real IRC servers (ngircd)."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.runtime.daemon import World, stage
from tests.runtime.waiting import run, until
from tests.servers.irc_person import Person
from tests.servers.ngircd import Ngircd, missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

TOY = """\
[models.main]
use = "script"
rules = [{ match = "lang", say = "%s" }, { match = "^(.*)$", say = "heard: {1}" }]
""" % ("长" * 700)


def channel(server: Ngircd, *, name: str = "irc", access: str = '"pairing"', more: str = "") -> str:
    return (
        f'[channels.{name}]\nuse = "irc"\nhost = "127.0.0.1"\nport = {server.port}\ntls = false\n'
        f'nick = "haoya"\nrooms = ["#kitchen"]\naccess = {access}\npace_seconds = 0\n{more}\n'
    )


@asynccontextmanager
async def network(tmp_path: Path, name: str = "irc", password: str = "") -> AsyncGenerator[Ngircd]:
    folder = tmp_path / name
    folder.mkdir()
    server = Ngircd(folder, name=name, password=password)
    await server.start()
    try:
        yield server
    finally:
        server.stop()


@asynccontextmanager
async def person(server: Ngircd, nick: str, *rooms: str) -> AsyncGenerator[Person]:
    someone = Person(nick, server.port, server.password)
    await someone.arrive(*rooms)
    try:
        yield someone
    finally:
        await someone.leave()


@asynccontextmanager
async def world_on(tmp_path: Path, *sections: str) -> AsyncGenerator[World]:
    async with stage(tmp_path, telegram=False, model=False) as world:
        await world.start(TOY, *sections, telegram=False, model=False)
        yield world


async def hears(someone: Person, words: str, *, of: str = "haoya", target: str = "") -> str:
    def found() -> list[str]:
        return [text for text in someone.texts(of, target) if words in text]

    return (await until(found, lambda: someone.lines[-9:]))[-1]


def test_a_stranger_is_refused_paired_and_answered(tmp_path: Path) -> None:
    async def body() -> None:
        async with (
            network(tmp_path) as server,
            world_on(tmp_path, channel(server)) as world,
            person(server, "ann") as ann,
        ):
            await world.daemon.becomes("irc", "open")
            await ann.say("haoya", "let me in")
            words = await hears(ann, "pair approve")
            code = re.search(r"approve (\w{6})", words)
            assert code, words
            status, output = await world.daemon.cli("pair", "approve", code[1])
            assert status == 0, output
            await hears(ann, "You are in")
            await ann.say("haoya", "hello")
            await hears(ann, "heard: hello")

    run(body)


def test_in_a_room_it_answers_when_called(tmp_path: Path) -> None:
    async def body() -> None:
        async with (
            network(tmp_path) as server,
            world_on(tmp_path, channel(server, access='"open"')) as world,
            person(server, "ann", "#kitchen") as ann,
        ):
            await world.daemon.becomes("irc", "open")
            await until(
                lambda: any(("JOIN" in x and "haoya" in x) or "353" in x for x in ann.lines)
            )
            await ann.say("#kitchen", "nobody is called here")
            await ann.say("#kitchen", "haoya: are you there?")
            await hears(ann, "are you there?", target="#kitchen")
            assert len(ann.texts("haoya", "#kitchen")) == 1

    run(body)


def test_a_long_chinese_answer_arrives_whole_in_lines_that_fit(tmp_path: Path) -> None:
    async def body() -> None:
        async with (
            network(tmp_path) as server,
            world_on(tmp_path, channel(server, access='"open"')) as world,
            person(server, "ann") as ann,
        ):
            await world.daemon.becomes("irc", "open")
            await ann.say("haoya", "lang")
            await until(lambda: sum(len(t) for t in ann.texts("haoya")) >= 700)
            assert "".join(ann.texts("haoya")) == "长" * 700
            assert all(len(one.raw) <= 512 for one in ann.spoken)

    run(body)


def test_a_server_killed_and_back(tmp_path: Path) -> None:
    async def body() -> None:
        async with network(tmp_path) as server, stage(tmp_path, telegram=False) as world:
            await world.start(channel(server, access='"open"'), telegram=False)
            await world.daemon.becomes("irc", "open")
            server.kill()
            await world.daemon.becomes("irc", "waiting")
            assert await world.daemon.ask("are you well?") == "heard: are you well?"
            await server.start()
            await world.daemon.becomes("irc", "open", seconds=30)
            async with person(server, "ann") as ann:
                await ann.say("haoya", "hello again")
                await hears(ann, "heard: hello again")

    run(body, seconds=90)


def test_a_wrong_password_parks_with_the_servers_words(tmp_path: Path) -> None:
    async def body() -> None:
        async with (
            network(tmp_path, password="right") as server,
            world_on(tmp_path, channel(server, more='password = "wrong"')) as world,
        ):
            parked = await world.daemon.becomes("irc", "parked")
            assert "password" in parked["reason"].lower(), parked
            assert await world.daemon.ask("still there?")
            status, output = await world.daemon.cli("doctor", "--strict")
            assert status == 5 and "irc" in output
            right = channel(server, access='"open"', more='password = "right"')
            world.daemon.write(world.settings(TOY, right, telegram=False, model=False))
            await world.daemon.becomes("irc", "open")

    run(body)


def test_two_networks_at_once_do_not_mix(tmp_path: Path) -> None:
    async def body() -> None:
        async with (
            network(tmp_path, "one") as one,
            network(tmp_path, "two") as two,
            world_on(
                tmp_path,
                channel(one, name="one", access='"open"'),
                channel(two, name="two", access='"open"'),
            ) as world,
            person(one, "ann") as ann,
            person(two, "ann") as other,
        ):
            await world.daemon.becomes("one", "open")
            await world.daemon.becomes("two", "open")
            await ann.say("haoya", "on one")
            await other.say("haoya", "on two")
            await hears(ann, "heard: on one")
            await hears(other, "heard: on two")
            assert not [text for text in ann.texts("haoya") if "two" in text]
            one.kill()
            await world.daemon.becomes("one", "waiting")
            await other.say("haoya", "still here?")
            await hears(other, "still here?")

    run(body)
