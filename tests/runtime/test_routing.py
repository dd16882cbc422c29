# SPDX-License-Identifier: AGPL-3.0-or-later
"""Rules, pauses and measurements over a real journal: who is lent, in what order, and why."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from haoya.core.event import Event, ModelAnswered, ModelAsked, ModelFailed
from haoya.core.message import Address
from haoya.core.tool import Usage
from haoya.inference.answers import Remembering
from haoya.journal import Journal, open_journal
from haoya.policy.leave import Talk
from haoya.runtime.hedge import Hedged
from haoya.runtime.lending import Lending, Wish
from haoya.runtime.routing import Routing
from haoya.runtime.settings import read
from tests.agent.stage import Scripted
from tests.runtime.waiting import run

HERE = Address(channel="tg", room="1")
NOON = time.mktime((2026, 3, 15, 12, 0, 0, 0, 0, -1))
CLOUD = {"use": "openai", "base_url": "https://api.example.org/v1", "model": "m"}
NEAR = {"use": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}


class World:
    """A routing over settings, a clock that stands, and a journal that is read back."""

    def __init__(self, journal: Journal, table: dict[str, Any]) -> None:
        self.journal = journal
        self.now = NOON
        self.turn = 0
        self.models = {name: Scripted() for name in table["models"]}
        self.set(table)
        self.routing = self.fresh()

    def set(self, table: dict[str, Any]) -> None:
        usual = {"agent": {"model": list(table["models"])}}
        self.settings = read({**usual, **table})
        assert not self.settings.findings, self.settings.findings

    def fresh(self) -> Routing:
        """As after a restart."""
        return Routing(lambda: self.settings, self.models, lambda: self.now, Random(1))

    def lend(self, **wish: Any) -> Lending:
        return self.routing.lend(Wish(**{"talk": Talk(address=HERE), **wish}))

    def names(self, **wish: Any) -> list[str]:
        return [name for name, _ in self.lend(**wish).models]

    async def write(self, *events: Event) -> None:
        for event in events:
            self.routing.note(HERE.key, event, self.now)
        await self.journal.append(HERE, *events)

    async def answer(self, name: str, *, first: float = 0.1, tokens: int = 100) -> None:
        """One request that went well."""
        self.turn += 1
        asked = ModelAsked(turn=self.turn, step=1, model=name, since=0, prompt_tokens=tokens)
        answered = ModelAnswered(
            turn=self.turn,
            step=1,
            model=name,
            text="x",
            usage=Usage(prompt=tokens, completion=tokens),
            first_seconds=first,
            seconds=first * 2,
        )
        await self.write(asked)
        await self.write(answered)

    async def fail(self, name: str, trouble: str = "unreachable", retry_after: float = 0) -> None:
        """One request that went wrong."""
        self.turn += 1
        await self.write(
            ModelAsked(turn=self.turn, step=1, model=name, since=0, prompt_tokens=9),
            ModelFailed(
                turn=self.turn,
                step=1,
                model=name,
                error="?",
                trouble=trouble,
                retry_after=retry_after,
            ),
        )


@asynccontextmanager
async def world(folder: Path, **table: Any) -> AsyncGenerator[World]:
    usual = {"models": {"cloud": CLOUD, "near": NEAR}}
    clock = [NOON]
    async with open_journal(folder, clock=lambda: clock[0]) as journal:
        made = World(journal, {**usual, **table})
        clock[0] = made.now
        yield made


def test_the_owners_order_stands_and_says_so(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            lending = w.lend()
            assert [name for name, _ in lending.models] == ["cloud", "near"]
            assert lending.why["cloud"] == "first in your order"
            del w.models["cloud"]
            assert w.names() == ["near"]

    run(body)


def test_words_that_must_stay_are_lent_only_models_of_this_machine(tmp_path: Path) -> None:
    async def body() -> None:
        policy = {"leave": {"tg:7": "here"}}
        async with world(tmp_path, policy=policy) as w:
            assert w.names() == ["cloud", "near"]
            talk = Talk(address=HERE, people=frozenset({"tg:7", "tg:8"}))
            lending = w.lend(talk=talk)
            assert [name for name, _ in lending.models] == ["near"]
            assert "cloud left out: these words may not go there" in lending.why["near"]
            del w.models["near"]
            none = w.lend(talk=talk)
            assert not none.models
            assert "only models on this machine" in none.trouble
            assert "本机" in w.lend(talk=talk, language="zh").trouble

    run(body)


def test_the_owner_says_where_a_model_is(tmp_path: Path) -> None:
    async def body() -> None:
        models = {
            "proxy": {**NEAR, "place": "outside"},
            "attic": {**CLOUD, "place": "own"},
            "toy": {"use": "script"},
        }
        async with world(tmp_path, models=models, policy={"leave": {"*": "own"}}) as w:
            assert w.names() == ["attic", "toy"]

    run(body)


def test_a_failure_sends_a_model_to_the_end_until_its_pause_is_over(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await w.fail("cloud")
            lending = w.lend()
            assert [name for name, _ in lending.models] == ["near", "cloud"]
            assert "cloud rests until 12:00:05" in lending.why["near"]
            w.routing = w.fresh()
            await w.routing.recall(w.journal)
            assert w.names() == ["near", "cloud"]
            w.now += 5
            assert w.names() == ["cloud", "near"]
            await w.write(ModelAsked(turn=99, step=1, model="cloud", since=0, prompt_tokens=9))
            assert w.names() == ["near", "cloud"]
            await w.answer("cloud")
            assert w.names() == ["cloud", "near"]

    run(body)


def test_where_all_rest_the_one_whose_pause_ends_first_is_tried(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            await w.fail("cloud", "timeout")
            await w.fail("near", "broken")
            assert w.names() == ["near", "cloud"]

    run(body)


def test_a_refused_model_rests_until_it_is_opened_anew(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            assert w.names() == ["cloud", "near"]
            await w.fail("cloud", "refused")
            w.now += 1e6
            assert w.names() == ["near", "cloud"]
            w.models["cloud"] = Scripted()
            assert w.names() == ["cloud", "near"]

    run(body)


def test_money_runs_out_by_day_and_by_month_and_a_restart_knows(tmp_path: Path) -> None:
    async def body() -> None:
        models = {"cloud": {**CLOUD, "price_in": 1, "price_out": 3}, "near": NEAR}
        router = {"budget_day": 0.005, "budget_month": 0.006}
        async with world(tmp_path, models=models, router=router) as w:
            await w.answer("cloud", tokens=1000)
            assert w.names() == ["cloud", "near"]
            await w.answer("cloud", tokens=250)
            lending = w.lend()
            assert [name for name, _ in lending.models] == ["near"]
            assert "cloud left out: its budget is spent" in lending.why["near"]
            w.routing = w.fresh()
            await w.routing.recall(w.journal)
            assert w.names() == ["near"]
            w.now += 86_400
            assert w.names() == ["cloud", "near"]
            await w.answer("cloud", tokens=250)
            assert w.names() == ["near"]
            del w.models["near"]
            assert "the budget of cloud is spent" in w.lend().trouble

    run(body)


def test_a_budget_set_later_counts_what_was_spent_before(tmp_path: Path) -> None:
    async def body() -> None:
        models = {"cloud": {**CLOUD, "price_out": 10}, "near": NEAR}
        async with world(tmp_path, models=models) as w:
            for _ in range(700):
                w.turn += 1
                usage = Usage(prompt=1, completion=100)
                await w.write(
                    ModelAsked(turn=w.turn, step=1, model="cloud", since=0, prompt_tokens=9),
                    ModelAnswered(turn=w.turn, step=1, model="cloud", usage=usage),
                )
            w.routing = w.fresh()
            await w.routing.recall(w.journal)
            w.set({"models": models, "router": {"budget_month": 0.69}})
            assert w.names() == ["cloud", "near"]
            await w.routing.recall(w.journal)
            await w.routing.recall(w.journal)
            assert w.names() == ["near"]
            w.set({"models": models, "router": {"budget_month": 0.71}})
            assert w.names() == ["cloud", "near"]

    run(body)


def test_what_nobody_can_do_is_done_by_those_who_may(tmp_path: Path) -> None:
    async def body() -> None:
        models = {"blind": NEAR, "seeing": {**CLOUD, "vision": True}}
        images = frozenset({"images"})
        async with world(tmp_path, models=models) as w:
            lending = w.lend(talents=images)
            assert [name for name, _ in lending.models] == ["seeing"]
            assert "blind left out: it sees no pictures" in lending.why["seeing"]
            del w.models["seeing"]
            assert w.names(talents=images) == ["blind"]

    run(body)


def test_measurements_choose_and_a_restart_remembers_them(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path, router={"choose": "measured", "prefer": "speed"}) as w:
            for _ in range(40):
                await w.answer("cloud", first=4.0)
                await w.answer("near", first=0.1)
            for _ in range(2):
                firsts = [w.names()[0] for _ in range(20)]
                assert firsts.count("near") >= 19
                w.routing = w.fresh()
                await w.routing.recall(w.journal)
            assert "measured best" in w.lend().why["near"]

    run(body)


def test_a_race_lost_is_learned_from_its_lines(tmp_path: Path) -> None:
    async def body() -> None:
        router = {"choose": "measured", "prefer": "speed", "hedge_seconds": 3}
        async with world(tmp_path, router=router) as w:
            for turn in range(30):
                await w.write(
                    ModelAsked(turn=turn, step=1, model="cloud", since=0, prompt_tokens=9)
                )
                await w.write(
                    ModelAnswered(
                        turn=turn, step=1, model="near", text="x", first_seconds=3.2, seconds=3.3
                    )
                )
            worth = {name: belief.mean for name, belief in w.routing.router.beliefs.items()}
            assert worth["near"] > worth["cloud"] + 0.2

    run(body)


def test_racing_and_remembering_are_put_around_the_models(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path, router={"hedge_seconds": 2, "remember_answers": 1}) as w:
            models = w.lend().models
            assert [name for name, _ in models] == ["cloud", "near", "cloud"]
            assert isinstance(models[0][1], Hedged)
            assert all(isinstance(model, Remembering) for _, model in models[1:])
            background = Talk(address=HERE, urgency="background")
            assert w.names(talk=background) == ["cloud", "near"]
            await w.fail("near")
            assert w.names() == ["cloud", "near"]

    run(body)


def test_feedback_is_taken(tmp_path: Path) -> None:
    async def body() -> None:
        async with world(tmp_path) as w:
            w.routing.feedback("near", good=True)
            assert w.routing.router.beliefs["near"].good == 1

    run(body)


def test_a_prompt_that_costs_more_than_is_left_is_not_sent(tmp_path: Path) -> None:
    async def body() -> None:
        models = {"cloud": {**CLOUD, "price_in": 10, "budget_day": 0.01}, "near": NEAR}
        async with world(tmp_path, models=models) as w:
            assert w.names(tokens=lambda: 900) == ["cloud", "near"]
            assert w.names(tokens=lambda: 1100) == ["near"]
            del w.models["near"]
            assert "the budget of cloud is spent" in w.lend(tokens=lambda: 1100).trouble

    run(body)


def test_the_owner_sees_where_a_model_is_how_it_is_and_what_it_cost(tmp_path: Path) -> None:
    async def body() -> None:
        models = {"cloud": {**CLOUD, "price_out": 10}, "near": NEAR}
        async with world(tmp_path, models=models) as w:
            await w.answer("cloud", tokens=1000)
            await w.fail("cloud", "refused")
            await w.fail("near", "broken")
            cloud, near = w.routing.condition("cloud"), w.routing.condition("near")
            assert (cloud.place, cloud.rests_until, cloud.trouble) == ("outside", -1, "refused")
            assert (cloud.spent_today, cloud.spent_month) == (0.01, 0.01)
            assert (near.place, near.rests_until, near.trouble) == ("here", NOON + 5, "broken")

    run(body)
