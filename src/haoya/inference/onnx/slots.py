# SPDX-License-Identifier: AGPL-3.0-or-later
"""The slots of the model and the one thread that works on them.

One token for each answer in turn, then one piece of one prompt, and again: answers grow side by
side, and a long prompt holds up nobody for longer than a piece of it takes. (The package batches
by itself only graphs with paged attention, which are made for GPUs.)
"""

from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

import msgspec

from haoya.inference.onnx.model import BROKEN, Cache, Model
from haoya.inference.onnx.wire import Refused
from haoya.inference.onnx.work import Work


class State(msgspec.Struct, frozen=True):
    """A slot as clients see it; `n_cached` tokens are in it."""

    id: int
    n_ctx: int
    is_processing: bool
    n_cached: int


class Slot:
    """A cache and what is in it."""

    def __init__(self) -> None:
        self.cache: Cache | None = None
        self.tokens: list[int] = []
        self.work: Work | None = None
        self.used = 0

    def shared(self, work: Work) -> int:
        """How many tokens of the prompt need not be read again; the last one always is."""
        if self.cache is None or not work.keeps_cache:
            return 0
        count = 0
        for ours, theirs in zip(self.tokens, work.tokens[:-1], strict=False):
            if ours != theirs:
                break
            count += 1
        return count

    def begin(self, model: Model, work: Work) -> None:
        """Take a request: forget what is not in its prompt."""
        shared = self.shared(work)
        if self.cache is not None:
            try:
                self.cache.rewind(shared)
            except BROKEN:  # some kinds of models cannot go back
                self.cache = None
        if self.cache is None:
            self.cache, shared = model.cache(), 0
        del self.tokens[shared:]
        work.begin(shared)

    def drop(self) -> None:
        """Forget everything."""
        self.cache, self.tokens, self.work = None, [], None


class Slots:
    """All slots, and the requests that wait for one in the order they came."""

    def __init__(self, model: Model, count: int, batch: int) -> None:
        self._model, self._batch = model, batch
        self._slots = [Slot() for _ in range(count)]
        self._waiting: deque[Work] = deque()
        # Not a lock: who holds one for most of the time is seldom robbed of it, and a new request
        # would wait until the answers under way have ended.
        self._inbox: SimpleQueue[Work | None] = SimpleQueue()
        self._closing = False
        self._turns = 0

    def ask(self, work: Work) -> None:
        """Let a request wait for a slot; `Refused` where there is no such slot."""
        if work.slot >= len(self._slots):
            raise Refused(f"id_slot {work.slot}: there are {len(self._slots)} slots, from 0 on")
        if self._closing:
            raise Refused("the engine is ending", status=503, kind="unavailable_error")
        self._inbox.put(work)

    @property
    def states(self) -> list[State]:
        """What each slot is doing now."""
        return [
            State(n, self._model.context, slot.work is not None, len(slot.tokens))
            for n, slot in enumerate(self._slots)
        ]

    def close(self) -> None:
        """End `run` after the step it is in."""
        self._closing = True
        self._inbox.put(None)

    def run(self) -> None:
        """Work until closed. The only place that touches the model's caches."""
        while self._seat():
            for slot in self._slots:
                if slot.work and len(slot.tokens) >= len(slot.work.tokens):
                    self._step(slot, self._say)
            reading = [
                slot
                for slot in self._slots
                if slot.work and len(slot.tokens) < len(slot.work.tokens)
            ]
            if reading:
                self._step(min(reading, key=lambda slot: slot.used), self._read)
        for slot in self._slots:
            slot.drop()

    def _seat(self) -> bool:
        """Give free slots to those who wait; whether to go on."""
        while not self._closing:
            while not self._inbox.empty():
                self._take(self._inbox.get())
            self._waiting = deque(work for work in self._waiting if not self._placed(work))
            if any(slot.work for slot in self._slots):
                return True
            self._take(self._inbox.get())
        return False

    def _take(self, work: Work | None) -> None:
        if work is not None:
            self._waiting.append(work)

    def _placed(self, work: Work) -> bool:
        if work.cancelled.is_set():
            return True
        free = [slot for slot in self._slots if slot.work is None]
        if work.slot >= 0:
            free = [slot for slot in free if slot is self._slots[work.slot]]
        if not free:
            return False
        slot = max(free, key=lambda slot: (slot.shared(work), -slot.used))
        self._turns += 1
        slot.used = self._turns
        slot.work = work
        self._step(slot, self._begin)
        return True

    def _step(self, slot: Slot, act: Callable[[Slot, Work], bool]) -> None:
        """One step of a slot's request; what goes wrong in it ends this request alone."""
        work = slot.work
        if work is None or work.cancelled.is_set():
            slot.work = None
            return
        try:
            going = act(slot, work)
        except Refused as error:
            work.fail(error)
            slot.work = None
        except BROKEN as error:
            work.fail(Refused(f"the model failed: {error}", status=500, kind="server_error"))
            slot.drop()
        else:
            slot.work = work if going else None

    def _begin(self, slot: Slot, work: Work) -> bool:
        slot.begin(self._model, work)
        return True

    def _read(self, slot: Slot, work: Work) -> bool:
        assert slot.cache is not None
        at = len(slot.tokens)
        piece = work.tokens[at : at + self._batch]
        slot.cache.read(piece)
        slot.tokens += piece
        return True

    def _say(self, slot: Slot, work: Work) -> bool:
        assert slot.cache is not None
        logits = slot.cache.logits()
        token = work.draw(logits, self._model.context - len(slot.tokens))
        if token is None:
            return False
        slot.cache.say(token, len(logits))
        slot.tokens.append(token)
        return True
