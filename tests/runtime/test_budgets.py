# SPDX-License-Identifier: AGPL-3.0-or-later
"""Budgets of tokens are read from the journal, hold across restarts, and say when they refill."""

import time
from pathlib import Path

import pytest

from haoya.core.event import Admitted, Event, ModelAnswered
from haoya.core.message import Address, Inbound, Sender, Text
from haoya.core.tool import Usage
from haoya.journal import Journal, open_journal
from haoya.runtime.budgets import Budgets, day_of, hour_of
from haoya.runtime.queue_settings import QueueSettings, Quota
from tests.runtime.daemon import person_id, stage
from tests.runtime.waiting import run

NOON = day_of(1_700_000_000.0).start + 12 * 3600 + 600


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def settings(**budgets: Quota) -> QueueSettings:
    return QueueSettings(budgets={key.replace("__", ":"): quota for key, quota in budgets.items()})


async def answer(journal: Journal, person: str, prompt: int, completion: int, **more: int) -> int:
    """A person is admitted and answered; the number of the turn."""
    channel, _, id = person.partition(":")
    address = Address(channel=channel, room=id)
    inbound = Inbound(id=f"{time.monotonic_ns()}", address=address, sender=Sender(id=id), at=1.0)
    (heard,) = await journal.receive([inbound])
    admitted = Admitted(of=heard.number, person=person, role="member", parts=(Text(text="hi"),))
    (entry,) = await journal.append(address, admitted)
    await spend(journal, address, entry.number, prompt, completion, **more)
    return entry.number


async def spend(
    journal: Journal, address: Address, turn: int, prompt: int, completion: int, **more: int
) -> None:
    usage = Usage(prompt=prompt, completion=completion, **more)
    event: Event = ModelAnswered(turn=turn, step=1, model="main", usage=usage)
    await journal.append(address, event)


def test_what_was_used_is_what_the_journal_says(tmp_path: Path) -> None:
    async def body() -> None:
        clock = Clock()
        now = settings(member=Quota(day=1000), tg__7=Quota(day=5000, hour=100))
        async with open_journal(tmp_path, clock=clock) as journal:
            budgets = Budgets(journal, lambda: now, clock)
            turn = await answer(journal, "tg:1", 700, 100, cached=400)
            assert (await budgets.uses("tg:1", "member"))[0].used == 400
            assert await budgets.refusal("tg:1", "member", "en") == ""
            await spend(journal, Address(channel="tg", room="1"), turn, 600, 0)
            assert "1000 of 1000" in await budgets.refusal("tg:1", "member", "en")
            assert "已经用完" in await budgets.refusal("tg:1", "member", "zh")
            assert await budgets.refusal("tg:2", "member", "en") == ""
            assert await budgets.refusal("tg:1", "owner", "en") == ""
            await answer(journal, "tg:7", 0, 100)
            assert "this hour" in await budgets.refusal("tg:7", "guest", "en")
        async with open_journal(tmp_path, clock=clock) as journal:
            again = Budgets(journal, lambda: now, clock)
            assert "1000 of 1000" in await again.refusal("tg:1", "member", "en")
            assert await again.people() == ["tg:1", "tg:7"]

    run(body)


def test_a_new_hour_and_a_new_day_refill(tmp_path: Path) -> None:
    async def body() -> None:
        clock = Clock()
        now = settings(guest=Quota(day=500, hour=200))
        async with open_journal(tmp_path, clock=clock) as journal:
            budgets = Budgets(journal, lambda: now, clock)
            await answer(journal, "tg:1", 200, 0)
            refusal = await budgets.refusal("tg:1", "guest", "en")
            assert time.strftime("%H:%M", time.localtime(hour_of(clock.now).end)) in refusal
            clock.now = hour_of(clock.now).end
            assert await budgets.refusal("tg:1", "guest", "en") == ""
            await answer(journal, "tg:1", 300, 0)
            assert "today" in await budgets.refusal("tg:1", "guest", "en")
            clock.now = day_of(clock.now).end + 1
            assert await budgets.refusal("tg:1", "guest", "en") == ""
            assert (await budgets.uses("tg:1", "guest"))[0].used == 0

    run(body)


def test_a_day_of_thousands_of_answers_is_counted_whole(tmp_path: Path) -> None:
    async def body() -> None:
        clock = Clock()
        now = settings(guest=Quota(day=10**9))
        async with open_journal(tmp_path, clock=clock, synchronous="normal") as journal:
            budgets = Budgets(journal, lambda: now, clock)
            clock.now -= 86400
            old = await answer(journal, "tg:1", 1, 0)
            clock.now += 86400
            address = Address(channel="tg", room="1")
            for _ in range(1100):
                await spend(journal, address, old, 1, 1)
            assert (await budgets.uses("tg:1", "guest"))[0].used == 2200
            await spend(journal, address, old, 1, 1)
            assert (await budgets.uses("tg:1", "guest"))[0].used == 2202

    run(body)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "Europe/Berlin"])
def test_days_and_hours_are_those_of_the_machines_clock(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        for at in range(1_711_800_000, 1_711_990_000, 1234):  # Europe changes its clocks here
            day, hour = day_of(at), hour_of(at)
            assert day.start <= hour.start <= at < hour.end
            assert at < day.end and day.end - day.start in (82800, 86400, 90000)
            assert time.localtime(day.start)[3:6] == (0, 0, 0)
            assert time.localtime(hour.start)[4:6] == (0, 0)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_person_hears_when_the_budget_is_refilled_and_the_owner_goes_on(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            budget = "[queue.budgets]\nguest = { day = 1 }\n"
            await world.start(budget)
            await world.telegram.say("ann", "hello")
            await world.telegram.hears("heard: hello")
            await world.telegram.say("ann", "and again")
            await world.telegram.hears("used up your tokens for today")
            await world.telegram.say("ann", "再来")
            await world.telegram.hears("今天的额度已经用完")
            await world.telegram.say("bob", "hi")
            await world.telegram.hears("heard: hi")
            assert await world.daemon.ask("me too") == "heard: me too"
            assert await world.daemon.ask("and again") == "heard: and again"
            await world.daemon.stop()
            await world.daemon.start()
            await world.telegram.say("ann", "after the restart")
            await world.telegram.hears("used up your tokens", count=2)
            shown = await world.daemon.call("queue")
            ann = f"tg:{person_id('ann')}"
            (day,) = [u for u in shown["budgets"] if u["person"] == ann and u["span"] == "day"]
            assert day["spent"] and day["limit"] == 1 and day["used"] > 1
            status, output = await world.daemon.cli("queue")
            assert status == 0 and ann in output and "today" in output
            world.daemon.write(world.settings("[queue.budgets]\nguest = { day = 100000 }\n"))
            await world.daemon.call("reload")
            await world.telegram.say("ann", "thank you")
            await world.telegram.hears("heard: thank you")

    run(body)
