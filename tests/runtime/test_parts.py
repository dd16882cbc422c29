# SPDX-License-Identifier: AGPL-3.0-or-later
"""Parts come and go with the settings, each for itself, each only once."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from haoya.core.errors import ConfigError, Rejected, Unready
from haoya.core.message import Blob
from haoya.core.plugin import Context, Plugin
from haoya.core.ports import Model
from haoya.runtime.board import Board
from haoya.runtime.parts import Parts, Wanted, wanted_parts
from haoya.runtime.registry import WINGS, built_in, find
from haoya.runtime.settings import PartSettings, Table
from tests.runtime.waiting import run, until


class NoBlobs:
    async def put(self, data: bytes, *, mime: str = "", name: str = "") -> Blob:
        raise AssertionError("nothing to store here")

    async def get(self, sha256: str) -> bytes:
        raise KeyError(sha256)


class Bench:
    """Parts of the real `script` model; `alive` counts which of them live now."""

    def __init__(self, folder: Path, http: httpx2.AsyncClient, tasks: asyncio.TaskGroup) -> None:
        self.folder = folder
        self.http = http
        self.board = Board()
        self.alive: Counter[str] = Counter()
        self.opened: Counter[str] = Counter()
        self.slow = 0
        self.refuse: Rejected | None = None
        self.secrets: dict[str, str] = {}
        self.prepared: list[str] = []
        self.unready: Unready | None = None
        self.parts = Parts(self.board, self.lend, {"model": self.use}, tasks, self.prepare)

    async def prepare(self, name: str, model: Model) -> None:
        if self.unready:
            raise self.unready
        self.prepared.append(model.name)

    async def lend(self, part: Wanted) -> Context:
        return Context(
            name=part.name,
            state=self.folder,
            clock=time.time,
            http=self.http,
            secret=lambda value: value,
            blobs=NoBlobs(),
        )

    async def use(self, name: str, model: Model, plugin: Plugin[Any, Any]) -> None:
        if self.refuse:
            raise self.refuse
        self.alive[name] += 1
        self.opened[name] += 1
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(self.slow):
                await asyncio.sleep(0)
            self.alive[name] -= 1

    async def apply(self, **sections: Table) -> None:
        """Make these models so; `secrets` is not one of them."""
        found = {n: PartSettings(use=t.pop("use", "script"), table=t) for n, t in sections.items()}
        await self.parts.apply(wanted_parts("models", "model", found, self.secrets))

    async def live(self, **counts: int) -> None:
        await until(lambda: +self.alive == Counter(counts), lambda: self.alive)


def benched(tmp_path: Path, body: Callable[[Bench], Awaitable[None]]) -> None:
    @asynccontextmanager
    async def made() -> AsyncGenerator[Bench]:
        async with httpx2.AsyncClient() as http, asyncio.TaskGroup() as tasks:
            bench = Bench(tmp_path, http, tasks)
            yield bench
            await bench.parts.apply([])

    async def opened() -> None:
        async with made() as bench:
            await body(bench)

    run(opened)


def test_only_what_changed_is_opened_anew(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.apply(a={}, b={"delay": 0})
        await bench.live(a=1, b=1)
        await bench.apply(a={}, b={"delay": 1}, c={})
        await until(lambda: bench.opened == {"a": 1, "b": 2, "c": 1}, lambda: bench.opened)
        await bench.live(a=1, b=1, c=1)
        await bench.apply(b={"delay": 1})
        await bench.live(b=1)
        assert "models.a" not in bench.board.health

    benched(tmp_path, body)


def test_a_broken_edit_leaves_the_old_one_running_and_is_told(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.apply(a={"delay": 1})
        await bench.live(a=1)
        await bench.apply(a={"delay": -1})
        assert bench.alive["a"] == 1 and bench.opened["a"] == 1
        (finding,) = bench.board.all_findings()
        assert finding.section == "models.a" and "delay" in finding.message and finding.cure
        await bench.apply(a={"delay": 1})
        assert bench.opened["a"] == 1 and not bench.board.all_findings()

    benched(tmp_path, body)


def test_a_model_goes_only_when_the_one_after_it_is_ready(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.apply(a={})
        await bench.live(a=1)
        bench.unready = Unready("no memory for it", retry_after=0.01)
        await bench.apply(a={"delay": 1})
        await until(lambda: "no memory" in bench.board.part("models.a").reason)
        assert bench.alive["a"] == 1 and bench.opened["a"] == 1
        bench.unready = None
        await until(lambda: bench.opened["a"] == 2, lambda: bench.opened)
        await bench.live(a=1)
        assert bench.prepared == ["script"] and not bench.parts.leaving

    benched(tmp_path, body)


def test_three_changes_in_a_row_leave_one_model_and_no_moment_without(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.apply(a={})
        await bench.live(a=1)
        bench.unready = Unready("not yet", retry_after=0.01)
        for delay in (1, 2, 3):
            await bench.apply(a={"delay": delay})
            assert bench.alive["a"] == 1
        bench.unready = None
        await until(lambda: bench.opened["a"] == 2, lambda: bench.opened)
        await bench.live(a=1)
        await bench.apply()
        await bench.live()

    benched(tmp_path, body)


def test_a_new_secret_opens_only_the_part_that_uses_it(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.secrets = {"key": "1", "other": "1"}
        say: Table = {"rules": [{"match": "x", "say": "secret:key"}]}
        await bench.apply(a=dict(say), b={})
        await bench.live(a=1, b=1)
        bench.secrets = {"key": "1", "other": "2"}
        await bench.apply(a=dict(say), b={})
        assert bench.opened == {"a": 1, "b": 1}
        bench.secrets = {"key": "2", "other": "2"}
        await bench.apply(a=dict(say), b={})
        await until(lambda: bench.opened == {"a": 2, "b": 1}, lambda: bench.opened)
        await bench.live(a=1, b=1)

    benched(tmp_path, body)


def test_a_parked_part_is_tried_again_when_anything_is_mended(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        bench.refuse = Rejected("wrong password")
        await bench.apply(a={})
        await until(lambda: bench.board.part("models.a").state == "parked")
        bench.refuse = None
        await bench.apply(a={})
        await bench.live(a=1)

    benched(tmp_path, body)


def test_a_part_broken_from_the_start_is_parked_with_the_reason(tmp_path: Path) -> None:
    async def body(bench: Bench) -> None:
        await bench.apply(a={"mood": 1}, b={"use": "nobody"}, c={})
        await bench.live(c=1)
        health = bench.board.health
        assert health["models.a"].state == health["models.b"].state == "parked"
        assert "'mood'" in health["models.a"].reason
        assert re.search("there are: .*openai, .*script", health["models.b"].reason)
        await bench.parts.settled("models.b")

    benched(tmp_path, body)


def test_two_changes_at_once_open_a_part_once(tmp_path: Path) -> None:
    """The watcher of the file and the verb `reload` may both see the same change."""

    async def body(bench: Bench) -> None:
        bench.slow = 5
        await bench.apply(a={"delay": 0})
        await bench.live(a=1)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(bench.apply(a={"delay": 1}))
        await bench.live(a=1)
        assert bench.opened["a"] == 2

    benched(tmp_path, body)


def test_every_built_in_plugin_is_what_its_name_says() -> None:
    for kind in WINGS:
        for name in built_in(kind):
            plugin = find(kind, name)
            assert (plugin.kind, plugin.name) == (kind, name)
            assert plugin.summary and plugin.summary_zh


@pytest.mark.parametrize("name", ["", "..", "nobody", "os", "telegram.api", "a\0b"])
def test_a_name_that_is_no_plugin_lists_those_there_are(name: str) -> None:
    with pytest.raises(ConfigError, match="there are: irc, local, telegram") as caught:
        find("channel", name)
    assert caught.value.cure


def _package(folder: Path, module: str, source: str, entry: str) -> None:
    """A package as pip leaves it behind."""
    (folder / f"{module}.py").write_text(source)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[haoya.plugins]\n{entry}\n")


@pytest.mark.parametrize(
    "source",
    ["raise RuntimeError('too old')", "import no_such_module", "plugin = 1", "", "plugin ="],
)
def test_a_package_that_is_broken_parks_only_its_part(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"broken_{abs(hash(source)) % 10**9}"
    _package(tmp_path, module, source, f"model.foreign = {module}:plugin")
    monkeypatch.syspath_prepend(str(tmp_path))

    async def body(bench: Bench) -> None:
        await bench.apply(a={"use": "foreign"}, b={})
        await bench.live(b=1)
        health = bench.board.health["models.a"]
        assert health.state == "parked" and "'foreign'" in health.reason

    benched(tmp_path, body)


def test_a_plugin_of_a_package_lives_like_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "from haoya.models.script import plugin as plugin\n"
    _package(tmp_path, "foreign_fine", source, "model.fine = foreign_fine:plugin")
    monkeypatch.syspath_prepend(str(tmp_path))

    async def body(bench: Bench) -> None:
        await bench.apply(a={"use": "fine"})
        await bench.live(a=1)

    benched(tmp_path, body)
