# SPDX-License-Identifier: AGPL-3.0-or-later
"""From the events of a streamed message to deltas (API reference, "Streaming Messages")."""

import msgspec

from haoya.core.tool import CallDelta, Delta, Finish, TextDelta, ThoughtDelta, ToolCall, Usage
from haoya.models._wire.events import Events
from haoya.models._wire.fitting import own_id
from haoya.models._wire.order import Order

_REASONS = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "refusal": "filter",
}
_NULL = msgspec.Raw(b"null")


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None


class _Block(msgspec.Struct):
    type: str = ""
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = _NULL
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None


class _Message(msgspec.Struct):
    model: str | None = None
    content: list[_Block] | None = None
    stop_reason: str | None = None
    usage: _Usage | None = None


class _Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None


class _Event(_Message):
    type: str = ""
    index: int = 0
    message: _Message | None = None
    content_block: _Block | None = None
    delta: _Delta | None = None
    error: msgspec.Raw = _NULL


class _Thought(msgspec.Struct, tag_field="type", tag="thinking"):
    thinking: str
    signature: str


class _Redacted(msgspec.Struct, tag_field="type", tag="redacted_thinking"):
    data: str


class _Open:
    """A block that is still coming."""

    def __init__(self, block: _Block) -> None:
        self.block = block
        self.json: list[str] = []
        self.thinking: list[str] = []
        self.signature = block.signature or ""


class Answer:
    """One answer while it arrives: `feed` bytes, then `finish` once (see `_wire.link.Reader`).

    What the tool called `form` is filled in with are the words of the answer.
    """

    def __init__(
        self,
        server: str,
        model: str,
        taken: frozenset[str] = frozenset(),
        *,
        form: str = "",
        notes: tuple[str, ...] = (),
    ) -> None:
        self._events = Events(_Event, server, "Messages")
        self._model = model
        self._taken = set(taken)
        self._form = form
        self._notes = notes
        self._order = Order()
        self._open: dict[int, _Open] = {}
        self._called = False
        self._reason = ""
        self._counts = _Usage()
        self.ended = False
        self.done = False
        self.error = b""

    @property
    def begun(self) -> bool:
        """Whether anything of an answer has come."""
        return self._events.begun

    def feed(self, data: bytes) -> list[Delta]:
        """The deltas these bytes complete. Raises `Unready`."""
        deltas: list[Delta] = []
        for event in self._events.feed(data):
            self._event(event, deltas)
        return deltas

    def finish(self) -> list[Delta]:
        """The rest, ending with `Finish`. Raises `Unready` if it broke off."""
        deltas: list[Delta] = []
        for event in self._events.finish():
            self._event(event, deltas)
        if not (self.ended or self.error):
            raise self._events.broken_off()
        for index in sorted(self._open):
            self._close(index, deltas)
        finish = Finish(
            usage=self._usage(), model=self._model, echo=self._order.echo(), notes=self._notes
        )
        reason = "tools" if self._called else _REASONS.get(self._reason, "stop")
        deltas.append(msgspec.structs.replace(finish, reason=reason))
        return deltas

    def _event(self, event: _Event, deltas: list[Delta]) -> None:
        match event.type:
            case "content_block_delta" if event.delta:
                self._delta(event.index, event.delta, deltas)
            case "content_block_start" if event.content_block:
                self._begin(event.index, event.content_block, deltas)
            case "content_block_stop":
                self._close(event.index, deltas)
            case "message_start" if event.message:
                self._message(event.message, deltas)
            case "message_delta":
                self._count(event.usage)
                if event.delta and event.delta.stop_reason:
                    self._stop(event.delta.stop_reason)
            case "message_stop":
                self.ended = self.done = True
            case "message":  # a whole answer although a stream was asked for
                self._message(event, deltas)
                self.ended = self.done = True
            case "error":
                self.error = bytes(event.error)
            case _:
                if bytes(event.error) != b"null":
                    self.error = bytes(event.error)

    def _message(self, message: _Message, deltas: list[Delta]) -> None:
        self._model = message.model or self._model
        self._count(message.usage)
        for index, block in enumerate(message.content or ()):
            self._begin(index, block, deltas)
            self._close(index, deltas)
        if message.stop_reason:
            self._stop(message.stop_reason)

    def _stop(self, reason: str) -> None:
        self._reason = reason
        self.ended = True

    def _begin(self, index: int, block: _Block, deltas: list[Delta]) -> None:
        block.input = block.input.copy()
        self._open[index] = _Open(block)
        self._say(block.text or "", deltas)
        if block.thinking:
            self._think(self._open[index], block.thinking, deltas)

    def _delta(self, index: int, delta: _Delta, deltas: list[Delta]) -> None:
        if index not in self._open:
            kinds = {"input_json_delta": "tool_use", "text_delta": "text"}
            self._open[index] = _Open(_Block(type=kinds.get(delta.type, "thinking")))
        slot = self._open[index]
        if delta.text:
            self._say(delta.text, deltas)
        elif delta.partial_json:
            slot.json.append(delta.partial_json)
            if self._form and slot.block.name == self._form:
                self._say(delta.partial_json, deltas)
        elif delta.thinking:
            self._think(slot, delta.thinking, deltas)
        elif delta.signature:
            slot.signature += delta.signature

    def _close(self, index: int, deltas: list[Delta]) -> None:
        slot = self._open.pop(index, None)
        if slot is None:
            return
        block = slot.block
        if block.type == "tool_use":
            self._call(slot, deltas)
        elif block.type == "thinking":
            thought = _Thought("".join(slot.thinking), slot.signature)
            if slot.signature:
                self._order.thought(msgspec.json.encode(thought))
        elif block.type == "redacted_thinking":
            self._order.thought(msgspec.json.encode(_Redacted(block.data or "")))

    def _call(self, slot: _Open, deltas: list[Delta]) -> None:
        whole = bytes(slot.block.input).decode()
        arguments = "".join(slot.json).strip() or ("{}" if whole in ("null", '""') else whole)
        if self._form and slot.block.name == self._form:
            if not slot.json:
                self._say(arguments, deltas)
            return
        id = own_id(slot.block.id or "", self._taken)
        self._order.call()
        self._called = True
        call = ToolCall(id=id, name=slot.block.name or "", arguments=arguments)
        deltas.append(CallDelta(call=call))

    def _say(self, text: str, deltas: list[Delta]) -> None:
        if text:
            self._order.word(text)
            deltas.append(TextDelta(text=text))

    def _think(self, slot: _Open, text: str, deltas: list[Delta]) -> None:
        slot.thinking.append(text)
        deltas.append(ThoughtDelta(text=text))

    def _count(self, usage: _Usage | None) -> None:
        """The newest counts; those of the end may repeat only some of those of the start."""
        for name in _Usage.__struct_fields__ if usage else ():
            if (number := getattr(usage, name)) is not None:
                setattr(self._counts, name, number)

    def _usage(self) -> Usage:
        counts = self._counts
        cached = counts.cache_read_input_tokens or 0
        written = counts.cache_creation_input_tokens or 0
        return Usage(
            prompt=(counts.input_tokens or 0) + written + cached,
            completion=counts.output_tokens or 0,
            cached=cached,
        )
