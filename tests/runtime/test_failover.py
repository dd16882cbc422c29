# SPDX-License-Identifier: AGPL-3.0-or-later
"""Failover, pauses, what may leave and racing through the real daemon, with two model servers."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.runtime.daemon import Thinker, World, stage
from tests.runtime.waiting import run, until


class Pair:
    """A daemon with the servers `main` and `spare`."""

    def __init__(self, world: World, spare: Thinker) -> None:
        self.world = world
        self.daemon = world.daemon
        self.main = world.thinker
        self.spare = spare

    async def start(self, *more: str, spare: str = "", **settings: str) -> None:
        """Both are in the owner's list, `main` first."""
        server = f'use = "openai"\nbase_url = "{self.spare.url}/v1"\nmodel = "stand-in"\n'
        agent = 'model = ["main", "spare"]\n' + settings.pop("agent", "")
        part = f"[models.spare]\n{server}{spare}"
        self.settings = self.world.settings(part, *more, telegram=False, agent=agent, **settings)
        self.daemon.write(self.settings)
        await self.daemon.start()

    async def steps(self) -> list[tuple[str, str]]:
        """What became of the last message: the kinds of its lines and their words."""
        why = await self.daemon.call("why", message="last")
        return [(step["what"], step["detail"]) for step in why["steps"]]

    async def models(self) -> list[str]:
        """Which models the last message was put to, in order."""
        asked = [detail for what, detail in await self.steps() if what == "model-asked"]
        return [detail.partition(",")[0] for detail in asked]


@asynccontextmanager
async def pair(folder: Path) -> AsyncGenerator[Pair]:
    async with stage(folder, telegram=False) as world:
        spare = Thinker(world.http)
        await spare.child.start()
        try:
            yield Pair(world, spare)
        finally:
            await spare.child.kill()


def test_a_dead_server_is_replaced_and_used_again_when_it_is_back(tmp_path: Path) -> None:
    async def body() -> None:
        async with pair(tmp_path) as two:
            await two.start()
            assert await two.daemon.ask("one") == "heard: one"
            assert await two.models() == ["main"]
            await two.main.child.kill()
            assert await two.daemon.ask("two") == "heard: two"
            assert await two.models() == ["main", "spare"]
            await two.main.child.start()

            async def back() -> bool:
                await two.daemon.ask("three")
                return await two.models() == ["main"]

            await until(back, two.daemon.words, seconds=30)

    run(body, seconds=90)


def test_a_server_that_asks_for_a_pause_gets_it_even_over_a_restart(tmp_path: Path) -> None:
    async def body() -> None:
        async with pair(tmp_path) as two:
            await two.start()
            await two.main.control(fail={"status": 429, "times": 1, "retry_after": "600"})
            assert await two.daemon.ask("one") == "heard: one"
            assert await two.models() == ["main", "spare"]
            assert await two.daemon.ask("two") == "heard: two"
            assert await two.models() == ["spare"]
            assert any("main rests until" in detail for _, detail in await two.steps())
            status, said = await two.daemon.cli("why", "last")
            assert status == 0
            assert "main rests until" in said
            _, said = await two.daemon.cli("status")
            assert "rests until" in said
            await two.daemon.kill()
            await two.daemon.start()
            assert await two.daemon.ask("three") == "heard: three"
            assert await two.models() == ["spare"]
            await two.spare.child.kill()
            assert await two.daemon.ask("four") == "heard: four"
            assert await two.models() == ["spare", "main"]

    run(body, seconds=90)


def test_a_refused_key_is_tried_again_when_the_settings_change(tmp_path: Path) -> None:
    async def body() -> None:
        async with pair(tmp_path) as two:
            await two.start()
            await two.main.control(fail={"status": 401, "times": 1})
            await two.daemon.ask("one")
            assert await two.models() == ["main", "spare"]
            await two.daemon.ask("two")
            assert await two.models() == ["spare"]
            key = two.settings.replace('model = "stand-in"', 'model = "stand-in"\napi_key = "k"', 1)
            two.daemon.write(key)
            await two.daemon.call("reload")

            async def back() -> bool:
                await two.daemon.ask("three")
                return await two.models() == ["main"]

            await until(back, two.daemon.words)

    run(body)


def test_words_that_must_stay_never_reach_a_server_outside(tmp_path: Path) -> None:
    async def body() -> None:
        async with pair(tmp_path) as two:
            policy = 'leave = { "local//vault" = "here" }\n'
            await two.start(spare='place = "outside"\n', policy=policy)
            await two.main.child.kill()
            secret = await two.daemon.ask("the code is 1234", room="vault")
            assert "I can't reach my model" in secret
            assert await two.daemon.ask("hello", room="street") == "heard: hello"
            assert "1234" not in await two.spare.read()
            two.daemon.write(two.settings.replace('["main", "spare"]', '["spare"]'))
            await two.daemon.call("reload")
            told = await two.daemon.ask("我的密码是 1234", room="vault")
            assert "本机" in told
            assert "1234" not in await two.spare.read()

    run(body)


def test_the_quicker_server_wins_the_race_and_the_journal_has_one_answer(tmp_path: Path) -> None:
    async def body() -> None:
        async with pair(tmp_path) as two:
            await two.start("[router]\nhedge_seconds = 0.2\n")
            await two.main.control(first_delay=60)
            assert await two.daemon.ask("hello") == "heard: hello"
            steps = await two.steps()
            answers = [detail for what, detail in steps if what == "model-answered"]
            assert len(answers) == 1
            assert "hedged: main had not begun after 0.2 s" in answers[0]
            assert await two.models() == ["main"]
            assert [what for what, _ in steps].count("said") == 1

    run(body)


def test_measurements_choose_the_quicker_server(tmp_path: Path) -> None:
    async def body() -> None:
        async with pair(tmp_path) as two:
            await two.start('[router]\nchoose = "measured"\nprefer = "speed"\n')
            await two.main.control(first_delay=2)
            asked: list[str] = []
            while asked[-5:].count("spare") < 4 and len(asked) < 40:
                await two.daemon.ask(f"question {len(asked)}")
                asked += await two.models()
            assert asked[-5:].count("spare") >= 4, asked

    run(body, seconds=120)


def test_a_remembered_answer_is_not_asked_for_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with pair(tmp_path) as two:
            await two.start("[router]\nremember_answers = 1\nremember_drawn = true\n")
            assert await two.daemon.ask("hello", room="one") == "heard: hello"
            assert await two.daemon.ask("hello", room="two") == "heard: hello"
            assert len(await two.main.asked()) == 1
            assert any("remembered answer" in detail for _, detail in await two.steps())

    run(body)


def test_faults_in_the_routers_settings_are_named(tmp_path: Path) -> None:
    async def body() -> None:
        async with pair(tmp_path) as two:
            wrong = (
                '[router]\nchoose = "best"\nhedge_seconds = -1\nprefer = { first = 0 }\nsize = 1\n'
            )
            await two.start(wrong, spare='place = "moon"\nprice_in = -2\n')
            found: Any = await two.daemon.call("doctor")
            said = " ".join(f"{f['section']} {f['message']}" for f in found["findings"])
            for key in ("choose", "hedge_seconds", "prefer", "size", "place", "price_in"):
                assert key in said
            assert await two.daemon.ask("hello") == "heard: hello"

    run(body)
