# SPDX-License-Identifier: AGPL-3.0-or-later
"""From settings to an open local model: its file, its engine, its share of the machine."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from haoya.core.errors import ConfigError
from haoya.core.plugin import Context
from haoya.core.tool import Prompt, Sampling
from haoya.inference.engine import Launch, choose
from haoya.inference.kv import SavedSlots
from haoya.inference.process import Limits
from haoya.inference.runner import Runner
from haoya.models.local.model import LocalModel
from haoya.models.local.request import read_only, slot_body
from haoya.models.local.settings import LocalSettings

ASIDE_NICE = 10
"""How far work in the background steps back from all else on the machine (nice(2))."""

MIB = 1024 * 1024


@asynccontextmanager
async def open_model(settings: LocalSettings, context: Context) -> AsyncGenerator[LocalModel, None]:
    """Lend the model; its engine starts with the first question, or when it is warmed.

    Raises `ConfigError` where there is no such file or no engine for it.
    """
    model = _file(settings.model, context)
    engine = choose(context.models, settings.engine, model)
    launch = _launch(settings, model, context)
    kind = f"{model}:{model.stat().st_mtime_ns}:{engine.name}:{engine.version}:{launch.cache_type}"
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
    if context.queue is None:
        raise ConfigError("a local model needs the house's queue")
    with context.queue.lane(context.name, settings.sessions, pause=aside.freeze) as lane:
        async with asyncio.TaskGroup() as tasks:
            tending = [tasks.create_task(runner.tend()) for runner in (chat, aside)]
            try:
                yield LocalModel(
                    context.name,
                    chat,
                    aside,
                    lane,
                    blobs=context.blobs if settings.projector else None,
                    usual=Sampling(
                        temperature=settings.temperature, max_tokens=settings.max_tokens
                    ),
                )
            finally:
                for task in tending:
                    task.cancel()
                await chat.down()
                await aside.down()


def _launch(settings: LocalSettings, model: Path, context: Context) -> Launch:
    """What the engine is started with."""
    return Launch(
        model=str(model),
        socket="",
        projector=str(_file(settings.projector, context)) if settings.projector else "",
        draft=str(_file(settings.draft, context)) if settings.draft else "",
        adapters=tuple(str(_file(name, context)) for name in settings.adapters),
        context_tokens=settings.context_tokens,
        sessions=settings.sessions,
        threads=settings.threads,
        batch=settings.batch,
        cache_type=settings.cache_type,
        repack=settings.repack if settings.repack is not None else True,
        flash_attention=settings.flash_attention,
        gpu_layers=settings.gpu_layers,
        embedding=settings.embedding,
    )


def _file(name: str, context: Context) -> Path:
    """The file of a model by its name in the store, or by its path."""
    path = Path(name).expanduser()
    if path.is_absolute() and path.exists():
        return path
    raise ConfigError(f"there is no model {name!r}", cure="see `haoya models list`")
