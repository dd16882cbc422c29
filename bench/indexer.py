# SPDX-License-Identifier: AGPL-3.0-or-later
"""A plugin that indexes in the background for as long as a file is there: bench/fairness.py.

    [models.index]
    use = "indexer"
    model = "/path/embedder.gguf"
    flag = "/path/go"
    count = "/path/count"

It opens a local embedding model of its own, as a knowledge base would, and asks it for the vectors
of batch after batch; the number of batches done stands in the file `count`.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pydantic

from haoya.core.errors import Unready
from haoya.core.plugin import Context, Plugin
from haoya.models.local import LocalModel, LocalSettings
from haoya.models.local import plugin as local

TEXT = "A page about the house, its rooms and who may go where. " * 12
BATCH = 16
LOOK_SECONDS = 0.05


class IndexerSettings(pydantic.BaseModel):
    """The embedding model and the files that steer it."""

    model: str
    flag: Path
    count: Path
    context_tokens: int = 2048


@asynccontextmanager
async def _open(settings: IndexerSettings, context: Context) -> AsyncGenerator[LocalModel]:
    wanted = LocalSettings(
        model=settings.model,
        embedding=True,
        context_tokens=settings.context_tokens,
        sessions=1,
        prewarm=False,
    )
    async with local.open(wanted, context) as model, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_index(settings, model))
        try:
            yield model
        finally:
            task.cancel()


async def _index(settings: IndexerSettings, model: LocalModel) -> None:
    done = 0
    while True:
        if not settings.flag.exists():
            await asyncio.sleep(LOOK_SECONDS)
            continue
        texts = [f"{done} {number} {TEXT}" for number in range(BATCH)]
        try:
            await model.embed(texts, urgency="background")
        except Unready:
            await asyncio.sleep(1)
            continue
        done += 1
        settings.count.write_text(str(done))


plugin: Plugin[IndexerSettings, LocalModel] = Plugin(
    kind="model",
    name="indexer",
    settings=IndexerSettings,
    open=_open,
    summary="Indexes without end, for measuring",
)
