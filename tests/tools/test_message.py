# SPDX-License-Identifier: AGPL-3.0-or-later
"""The `message` tool: to the person's own conversations only, and once."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from haoya.core.message import Address, Outbound, text_of
from haoya.tools.message import plugin
from tests.tools.lent import HERE, Box, box, scene

KITCHEN = Address(channel="irc", room="#kitchen", kind="group")
HALL = Address(channel="irc", room="#hall", kind="group")
PHONE = Address(channel="phone", room="+86 1")


class Outbox:
    """What was said, by id."""

    def __init__(self) -> None:
        self.said: dict[str, Outbound] = {}

    async def say(self, outbound: Outbound) -> bool:
        fresh = outbound.id not in self.said
        self.said.setdefault(outbound.id, outbound)
        return fresh

    async def conversations(self, person: str) -> list[Address]:
        return [HERE, KITCHEN, HALL, PHONE] if person == "ann" else []


def run(folder: Path, work: Callable[[Box, Outbox], Awaitable[None]]) -> None:
    async def inside() -> None:
        outbox = Outbox()
        lent = {"say": outbox.say, "conversations": outbox.conversations}
        async with box(plugin, folder, **lent) as tools:
            await work(tools, outbox)

    asyncio.run(inside())


@pytest.mark.parametrize(
    ("to", "address"),
    [("phone", PHONE), (KITCHEN.key, KITCHEN), ("#Hall", HALL), (" PHONE ", PHONE)],
)
def test_a_message_goes_to_the_one_meant_and_once(
    tmp_path: Path, to: str, address: Address
) -> None:
    async def work(tools: Box, outbox: Outbox) -> None:
        assert (await tools.run("message", to=to, text="tea?")).text.startswith("on its way to")
        again = await tools.run("message", to=to, text="tea?")
        assert again.ok
        (said,) = outbox.said.values()
        assert (said.address, text_of(said.parts)) == (address, "tea?")
        assert said.id == scene().key

    run(tmp_path, work)


@pytest.mark.parametrize(
    ("to", "text", "words"),
    [
        ("nobody", "x", "no chat 'nobody'; there are: tg//7, irc//#kitchen"),
        ("irc", "x", "'irc' may mean several; there are: irc//#kitchen, irc//#hall"),
        ("tg", "x", "this very chat"),
        ("phone", "  ", "empty"),
    ],
)
def test_what_cannot_be_sent_is_told_with_the_cure(
    tmp_path: Path, to: str, text: str, words: str
) -> None:
    async def work(tools: Box, outbox: Outbox) -> None:
        result = await tools.run("message", to=to, text=text)
        assert not result.ok
        assert words in result.text
        assert not outbox.said

    run(tmp_path, work)


def test_a_stranger_reaches_nobody(tmp_path: Path) -> None:
    async def work(tools: Box, outbox: Outbox) -> None:
        result = await tools.run("message", scene(person="eve"), to=PHONE.key, text="x")
        assert not result.ok
        assert PHONE.key not in result.text.split("there are")[1]

    run(tmp_path, work)


def test_without_an_outbox_there_is_no_such_tool(tmp_path: Path) -> None:
    async def inside() -> None:
        async with box(plugin, tmp_path) as tools:
            assert not tools.tools

    asyncio.run(inside())
