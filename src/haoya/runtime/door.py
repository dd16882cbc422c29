# SPDX-License-Identifier: AGPL-3.0-or-later
"""The owner's own door: open as long as the house lives, whatever becomes of the disk, for behind
it the owner asks what is wrong."""

import asyncio
from collections.abc import Callable

from haoya.core.errors import Unready
from haoya.core.ports import Connection
from haoya.runtime.gateway import Gateway
from haoya.runtime.home import Home
from haoya.runtime.parts import Wanted, only

DOOR = "local"
"""The channel that is the owner's own door."""

AGAIN_SECONDS = 1.0
"""How long the door waits for the journal to be well again before it tries to store once more."""


def door(home: Home) -> Wanted:
    """The door as a part; it needs no section of the owner's."""
    settings = only("local", home=str(home.folder))
    return Wanted(key=f"channels.{DOOR}", kind="channel", name=DOOR, settings=settings)


async def attend(
    connection: Connection, ready: asyncio.Event, gateway: Callable[[], Gateway]
) -> None:
    """Hear and speak at the door for ever, with whichever journal is open."""
    while True:
        await ready.wait()
        try:
            await _serve(connection, gateway())
        except* Unready:
            await asyncio.sleep(AGAIN_SECONDS)


async def _serve(connection: Connection, gateway: Gateway) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(gateway.hear(DOOR, connection))
        tasks.create_task(gateway.outbox(DOOR).speak(connection))
        await gateway.closed.wait()
        raise Unready("the journal was closed")
