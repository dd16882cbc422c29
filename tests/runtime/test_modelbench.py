# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya models bench` through the whole house, with models that are known to the millisecond."""

import json
from pathlib import Path

from tests.runtime.daemon import stage
from tests.runtime.waiting import run

CLERK = """
[models.clerk]
use = "script"
delay = 0.002
rules = [
    { match = "weather|天气", calls = [{ name = "weather", arguments = { city = "Paris" } }] },
    { match = "Remind", calls = [{ name = "remind", arguments = { text = "call", at = "late" } }] },
    { match = "吃药", calls = [{ name = "light", arguments = {} }] },
    { match = "word|number", say = "one two three four five six seven eight nine ten" },
]
"""


def test_a_model_is_measured_and_its_wrong_calls_are_named(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path, telegram=False, model=False) as world:
            await world.start(CLERK, telegram=False, model=False, agent='model = "clerk"\n')
            first = await world.daemon.call("models_bench", name="clerk", test="first")
            assert first["cold_ms"] > 0 and first["prompt_tokens"] > 300
            several = await world.daemon.call(
                "models_bench", name="clerk", test="sessions", sessions=5
            )
            assert several["tokens"] == 5 * 10 and several["failed"] == 0
            # One word takes 2 ms or more: ten of them as fast as can be, five times at once.
            assert 0 < several["per_s"] < 5 * 500 * 10 / 9
            tools = await world.daemon.call("models_bench", name="clerk", test="tools", requests=5)
            assert (tools["asked"], tools["valid"]) == (5, 3)
            faults = [call["fault"] for call in tools["calls"]]
            assert "do not fit" in faults[2] and "called light, not remind" in faults[3]

    run(body)


def test_the_command_shows_a_table_and_one_document(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path, telegram=False) as world:
            await world.start(CLERK, telegram=False, agent='model = "clerk"\n')
            status, output = await world.daemon.cli("models", "bench", "--quick")
            assert status == 0, output
            assert "clerk: a long new prompt" in output and "×3" in output
            rows = {line.split()[0]: line.split() for line in output.splitlines() if line}
            assert rows["clerk"][-1] == "3/5" and "main" in rows
            status, output = await world.daemon.cli("models", "bench", "clerk", "--quick", "--json")
            document = json.loads(output[output.index("{") :])
            (clerk,) = document["models"]
            assert [one["sessions"] for one in clerk["sessions"]] == [1, 3]
            assert clerk["tools"]["valid"] == 3 and clerk["error"] == ""

    run(body)


def test_a_model_that_fails_is_told_and_the_others_are_measured(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path, telegram=False) as world:
            await world.start(CLERK, telegram=False, agent='model = "clerk"\n')
            await world.thinker.control(fail={"status": 401, "times": 99})
            status, output = await world.daemon.cli("models", "bench", "main", "clerk", "--quick")
            assert status == 1
            assert "main: failed:" in output and "clerk: 3 of 5 requests" in output
            status, output = await world.daemon.cli("models", "bench", "nobody")
            assert status == 1 and "no open model is named 'nobody'" in output

    run(body)
