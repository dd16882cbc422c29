# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plan first, through the real daemon: what is read later can order nothing."""

import json
from pathlib import Path

from haoya.core.event import ToolAsked
from tests.runtime.daemon import World, stage
from tests.runtime.test_labels import ANN, BOSS, EVE, ORDER, house, lines, read_page
from tests.runtime.waiting import run

PLAN = 'mode = "plan"\n'


async def idle(world: World) -> bool:
    return not await world.daemon.call("asks")


def test_what_a_page_orders_is_not_in_the_plan(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await house(world, "eve", policy=PLAN)
            await world.telegram.say("boss", read_page())
            answer = await world.telegram.hears("done: ")
            assert "message is not in what was planned" in answer["text"]
            assert await idle(world), "nobody is asked about it"
            assert await world.telegram.texts(EVE) == ["heard: hello, eve"]
            await world.daemon.stop()
            calls = [one.call.name for one in await lines(world, f"tg//{BOSS}", ToolAsked)]
            assert calls == ["plan", "read_file", "message"]

    run(body)


def test_what_was_planned_is_done(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await house(world, "ann", policy=PLAN)
            wish = json.dumps({"to": f"tg//{ANN}", "text": "dinner"})
            await world.telegram.say("boss", f"send this: tool message {wish}")
            await world.telegram.hears("done: ")
            assert await world.telegram.texts(ANN) == ["heard: hello, ann", "dinner"]

    run(body)


def test_a_plan_is_made_of_own_words_alone(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await house(world, "eve", policy=PLAN)
            await world.telegram.say("boss", read_page())
            await world.telegram.hears("done: ")
            await world.telegram.say("boss", "and what now?")
            await world.telegram.hears("heard: and what now?")
            asked = await world.thinker.asked()
            plans = [
                one for one in asked if [t["function"]["name"] for t in one["tools"]] == ["plan"]
            ]
            assert len(plans) == 3 and len(asked) > 3
            for one in plans:
                assert ORDER not in json.dumps(one["messages"])
                assert {line["role"] for line in one["messages"]} == {"system", "user"}
                assert one["tool_choice"]

    run(body)


def test_without_a_sound_plan_nothing_can_be_called(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await house(world, "ann", policy=PLAN)
            wish = json.dumps({"to": f"tg//{ANN}", "text": "dinner"})
            await world.telegram.say("boss", f"badly send this: tool message {wish}")
            await world.telegram.hears("done: ")
            assert await world.telegram.texts(ANN) == ["heard: hello, ann"]

    run(body)


def test_a_plan_outlives_the_daemon(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            policy = f'{PLAN}verdicts = {{ "owner.send" = "ask" }}\n'
            await house(world, "ann", policy=policy)
            wish = json.dumps({"to": f"tg//{ANN}", "text": "dinner"})
            await world.telegram.say("boss", f"send this: tool message {wish}")
            await world.telegram.hears("message (")
            await world.daemon.kill()
            await world.daemon.start()
            await world.telegram.say("boss", "yes")
            await world.telegram.hears("done: ")
            assert await world.telegram.texts(ANN) == ["heard: hello, ann", "dinner"]
            await world.daemon.stop()
            calls = [one.call.name for one in await lines(world, f"tg//{BOSS}", ToolAsked)]
            assert calls == ["plan", "message"]

    run(body)
