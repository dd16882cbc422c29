# SPDX-License-Identifier: AGPL-3.0-or-later
"""The memory on a real file: what is kept is found, by its owner alone, also after a kill."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haoya.core.errors import ConfigError, Unready
from haoya.core.ports import Memo, Memory
from haoya.memories.sqlite import plugin
from haoya.memories.sqlite.store import SqliteSettings
from haoya.memories.sqlite.words import words_of
from tests.models.lent import context

FACTS = (
    "Ann's birthday is 3 May",
    "Ann drinks green tea without sugar",
    "The kettle for tea broke",
    "我住在北京市海淀区",
    "妈妈喜欢喝茶，不喜欢咖啡",
    "Le café préféré est rue Cler",
)


@asynccontextmanager
async def opened(folder: Path) -> AsyncGenerator[Memory, None]:
    async with context(folder) as lent, plugin.open(SqliteSettings(), lent) as memory:
        yield memory


def memo(text: str, person: str = "ann", *, id: str = "", at: float = 0) -> Memo:
    return Memo(id=id or text, person=person, text=text, at=at)


def run(folder: Path, work: Callable[[Memory], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with opened(folder) as memory:
            await work(memory)

    asyncio.run(inside())


async def recalled(memory: Memory, query: str, person: str = "ann") -> list[str]:
    return [found.text for found in await memory.recall(person, query)]


async def fill(memory: Memory) -> None:
    for at, fact in enumerate(FACTS):
        await memory.keep(memo(fact, at=at))


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("birthdays", FACTS[0]),
        ("When is ANN's Birthday?", FACTS[0]),
        ("green tea", FACTS[1]),
        ("kettles", FACTS[2]),
        ("北京", FACTS[3]),
        ("海淀", FACTS[3]),
        ("你住在哪个区", FACTS[3]),
        ("茶", FACTS[4]),
        ("咖啡", FACTS[4]),
        ("cafe prefere", FACTS[5]),
    ],
)
def test_the_best_match_comes_first(tmp_path: Path, query: str, first: str) -> None:
    async def work(memory: Memory) -> None:
        await fill(memory)
        assert (await recalled(memory, query))[0] == first

    run(tmp_path, work)


def test_what_does_not_match_is_not_found(tmp_path: Path) -> None:
    async def work(memory: Memory) -> None:
        await fill(memory)
        for query in ("zebra", "上海", '"; DROP TABLE memo; --', "NEAR(", "* OR"):
            assert await recalled(memory, query) == []

    run(tmp_path, work)


def test_persons_never_see_each_others_memos(tmp_path: Path) -> None:
    async def work(memory: Memory) -> None:
        await memory.keep(memo("the door code is 1234", "ann"))
        await memory.keep(memo("the door is green", "bob"))
        assert await recalled(memory, "door", "ann") == ["the door code is 1234"]
        assert await recalled(memory, "door", "bob") == ["the door is green"]
        assert await recalled(memory, "", "bob") == ["the door is green"]
        assert await recalled(memory, "door", "carl") == []
        assert not await memory.forget("bob", "the door code is 1234")
        assert await memory.forget("ann", "the door code is 1234")
        assert not await memory.forget("ann", "the door code is 1234")
        assert await recalled(memory, "code", "ann") == []

    run(tmp_path, work)


def test_equal_matches_come_newest_first_and_are_limited(tmp_path: Path) -> None:
    async def work(memory: Memory) -> None:
        for at in range(8):
            await memory.keep(memo("tea", id=f"{at}", at=at))
        assert [found.at for found in await memory.recall("ann", "tea")] == [7, 6, 5, 4, 3]
        assert [found.at for found in await memory.recall("ann", "", 2)] == [7, 6]

    run(tmp_path, work)


def test_keeping_twice_is_once_and_the_first_stays(tmp_path: Path) -> None:
    async def work(memory: Memory) -> None:
        await memory.keep(memo("first words", id="x"))
        await memory.keep(memo("second words", id="x"))
        assert await recalled(memory, "words") == ["first words"]

    run(tmp_path, work)


def test_memos_are_there_after_a_kill(tmp_path: Path) -> None:
    program = """
import asyncio, os, signal, sys
from pathlib import Path
from tests.memories.test_sqlite import fill, opened
async def main():
    async with opened(Path(sys.argv[1])) as memory:
        await fill(memory)
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""
    root = Path(__file__).parent.parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    ended = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], env=environment, check=False
    )
    assert ended.returncode == -9

    async def work(memory: Memory) -> None:
        assert len(await memory.recall("ann", "", 99)) == len(FACTS)
        assert (await recalled(memory, "北京"))[0] == FACTS[3]
        assert (await memory.recall("ann", "birthday"))[0] == memo(FACTS[0], at=0)

    run(tmp_path, work)


def test_fifty_at_once_are_all_kept(tmp_path: Path) -> None:
    async def work(memory: Memory) -> None:
        await asyncio.gather(*(memory.keep(memo(f"note {i}", id=str(i))) for i in range(50)))
        assert len(await memory.recall("ann", "note", 99)) == 50

    run(tmp_path, work)


def test_a_file_that_is_no_memory_is_the_owners_to_mend(tmp_path: Path) -> None:
    (tmp_path / "memory.db").write_bytes(b"these are no pages of a database" * 200)
    with pytest.raises(ConfigError, match="is no memory"):
        run(tmp_path, fill)


def test_a_newer_file_is_left_alone(tmp_path: Path) -> None:
    run(tmp_path, fill)
    connection = apsw.Connection(str(tmp_path / "memory.db"))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ConfigError, match="newer haoya"):
        run(tmp_path, fill)


def test_a_folder_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    async def inside() -> None:
        async with context(tmp_path / "gone") as lent, plugin.open(SqliteSettings(), lent):
            pass

    with pytest.raises(Unready, match="cannot be opened"):
        asyncio.run(inside())


@settings(deadline=None)
@given(st.text(max_size=60))
def test_a_text_is_found_by_its_own_words(text: str) -> None:
    sought = words_of(text, sought=True)
    assert set(sought) <= set(words_of(text))
    assert all(word == word.casefold() and word.isalnum() for word in sought if word.isascii())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cities boxes buses glass is", ["city", "boxe", "buse", "glass", "is"]),
        ("Straße ＡＢＣ", ["strasse", "abc"]),
        ("한국어 3D打印", ["한국", "국어", "3d", "打印"]),
        ("snake_case", ["snake", "case"]),
    ],
)
def test_words_are_folded(text: str, words: list[str]) -> None:
    assert words_of(text, sought=True) == words
