# SPDX-License-Identifier: AGPL-3.0-or-later
"""Answers kept in memory for the very same question to the very same model."""

import hashlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import msgspec

from haoya.core.ports import Model
from haoya.core.tool import CallDelta, Delta, Finish, Prompt, ToolSpec, Usage

ANSWER_SECONDS = 3600.0
"""How long an answer is believed."""

REMEMBERED = "remembered answer"
"""How the note on such an answer begins; nobody was asked, so nothing was measured."""

_ENTRY_BYTES = 300
"""About what an entry costs beside its text: key, tuple, links."""


class Answers:
    """A bounded store: the least recently used leave when `max_bytes` are full, and all that are
    older than `seconds`."""

    def __init__(
        self, max_bytes: int, clock: Callable[[], float], seconds: float = ANSWER_SECONDS
    ) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._clock = clock
        self._seconds = seconds
        self._kept: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()

    def find(self, key: bytes) -> tuple[list[Delta], float] | None:
        """A kept answer and its age in seconds."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        age = self._clock() - kept[0]
        if age > self._seconds:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return msgspec.json.decode(kept[1], type=list[Delta]), age

    def keep(self, key: bytes, answer: Sequence[Delta]) -> None:
        """Keep an answer; one larger than the whole store is not kept."""
        text = msgspec.json.encode(answer)
        if key in self._kept:
            self._drop(key)
        if len(text) + _ENTRY_BYTES > self.max_bytes:
            return
        self._kept[key] = (self._clock(), text)
        self.bytes += len(text) + _ENTRY_BYTES
        while self.bytes > self.max_bytes:
            self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        """Forget all: a model is not what it was."""
        self._kept.clear()
        self.bytes = 0

    def _drop(self, key: bytes) -> None:
        _, text = self._kept.pop(key)
        self.bytes -= len(text) + _ENTRY_BYTES


def question(part: str, model: str, prompt: Prompt) -> bytes:
    """The key of a question: SHA-256 over all that an answer follows from. Whose it is does not
    count: where every word of the prompt is the same, so is what may be said."""
    facts = (part, model, prompt.lines, prompt.tools, prompt.choice, prompt.schema, prompt.sampling)
    return hashlib.sha256(msgspec.json.encode(facts, order="deterministic")).digest()


def harmless(answer: Sequence[Delta], tools: Sequence[ToolSpec]) -> bool:
    """Whether an answer may be given again: whole, and without a call that has effects."""
    effects = {tool.name: tool.effects for tool in tools}
    calls = [delta.call.name for delta in answer if isinstance(delta, CallDelta)]
    whole = any(isinstance(x, Finish) and x.reason in ("stop", "tools") for x in answer)
    return whole and not any(effects.get(name, {"exec"}) for name in calls)


class Remembering:
    """A `Model` that asks another one only what it has not been asked before.

    Answers drawn with a temperature above 0, or the model's own, are kept only with `drawn`.
    """

    def __init__(self, part: str, model: Model, answers: Answers, *, drawn: bool) -> None:
        self._part = part
        self._model = model
        self._answers = answers
        self._drawn = drawn

    @property
    def name(self) -> str:
        """The name of the model behind."""
        return self._model.name

    @property
    def context_tokens(self) -> int:
        """As the model behind has."""
        return self._model.context_tokens

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """The answer as it was, its note saying so, or as it comes; raises as the port says."""
        remembers = self._drawn or prompt.sampling.temperature == 0
        key = question(self._part, self.name, prompt) if remembers else b""
        found = self._answers.find(key) if key else None
        if found:
            for delta in found[0]:
                yield _again(delta, found[1])
            return
        said: list[Delta] = []
        async with aclosing(self._model.stream(prompt)) as deltas:
            async for delta in deltas:
                if key:
                    said.append(delta)
                yield delta
        if key and harmless(said, prompt.tools):
            self._answers.keep(key, said)


def _again(delta: Delta, age: float) -> Delta:
    if not isinstance(delta, Finish):
        return delta
    note = f"{REMEMBERED}, {age:.0f} s old"
    return msgspec.structs.replace(delta, usage=Usage(), notes=(note,))
