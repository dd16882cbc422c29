# SPDX-License-Identifier: AGPL-3.0-or-later
"""A model that runs when it is needed: its engine, its slots, and what is kept of them on disk."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from haoya.core.errors import Unready
from haoya.core.tool import Prompt
from haoya.inference.engine import Engine, Launch
from haoya.inference.kv import SavedSlots, beginning_file, beginning_of, conversation_file, size_of
from haoya.inference.process import Limits, Running, last_words, launched
from haoya.inference.slots import Placement, Slots
from haoya.inference.wire import request

log = logging.getLogger("haoya.inference")

TEND_SECONDS = 5.0
"""How often an engine is looked after: idle conversations stored, itself ended when unused."""

STORE_SECONDS = 60.0
"""How long nobody asks until what lies in slots only is stored: a power cut then costs little,
and a lively conversation does not wear the disk."""

SHORT_BYTES = 600
"""A beginning shorter than this (some 150 tokens) is read again sooner than it is kept."""

DRAIN_SECONDS = 60.0
LOOK_SECONDS = 0.02

FALLS = 3
"""Crashes within `FALL_SECONDS` after which an engine is left down for a while."""
FALL_SECONDS = 60.0


class Seated(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a running engine, taken for one request."""

    running: Running
    slot: int
    notes: tuple[str, ...] = ()

    @property
    def socket(self) -> str:
        """Where the engine listens."""
        return self.running.socket


