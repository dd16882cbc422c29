# SPDX-License-Identifier: AGPL-3.0-or-later
import asyncio
import math
import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from haoya.core.errors import Unready
from haoya.core.event import (
    Asked,
    Decided,
    Delivered,
    Drafted,
    Entry,
    Failed,
    Received,
    Refused,
    Said,
    Sending,
    Stopped,
    Unpaired,
)
from haoya.core.message import Address, Outbound, Reading, Receipt, Text
from haoya.journal import open_journal
from tests.journal.make import ADA, HOME, ROOM, admitted, inbound, received, said


def numbers(entries: list[Entry]) -> list[int]:
    return [entry.number for entry in entries]


def test_what_was_appended_is_read_back_after_reopening(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path, clock=lambda: 7.5) as journal:
            written = await journal.append(HOME, received("a"), said("b", turn=1))
        async with open_journal(tmp_path) as journal:
            assert await journal.read(HOME.key) == written
            assert numbers(written) == [1, 2]
            assert written[0].at == 7.5
            assert written[0].conversation == HOME.key
            assert await journal.entry(2) == written[1]
            assert await journal.entry(3) is None
            assert await journal.append(HOME) == []
            assert numbers(await journal.append(ROOM, said("c"))) == [3]
            assert await journal.check() == []

    asyncio.run(run())


