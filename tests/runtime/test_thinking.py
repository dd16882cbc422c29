# SPDX-License-Identifier: AGPL-3.0-or-later
"""Models and tools through the whole house: dead servers, failover, streaming, a loop of tools."""

from pathlib import Path

from tests.runtime.daemon import stage
from tests.runtime.waiting import run, until


def test_a_dead_model_server_is_a_clear_message_and_comes_back(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start()
            await world.thinker.child.kill()
            await world.telegram.say("ann", "hello?")
            await world.telegram.hears("I can't reach my model right now")
            await world.telegram.say("bob", "在吗？")
            await world.telegram.hears("我现在连不上模型")
            why = await world.daemon.call("why", message="last")
            assert why["state"] == "apologised" and "doctor" in why["cure"]
            await world.thinker.child.start()
            await world.telegram.say("ann", "and now?")
            await world.telegram.hears("and now?")
            status, output = await world.daemon.cli("replay", str(why["message"]))
            assert status == 0, output
            await world.telegram.hears("heard: 在吗？")

    run(body)


def test_a_refused_key_is_named(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start()
            await world.thinker.control(fail={"status": 401, "times": 9})
            await world.telegram.say("ann", "hello?")
            await world.telegram.hears("My model refused the request")

    run(body)


def test_the_second_model_answers_for_the_first(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            dead = '[models.big]\nuse = "openai"\nbase_url = "http://127.0.0.1:1/v1"\nmodel = "m"\n'
            await world.start(dead, agent='model = ["big", "main"]\n')
            assert await world.daemon.ask("hello") == "heard: hello"
            (turn, *_) = await world.daemon.call("runs_list", limit=1)
            shown = await world.daemon.call("runs_show", turn=turn["turn"])
            assert "model-failed" in str(shown)

    run(body)


def test_a_stream_that_breaks_off_leaves_one_whole_answer(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            spare = world.settings().split("[models.main]")[1].split("[channels")[0]
            await world.start(f"[models.spare]{spare}", agent='model = ["main", "spare"]\n')
            await world.thinker.control(die_after_chunks=3, chunk_delay=0.5)
            await world.telegram.say("ann", "long 8")
            await world.telegram.hears("word8")
            assert await world.telegram.texts() == [
                "word1 word2 word3 word4 word5 word6 word7 word8"
            ]

    run(body)


def test_without_any_model_the_person_hears_what_to_do(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path, model=False) as world:
            await world.start(model=False)
            await world.telegram.say("ann", "你好")
            await world.telegram.hears("haoya setup")

    run(body)


def test_a_loop_of_tools_works_on_real_files(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start(telegram=False)
            written = await world.daemon.ask(
                'tool write_file {"path": "a/tea.txt", "text": "green"}'
            )
            assert "done" in written
            assert (world.daemon.home / "workspace" / "a" / "tea.txt").read_text() == "green"
            assert "green" in await world.daemon.ask('tool read_file {"path": "a/tea.txt"}')
            outside = await world.daemon.ask('tool read_file {"path": "../settings.toml"}')
            assert "base_url" not in outside
            both = await world.daemon.ask(
                'tools read_file {"path": "a/tea.txt"} ; clock {"until": "2030-01-01"}'
            )
            assert "green" in both and "2030" in both

    run(body)


def test_a_model_that_calls_for_ever_is_stopped(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start(telegram=False, agent="max_steps = 3\n")
            assert "3 steps" in await world.daemon.ask("forever clock {}")
            assert "3 步" in await world.daemon.ask("时间 forever clock {}")
            assert len(await world.thinker.asked()) == 6

    run(body)


def test_what_is_remembered_is_known_after_a_restart(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start(telegram=False)
            assert "done" in await world.daemon.ask('tool remember {"text": "Ann likes green tea"}')
            await world.daemon.stop()
            await world.daemon.start()
            assert "green tea" in await world.daemon.ask('tool recall {"query": "tea"}', room="new")

    run(body)


def test_the_model_reads_the_conversation_after_a_restart(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start(telegram=False)
            await world.daemon.ask("the code word is bergamot")
            await world.daemon.kill()
            await world.daemon.start()
            await world.daemon.ask("what is it?")
            last = (await world.thinker.asked())[-1]["messages"]
            assert [line["role"] for line in last] == ["system", "user", "assistant", "user"]
            assert "bergamot" in last[1]["content"]

    run(body)


def test_the_model_may_be_slow_while_others_are_answered(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start()
            await world.thinker.control(hang=30)
            await world.telegram.say("ann", "slow one")
            await until(world.thinker.asked)
            await world.telegram.say("bob", "quick one")
            await world.telegram.hears("heard: quick one")
            assert await world.telegram.texts() == ["heard: quick one"]

    run(body)
