# SPDX-License-Identifier: AGPL-3.0-or-later
"""The parts the settings name, each in its own supervised task; changed ones alone restart."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import msgspec
import pydantic

from haoya.core.errors import ConfigError
from haoya.core.plugin import Context, Plugin, PluginKind
from haoya.runtime.board import Board, State
from haoya.runtime.registry import find
from haoya.runtime.secrets import mark_of
from haoya.runtime.settings import Finding, PartSettings, Table, faults_of
from haoya.runtime.supervisor import supervise

Use = Callable[[str, Any, Plugin[Any, Any]], Awaitable[None]]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A part as the settings want it; `key` is its section, such as `channels.tg`, `secrets` a
    mark that changes with the secrets it refers to."""

    key: str
    kind: PluginKind
    name: str
    settings: PartSettings
    secrets: str = ""


class Parts:
    """Runs what is wanted. `lend` makes a part's context, `use` lives with the opened part.

    A changed part is closed before it is opened anew, but for a model: the old one answers until
    the new one is open and `prepare` has made it ready, so that there always is one.
    """

    def __init__(
        self,
        board: Board,
        lend: Callable[[Wanted], Awaitable[Context]],
        use: dict[PluginKind, Use],
        tasks: asyncio.TaskGroup,
        prepare: Callable[[str, Any], Awaitable[None]] | None = None,
    ) -> None:
        self.board = board
        self.lend = lend
        self.use = use
        self.tasks = tasks
        self.running: dict[str, tuple[Wanted, asyncio.Task[None]]] = {}
        self.prepare = prepare
        self.leaving: dict[str, asyncio.Task[None]] = {}
        self.told: dict[str, asyncio.Event] = {}
        self.applying = asyncio.Lock()

    async def apply(self, wanted: list[Wanted]) -> None:
        """Make it so: stop what is gone, restart what changed, start what is new.

        A running part whose new settings are broken goes on with the old ones; a parked one is
        tried again. One change at a time: two at once would open a part twice.
        """
        async with self.applying:
            await self._apply(wanted)

    async def _apply(self, wanted: list[Wanted]) -> None:
        by_key = {part.key: part for part in wanted}
        for key in [key for key in self.running if key not in by_key]:
            await self._stop(key)
            self.board.forget(key)
        for part in wanted:
            if self._lives(part.key) and self.running[part.key][0] == part:
                self.board.find(part.key)
                continue
            faults = self._faults(part)
            self.board.find(part.key, *faults)
            if faults and self._lives(part.key):
                continue
            if part.kind == "model" and self._lives(part.key):
                await self._relieve(part.key)
            else:
                await self._stop(part.key)
            if faults:
                reason = "; ".join(f"{fault.message}; {fault.cure}" for fault in faults)
                self.board.report(part.key, "parked", reason)
                continue
            self.told[part.key] = asyncio.Event()
            self.running[part.key] = (part, self.tasks.create_task(self._live(part)))

    async def settled(self, key: str) -> None:
        """Wait until it is known whether a part opens."""
        if key in self.running:
            await self.told[key].wait()

    def _lives(self, key: str) -> bool:
        """Whether it runs. A parked one has ended and is tried again: a secret or a package it
        lacked may be there by now."""
        return key in self.running and not self.running[key][1].done()

    async def _stop(self, key: str) -> None:
        tasks = [self.running.pop(key)[1]] if key in self.running else []
        tasks += [self.leaving.pop(key)] if key in self.leaving else []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _relieve(self, key: str) -> None:
        """Let the running part go on until another has taken its place. One that waits for that
        already goes on; one that came between has never been in use."""
        task = self.running.pop(key)[1]
        if key not in self.leaving or self.leaving[key].done():
            self.leaving[key] = task
            return
        task.cancel()
        await asyncio.wait([task])

    async def _farewell(self, key: str) -> None:
        if task := self.leaving.pop(key, None):
            task.cancel()
            await asyncio.wait([task])

    def _faults(self, part: Wanted) -> list[Finding]:
        try:
            plugin = find(part.kind, part.settings.use)
            plugin.settings.model_validate(part.settings.table)
        except ConfigError as error:
            return [_finding(part.key, str(error), error.cure)]
        except pydantic.ValidationError as error:
            return faults_of(part.key, error)
        return []

    async def _live(self, part: Wanted) -> None:
        plugin = find(part.kind, part.settings.use)
        settings = plugin.settings.model_validate(part.settings.table)

        def open_() -> AbstractAsyncContextManager[Any]:
            return self._open(part, plugin, settings)

        async def use(opened: Any) -> None:
            if part.key in self.leaving:
                self.tasks.create_task(self._farewell(part.key))
            await self.use[part.kind](part.name, opened, plugin)

        def report(state: State, why: str) -> None:
            self.board.report(part.key, state, why)
            if state != "opening":
                self.told[part.key].set()

        await supervise(part.key, open_, use, report)

    @asynccontextmanager
    async def _open(
        self, part: Wanted, plugin: Plugin[Any, Any], settings: Any
    ) -> AsyncGenerator[Any]:
        context = await self.lend(part)
        async with plugin.open(settings, context) as opened:
            if self.prepare and part.key in self.leaving:
                await self.prepare(part.name, opened)
            yield opened


def _finding(section: str, message: str, cure: str) -> Finding:
    return Finding(
        id="settings-section", severity="error", section=section, message=message, cure=cure
    )


def wanted_parts(
    group: str, kind: PluginKind, parts: dict[str, PartSettings], secrets: Mapping[str, str]
) -> list[Wanted]:
    """The parts of one group of sections, with `secrets` as the owner named them."""
    return [
        Wanted(
            key=f"{group}.{name}",
            kind=kind,
            name=name,
            settings=settings,
            secrets=mark_of(secrets, settings.table),
        )
        for name, settings in parts.items()
    ]


def only(use: str, **table: object) -> PartSettings:
    """Settings of a part that needs no section of the owner's."""
    given: Table = dict(table)
    return PartSettings(use=use, table=given)
