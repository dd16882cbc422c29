# SPDX-License-Identifier: AGPL-3.0-or-later
"""`remember` and `recall` over the real memory."""

import asyncio
from pathlib import Path

from haoya.memories.sqlite import plugin as sqlite
from haoya.memories.sqlite.store import SqliteSettings
from haoya.tools.memory import MAX_CHARACTERS, plugin
from tests.models.lent import context
from tests.tools.lent import box, scene


def test_facts_are_kept_once_per_call_and_recalled_by_their_owner(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            context(tmp_path) as lent,
            sqlite.open(SqliteSettings(), lent) as memory,
            box(plugin, tmp_path, memory=memory) as tools,
        ):
            for _ in range(2):  # the second as after a crash
                assert (await tools.run("remember", text=" Ann likes 绿茶 ")).ok
            await tools.run("remember", scene(call="c2"), text="Ann was born in May")
            assert (await tools.run("recall", query="绿茶")).text == "2026-01-01: Ann likes 绿茶"
            assert len((await tools.run("recall", query="Ann")).text.splitlines()) == 2
            other = await tools.run("recall", scene(person="bob"), query="Ann")
            assert other.ok
            assert other.text.startswith("nothing kept matches")
            for text in ("", "x" * (MAX_CHARACTERS + 1)):
                assert not (await tools.run("remember", text=text)).ok

    asyncio.run(run())


def test_a_house_without_a_memory_offers_none(tmp_path: Path) -> None:
    async def run() -> None:
        async with box(plugin, tmp_path) as tools:
            assert not tools.tools

    asyncio.run(run())
