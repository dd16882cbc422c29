# SPDX-License-Identifier: AGPL-3.0-or-later
"""Local models: the real engine over tiny models with random weights."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from haoya.core.errors import ConfigError, Rejected, Unready
from haoya.core.tool import CallDelta, Delta, Finish, Line, Prompt, Sampling, TextDelta, ToolSpec
from haoya.inference.adapt import Standing
from haoya.inference.memory import Memory
from haoya.inference.process import FOLDER, Running
from haoya.inference.queue import FairQueue
from haoya.models.local import LocalModel, LocalSettings, plugin
from tests.models.lent import context
from tests.runtime.waiting import run, until
from tests.servers.tiny import Shape, make_draft, make_embedder, make_lora, make_model

SYSTEM = Line(role="system", text="You are a kind helper. 你是一个好帮手。" * 20)
REMIND = ToolSpec(
    name="remind",
    purpose="Remind somebody",
    schema=msgspec.Raw(
        b'{"type":"object","properties":{"day":{"type":"string","enum":["today","tomorrow"]},'
        b'"hour":{"type":"integer"}},"required":["day","hour"],"additionalProperties":false}'
    ),
)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Tiny models by what they are good for."""
    folder = tmp_path_factory.mktemp("tiny")
    endless = Shape(ends=False)
    return {
        "talker": make_model(folder / "talker.gguf"),
        "endless": make_model(folder / "endless.gguf", endless),
        "caller": make_model(folder / "caller.gguf", Shape(calls=True)),
        "draft": make_draft(folder / "draft.gguf", endless),
        "embedder": make_embedder(folder / "embedder.gguf"),
        "lora": make_lora(folder / "lora.gguf", endless),
    }


@asynccontextmanager
async def opened(folder: Path, model: Path, **given: Any) -> AsyncGenerator[LocalModel]:
    queue = given.pop("queue", None)
    usual: dict[str, Any] = {"engine": "wheel", "context_tokens": 2048, "sessions": 2}
    usual["threads"] = 1  # two would wait for each other while tests share the cores
    settings = LocalSettings(model=str(model), **{**usual, **given})
    lent = context(folder, models=folder, queue=queue)
    async with lent as lent_now, plugin.open(settings, lent_now) as local:
        yield local


def ask(text: str, conversation: str = "", tokens: int = 24, **more: Any) -> Prompt:
    sampling = more.pop("sampling", Sampling(temperature=0, max_tokens=tokens))
    lines = more.pop("lines", (SYSTEM, Line(role="user", text=text)))
    return Prompt(lines=lines, conversation=conversation, sampling=sampling, **more)


async def heard(model: LocalModel, prompt: Prompt) -> tuple[str, Finish, list[Delta]]:
    deltas = [delta async for delta in model.stream(prompt)]
    text = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    finish = deltas[-1]
    assert isinstance(finish, Finish)
    return text, finish, deltas


def spoil(folder: Path) -> None:
    for file in folder.rglob("*.kv"):
        file.write_bytes(file.read_bytes()[:100] + b"spoiled" * 20)


def used(folder: Path) -> int:
    """Bytes of all saved slots."""
    return sum(file.stat().st_size for file in folder.rglob("*.kv"))


def process_of(model: LocalModel) -> Running:
    running = model.runners.chat.running
    assert running is not None
    return running


def test_it_answers_and_counts(tmp_path: Path, models: dict[str, Path]) -> None:
    async def body() -> None:
        async with opened(tmp_path, models["endless"]) as model:
            text, finish, deltas = await heard(model, ask("hello 你好", "a"))
            assert text and len(deltas) > 10
            assert finish.reason == "length" and finish.usage.completion == 24
            assert finish.usage.prompt > 200 and finish.model

    run(body)


