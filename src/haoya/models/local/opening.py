# SPDX-License-Identifier: AGPL-3.0-or-later
"""From settings to an open local model: its file, its engine, its share of the machine."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from haoya.core.plugin import Context
from haoya.core.tool import Prompt, Sampling
from haoya.inference.adapt import Allowance
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
from haoya.models.local.model import LocalModel, Runners
from haoya.models.local.request import read_only, slot_body
from haoya.models.local.settings import LocalSettings
from haoya.models.local.strain import Adapting

ASIDE_NICE = 10
"""How far work in the background steps back from all else on the machine (nice(2))."""

ASIDE_UNLOAD_SECONDS = 60.0
LIGHT_UNLOAD_SECONDS = 300.0

MIB = 1024 * 1024

REPACK_SHARE = 0.5
"""Weights are reordered where all of it takes no more than this share of what is free."""

REPACK_BYTES = 1536 * MIB
"""The most weights that are reordered by themselves: it takes as much memory again, and a second a
gigabyte at start."""

log = logging.getLogger("haoya.models")


@asynccontextmanager
async def open_model(settings: LocalSettings, context: Context) -> AsyncGenerator[LocalModel, None]:
    """Lend the model; its engine starts with the first question, or when it is warmed.

    Raises `ConfigError` where there is no such file or no engine for it.
    """
    runners = await asyncio.to_thread(_runners, settings, context)
    launch = runners.chat.launch
    allowed = Allowance(min_context_tokens=settings.min_context_tokens, lighter=settings.lighter)
    queue = context.queue or FairQueue()
    with queue.lane(context.name, launch.sessions, pause=runners.aside.freeze) as lane:
        async with asyncio.TaskGroup() as tasks:
            tending = [tasks.create_task(runner.tend()) for runner in runners.all()]
            try:
                yield LocalModel(
                    context.name,
                    runners,
                    lane,
                    Adapting(launch.context_tokens, allowed, lane, time.monotonic),
                    prewarm=settings.prewarm,
                    blobs=context.blobs if launch.projector else None,
                    usual=Sampling(
                        temperature=settings.temperature, max_tokens=settings.max_tokens
                    ),
                )
            finally:
                for task in tending:
                    task.cancel()
                for runner in runners.all():
                    await runner.close()


def _runners(settings: LocalSettings, context: Context) -> Runners:
    """The engines of a model, none of them started. Reads the file's header."""
    entry = Store(context.models).find(settings.model)
    launch = _launch(settings, entry, context)
    chat = _runner("engine", settings, context, entry, launch)
    aside = msgspec.structs.replace(launch, sessions=1, repack=False, draft="")
    light: Runner | None = None
    if settings.lighter:
        lighter = Store(context.models).find(settings.lighter)
        smaller = msgspec.structs.replace(launch, model=str(lighter.path), repack=False)
        light = _runner(
            "engine-light", settings, context, lighter, smaller, unload_seconds=LIGHT_UNLOAD_SECONDS
        )
    return Runners(
        chat=chat,
        aside=Runner(
            chat.engine,
            aside,
            log=context.state / "engine-aside.log",
            body_of=_read,
            limits=Limits(nice=ASIDE_NICE, memory=settings.memory_mib * MIB),
            unload_seconds=ASIDE_UNLOAD_SECONDS,
        ),
        light=light,
    )


def _runner(
    name: str,
    settings: LocalSettings,
    context: Context,
    entry: Entry,
    launch: Launch,
    *,
    unload_seconds: float | None = None,
) -> Runner:
    """An engine that answers people, with the caches of their conversations."""
    engine = choose(context.models, settings.engine, entry.path)
    kind = f"{entry.sha256}:{engine.name}:{engine.version}:{launch.cache_type}"
    saved = SavedSlots(context.state / "slots", kind, settings.cache_disk_mib * MIB)
    unload = settings.unload_minutes * 60 if unload_seconds is None else unload_seconds
    return Runner(
        engine,
        launch,
        log=context.state / f"{name}.log",
        body_of=_read,
        saved=saved if settings.cache_disk_mib else None,
        limits=Limits(memory=settings.memory_mib * MIB),
        unload_seconds=unload,
    )


async def _read(prompt: Prompt, slot: int) -> bytes:
    return await slot_body(read_only(prompt), slot)


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
