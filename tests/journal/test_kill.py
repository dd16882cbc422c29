# SPDX-License-Identifier: AGPL-3.0-or-later
import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

from haoya.core.event import Received, Said
from haoya.journal import open_journal

KILLS = 200 if os.environ.get("SOAK") else 20


def run_until_killed(folder: Path, start: int, patience: int) -> dict[int, str]:
    """What a child acknowledged before it was killed, somewhere after its `patience`th line."""
    command = [sys.executable, "-m", "tests.journal.child", str(folder), str(start)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) as child:
        assert child.stdout
        lines = [child.stdout.readline() for _ in range(patience)]
        assert all(lines), "the child died by itself"
        child.kill()
        lines += [line for line in child.stdout if line.endswith(b"\n")]
    pairs = (line.decode().split() for line in lines)
    return {int(number): name for name, number in pairs}


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    chance = random.Random(20261120)
    acknowledged: dict[int, str] = {}

    async def inspect() -> None:
        async with open_journal(tmp_path) as journal:
            assert await journal.check() == []
            stored = {}
            async for entry in journal.follow(0):
                match entry.event:
                    case Received(inbound=heard):
                        stored[entry.number] = f"heard:{heard.id}"
                    case Said(outbound=outbound):
                        stored[entry.number] = f"said:{outbound.id}"
                    case _:
                        stored[entry.number] = "other"
                if entry.number == journal.figures().lines:
                    break
            assert {number: stored.get(number) for number in acknowledged} == acknowledged
            named = [name for name in stored.values() if name != "other"]
            assert len(set(named)) == len(named), "something was stored twice"

    for _ in range(KILLS):
        heard = [name for name in acknowledged.values() if name.startswith("heard:")]
        newest = max((int(name.split("-")[1]) for name in heard), default=0)
        # The network delivers the last ones again.
        acknowledged |= run_until_killed(tmp_path, max(0, newest - 5), chance.randint(1, 600))
        asyncio.run(inspect())
    assert len(acknowledged) > KILLS * 50