class Runner:
    """One engine over one model.

    `body_of` writes the request that makes an engine read a prompt into a slot and answer with
    nothing. `saved` is where slots are kept, None for nowhere.
    """

    def __init__(
        self,
        engine: Engine,
        launch: Launch,
        *,
        log: Path,
        body_of: Callable[[Prompt, int], Awaitable[bytes]],
        saved: SavedSlots | None = None,
        limits: Limits | None = None,
        unload_seconds: float = 0,
    ) -> None:
        self.engine = engine
        self.launch = launch
        self._log = log
        self._body_of = body_of
        self._saved = saved if engine.keeps_slots and not launch.embedding else None
        self._limits = limits or Limits()
        self._unload_seconds = unload_seconds
        self._slots = Slots(launch.sessions)
        self._running: Running | None = None
        self._stack = AsyncExitStack()
        self._starting = asyncio.Lock()
        self._beginning = asyncio.Lock()  # the second of two strangers finds it read
        self._used = 0.0
        self._falls: list[float] = []
        self._frozen = False
        self._closed = False

    @property
    def running(self) -> Running | None:
        """The engine's process, None while it is down."""
        return self._running if self._running and self._running.alive else None

    @property
    def busy(self) -> int:
        """Requests at work."""
        return self._slots.busy if self.running else 0

    async def up(self) -> Running:
        """The running engine, started if need be; raises as `launched` does."""
        if self._closed:
            raise Unready("this model was closed; ask again", trouble="unreachable")
        async with self._starting:
            if self._running and self._running.alive:
                return self._running
            await self._bury()
            if self._saved:
                self._saved.prepare()
            launch = self.launch
            if self._saved:
                launch = msgspec.structs.replace(launch, slots=str(self._saved.folder))
            began = _now()
            running = await self._stack.enter_async_context(
                launched(self.engine, launch, self._log, self._limits)
            )
            log.info("engine %s is up after %.2f s", self.engine.name, _now() - began)
            self._slots = Slots(launch.sessions)
            self._running, self._used = running, _now()
            running.freeze(self._frozen)
            return running

    def freeze(self, frozen: bool) -> None:
        """Stop its work where it stands, or let it go on."""
        self._frozen = frozen
        if self._running:
            self._running.freeze(frozen)

    @asynccontextmanager
    async def seat(self, prompt: Prompt) -> AsyncGenerator[Seated, None]:
        """A slot with the conversation's cache in it, for one request.

        Where the engine falls meanwhile, the `Unready` that the request ends with says that it
        may be asked again.
        """
        running = await self.up()
        slots = self._slots
        place = slots.take(prompt.conversation, prompt.person)
        if place is None:
            text = f"all {self.launch.sessions} sessions of the model are in use"
            raise Unready(text, trouble="overloaded", retry_after=1)
        try:
            notes = await self._settle(running, slots, place, prompt)
            yield Seated(running=running, slot=place.slot, notes=notes)
        except Unready:
            if await _lives(running):
                raise
            raise self._fallen() from None
        finally:
            slots.free(place.slot, known=running.alive)
            self._used = _now()

    async def tend(self) -> None:
        """Look after the engine for ever: store what is idle, end what is not used."""
        while True:
            await asyncio.sleep(TEND_SECONDS)
            if self.running is None or self._slots.busy:
                continue
            idle = _now() - self._used
            if idle >= STORE_SECONDS:
                await self._store_all()
            if self._unload_seconds and idle >= self._unload_seconds:
                log.info("engine %s is not used and ends", self.engine.name)
                await self.down()

    async def down(self) -> None:
        """End the engine, its conversations stored."""
        async with self._starting:
            if self.running and not self._slots.busy:
                await self._store_all()
            await self._bury()

    async def close(self) -> None:
        """End for good; answers under way are given `DRAIN_SECONDS` to come to their end."""
        self._closed = True
        self.freeze(False)
        deadline = _now() + DRAIN_SECONDS
        while self.busy and _now() < deadline:
            await asyncio.sleep(LOOK_SECONDS)
        await self.down()

    async def _bury(self) -> None:
        await self._stack.aclose()
        self._stack = AsyncExitStack()
        self._running = None

    def _fallen(self) -> Unready:
        """What a request is told whose engine has ended under it."""
        now = _now()
        self._falls = [at for at in self._falls if now - at < FALL_SECONDS] + [now]
        said = last_words(self._log)
        log.warning("engine %s ended while it answered%s", self.engine.name, said and f": {said}")
        again = len(self._falls) < FALLS
        return Unready(
            f"the engine {self.engine.name} ended while it answered{said and f': {said}'}",
            retry_after=None if again else FALL_SECONDS,
            again=again,
        )

    async def _settle(
        self, running: Running, slots: Slots, place: Placement, prompt: Prompt
    ) -> tuple[str, ...]:
        """Bring the slot into the state the conversation left it in; what was done, in words."""
        if self._saved is None or not place.fresh:
            return ()
        if place.leaving:
            await self._store(running, place.slot, place.leaving)
        if prompt.conversation:
            name = conversation_file(prompt.conversation)
            if self._saved.has(name) and await self._load(running, place.slot, name):
                return ("its cache was loaded from disk",)
        beginning = beginning_of(prompt)
        if beginning is None or size_of(beginning) < SHORT_BYTES:
            return ()
        return await self._begin(running, place.slot, beginning)

    async def _begin(self, running: Running, slot: int, beginning: Prompt) -> tuple[str, ...]:
        """Put the beginning that prompts share into a slot; read once, then loaded from disk."""
        if self._saved is None:
            return ()
        name = beginning_file(beginning)
        async with self._beginning:
            if self._saved.has(name) and await self._load(running, slot, name):
                return ("the shared beginning was loaded from disk",)
            body = await self._body_of(beginning, slot)
            async with request(running.socket, "POST", "/v1/chat/completions", body) as reply:
                await reply.body()
                if reply.status == 200:
                    await self._save(running, slot, name)
        return ()

    async def remember(self, beginning: Prompt) -> None:
        """Read the beginning of a prompt now, so that the first answer need not."""
        shared = beginning_of(beginning)
        if shared is None or self._saved is None:
            await self.up()
            return
        async with self.seat(shared):
            pass

    async def _store_all(self) -> None:
        running, slots = self.running, self._slots
        if running is None or self._saved is None:
            return
        for slot, conversation in slots.unstored():
            await self._store(running, slot, conversation)
            slots.stored(slot)

    async def _store(self, running: Running, slot: int, conversation: str) -> None:
        await self._save(running, slot, conversation_file(conversation))

    async def _save(self, running: Running, slot: int, name: str) -> None:
        """Store a slot, and keep to what the disk may hold."""
        await self._slot(running, slot, "save", name)
        if self._saved:
            await asyncio.to_thread(self._saved.make_room)

    async def _load(self, running: Running, slot: int, name: str) -> bool:
        if await self._slot(running, slot, "restore", name):
            return True
        if self._saved:
            self._saved.forget(name)
        return False

    async def _slot(self, running: Running, slot: int, action: str, name: str) -> bool:
        """Save or restore a slot; whether that went well. A cache is never worth an error."""
        body = msgspec.json.encode({"filename": name})
        try:
            path = f"/slots/{slot}?action={action}"
            async with request(running.socket, "POST", path, body) as reply:
                said = await reply.body()
        except Unready:
            return False
        if reply.status != 200:
            words = said.decode("utf-8", "replace")[:200]
            log.warning("the engine could not %s a slot: %s", action, words)
        return reply.status == 200


async def _lives(running: Running) -> bool:
    """Whether the process is still there; a dying one is given a moment to be gone."""
    try:
        async with asyncio.timeout(0.2):
            await running.ended()
    except TimeoutError:
        return True
    return False


def _now() -> float:
    return asyncio.get_running_loop().time()
