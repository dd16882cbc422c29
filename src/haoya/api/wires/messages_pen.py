# SPDX-License-Identifier: AGPL-3.0-or-later
"""Anthropic's Messages: answers (API guide, "Streaming Messages").

A message is a list of blocks that open and close one after another. The tokens of the prompt are
known last here, so `message_start` says none and `message_delta` has them all.
"""

import uuid

import msgspec

from haoya.api.wires.words import Ask, event, object_text
from haoya.core.tool import CallDelta, Delta, Finish, TextDelta, ThoughtDelta, ToolCall, Usage

REASONS = {"stop": "end_turn", "length": "max_tokens", "tools": "tool_use", "filter": "refusal"}


class Block(msgspec.Struct):
    """One block, of whichever type."""

    type: str
    text: str | msgspec.UnsetType = msgspec.UNSET
    thinking: str | msgspec.UnsetType = msgspec.UNSET
    signature: str | msgspec.UnsetType = msgspec.UNSET
    id: str | msgspec.UnsetType = msgspec.UNSET
    name: str | msgspec.UnsetType = msgspec.UNSET
    input: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Tokens(msgspec.Struct):
    """`usage`: what was read from a cache is counted beside the rest of the prompt."""

    input_tokens: int = 0
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int = 0
    output_tokens: int = 0


class Message(msgspec.Struct, kw_only=True):
    """A message as far as it has come."""

    id: str
    type: str = "message"
    role: str = "assistant"
    model: str
    content: list[Block]
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Tokens


class _Delta(msgspec.Struct, omit_defaults=True):
    type: str
    text: str = ""
    thinking: str = ""
    signature: str = ""
    partial_json: str = ""


class _Stop(msgspec.Struct):
    stop_reason: str | None
    stop_sequence: str | None


class Event(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Any event of a message."""

    type: str
    index: int | msgspec.UnsetType = msgspec.UNSET
    message: Message | msgspec.UnsetType = msgspec.UNSET
    content_block: Block | msgspec.UnsetType = msgspec.UNSET
    delta: _Delta | _Stop | msgspec.UnsetType = msgspec.UNSET
    usage: Tokens | msgspec.UnsetType = msgspec.UNSET


class MessagesPen:
    """Writes a message."""

    def __init__(self, ask: Ask) -> None:
        self._message = Message(
            id=f"msg_{uuid.uuid4().hex}", model=ask.model, content=[], usage=Tokens()
        )
        self._kind = ""
        self._words: list[str] = []

    def begin(self) -> bytes:
        """`message_start`."""
        return _event(Event(type="message_start", message=self._message))

    def more(self, delta: Delta) -> bytes:
        """The events of a delta: what it opens, what it adds, what it closes."""
        match delta:
            case TextDelta(text=text):
                return self._add("text", text, _Delta("text_delta", text=text))
            case ThoughtDelta(text=text):
                return self._add("thinking", text, _Delta("thinking_delta", thinking=text))
            case CallDelta(call=call):
                return self._close() + self._call(call)
            case Finish():
                return self._close() + self._finish(delta)

    def whole(self) -> bytes:
        """The message."""
        return msgspec.json.encode(self._message)

    @property
    def _index(self) -> int:
        return len(self._message.content) - 1

    def _add(self, kind: str, text: str, delta: _Delta) -> bytes:
        opened = b""
        if self._kind != kind:
            opened = self._close()
            thinking = kind == "thinking"
            block = Block(kind, thinking="", signature="") if thinking else Block(kind, text="")
            opened += self._open(block)
            self._kind = kind
        self._words.append(text)
        return opened + self._delta(delta)

    def _open(self, block: Block) -> bytes:
        self._message.content.append(block)
        start = Event(type="content_block_start", index=self._index, content_block=block)
        return _event(start)

    def _delta(self, delta: _Delta) -> bytes:
        return _event(Event(type="content_block_delta", index=self._index, delta=delta))

    def _stop(self) -> bytes:
        return _event(Event(type="content_block_stop", index=self._index))

    def _close(self) -> bytes:
        """End the block that is open, if one is."""
        if not self._kind:
            return b""
        block, text = self._message.content[-1], "".join(self._words)
        if self._kind == "thinking":
            block.thinking = text
        else:
            block.text = text
        self._kind, self._words = "", []
        return self._stop()

    def _call(self, call: ToolCall) -> bytes:
        block = Block("tool_use", id=call.id, name=call.name, input=msgspec.Raw(b"{}"))
        opened = self._open(block)
        arguments = object_text(call.arguments)
        block.input = msgspec.Raw(arguments.encode())
        written = self._delta(_Delta("input_json_delta", partial_json=arguments))
        return opened + written + self._stop()

    def _finish(self, finish: Finish) -> bytes:
        message = self._message
        message.stop_reason = REASONS[finish.reason]
        message.usage = _tokens(finish.usage)
        stop = _Stop(message.stop_reason, None)
        ended = _event(Event(type="message_delta", delta=stop, usage=message.usage))
        return ended + _event(Event(type="message_stop"))


def _event(body: Event) -> bytes:
    return event(body.type, body)


def _tokens(usage: Usage) -> Tokens:
    cached = min(usage.cached, usage.prompt)
    return Tokens(
        input_tokens=usage.prompt - cached,
        cache_read_input_tokens=cached,
        output_tokens=usage.completion,
    )
