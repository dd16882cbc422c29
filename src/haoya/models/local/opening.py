# SPDX-License-Identifier: AGPL-3.0-or-later
"""From settings to an open local model: its file, its engine, its share of the machine."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from haoya.core.plugin import Context
from haoya.core.tool import Prompt, Sampling
from haoya.inference.engine import Launch, choose
from haoya.inference.entry import Entry
from haoya.inference.fit import LEAST_CONTEXT, estimate
from haoya.inference.gguf import read
from haoya.inference.kv import SavedSlots
from haoya.inference.machine import examine
from haoya.inference.process import Limits
from haoya.inference.queue import FairQueue
from haoya.inference.runner import Runner
from haoya.inference.store import Store
from haoya.models.local.model import LocalModel
from haoya.models.local.request import read_only, slot_body
from haoya.models.local.settings import LocalSettings

ASIDE_NICE = 10
"""How far work in the background steps back from all else on the machine (nice(2))."""

MIB = 1024 * 1024

REPACK_SHARE = 0.5
"""Weights are reordered where all of it takes no more than this share of what is free."""

REPACK_BYTES = 3 * 1024 * MIB
"""The most weights that are reordered by themselves: at start that costs a second a gigabyte."""

log = logging.getLogger("haoya.models")


@asynccontextmanager
async def open_model(settings: LocalSettings, context: Context) -> AsyncGenerator[LocalModel, None]:
    """Lend the model; its engine starts with the first question, or when it is warmed.

    Raises `ConfigError` where there is no such file or no engine for it.
    """
    entry = Store(context.models).find(settings.model)
    engine = choose(context.models, settings.engine, entry.path)
    launch = await asyncio.to_thread(_launch, settings, entry, context)
    kind = f"{entry.sha256}:{engine.name}:{engine.version}:{launch.cache_type}"
    saved = SavedSlots(context.state / "slots", kind, settings.cache_disk_mib * MIB)
    memory = settings.memory_mib * MIB

    async def body_of(prompt: Prompt, slot: int) -> bytes:
        return await slot_body(read_only(prompt), slot)

    chat = Runner(
        engine,
        launch,
        log=context.state / "engine.log",
        body_of=body_of,
        saved=saved if settings.cache_disk_mib else None,
        limits=Limits(memory=memory),
        unload_seconds=settings.unload_minutes * 60,
    )
    aside = Runner(
        engine,
        msgspec.structs.replace(launch, sessions=1, repack=False, draft=""),
        log=context.state / "engine-aside.log",
        body_of=body_of,
        limits=Limits(nice=ASIDE_NICE, memory=memory),
        unload_seconds=60,
    )
    queue = context.queue or FairQueue()
    with queue.lane(context.name, settings.sessions, pause=aside.freeze) as lane:
        async with asyncio.TaskGroup() as tasks:
            tending = [tasks.create_task(runner.tend()) for runner in (chat, aside)]
            try:
                yield LocalModel(
                    context.name,
                    chat,
                    aside,
                    lane,
                    prewarm=settings.prewarm,
                    blobs=context.blobs if settings.projector else None,
                    usual=Sampling(
                        temperature=settings.temperature, max_tokens=settings.max_tokens
                    ),
                )
            finally:
                for task in tending:
                    task.cancel()
                await chat.close()
                await aside.close()


def _launch(settings: LocalSettings, entry: Entry, context: Context) -> Launch:
    """What the engine is started with: as the owner says, the rest as it fits the machine."""
    beside = entry.beside("mmproj"), entry.beside("draft"), entry.beside("lora")
    projector, draft, adapters = ([str(path) for path in paths] for paths in beside)
    launch = Launch(
        model=str(entry.path),
        socket="",
        projector=_path(settings.projector, context) or next(iter(projector), ""),
        draft=_path(settings.draft, context) or next(iter(draft), ""),
        adapters=tuple(_path(name, context) for name in settings.adapters) or tuple(adapters),
        context_tokens=settings.context_tokens,
        sessions=settings.sessions,
        threads=settings.threads,
        batch=settings.batch,
        cache_type=settings.cache_type,
        repack=bool(settings.repack),
        flash_attention=settings.flash_attention,
        gpu_layers=settings.gpu_layers,
        embedding=settings.embedding,
    )
    return launch if entry.path.is_dir() else fitted(launch, settings.repack)


def fitted(launch: Launch, repack: bool | None) -> Launch:
    """The launch with as much context as the memory holds, and weights reordered (where the owner
    has not decided) if that leaves plenty and costs no long start."""
    gguf, machine = read(Path(launch.model)), examine()
    fit = estimate(
        gguf,
        context_tokens=launch.context_tokens,
        sessions=launch.sessions,
        cache_type=launch.cache_type,
        repack=True,
    )
    if repack is None:
        repack = fit.total <= machine.available * REPACK_SHARE and fit.weights <= REPACK_BYTES
    context = fit.context_tokens
    if fit.total - fit.repacked * (not repack) > machine.available:
        room = fit.context_within(machine.available + fit.repacked * (not repack))
        context = min(context, max(room // 256 * 256, LEAST_CONTEXT))
        if context < fit.context_tokens:
            log.warning(
                "%s gets a context of %d tokens, for that is what the memory holds",
                Path(launch.model).name,
                context,
            )
    return msgspec.structs.replace(launch, repack=repack, context_tokens=context)


def _path(name: str, context: Context) -> str:
    return str(Store(context.models).find(name).path) if name else ""