def test_nothing_runs_until_it_is_asked_and_nothing_after_it_is_closed(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    async def body() -> None:
        async with opened(tmp_path, models["endless"]) as model:
            assert model.runners.chat.running is None
            await heard(model, ask("hello"))
            pid = process_of(model).pid
            os.kill(pid, 0)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    run(body)


def test_interleaved_conversations_pay_only_for_what_is_new(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    """Five conversations in two slots: each comes back to all it has said and heard."""

    async def body() -> None:
        async with opened(tmp_path, models["endless"]) as model:
            said: dict[str, tuple[Line, ...]] = {}
            for turn in range(3):
                for name in "abcde":
                    before = said.get(name, (SYSTEM,))
                    lines = (*before, Line(role="user", text=f"{name} asks {turn}"))
                    text, finish, _ = await heard(model, ask("", name, lines=lines))
                    said[name] = (*lines, Line(role="assistant", text=text))
                    paid = finish.usage.prompt - finish.usage.cached
                    if turn or name != "a":
                        assert paid < 45, (turn, name, finish)

    run(body)


def test_a_stored_conversation_goes_on_as_if_it_had_never_left(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    async def body() -> None:
        answers: list[str] = []
        async with opened(tmp_path, models["endless"]) as model:
            text, _, _ = await heard(model, ask("first", "a"))
            lines = (SYSTEM, Line(role="user", text="first"), Line(role="assistant", text=text))
            then = ask("", "a", lines=(*lines, Line(role="user", text="and then?")))
            answers.append((await heard(model, then))[0])
        async with opened(tmp_path, models["endless"], cache_disk_mib=0) as model:
            answers.append((await heard(model, then))[0])
        async with opened(tmp_path, models["endless"]) as model:
            text, finish, _ = await heard(model, then)
            answers.append(text)
            assert finish.usage.prompt - finish.usage.cached < 10
            assert "its cache was loaded from disk" in finish.notes
        assert answers[0] == answers[1] == answers[2]

    run(body)


def test_the_shared_beginning_outlives_the_engine(tmp_path: Path, models: dict[str, Path]) -> None:
    async def body() -> None:
        async with opened(tmp_path, models["endless"]) as model:
            await model.warm([ask("")])
            os.kill(process_of(model).pid, signal.SIGKILL)
        async with opened(tmp_path, models["endless"]) as model:
            _, finish, _ = await heard(model, ask("hello", "new"))
            assert finish.usage.prompt - finish.usage.cached < 20
            assert "the shared beginning was loaded from disk" in finish.notes

    run(body)


def test_saved_slots_keep_to_their_room_however_busy_it_is(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    async def body() -> None:
        async with opened(tmp_path, models["endless"], cache_disk_mib=1) as model:
            for i in range(10):
                await heard(model, ask(f"I am {i}", f"c{i}", tokens=300))
            assert used(tmp_path) <= 1024 * 1024

    run(body)


def test_a_spoiled_cache_costs_time_and_nothing_else(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    async def body() -> None:
        async with opened(tmp_path, models["endless"]) as model:
            first, _, _ = await heard(model, ask("hello", "a"))
        spoil(tmp_path)
        async with opened(tmp_path, models["endless"]) as model:
            again, _, _ = await heard(model, ask("hello", "a"))
        assert first == again

    run(body)


def test_an_engine_killed_in_the_middle_may_be_asked_again(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    async def body() -> None:
        async with opened(tmp_path, models["endless"]) as model:
            await model.warm([])
            async with aclosing(model.stream(ask("go on", "a", tokens=1500))) as deltas:
                await anext(deltas)
                os.kill(process_of(model).pid, signal.SIGKILL)
                with pytest.raises(Unready) as caught:
                    async for _ in deltas:
                        pass
            assert caught.value.again and caught.value.trouble == "broken"
            text, finish, _ = await heard(model, ask("go on", "a"))
            assert text and finish.usage.completion == 24

    run(body)


def test_an_engine_that_keeps_falling_is_not_asked_at_once(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    async def body() -> None:
        async with opened(tmp_path, models["endless"]) as model:
            agains: list[bool] = []
            for _ in range(3):
                async with aclosing(model.stream(ask("go on", tokens=1500))) as deltas:
                    await anext(deltas)
                    os.kill(process_of(model).pid, signal.SIGKILL)
                    with pytest.raises(Unready) as caught:
                        async for _ in deltas:
                            pass
                agains.append(caught.value.again)
            assert agains == [True, True, False] and caught.value.retry_after

    run(body)


def test_who_stops_listening_stops_the_answer(tmp_path: Path, models: dict[str, Path]) -> None:
    async def body() -> None:
        async with opened(tmp_path, models["endless"], sessions=1) as model:
            async with aclosing(model.stream(ask("go on", "a", tokens=1700))) as deltas:
                await anext(deltas)
            text, _, _ = await heard(model, ask("now me", "b", tokens=8))
            assert text and model.runners.chat.busy == 0

    run(body)


def test_more_at_once_than_sessions_wait_their_turn(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    async def body() -> None:
        async with opened(tmp_path, models["endless"]) as model:
            asked = [heard(model, ask(f"I am {i}", f"c{i}")) for i in range(7)]
            answers = await asyncio.gather(*asked)
            assert all(finish.usage.completion == 24 for _, finish, _ in answers)

    run(body)


def test_a_schema_is_kept_even_by_a_model_that_speaks_nonsense(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    async def body() -> None:
        async with opened(tmp_path, models["talker"]) as model:
            schema = REMIND.schema
            for seed in range(3):
                sampling = Sampling(temperature=1, seed=seed, max_tokens=200)
                prompt = ask("when?", schema=schema, sampling=sampling)
                text, _, _ = await heard(model, prompt)
                found = json.loads(text)
                assert found["day"] in ("today", "tomorrow") and isinstance(found["hour"], int)

    run(body)


def test_calls_fit_the_schema_of_their_tool(tmp_path: Path, models: dict[str, Path]) -> None:
    async def body() -> None:
        async with opened(tmp_path, models["caller"]) as model:
            calls = 0
            for seed in range(6):
                sampling = Sampling(temperature=1, seed=seed, max_tokens=1400)
                prompt = ask("提醒我", tools=(REMIND,), choice="required", sampling=sampling)
                _, finish, deltas = await heard(model, prompt)
                for delta in deltas:
                    if isinstance(delta, CallDelta):
                        calls += 1
                        assert delta.call.name == "remind" and finish.reason == "tools"
                        found = json.loads(delta.call.arguments)
                        assert found["day"] in ("today", "tomorrow")
                        assert isinstance(found["hour"], int)
            assert calls

    run(body)


def test_a_draft_model_changes_the_time_and_not_the_words(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    async def body() -> None:
        answers: list[str] = []
        for more in ({}, {"draft": str(models["draft"])}):
            async with opened(tmp_path, models["endless"], **more) as model:
                answers.append((await heard(model, ask("tell me", tokens=60)))[0])
        assert answers[0] == answers[1]

    run(body)


def test_an_adapter_changes_what_is_said(tmp_path: Path, models: dict[str, Path]) -> None:
    async def body() -> None:
        answers: list[str] = []
        for more in ({}, {"adapters": [str(models["lora"])]}):
            async with opened(tmp_path, models["endless"], **more) as model:
                answers.append((await heard(model, ask("tell me", tokens=60)))[0])
        assert answers[0] != answers[1]

    run(body)


def test_an_eight_bit_cache_works(tmp_path: Path, models: dict[str, Path]) -> None:
    async def body() -> None:
        given: dict[str, Any] = {"cache_type": "q8_0", "flash_attention": "on"}
        async with opened(tmp_path, models["endless"], **given) as model:
            assert (await heard(model, ask("hello", "a")))[0]

    run(body)


def test_texts_become_vectors_in_their_order(tmp_path: Path, models: dict[str, Path]) -> None:
    async def body() -> None:
        async with opened(tmp_path, models["embedder"], embedding=True) as model:
            texts = ["a cat", "一只猫", "a cat"]
            found = await model.embed(texts)
            assert len(found.vectors) == 3 and found.tokens > 3
            assert len({len(vector) for vector in found.vectors}) == 1
            assert found.vectors[0] == pytest.approx(found.vectors[2], abs=1e-4)
            assert found.vectors[0] != pytest.approx(found.vectors[1], abs=1e-2)

    run(body)


def test_a_model_for_answers_makes_no_vectors(tmp_path: Path, models: dict[str, Path]) -> None:
    async def body() -> None:
        async with opened(tmp_path, models["talker"]) as model:
            with pytest.raises(Rejected, match="embedding = true"):
                await model.embed(["a cat"])

    run(body)


def test_work_in_the_background_stands_still_while_somebody_waits(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    async def body() -> None:
        queue = FairQueue()
        async with opened(tmp_path, models["endless"], queue=queue) as model:
            await model.warm([])
            aside = asyncio.ensure_future(
                heard(model, ask("index", urgency="background", tokens=1500))
            )
            await until(lambda: model.runners.aside.running)
            running = model.runners.aside.running
            assert running is not None and running.pid != process_of(model).pid
            async with aclosing(model.stream(ask("hello", "a", tokens=400))) as deltas:
                await anext(deltas)
                stat = Path(f"/proc/{running.pid}/stat")
                await until(lambda: stat.read_text().split(")")[1].split()[0] == "T")
            _, finish, _ = await aside
            assert finish.usage.completion > 0

    run(body)


def test_an_engine_that_is_not_used_gives_its_memory_back(
    tmp_path: Path, models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("haoya.inference.runner.TEND_SECONDS", 0.05)

    async def body() -> None:
        async with opened(tmp_path, models["endless"], unload_minutes=0.005) as model:
            first, _, _ = await heard(model, ask("hello", "a"))
            await until(lambda: model.runners.chat.running is None)
            again, finish, _ = await heard(model, ask("hello", "a"))
            assert first == again and finish.usage.prompt - finish.usage.cached < 5

    run(body)


def test_under_pressure_a_smaller_file_answers_if_the_owner_allows_it(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    available = 10 * 2**30

    def memory() -> Memory:
        return Memory(total=2**34, available=available)

    async def body() -> None:
        nonlocal available
        given: dict[str, Any] = {"lighter": str(models["talker"]), "min_context_tokens": 1024}
        async with opened(tmp_path, models["endless"], **given) as model:
            model.adapting.memory = memory
            model.adapting.looked = float("-inf")
            _, finish, _ = await heard(model, ask("hello", "a"))
            assert finish.notes == () and model.context_tokens == 2048
            available = 2**20
            model.adapting.looked = float("-inf")
            assert model.context_tokens == 1024
            model.adapting.standing = Standing(rung=1, since=-100)
            _, finish, _ = await heard(model, ask("hello", "a"))
            assert any("lighter" in note and "memory is short" in note for note in finish.notes)
            assert model.runners.chat.running is None

    run(body)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"hello" * 1000], ids=["empty", "cut", "other"])
def test_a_file_that_is_no_model_is_a_fault_of_the_settings(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.gguf"
    file.write_bytes(content)

    async def body() -> None:
        with pytest.raises(ConfigError, match="broken"):
            async with opened(tmp_path, file):
                pass

    run(body)


def test_a_model_whose_weights_are_cut_off_is_refused_in_plain_words(
    tmp_path: Path, models: dict[str, Path]
) -> None:
    whole = models["talker"].read_bytes()
    file = tmp_path / "half.gguf"
    file.write_bytes(whole[: len(whole) * 2 // 3])

    async def body() -> None:
        with pytest.raises((ConfigError, Rejected), match="half"):
            async with opened(tmp_path, file) as model:
                await heard(model, ask("hello"))

    run(body)


def test_an_unknown_model_is_told_with_those_there_are(tmp_path: Path) -> None:
    async def body() -> None:
        with pytest.raises(ConfigError, match="no model is named 'nobody'"):
            async with opened(tmp_path, Path("nobody")):
                pass

    run(body)


def test_engines_die_with_the_daemon(tmp_path: Path, models: dict[str, Path]) -> None:
    """A killed parent leaves no engine behind, and the next one removes its folder."""
    script = tmp_path / "parent.py"
    script.write_text(
        "import asyncio, sys\nfrom pathlib import Path\n"
        "from tests.models.test_local import ask, heard, opened\n"
        "async def main():\n"
        f"    async with opened(Path({str(tmp_path)!r}), Path({str(models['endless'])!r})) as m:\n"
        "        await m.warm([])\n"
        "        print(m.runners.chat.running.pid, flush=True)\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )

    async def body() -> None:
        root = str(Path(__file__).parents[2])
        parent = await asyncio.create_subprocess_exec(
            *(sys.executable, str(script)),
            stdout=asyncio.subprocess.PIPE,
            env={
                **os.environ,
                "PYTHONPATH": root,
                "PATH": f"{root}/.venv/bin:{os.environ['PATH']}",
            },
        )
        assert parent.stdout is not None
        pid = int(await parent.stdout.readline())
        os.kill(pid, 0)
        parent.kill()
        await parent.wait()

        def gone() -> bool:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 0)
                return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] == "Z"
            return True

        await until(gone)

        def left() -> list[Path]:
            return list(Path(tempfile.gettempdir()).glob(f"{FOLDER}{parent.pid}-*"))

        assert left()
        async with opened(tmp_path, models["endless"]) as model:
            await model.warm([])
            assert not left()

    run(body)
