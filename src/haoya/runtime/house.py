# SPDX-License-Identifier: AGPL-3.0-or-later
"""The house: all parts of one running haoya, and the life they share."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from haoya.core.errors import Unready
from haoya.core.plugin import Call, Plugin
from haoya.core.ports import Connection, Desk, Memory, Model, Warms
from haoya.journal import BlobStore, Journal, open_journal
from haoya.policy.access import Gate
from haoya.policy.judge import Judge
from haoya.policy.leaks import Screen
from haoya.runtime.asks import Asks
from haoya.runtime.blobs import LentBlobs
from haoya.runtime.board import Board
from haoya.runtime.broker import Broker
from haoya.runtime.budgets import Budgets
from haoya.runtime.confinement import Confinement
from haoya.runtime.contexts import Contexts
from haoya.runtime.conversations import Conversations, Mind
from haoya.runtime.devices import Devices
from haoya.runtime.door import DOOR, attend, door
from haoya.runtime.egress import Egress
from haoya.runtime.egress_findings import Leaks, egress_findings, weak_findings
from haoya.runtime.gateway import Gateway
from haoya.runtime.home import Home
from haoya.runtime.leaving import leave_findings
from haoya.runtime.masking import Masking, masked
from haoya.runtime.named import known_secrets
from haoya.runtime.parts import Parts, Wanted, only, wanted_parts
from haoya.runtime.peers import Listener, Peers
from haoya.runtime.registry import peers_window, window
from haoya.runtime.routing import Routing
from haoya.runtime.secrets import Secrets, plain_secrets
from haoya.runtime.security import security_findings
from haoya.runtime.settings import Settings, load, remember_good
from haoya.runtime.sharing import open_queue
from haoya.runtime.supervisor import supervise
from haoya.runtime.vaulting import Keeper
from haoya.runtime.warming import beginning, warm_first
from haoya.runtime.watch import watch
from haoya.runtime.watchdog import Watchdog

log = logging.getLogger("haoya.runtime")

TICK_SECONDS = 5.0


class House:
    """Everything alive. `run` is its whole life; what parts need of each other is lent here."""

    def __init__(
        self,
        home: Home,
        *,
        port: int | None = None,
        secrets: Secrets | None = None,
        phrase: str = "",
    ) -> None:
        self.home = home
        self.port = port
        self.clock = time.time
        self.secrets = secrets or Secrets()
        self.board = Board(self.clock, self.secrets.redactor.clean)
        self.keeper = Keeper(home, self.board, self.secrets, phrase)
        self.started = self.clock()
        self.settings: Settings = load(home)
        self.screen = Screen({})
        self.blobs = LentBlobs(BlobStore(home.blobs))
        self.queue = open_queue(lambda: self.settings.queue)
        self.budgets: Budgets | None = None
        self.peers = Peers(home.peers)
        self.devices = Devices(home.devices)
        self.listener: Listener | None = None
        self.gateway: Gateway | None = None
        self.conversations: Conversations | None = None
        self.ready = asyncio.Event()
        self.connections: dict[str, Connection] = {}
        self.models: dict[str, Model] = {}
        self.broker = Broker(self.judge, self.clock, grants=lambda: self._gateway().rulings.grants)
        self.memory: Memory | None = None
        self.masking = Masking(lambda: self.settings, home.masking_key)
        self.routing = Routing(lambda: self.settings, self.models, self.clock)
        self.parts: Parts | None = None
        self.watchdog: Watchdog | None = None
        self.call: Call | None = None
        self.url = ""
        self.window_open = asyncio.Event()
        self.codes: dict[str, float] = {}
        self._api: asyncio.Task[None] | None = None
        self.sandbox = Confinement(home, self.board)
        self.contexts = self._contexts()

    def _contexts(self) -> Contexts:
        """What is lent to parts."""
        return Contexts(
            self.home,
            self.board,
            secrets=self.secrets,
            clock=self.clock,
            egress=lambda: self.egress,
            blobs=self.blobs,
            queue=self.queue,
            gateway=self._gateway,
            gate=self.gate,
            memory=lambda: self.memory,
            sandbox=self.sandbox,
            call=self._verb,
        )

    async def run(self) -> None:
        """Live until cancelled. Never raises for what settings, disk or networks do."""
        with Watchdog(asyncio.get_running_loop()) as self.watchdog:
            async with (
                self._way_out() as self.egress,
                asyncio.TaskGroup() as tasks,
            ):
                self.tasks = tasks
                with contextlib.suppress(OSError):  # the journal says what is wrong, and waits
                    self.home.prepare()
                self.settings = await self.keeper.refresh(self.settings)
                tasks.create_task(self.sandbox.live())
                self._judge_settings()
                entrance = Parts(self.board, self.contexts.of, {"channel": self._converse}, tasks)
                await entrance.apply([door(self.home)])
                report = self.board.report
                tasks.create_task(
                    supervise(
                        "journal",
                        self._open_journal,
                        self._live,
                        lambda state, why: report("journal", state, why),
                    )
                )
                self._open_window()
                self.listener = Listener(lambda x: peers_window()(self, x), self.board, tasks)
                await self.listener.apply(self.settings.peers)
                tasks.create_task(watch(self._watched(), self.reload))
                tasks.create_task(self.keeper.keep_trying(self.reload))

    def _way_out(self) -> Egress:
        return Egress(
            lambda: self.settings.egress,
            credential=self.secrets.credential,
            screen=lambda: self.screen,
            told=Leaks(self.board).told,
        )

    def desk(self) -> Desk:
        """The owner's own door as seen from this process; Unready while it is shut."""
        connection = self.connections.get(DOOR)
        if isinstance(connection, Desk) and self.ready.is_set():
            return connection
        raise Unready(f"haoya cannot take messages now: {self.trouble() or 'it is starting'}")

    def trouble(self) -> str:
        """Why messages cannot be stored at the moment, empty where they can."""
        health = self.board.part("journal")
        if health.state != "open":
            return health.reason or "the journal is not open yet"
        return self.gateway.journal.figures().failure if self.gateway else ""

    def mind(self) -> Mind:
        """What the agent thinks with right now."""
        names = self.settings.agent.models
        parked = [(n, self.board.health.get(f"models.{n}")) for n in names]
        reasons = [f"[models.{n}] {h.reason}" for n, h in parked if h and h.state != "open"]
        missing = [f"there is no [models.{n}]" for n, h in parked if h is None]
        return Mind(
            settings=self.settings.agent,
            broker=self.broker,
            routing=self.routing,
            plans=self.settings.policy.mode == "plan",
            trouble="; ".join(reasons or (missing if self.settings.models else [])),
        )

    def judge(self) -> Judge:
        """What may be done, as the settings say now."""
        return Judge(cells=dict(self.settings.policy.verdicts))

    def gate(self) -> Gate:
        """Who may speak, as the settings say now."""
        return Gate(
            rules={name: part.access for name, part in self.settings.channels.items()},
            doors=frozenset({DOOR}),
            owners=frozenset(self.settings.policy.owners),
        )

    async def reload(self) -> None:
        """Read the settings anew and change what changed, nothing else.

        Goes on to its end even if whoever asked is gone: the window that the wish came through
        may be among what changes.
        """
        await asyncio.shield(self.tasks.create_task(self._reload()))

    async def _reload(self) -> None:
        before = self.settings
        self.settings = await self.keeper.refresh(load(self.home))
        self._judge_settings()
        if self.parts and self.ready.is_set():
            await self.parts.apply(self._wanted())
            self._remember_settings()
        if before.api != self.settings.api:
            if self._api:
                self._api.cancel()
                await asyncio.wait([self._api])
            self._open_window()
        if self.listener:
            await self.listener.apply(self.settings.peers)
        if self.conversations and self.gateway:
            await self.routing.recall(self.gateway.journal)
            for address in await self.gateway.journal.waiting():
                self.conversations.wake(address)

    def _judge_settings(self) -> None:
        now = self.settings
        findings = [*now.findings, *plain_secrets(now), *leave_findings(now), *egress_findings(now)]
        self.screen = Screen(known_secrets(now, self.secrets.known()))
        findings += weak_findings(self.screen.weak)
        self.board.find("settings", *findings)
        told = {finding.id for finding in findings}
        loose = security_findings(self.home, now)
        grave = [one for one in loose if one.severity != "info" and one.id not in told]
        self.board.find("security", *grave)

    def _watched(self) -> tuple[Path, ...]:
        return (self.home.settings, self.home.secrets, self.home.vault)

    def _remember_settings(self) -> None:
        """Keep a copy of settings in which nothing is wrong, the parts' own sections included."""
        if not any(finding.severity == "error" for finding in self.board.all_findings()):
            remember_good(self.home)

    def _wanted(self) -> list[Wanted]:
        tools = {name: only(name) for name in self.settings.agent.tools}
        tools |= {n: p for n, p in self.settings.tools.items() if n in tools}
        secrets = self.secrets.values()
        return [
            Wanted(key="memory", kind="memory", name="memory", settings=only("sqlite")),
            *wanted_parts("models", "model", self.settings.models, secrets),
            *wanted_parts("tools", "tools", tools, secrets),
            *wanted_parts("channels", "channel", self.settings.channels, secrets),
        ]

    @asynccontextmanager
    async def _open_journal(self) -> AsyncGenerator[Journal]:
        try:
            self.home.prepare()
        except OSError as error:
            raise Unready(f"{self.home.folder} cannot be written: {error.strerror}") from error
        durability = self.settings.journal.durability
        async with open_journal(
            self.home.journal,
            clock=self.clock,
            synchronous=durability,
            censor=self.secrets.redactor,
        ) as journal:
            yield journal

    async def _live(self, journal: Journal) -> None:
        """Everything that needs the journal: parts, conversations, clocks."""
        gateway = Gateway(
            journal,
            gate=self.gate,
            delivery=lambda: self.settings.delivery,
            clock=self.clock,
            grant_days=lambda: self.settings.policy.grant_days,
        )
        gateway.connections = self.connections
        await self.routing.recall(journal)
        asks = Asks(gateway, lambda: self.settings.policy)
        try:
            async with asyncio.TaskGroup() as tasks:
                budgets = Budgets(journal, lambda: self.settings.queue, self.clock)
                conversations = Conversations(gateway, self.mind, asks, tasks, budgets)
                gateway.wake = conversations.wake
                use = {
                    "channel": self._converse,
                    "model": self._keep_model,
                    "tools": self._keep_tools,
                    "memory": self._keep_memory,
                }
                self.parts = Parts(self.board, self.contexts.of, use, tasks, self._warm)  # pyright: ignore[reportArgumentType]
                self.gateway, self.conversations = gateway, conversations
                self.budgets = budgets
                thinking = [part for part in self._wanted() if part.kind != "channel"]
                await self.parts.apply(thinking)
                for part in thinking:
                    await self.parts.settled(part.key)
                tasks.create_task(warm_first(self.mind()))
                await gateway.recover()
                self.ready.set()
                await self.parts.apply(self._wanted())
                self._remember_settings()
                while True:
                    await asyncio.sleep(TICK_SECONDS)
                    with contextlib.suppress(Unready):  # a full disk: the next tick tries again
                        await asks.expire()
        finally:
            self.ready.clear()
            gateway.closed.set()
            self.gateway = self.conversations = self.parts = self.budgets = None

    async def _verb(self, verb: str, arguments: Any) -> Any:
        if self.call is None:
            raise Unready("haoya is still starting")
        return await self.call(verb, arguments)

    def _gateway(self) -> Gateway:
        if self.gateway is None:
            raise Unready(f"the journal is shut: {self.trouble()}")
        return self.gateway

    async def _converse(self, name: str, connection: Connection, plugin: Plugin[Any, Any]) -> None:
        """Live with an open channel: hear, speak, notice when it has gone deaf."""
        self.board.heard(f"channels.{name}")
        self.connections[name] = connection
        try:
            if name == DOOR:
                await attend(connection, self.ready, self._gateway)
            gateway = self._gateway()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(gateway.hear(name, connection))
                tasks.create_task(gateway.outbox(name).speak(connection))
                if plugin.silent_seconds:
                    tasks.create_task(self._notice_silence(name, plugin.silent_seconds))
        finally:
            if self.connections.get(name) is connection:
                del self.connections[name]

    async def _notice_silence(self, name: str, seconds: float) -> None:
        """Raise `Unready` when the other side has given no sign of life for so long."""
        health = self.board.part(f"channels.{name}")
        while (left := health.last_heard + seconds - self.clock()) > 0:
            await asyncio.sleep(min(left, seconds) + 0.01)
        raise Unready(f"no sign of life for {seconds:.0f} s", retry_after=0.5)

    async def _warm(self, name: str, model: Model) -> None:
        behind = masked(name, model, self.masking)
        if isinstance(behind, Warms):
            await behind.warm([beginning(self.mind())])

    async def _keep_model(self, name: str, model: Model, _: Plugin[Any, Any]) -> None:
        await _keep(self.models, name, masked(name, model, self.masking))

    async def _keep_tools(self, name: str, tools: Any, _: Plugin[Any, Any]) -> None:
        await _keep(self.broker.parts, name, list(tools))

    async def _keep_memory(self, name: str, memory: Memory, _: Plugin[Any, Any]) -> None:
        self.memory = memory
        try:
            await asyncio.Event().wait()
        finally:
            self.memory = None

    def _open_window(self) -> None:
        settings = self.settings.api
        if self.port is not None:
            settings = settings.model_copy(update={"port": self.port})

        async def use(url: str) -> None:
            self.url = url
            self.window_open.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.url = ""

        def report(state: Any, why: str) -> None:
            self.board.report("api", state, why)

        serving = supervise("api", lambda: window()(self, settings), use, report)
        self._api = self.tasks.create_task(serving)


async def _keep(store: dict[str, Any], name: str, part: Any) -> None:
    """Keep an opened part in reach until it is cancelled."""
    store[name] = part
    try:
        await asyncio.Event().wait()
    finally:
        if store.get(name) is part:  # not the one that took its place
            del store[name]
