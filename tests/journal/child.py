# SPDX-License-Identifier: AGPL-3.0-or-later
"""A process made to be killed: `python -m tests.journal.child FOLDER START`.

Twenty producers hear messages from number START on, admit them, say something and deliver it, and
print `id number` once the journal has acknowledged each line. It never ends by itself.
"""

import asyncio
import itertools
import os
import sys
from pathlib import Path

from haoya.core.event import Delivered, Entry, Received, Said
from haoya.core.message import Address, Receipt
from haoya.journal import Journal, open_journal
from tests.journal.make import admitted, inbound, said

PRODUCERS = 20


def acknowledge(entries: list[Entry]) -> None:
    for entry in entries:
        match entry.event:
            case Received(inbound=heard):
                name = f"heard:{heard.id}"
            case Said(outbound=outbound):
                name = f"said:{outbound.id}"
            case _:
                name = "other"
        os.write(1, f"{name} {entry.number}\n".encode())


async def produce(journal: Journal, producer: int, start: int) -> None:
    address = Address(channel="tg", room=str(producer + 1))
    for index in itertools.count(start):
        id = f"{producer}-{index}"
        heard = await journal.receive([inbound(id, address, cursor=str(index))])
        acknowledge(heard)
        if not heard:
            continue
        of = heard[0].number
        acknowledge(await journal.append(address, admitted(of)))
        spoken = await journal.append(address, said(id, address, turn=of + 1))
        acknowledge(spoken)
        await journal.append(address, Delivered(of=spoken[0].number, piece=0, receipt=Receipt()))


async def main(folder: Path, start: int) -> None:
    async with open_journal(folder) as journal, asyncio.TaskGroup() as group:
        for producer in range(PRODUCERS):
            group.create_task(produce(journal, producer, start))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