def test_read_takes_a_range_the_newest_or_some_kinds(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            for number in range(1, 7):
                await journal.append(HOME, received(str(number)))
                await journal.append(ROOM, said(str(number), ROOM))
            assert numbers(await journal.read(HOME.key)) == [1, 3, 5, 7, 9, 11]
            assert numbers(await journal.read(HOME.key, after=3, before=9)) == [5, 7]
            assert numbers(await journal.read(HOME.key, last=2)) == [9, 11]
            assert numbers(await journal.read(HOME.key, last=2, before=9)) == [5, 7]
            assert await journal.read(HOME.key, last=0) == []
            assert await journal.read(HOME.key, kinds=frozenset({"said"})) == []
            both = frozenset({"said", "received"})
            assert numbers(await journal.read(ROOM.key, kinds=both, last=1)) == [12]
            assert await journal.read("no//such") == []

    asyncio.run(run())


def test_recent_goes_over_all_conversations_newest_first(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            await journal.append(HOME, received("1"), said("1"), admitted(1))
            await journal.append(ROOM, received("2"), said("2", ROOM), Unpaired(person="x", by="y"))
            assert numbers(await journal.recent(limit=2)) == [6, 5]
            assert numbers(await journal.recent(limit=9, before=3)) == [2, 1]
            kinds = frozenset({"said", "received"})
            assert numbers(await journal.recent(kinds, limit=3)) == [5, 4, 2]
            assert numbers(await journal.recent(kinds, limit=3, before=4)) == [2, 1]

    asyncio.run(run())


def test_a_message_heard_twice_is_stored_once_and_moves_the_cursor(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            assert await journal.receive([]) == []
            assert await journal.cursor("tg") == ""
            new = await journal.receive([inbound("1"), inbound("2"), inbound("1")])
            assert numbers(new) == [1, 2]
            again = [inbound("2", cursor="8"), inbound("3", cursor="9"), inbound("1", ROOM)]
            assert [entry.conversation for entry in await journal.receive(again)] == [
                HOME.key,
                ROOM.key,
            ]
            assert await journal.cursor("tg") == "9"
            assert await journal.receive([inbound("3", cursor="10")]) == []
            assert await journal.cursor("tg") == "10"
            assert await journal.find("tg", "2") == 2
            assert await journal.find("tg", "none") is None
            assert await journal.check() == []

    asyncio.run(run())


def test_a_step_that_says_something_again_is_dropped_as_a_whole(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            await journal.append(HOME, said("x", turn=1))
            step = (received("new"), Stopped(turn=1, reason="r"), said("x", ROOM))
            assert await journal.append(HOME, *step) == []
            assert await journal.append(HOME, received("new"), said("y")) != []
            with pytest.raises(ValueError, match="twice"):
                await journal.append(HOME, said("z"), said("z"))
            assert len(await journal.read(HOME.key)) == 3
            assert await journal.check() == []

    asyncio.run(run())


def test_words_are_owed_until_the_last_piece_arrived_or_failed(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            await journal.append(HOME, Drafted(outbound="a", id="net-1"))
            await journal.append(HOME, said("a"), said("b", ROOM), said("c"))
            first, third = await journal.owed("tg")
            assert (first.entry.number, first.drafted, first.piece) == (2, "net-1", 0)
            assert first.said == said("a")
            assert (third.address, third.drafted, third.sending) == (HOME, "", False)
            assert [owed.address for owed in await journal.owed("irc")] == [ROOM]

            await journal.append(HOME, Sending(of=2, piece=0))
            assert (await journal.owed("tg"))[0].sending
            await journal.append(HOME, Delivered(of=2, piece=0, receipt=Receipt(), last=False))
            assert (await journal.owed("tg"))[0].piece == 1
            assert not (await journal.owed("tg"))[0].sending
            await journal.append(HOME, Delivered(of=2, piece=1, receipt=Receipt()))
            await journal.append(ROOM, Failed(of=3, error="room gone"))
            assert [owed.said.outbound.id for owed in await journal.owed("tg")] == ["c"]
            assert await journal.owed("irc") == []
            assert await journal.check() == []

    asyncio.run(run())


def test_a_conversation_waits_until_a_turn_has_read_its_last_waking_line(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            await journal.receive([inbound("1"), inbound("2", ROOM), inbound("3")])
            assert numbers(await journal.undecided()) == [1, 2, 3]
            await journal.append(HOME, admitted(1))
            await journal.append(ROOM, admitted(2, wakes=False))
            assert await journal.waiting() == [HOME]
            await journal.append(HOME, admitted(3))
            await journal.append(HOME, said("early", turn=4))
            assert await journal.waiting() == [HOME]
            await journal.append(HOME, said("notice"))
            assert await journal.waiting() == [HOME]
            await journal.append(HOME, Stopped(turn=6, reason="no words"))
            assert await journal.waiting() == []
            assert await journal.undecided() == []
            await journal.append(HOME, Refused(of=3, reason="late"))
            assert await journal.check() == []

    asyncio.run(run())


def test_a_question_is_open_until_it_is_decided(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            ask = Asked(turn=1, call="c", where="w", digest="d", question="q?", expires=9.0)
            await journal.append(HOME, ask, ask)
            assert numbers(await journal.asked()) == [1, 2]
            await journal.append(ROOM, Decided(of=1, call="c", yes=True, by="tg:42"))
            assert numbers(await journal.asked()) == [2]

    asyncio.run(run())


def test_conversations_know_their_length_and_their_present_kind(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path, clock=lambda: 3.0) as journal:
            await journal.append(HOME, received("1"), admitted(1))
            await journal.append(ROOM, received("1", ROOM))
            grown = Address(channel="tg", room="1", kind="group")
            await journal.append(grown, said("2"))
            newest, other = await journal.conversations()
            assert (newest.address, newest.last, newest.lines, newest.at) == (grown, 4, 3, 3.0)
            assert newest.address.kind == "group"
            assert other.address == ROOM
            assert [c.address for c in await journal.conversations(channel="irc")] == [ROOM]
            assert len(await journal.conversations(limit=1)) == 1

    asyncio.run(run())


def test_more_conversations_than_are_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("haoya.journal.ledger._KNOWN_CONVERSATIONS", 2)

    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            places = [Address(channel="tg", room=str(room % 5 + 1)) for room in range(20)]
            for index, place in enumerate(places):
                await journal.append(place, said(str(index), place))
            assert [c.lines for c in await journal.conversations()] == [4] * 5
            assert await journal.check() == []

    asyncio.run(run())


def test_text_that_no_encoding_holds_is_mended_not_refused(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            (entry,) = await journal.receive([inbound("1", text="cut \ud83d here")])
            assert await journal.read(HOME.key) == [entry]
            assert isinstance(entry.event, Received)
            assert entry.event.inbound.parts == (Text(text="cut \ufffd here"),)

    asyncio.run(run())


def test_a_number_that_json_cannot_write_survives(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            parts = (Reading(value=math.nan, unit="null"), Reading(value=math.inf))
            event = Said(outbound=Outbound(id="1", address=HOME, parts=parts))
            await journal.append(HOME, event)
            await journal.receive([inbound("2", text="null and void")])
            (entry, text) = await journal.read(HOME.key)
            assert isinstance(entry.event, Said)
            first, second = entry.event.outbound.parts
            assert isinstance(first, Reading)
            assert math.isnan(first.value)
            assert second == parts[1]
            assert text.event == received("2", text="null and void")

    asyncio.run(run())


def test_lines_of_a_newer_version_are_left_out_and_reported(tmp_path: Path) -> None:
    async def write() -> None:
        async with open_journal(tmp_path) as journal:
            for id in "123":
                await journal.append(HOME, said(id))

    asyncio.run(write())
    with sqlite3.connect(tmp_path / "journal.db") as db:
        newer = b"""{"type":"x"}""".hex()
        db.execute(f"UPDATE entries SET kind = 'x', body = x'{newer}' WHERE number = 1")
        db.execute("UPDATE entries SET body = x'ff00' WHERE number = 3")
    db.close()

    async def read() -> None:
        async with open_journal(tmp_path) as journal:
            assert numbers(await journal.read(HOME.key)) == [2]
            assert await journal.entry(1) is None
            assert [owed.entry.number for owed in await journal.owed("tg")] == [2]
            followed = [await anext(journal.follow(0))]
            assert numbers(followed) == [2]
            assert journal.figures().unreadable > 0
            assert await journal.check() == [
                "line 1 (x) cannot be read by this version",
                "line 3 (said) cannot be read by this version",
            ]

    asyncio.run(read())


def test_one_impossible_event_does_not_hurt_those_beside_it(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            results = await asyncio.gather(
                journal.append(HOME, received("1")),
                journal.append(HOME, Refused(of=2**70, reason="no such number")),
                journal.append(HOME, received("2")),
                return_exceptions=True,
            )
            assert isinstance(results[1], OverflowError)
            assert [numbers(r) for r in results if isinstance(r, list)] == [[1], [2]]
            assert await journal.check() == []

    asyncio.run(run())


def test_reading_only_works_beside_the_writer_and_cannot_write(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            await journal.append(HOME, received("1"))
            async with open_journal(tmp_path, read_only=True) as reader:
                assert numbers(await reader.read(HOME.key)) == [1]
                assert reader.figures().lines == 1
                with pytest.raises(Unready, match="reading only"):
                    await reader.append(HOME, received("2"))
                followed = reader.follow(0)
                assert (await anext(followed)).number == 1
                async with asyncio.timeout(10), asyncio.TaskGroup() as group:
                    second = group.create_task(anext_of(followed))
                    await asyncio.sleep(0)
                    # The one reading thread has answered the follower before it answers us.
                    assert await reader.find("tg", "2") is None
                    await journal.append(HOME, received("2"))
                assert second.result().number == 2
                await followed.aclose()

    async def anext_of(follower: AsyncGenerator[Entry]) -> Entry:
        return await anext(follower)

    asyncio.run(run())


def test_normal_synchronous_is_offered(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path, synchronous="normal") as journal:
            await journal.append(HOME, received("1"))
            assert journal.figures().commit_seconds > 0
            assert journal.figures().bytes > 4096
            assert journal.figures().failure == ""

    asyncio.run(run())


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path / "home") as journal:
            await journal.append(HOME, received("1", text=ADA.name))
            files = list((tmp_path / "home").iterdir())
            assert len(files) == 4
            assert {file.stat().st_mode & 0o077 for file in files} == {0}
            assert (tmp_path / "home").stat().st_mode & 0o077 == 0

    asyncio.run(run())
