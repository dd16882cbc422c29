# SPDX-License-Identifier: AGPL-3.0-or-later
"""A line may point at the one right before it, whose number nobody knows yet."""

import asyncio
from pathlib import Path

import pytest

from haoya.core.event import BEFORE, Admitted, Received, Said, Sending
from haoya.journal import open_journal
from tests.journal.make import HOME, admitted, inbound, received, said


def test_readers_get_the_number_and_the_state_is_right(tmp_path: Path) -> None:
    async def body() -> None:
        async with open_journal(tmp_path) as journal:
            first = await journal.append(HOME, received("1"), admitted(BEFORE))
            second = await journal.append(
                HOME, said("a", turn=first[1].number), Sending(of=BEFORE, piece=0)
            )
            assert not await journal.undecided() and not await journal.waiting()
            (owed,) = await journal.owed("tg")
            assert owed.sending and owed.entry.number == second[0].number
            for entries in (first + second, await journal.read(HOME.key)):
                heard, let_in, spoken, going = entries
                assert isinstance(heard.event, Received) and isinstance(spoken.event, Said)
                assert isinstance(let_in.event, Admitted) and isinstance(going.event, Sending)
                assert (let_in.event.of, going.event.of) == (heard.number, spoken.number)
            assert await journal.check() == []
        async with open_journal(tmp_path, read_only=True) as journal:
            assert [getattr(e.event, "of", None) for e in await journal.read(HOME.key)] == [
                None, 1, None, 3,
            ]  # fmt: skip

    asyncio.run(body())


@pytest.mark.parametrize("again", [True, False])
def test_a_repeated_message_takes_its_judgement_with_it_and_moves_the_cursor(
    tmp_path: Path, again: bool
) -> None:
    async def body() -> None:
        async with open_journal(tmp_path) as journal:
            if again:
                await journal.append(HOME, received("1"), admitted(BEFORE))
            heard = Received(inbound=inbound("1", cursor="77"))
            entries = await journal.append(HOME, heard, admitted(BEFORE))
            assert len(entries) == (0 if again else 2)
            assert len(await journal.read(HOME.key)) == 2
            assert await journal.cursor("tg") == "77"
            assert await journal.check() == []

    asyncio.run(body())
