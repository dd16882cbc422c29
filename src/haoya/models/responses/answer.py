# SPDX-License-Identifier: AGPL-3.0-or-later
"""From the events of a streamed response to deltas (API reference, "Streaming events").

Servers that speak this wire leave out events: what an item's end or the whole response says counts
where its deltas did not come.
"""

import msgspec

from haoya.core.tool import CallDelta, Delta, Finish, TextDelta, ThoughtDelta, ToolCall, Usage
from haoya.models._wire.events import Events
from haoya.models._wire.fitting import own_id
from haoya.models._wire.order import Order

_WORDS = ("response.output_text.delta", "response.refusal.delta")
_THOUGHTS = ("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
_ENDS = ("response.completed", "response.incomplete", "response.failed")
_NULL = msgspec.Raw(b"null")


class _Cached(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: _Cached | None = None


class _Why(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    status: str | None = None
    model: str | None = None
    output: list[msgspec.Raw] | None = None
    usage: _Usage | None = None
    incomplete_details: _Why | None = None
    error: msgspec.Raw = _NULL


class _Event(_Response):
    type: str = ""
    object: str | None = None
    response: _Response | None = None
    output_index: int = 0
    item: msgspec.Raw = _NULL
    delta: msgspec.Raw = _NULL
    code: str | None = None
    message: str | None = None


class _Part(msgspec.Struct, omit_defaults=True):
    type: str = ""
    text: str | None = None
    refusal: str | None = None


class _Item(msgspec.Struct):
    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    content: list[_Part] | None = None
    summary: list[_Part] | None = None
    encrypted_content: str | None = None


class _Thought(msgspec.Struct, tag_field="type", tag="reasoning"):
    id: str
    summary: list[_Part]
    encrypted_content: str


class _Open:
    """An item that is still coming."""

    def __init__(self) -> None:
        self.arguments = ""
        self.name = ""
        self.call_id = ""
        self.spoken = False
        self.closed = False


_ITEM = msgspec.json.Decoder(_Item)
_TEXT = msgspec.json.Decoder(str)


class Answer:
    """One answer while it arrives: `feed` bytes, then `finish` once (see `_wire.link.Reader`)."""

    def __init__(
        self,
        server: str,
        model: str,
        taken: frozenset[str] = frozenset(),
        *,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._events = Events(_Event, server, "Responses")
        self._model = model
        self._taken = set(taken)
        self._notes = notes
        self._order = Order()
        self._open: dict[int, _Open] = {}
        self._called = False
        self._reason = "stop"
        self._usage = Usage()
        self.ended = False
        self.error = b""

    @property
    def begun(self) -> bool:
        """Whether anything of an answer has come."""
        return self._events.begun

    @property
    def done(self) -> bool:
        """Whether the last event has come."""
        return self.ended

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
        finish = Finish(
            usage=self._usage, model=self._model, echo=self._order.echo(), notes=self._notes
        )
        reason = "tools" if self._called else self._reason
        deltas.append(msgspec.structs.replace(finish, reason=reason))
        return deltas

    def _event(self, event: _Event, deltas: list[Delta]) -> None:
        kind = event.type
        if kind in _WORDS:
            self._at(event.output_index).spoken = True
            self._say(self._text(event.delta), deltas)
        elif kind in _THOUGHTS:
            deltas.append(ThoughtDelta(text=self._text(event.delta)))
        elif kind == "response.function_call_arguments.delta":
            self._at(event.output_index).arguments += self._text(event.delta)
        elif kind == "response.output_item.added":
            item, slot = self._item(event.item), _Open()
            self._open[event.output_index] = slot
            slot.name, slot.call_id = item.name or "", item.call_id or item.id or ""
        elif kind == "response.output_item.done":
            self._close(event.output_index, self._item(event.item), deltas)
        elif kind == "error":
            self.error = self._told(event)
        elif kind in _ENDS or event.object == "response":
            self._end(event.response or event, deltas)

    def _end(self, response: _Response, deltas: list[Delta]) -> None:
        told = any(slot.closed for slot in self._open.values())
        for index, raw in enumerate(() if told else response.output or ()):
            self._close(index, self._item(raw), deltas)
        if response.status == "failed" or bytes(response.error) != b"null":
            self.error = bytes(response.error)
        why = response.incomplete_details
        if response.status == "incomplete" or (why and why.reason):
            self._reason = "filter" if why and why.reason == "content_filter" else "length"
        self._model = response.model or self._model
        self._usage = _counted(response.usage or _Usage())
        self.ended = True

    def _close(self, index: int, item: _Item, deltas: list[Delta]) -> None:
        """The end of an item, told by itself or with the whole response."""
        slot = self._at(index)
        if slot.closed:
            return
        slot.closed = True
        if item.type == "message" and not slot.spoken:
            parts = item.content or ()
            self._say("".join(part.text or part.refusal or "" for part in parts), deltas)
        elif item.type == "function_call":
            id = own_id(item.call_id or slot.call_id, self._taken)
            arguments = (item.arguments or slot.arguments).strip() or "{}"
            call = ToolCall(id=id, name=item.name or slot.name, arguments=arguments)
            self._order.call()
            self._called = True
            deltas.append(CallDelta(call=call))
        elif item.type == "reasoning" and item.encrypted_content:
            summary = [part for part in item.summary or () if part.text]
            thought = _Thought(item.id or "", summary, item.encrypted_content)
            self._order.thought(msgspec.json.encode(thought))

    def _say(self, text: str, deltas: list[Delta]) -> None:
        if text:
            self._order.word(text)
            deltas.append(TextDelta(text=text))

    def _at(self, index: int) -> _Open:
        return self._open.setdefault(index, _Open())

    def _item(self, raw: msgspec.Raw) -> _Item:
        try:
            return _ITEM.decode(raw)
        except msgspec.DecodeError as e:
            raise self._events.strange(str(e)) from None

    def _text(self, raw: msgspec.Raw) -> str:
        try:
            return _TEXT.decode(raw)
        except msgspec.DecodeError as e:
            raise self._events.strange(str(e)) from None

    def _told(self, event: _Event) -> bytes:
        if bytes(event.error) != b"null":
            return bytes(event.error)
        return msgspec.json.encode({"code": event.code, "message": event.message})


def _counted(usage: _Usage) -> Usage:
    details = usage.input_tokens_details
    return Usage(
        prompt=usage.input_tokens or 0,
        completion=usage.output_tokens or 0,
        cached=(details and details.cached_tokens) or 0,
    )
