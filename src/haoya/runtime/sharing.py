# SPDX-License-Identifier: AGPL-3.0-or-later
"""The queue in front of this machine's models, as the owner's settings want it."""

import math
import platform
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import msgspec

from haoya.core.tool import Prompt
from haoya.inference.queue import FairQueue
from haoya.inference.seating import Terms
from haoya.runtime.budgets import Budgets, Use
from haoya.runtime.queue_settings import QueueSettings
from haoya.runtime.runs import Row

GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd")
"""What the drivers of NVIDIA and AMD make where there is a processor of theirs."""


def open_queue(settings: Callable[[], QueueSettings]) -> FairQueue:
    """The house's queue; changed settings hold from the next request on."""
    gpu = has_gpu()
    last: list[tuple[QueueSettings, Terms]] = []

    def terms() -> Terms:
        now = settings()
        if not last or last[0][0] is not now:
            last[:] = [(now, terms_of(now, gpu=gpu))]
        return last[0][1]

    return FairQueue(terms)


class Turns:
    """So many turns at a time. When all are taken, who waits is told apart by person, so that
    nobody's many conversations keep another's only one outside."""

    def __init__(self, at_once: int) -> None:
        terms = Terms(deadline=math.inf, beside=0)
        self._lane = FairQueue(lambda: terms, memory=lambda: None).open("turns", at_once)

    @property
    def full(self) -> bool:
        """Whether another turn would have to wait."""
        return self._lane.load >= 1

    def take(self, conversation: str, person: str = "") -> AbstractAsyncContextManager[object]:
        """Wait for a turn; `person` need only be known where all turns are taken."""
        prompt = Prompt(lines=(), conversation=conversation, person=person)
        return self._lane.enter(prompt, 1)


def terms_of(settings: QueueSettings, *, gpu: bool) -> Terms:
    """The queue's terms; where there is a GPU its shares stand above the weights."""
    floor = settings.memory_floor_mib
    return Terms(
        weights={**settings.weights, **(settings.gpu_share if gpu else {})},
        deadline=settings.deadline,
        beside=settings.beside,
        memory_floor=None if floor is None else floor * 2**20,
    )


def has_gpu() -> bool:
    """Whether engines are likely to compute on a GPU here."""
    if platform.system() == "Darwin":
        return platform.machine() == "arm64"
    return any(Path(device).exists() for device in GPU_DEVICES)


async def queue_row(
    queue: FairQueue, budgets: Budgets | None, role_of: Callable[[str], str]
) -> Row:
    """The answer to the verb `queue`: lanes, who is in them, and what was used today."""
    used: list[Row] = []
    for person in await budgets.people() if budgets else ():
        uses = await budgets.uses(person, role_of(person)) if budgets else []
        used += [_used(person, use) for use in uses]
    return {
        "lanes": [msgspec.to_builtins(row) for row in queue.lanes()],
        "people": [msgspec.to_builtins(row) for row in queue.people()],
        "budgets": used,
    }


def _used(person: str, use: Use) -> Row:
    return {"person": person, **msgspec.to_builtins(use), "spent": use.spent}
