# SPDX-License-Identifier: AGPL-3.0-or-later
"""`[queue]` as the owner writes it, and turns shared between people."""

import asyncio
from pathlib import Path

import pytest

from haoya.runtime.queue_settings import QueueSettings
from haoya.runtime.settings import read
from haoya.runtime.sharing import Turns, open_queue, terms_of
from tests.runtime.daemon import stage
from tests.runtime.waiting import run, until


def test_settings_become_terms_and_a_gpus_shares_stand_above_weights() -> None:
    table = {
        "weights": {"tg": 2, "tg:7": 3},
        "gpu_share": {"tg:7": 9},
        "deadline": 30,
        "beside": 0,
        "memory_floor_mib": 512,
    }
    found = read({"queue": table})
    assert not found.findings
    terms = terms_of(found.queue, gpu=False)
    assert (terms.deadline, terms.beside, terms.memory_floor) == (30, 0, 512 * 2**20)
    assert [terms.weight((who,)) for who in ("tg:1", "tg:7", "irc:x")] == [2, 3, 1]
    assert terms_of(found.queue, gpu=True).weight(("tg:7",)) == 9


@pytest.mark.parametrize(
    ("queue", "named"),
    [
        ({"weights": {"tg": 0}}, "weights.tg"),
        ({"budgets": {"nobody": {"day": 1}}}, "'nobody' is nobody"),
        ({"budgets": {"guest": {"week": 1}}}, "week"),
        ({"deadline": -1}, "deadline"),
        ({"seats": 4}, "seats"),
    ],
)
def test_a_fault_is_named_and_the_rest_of_the_section_holds(
    queue: dict[str, object], named: str
) -> None:
    found = read({"queue": {"beside": 3, **queue}})
    assert found.queue.beside == 3
    assert any(named in finding.message for finding in found.findings), found.findings


def test_changed_settings_hold_from_the_next_request_on() -> None:
    now = [QueueSettings()]
    queue = open_queue(lambda: now[0])
    assert queue.terms.weight(("tg:7",)) == 1
    now[0] = QueueSettings(weights={"tg": 5})
    assert queue.terms.weight(("tg:7",)) == 5


def test_one_persons_hundred_conversations_do_not_keep_another_outside() -> None:
    async def body() -> None:
        turns, order = Turns(3), list[str]()
        hold = asyncio.Event()

        async def talk(person: str, conversation: str) -> None:
            async with turns.take(conversation, person):
                order.append(person)
                if len(order) <= 3:
                    await hold.wait()

        async with asyncio.TaskGroup() as tasks:
            for number in range(100):
                tasks.create_task(talk("greedy", f"room {number}"))
            await until(lambda: turns.full and len(order) == 3)
            tasks.create_task(talk("polite", "polite"))
            await asyncio.sleep(0)
            hold.set()
        assert order.index("polite") <= 4
        assert not turns.full

    run(body)


def test_the_running_house_shows_its_queue_and_takes_new_weights(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path, telegram=False) as world:
            await world.start("[queue]\nbeside = 2\n", telegram=False)
            assert await world.daemon.call("queue") == {"lanes": [], "people": [], "budgets": []}
            world.daemon.write(world.settings("[queue]\nbesides = 2\n", telegram=False))
            found = await world.daemon.call("reload")
            assert any("besides" in finding["message"] for finding in found["findings"])

    run(body)
