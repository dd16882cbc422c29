# SPDX-License-Identifier: AGPL-3.0-or-later
"""OpenAI's Responses: answers (API reference, "Streaming events").

A response is a list of items: what the model thought, what it said, what it wants called. Items
open and close one after another, each event has a number.
"""

import time
import uuid

import msgspec

from haoya.api.wires.words import Ask
from haoya.core.tool import CallDelta, Delta, Finish, TextDelta, ThoughtDelta, ToolCall, Usage


class Text(msgspec.Struct):
    """Said words, or a thought: `type` is `output_text` or `reasoning_text`."""

    type: str
    text: str
    annotations: list[str] | msgspec.UnsetType = msgspec.UNSET
    logprobs: list[str] | msgspec.UnsetType = msgspec.UNSET


class Item(msgspec.Struct):
    """One item of the output, of whichever type."""

    id: str
    type: str
    status: str
    role: str | msgspec.UnsetType = msgspec.UNSET
    summary: list[str] | msgspec.UnsetType = msgspec.UNSET
    content: list[Text] | msgspec.UnsetType = msgspec.UNSET
    call_id: str | msgspec.UnsetType = msgspec.UNSET
    name: str | msgspec.UnsetType = msgspec.UNSET
    arguments: str | msgspec.UnsetType = msgspec.UNSET


class _Cached(msgspec.Struct):
    cached_tokens: int
    cache_write_tokens: int = 0


class _Thought(msgspec.Struct):
    reasoning_tokens: int = 0


class Tokens(msgspec.Struct):
    """`usage` of a response."""

    input_tokens: int
    input_tokens_details: _Cached
    output_tokens: int
    output_tokens_details: _Thought
    total_tokens: int


class Echoed(msgspec.Struct):
    """What a response repeats of its request, as it came."""

    instructions: msgspec.Raw = msgspec.Raw(b"null")
    tools: msgspec.Raw = msgspec.Raw(b"null")
    tool_choice: msgspec.Raw = msgspec.Raw(b"null")
    text: msgspec.Raw = msgspec.Raw(b"null")
    temperature: msgspec.Raw = msgspec.Raw(b"null")
    top_p: msgspec.Raw = msgspec.Raw(b"null")
    max_output_tokens: msgspec.Raw = msgspec.Raw(b"null")
    previous_response_id: msgspec.Raw = msgspec.Raw(b"null")
    metadata: msgspec.Raw = msgspec.Raw(b"null")


_ECHOED = msgspec.json.Decoder(Echoed)


class _Incomplete(msgspec.Struct):
    reason: str


class Response(msgspec.Struct, kw_only=True):
    """A response as far as it has come."""

    id: str
    object: str = "response"
    created_at: int
    status: str = "in_progress"
    background: bool = False
    error: None = None
    incomplete_details: _Incomplete | None = None
    instructions: msgspec.Raw
    max_output_tokens: msgspec.Raw
    metadata: msgspec.Raw
    model: str
    output: list[Item]
    parallel_tool_calls: bool = True
    previous_response_id: msgspec.Raw
    store: bool = False
    temperature: msgspec.Raw
    text: msgspec.Raw
    tool_choice: msgspec.Raw
    tools: msgspec.Raw
    top_p: msgspec.Raw
    truncation: str = "disabled"
    usage: Tokens | None = None


