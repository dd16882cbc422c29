# SPDX-License-Identifier: AGPL-3.0-or-later
"""The whole house with a model of its own: the engine killed, changed and brought back."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.runtime.daemon import World, stage
from tests.runtime.waiting import run, until
from tests.servers.tiny import Shape, make_model

SETTINGS = """
[models.main]
use = "local"
model = "{model}"
engine = "wheel"
sessions = 2
threads = 1
context_tokens = 4096
temperature = 0
max_tokens = {tokens}
"""


def engines(world: World) -> list[int]:
    """The processes the daemon has started as engines."""
    assert world.daemon.process
    pid = world.daemon.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    lines = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return [child for child, line in lines.items() if b"haoya.inference.wheel" in line]


@asynccontextmanager
async def house(folder: Path, *, tokens: int = 60, telegram: bool = False) -> AsyncGenerator[World]:
    """A world whose model is a local one without an end of its own."""
    shape = Shape(ends=False, layers=8) if tokens > 100 else Shape(ends=False)
    model = make_model(folder / "endless.gguf", shape)
    async with stage(folder, telegram=telegram, model=False) as world:
        more = SETTINGS.format(model=model, tokens=tokens)
        await world.start(more, telegram=telegram, model=False)
        yield world


def test_a_killed_engine_costs_nobody_an_answer(tmp_path: Path) -> None:
    """The person sees the whole answer, once; the journal shows one more asking."""

    async def body() -> None:
        async with house(tmp_path, tokens=1200, telegram=True) as world:
            await until(lambda: list(tmp_path.rglob("begin-*.kv")))
            (pid,) = engines(world)
            began = _cpu(pid)
            whole = asyncio.ensure_future(world.daemon.ask("tell me everything"))
            await until(lambda: _cpu(pid) > began + 0.1)
            os.kill(pid, signal.SIGKILL)
            answer = await whole
            assert len(answer) > 1200
            (turn, *_) = await world.daemon.call("runs_list", limit=1)
            shown = await world.daemon.call("runs_show", turn=turn["turn"])
            assert str(shown).count("'model-asked'") == 2, shown
            again = await world.daemon.ask("and once more", room="other")
            assert again

    run(body)


def test_the_engine_is_warm_before_anybody_asks(tmp_path: Path) -> None:
    async def body() -> None:
        async with house(tmp_path) as world:
            await until(lambda: list(tmp_path.rglob("begin-*.kv")))
            assert len(engines(world)) == 1

    run(body)


def test_another_model_takes_over_without_a_moment_without_one(tmp_path: Path) -> None:
    async def body() -> None:
        async with house(tmp_path) as world:
            first = await world.daemon.ask("hello")
            (before,) = engines(world)
            other = make_model(tmp_path / "other.gguf", Shape(ends=False, seed=7))
            world.daemon.write(
                world.settings(SETTINGS.format(model=other, tokens=60), telegram=False, model=False)
            )
            answers: list[str] = []
            while engines(world) == [before]:
                answers.append(await world.daemon.ask("hello", room=f"r{len(answers)}"))
            await until(lambda: before not in engines(world))
            second = await world.daemon.ask("hello", room="last")
            assert set(answers) <= {first, second} and first != second

    run(body)


def test_a_broken_new_model_leaves_the_old_one_answering(tmp_path: Path) -> None:
    async def body() -> None:
        async with house(tmp_path) as world:
            first = await world.daemon.ask("hello")
            broken = tmp_path / "cut.gguf"
            broken.write_bytes((tmp_path / "endless.gguf").read_bytes()[:300_000])
            world.daemon.write(
                world.settings(
                    SETTINGS.format(model=broken, tokens=60), telegram=False, model=False
                )
            )
            row = await world.daemon.becomes("main", "parked")
            assert "cut.gguf" in row["reason"]
            assert await world.daemon.ask("hello", room="other") == first

    run(body)


def test_a_kill_of_the_daemon_ends_its_engine(tmp_path: Path) -> None:
    async def body() -> None:
        async with house(tmp_path) as world:
            (pid,) = await until(lambda: engines(world))
            await world.daemon.kill()
            await until(lambda: not Path(f"/proc/{pid}").exists() or _state(pid) == "Z")

    run(body)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
