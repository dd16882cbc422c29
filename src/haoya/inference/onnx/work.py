# SPDX-License-Identifier: AGPL-3.0-or-later
"""One request on its way: what it reads, how it is drawn, what it has said so far."""

import queue
import threading
import time

import msgspec
from llguidance import LLMatcher

from haoya.inference.onnx.calls import bounded, grammar, wishes
from haoya.inference.onnx.model import Model
from haoya.inference.onnx.sampling import Draw, Logits, Sampler
from haoya.inference.onnx.speech import THINK, THOUGHT, Heard, Speech
from haoya.inference.onnx.wire import Call, Chat, Refused, Timings


class Done(msgspec.Struct, frozen=True):
    """The end of an answer."""

    reason: str
    timings: Timings


Step = Heard | Call | Done | Refused


class Work:
    """One answer in the making. Made by a connection's thread, carried on by the model's alone;
    `steps` is what passes between them, `cancelled` what goes back."""

    def __init__(self, model: Model, chat: Chat) -> None:
        self._model, self._chat = model, chat
        self.steps: queue.SimpleQueue[Step] = queue.SimpleQueue()
        self.cancelled = threading.Event()
        text = model.prompt(chat)
        self._matcher, self._closing = self._start(text)
        if thinking := text.rstrip().endswith(THINK):
            # A grammar cannot hold in a thought that the template has begun already.
            text += f"\n{THOUGHT}\n\n" if self._matcher else ""
        self.tokens = model.encode(text)
        self._check()
        self.slot = -1 if chat.id_slot is None else chat.id_slot
        self._sampler = Sampler(_draw(model.draw, chat))
        marks = (model.way.opens, model.way.closes) if chat.offered else ("", "")
        self._speech = Speech(
            opens=marks[0],
            closes=marks[1],
            stops=chat.stops,
            thinking=thinking and self._matcher is None,
        )
        self._banned = None if chat.offered else model.number_of(model.way.opens)
        self._ends = list(model.ends)
        self.said: list[int] = []
        self._calls = 0
        self.cached = 0
        self._begun = self._read = 0.0

    @property
    def keeps_cache(self) -> bool:
        """Whether what is already read may be used again."""
        return self._chat.cache_prompt

    def begin(self, cached: int) -> None:
        """A slot is free; `cached` tokens of the prompt are in it."""
        self.cached = cached
        self._begun = time.perf_counter()

    def draw(self, logits: Logits, room: int) -> int | None:
        """The next token, or None where the answer ends with it; `room` is left in the slot."""
        if not self.said:
            self._read = time.perf_counter()
        most = self._chat.most
        if most == 0:
            return self._end("length")
        mask = self._matcher.compute_bitmask() if self._matcher else None
        if self._banned is not None and mask is None:
            logits[self._banned] = float("-inf")
        if self._chat.ignore_eos and mask is None:
            logits[self._ends] = float("-inf")
        token = self._sampler.pick(logits, mask)
        if token in self._model.ends:
            return self._end("stop")
        self.said.append(token)
        if self._matcher and not self._matcher.consume_token(token):
            raise Refused(self._matcher.get_error(), status=500, kind="server_error")
        for heard in self._speech.hear(self._model.bytes_of(token)):
            self._tell(heard)
        if self._speech.stopped or self._kept():
            return self._end("stop")
        if len(self.said) == most or room <= 1:
            return self._end("length")
        return token

    def fail(self, error: Refused) -> None:
        """Nothing more will come."""
        self.steps.put(error)

    def _kept(self) -> bool:
        """Whether a grammar has come to its end and the answer with it."""
        if self._matcher is None:
            if self._speech.state == "call":
                self._matcher = self._model.matcher(self._closing)
            return False
        if not self._matcher.is_stopped():
            return False
        self._matcher = None
        return bool(self._chat.schema) or self._chat.must_call

    def _end(self, reason: str) -> None:
        for heard in self._speech.finish():
            self._tell(heard)
        now = time.perf_counter()
        timings = Timings(
            cache_n=self.cached,
            prompt_n=len(self.tokens) - self.cached,
            prompt_ms=(self._read - self._begun) * 1000,
            predicted_n=len(self.said),
            predicted_ms=(now - self._read) * 1000,
        )
        calls = self._calls and reason == "stop"
        self.steps.put(Done("tool_calls" if calls else reason, timings))

    def _tell(self, heard: Heard) -> None:
        if heard.kind != "call":
            self.steps.put(heard)
            return
        for wish in wishes(heard.text):
            name = f"call_{id(self):x}_{self._calls}"
            self.steps.put(Call(self._calls, name, wish.name, bytes(wish.arguments).decode()))
            self._calls += 1

    def _start(self, text: str) -> tuple[LLMatcher | None, str]:
        """The grammar that holds from the first token, and that of a call once it is begun."""
        model, chat = self._model, self._chat
        if not chat.offered:
            return (model.matcher(_schema(chat.schema)) if chat.schema else None), ""
        way = model.way
        close = model.mark(way.closes)
        inside = grammar(way, chat.offered, close)
        model.matcher(inside)  # a schema that cannot be kept to is told now
        if chat.must_call:
            return model.matcher(grammar(way, chat.offered, close, model.mark(way.opens))), inside
        return None, inside

    def _check(self) -> None:
        if len(self.tokens) >= self._model.context:
            raise Refused(
                f"the request has {len(self.tokens)} tokens, more than the context size of "
                f"{self._model.context}; shorten it or start the engine with a larger one",
                kind="exceed_context_size_error",
            )
        if not self.tokens:
            raise Refused("the conversation is empty; give at least one message")


def _schema(schema: bytes) -> str:
    try:
        return LLMatcher.grammar_from_json_schema(bounded(msgspec.Raw(schema)))
    except ValueError as error:
        raise Refused(f"this is no JSON Schema: {error}") from None


def _draw(usual: Draw, chat: Chat) -> Draw:
    """How this answer is drawn: as the request says, else as the model's folder does."""
    return Draw(
        temperature=usual.temperature if chat.temperature is None else max(chat.temperature, 0),
        top_p=usual.top_p if chat.top_p is None else chat.top_p,
        top_k=usual.top_k if chat.top_k is None else max(chat.top_k, 0),
        penalty=usual.penalty,
        seed=None if chat.seed is None or chat.seed < 0 else chat.seed,
    )