class Event(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Any event of a response."""

    type: str
    sequence_number: int | msgspec.UnsetType
    response: Response | msgspec.UnsetType = msgspec.UNSET
    output_index: int | msgspec.UnsetType = msgspec.UNSET
    content_index: int | msgspec.UnsetType = msgspec.UNSET
    item_id: str = ""
    item: Item | msgspec.UnsetType = msgspec.UNSET
    part: Text | msgspec.UnsetType = msgspec.UNSET
    delta: str | msgspec.UnsetType = msgspec.UNSET
    text: str | msgspec.UnsetType = msgspec.UNSET
    arguments: str | msgspec.UnsetType = msgspec.UNSET
    logprobs: list[str] | msgspec.UnsetType = msgspec.UNSET


class ResponsesPen:
    """Writes a response."""

    def __init__(self, ask: Ask, id: str) -> None:
        given = _ECHOED.decode(ask.raw)
        self._response = Response(
            id=id,
            created_at=int(time.time()),
            model=ask.model,
            output=[],
            instructions=given.instructions,
            max_output_tokens=given.max_output_tokens,
            metadata=_or(given.metadata, b"{}"),
            previous_response_id=given.previous_response_id,
            temperature=given.temperature,
            text=_or(given.text, b'{"format":{"type":"text"}}'),
            tool_choice=_or(given.tool_choice, b'"auto"'),
            tools=_or(given.tools, b"[]"),
            top_p=given.top_p,
        )
        self._number = 0
        self._kind = ""
        self._words: list[str] = []

    def begin(self) -> bytes:
        """`created` and `in_progress`."""
        response = self._response
        kinds = ("response.created", "response.in_progress")
        return b"".join(self._event(kind, response=response) for kind in kinds)

    def more(self, delta: Delta) -> bytes:
        """The events of a delta: what it opens, what it adds, what it closes."""
        match delta:
            case TextDelta(text=text):
                return self._add("message", "response.output_text", text)
            case ThoughtDelta(text=text):
                return self._add("reasoning", "response.reasoning_text", text)
            case CallDelta(call=call):
                return self._close() + self._call(call)
            case Finish():
                return self._close() + self._finish(delta)

    def whole(self) -> bytes:
        """The response."""
        return msgspec.json.encode(self._response)

    def _add(self, kind: str, name: str, text: str) -> bytes:
        opened = b"" if self._kind == kind else self._close() + self._open(kind)
        self._words.append(text)
        logs: list[str] | msgspec.UnsetType = [] if kind == "message" else msgspec.UNSET
        return opened + self._at(f"{name}.delta", content_index=0, delta=text, logprobs=logs)

    def _open(self, kind: str) -> bytes:
        item = Item(id=_id("msg" if kind == "message" else "rs"), type=kind, status="in_progress")
        item.content = []
        if kind == "message":
            item.role = "assistant"
        else:
            item.summary = []
        self._kind = kind
        self._response.output.append(item)
        added = self._item("response.output_item.added", item)
        part = _part(kind, "")
        item.content = [part]
        return added + self._at("response.content_part.added", content_index=0, part=part)

    def _close(self) -> bytes:
        """End the item that is open, if one is."""
        if not self._kind:
            return b""
        kind, text = self._kind, "".join(self._words)
        self._kind, self._words = "", []
        item = self._response.output[-1]
        part = _part(kind, text)
        item.content, item.status = [part], "completed"
        logs: list[str] | msgspec.UnsetType = [] if kind == "message" else msgspec.UNSET
        name = "response.output_text" if kind == "message" else "response.reasoning_text"
        return (
            self._at(f"{name}.done", content_index=0, text=text, logprobs=logs)
            + self._at("response.content_part.done", content_index=0, part=part)
            + self._item("response.output_item.done", item)
        )

    def _call(self, call: ToolCall) -> bytes:
        item = Item(id=_id("fc"), type="function_call", status="in_progress")
        item.call_id, item.name, item.arguments = call.id, call.name, ""
        self._response.output.append(item)
        added = self._item("response.output_item.added", item)
        item.arguments, item.status = call.arguments, "completed"
        kind = "response.function_call_arguments"
        return (
            added
            + self._at(f"{kind}.delta", delta=call.arguments)
            + self._at(f"{kind}.done", arguments=call.arguments)
            + self._item("response.output_item.done", item)
        )

    def _finish(self, finish: Finish) -> bytes:
        response = self._response
        response.usage = _tokens(finish.usage)
        response.status = "completed"
        if finish.reason in ("length", "filter"):
            reason = "max_output_tokens" if finish.reason == "length" else "content_filter"
            response.incomplete_details = _Incomplete(reason)
            response.status = "incomplete"
        return self._event(f"response.{response.status}", response=response)

    def _item(self, kind: str, item: Item) -> bytes:
        return self._event(kind, output_index=len(self._response.output) - 1, item=item)

    def _at(
        self,
        kind: str,
        *,
        content_index: int | msgspec.UnsetType = msgspec.UNSET,
        part: Text | msgspec.UnsetType = msgspec.UNSET,
        delta: str | msgspec.UnsetType = msgspec.UNSET,
        text: str | msgspec.UnsetType = msgspec.UNSET,
        arguments: str | msgspec.UnsetType = msgspec.UNSET,
        logprobs: list[str] | msgspec.UnsetType = msgspec.UNSET,
    ) -> bytes:
        """An event about the last item."""
        event = Event(
            type=kind,
            sequence_number=msgspec.UNSET,
            output_index=len(self._response.output) - 1,
            content_index=content_index,
            item_id=self._response.output[-1].id,
            part=part,
            delta=delta,
            text=text,
            arguments=arguments,
            logprobs=logprobs,
        )
        return self._numbered(event)

    def _event(
        self,
        kind: str,
        *,
        response: Response | msgspec.UnsetType = msgspec.UNSET,
        output_index: int | msgspec.UnsetType = msgspec.UNSET,
        item: Item | msgspec.UnsetType = msgspec.UNSET,
    ) -> bytes:
        event = Event(
            type=kind,
            sequence_number=msgspec.UNSET,
            response=response,
            output_index=output_index,
            item=item,
        )
        return self._numbered(event)

    def _numbered(self, event: Event) -> bytes:
        event.sequence_number = self._number
        self._number += 1
        data = msgspec.json.encode(event)
        return b"event: %b\ndata: %b\n\n" % (event.type.encode(), data)


def _or(raw: msgspec.Raw, usual: bytes) -> msgspec.Raw:
    return msgspec.Raw(usual) if bytes(raw) == b"null" else raw


def _part(kind: str, text: str) -> Text:
    if kind == "message":
        return Text("output_text", text, [], [])
    return Text("reasoning_text", text)


def _tokens(usage: Usage) -> Tokens:
    return Tokens(
        input_tokens=usage.prompt,
        input_tokens_details=_Cached(usage.cached),
        output_tokens=usage.completion,
        output_tokens_details=_Thought(),
        total_tokens=usage.prompt + usage.completion,
    )


def _id(kind: str) -> str:
    return f"{kind}_{uuid.uuid4().hex}"
