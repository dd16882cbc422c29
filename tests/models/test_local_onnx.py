# SPDX-License-Identifier: AGPL-3.0-or-later
"""A folder for ONNX Runtime is a local model like any other."""

import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from haoya.core.errors import ConfigError, Rejected, Unready
from haoya.core.tool import CallDelta, Delta, Finish, Line, Prompt, Sampling, TextDelta, ToolSpec
from haoya.models.local import LocalModel, LocalSettings, plugin
from tests.inference import onnx_child  # noqa: F401  # skips where the packages are missing
from tests.models.lent import context
from tests.runtime.waiting import run
from tests.servers import tiny_onnx

ALLOWED = b'{"type":"object","properties":{"hour":{"enum":[1,2]}},"required":["hour"],'
REMIND = ToolSpec(
    name="remind",
    purpose="Remind somebody",
    schema=msgspec.Raw(ALLOWED + b'"additionalProperties":false}'),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_onnx.make(tmp_path_factory.mktemp("model"))


@asynccontextmanager
async def opened(home: Path, model: Path, **given: Any) -> AsyncGenerator[LocalModel]:
    settings = LocalSettings(model=str(model), sessions=2, **given)
    async with context(home, models=home) as lent, plugin.open(settings, lent) as local:
        yield local


def ask(text: str, conversation: str = "", **more: Any) -> Prompt:
    lines = (Line(role="system", text="Be kind. " * 20), Line(role="user", text=text))
    sampling = more.pop("sampling", Sampling(temperature=0, max_tokens=24))
    return Prompt(lines=lines, conversation=conversation, sampling=sampling, **more)


async def heard(model: LocalModel, prompt: Prompt) -> tuple[str, Finish, list[Delta]]:
    deltas = [delta async for delta in model.stream(prompt)]
    finish = deltas[-1]
    assert isinstance(finish, Finish)
    return "".join(one.text for one in deltas if isinstance(one, TextDelta)), finish, deltas


def test_it_answers_and_knows_what_it_has_read(tmp_path: Path, folder: Path) -> None:
    async def body() -> None:
        async with opened(tmp_path, folder) as model:
            text, first, _ = await heard(model, ask("hello", "a"))
            assert text
            assert first.usage.prompt > 100
            assert first.reason == "length"
            _, again, _ = await heard(model, ask("hello", "a"))
            assert again.usage.cached == first.usage.prompt - 1

    run(body)


def test_schemas_and_tools_hold(tmp_path: Path, folder: Path) -> None:
    async def body() -> None:
        more = {"sampling": Sampling(temperature=0, max_tokens=300)}
        async with opened(tmp_path, folder) as model:
            schema = msgspec.Raw('{"enum":["好 😀"]}'.encode())
            text, finish, _ = await heard(model, ask("?", schema=schema, **more))
            assert text == '"好 😀"'
            assert finish.reason == "stop"
            prompt = ask("remind me", tools=(REMIND,), choice="required", **more)
            _, finish, deltas = await heard(model, prompt)
            (call,) = [delta.call for delta in deltas if isinstance(delta, CallDelta)]
            assert call.name == "remind"
            assert msgspec.json.decode(call.arguments)["hour"] in (1, 2)
            assert finish.reason == "tools"

    run(body)


def test_killed_while_it_answers_it_says_ask_again_and_then_answers(
    tmp_path: Path, folder: Path
) -> None:
    async def body() -> None:
        async with opened(tmp_path, folder) as model:
            endless = msgspec.Raw(b'{"type":"string","minLength":6000}')
            long = ask("on", schema=endless, sampling=Sampling(temperature=1, seed=1))
            with pytest.raises(Unready) as fallen:
                async for _ in model.stream(long):
                    if (running := model.runners.chat.running) is not None:
                        os.kill(running.pid, signal.SIGKILL)
            assert fallen.value.again
            text, _, _ = await heard(model, ask("and now"))
            assert text

    run(body)


def test_a_model_that_cannot_be_loaded_is_parked_with_the_reason(tmp_path: Path) -> None:
    async def body() -> None:
        (tmp_path / "bad").mkdir()
        (tmp_path / "bad" / "genai_config.json").write_text("{}")
        async with opened(tmp_path, tmp_path / "bad", prewarm=False) as model:
            with pytest.raises(Rejected, match="the engine onnx could not load bad"):
                await heard(model, ask("hello"))

    run(body)


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    async def body() -> None:
        with pytest.raises(ConfigError, match=r"no GGUF file .* nor is it a folder with a genai"):
            async with opened(tmp_path, tmp_path):
                pass

    run(body)
