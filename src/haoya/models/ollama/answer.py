# SPDX-License-Identifier: AGPL-3.0-or-later
"""From the lines of a chat answer to deltas (Ollama's API reference, "Generate a chat message").

What a model thought before a call is kept as plain text in `Finish.echo`: templates of thinking
models want it in front of the call while the tool loop lasts.
"""

import msgspec

from haoya.core.tool import CallDelta, Delta, Finish, TextDelta, ThoughtDelta, ToolCall, Usage
from haoya.models._wire.events import Events
from haoya.models._wire.fitting import own_id
from haoya.models._wire.thoughts import Spoken


class _Function(msgspec.Struct):
    name: str = ""
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class _Call(msgspec.Struct):
    function: _Function
    id: str | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[_Call] | None = None


class _Line(msgspec.Struct):
    model: str | None = None
    message: _Message | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


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
        self._events = Events(_Line, server, "Ollama", lines=True)
        self._model = model
        self._taken = set(taken)
        self._notes = notes
        self._spoken = Spoken()
        self._thoughts: list[str] = []
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
        """Whether the last line has come."""
        return self.ended

    def feed(self, data: bytes) -> list[Delta]:
        """The deltas these bytes complete. Raises `Unready`."""
        deltas: list[Delta] = []
        for line in self._events.feed(data):
            self._line(line, deltas)
        return deltas

    def finish(self) -> list[Delta]:
        """The rest, ending with `Finish`. Raises `Unready` if it broke off."""
        deltas: list[Delta] = []
        for line in self._events.finish():
            self._line(line, deltas)
        if not (self.ended or self.error):
            raise self._events.broken_off()
        self._say(*self._spoken.finish(), deltas)
        echo = "".join(self._thoughts) if self._called else ""
        finish = Finish(usage=self._usage, model=self._model, echo=echo, notes=self._notes)
        reason = "tools" if self._called else "length" if self._reason == "length" else "stop"
        deltas.append(msgspec.structs.replace(finish, reason=reason))
        return deltas

    def _line(self, line: _Line, deltas: list[Delta]) -> None:
        if bytes(line.error) != b"null":
            self.error = bytes(line.error)
        self._model = line.model or self._model
        if line.message is not None:
            self._message(line.message, deltas)
        if line.done:
            self.ended = True
            self._reason = line.done_reason or "stop"
            self._usage = Usage(prompt=line.prompt_eval_count or 0, completion=line.eval_count or 0)

    def _message(self, message: _Message, deltas: list[Delta]) -> None:
        within, text = self._spoken.feed(message.content) if message.content else ("", "")
        self._say((message.thinking or "") + within, text, deltas)
        for call in message.tool_calls or ():
            id = own_id(call.id or "", self._taken)
            self._called = True
            arguments = _text(call.function.arguments)
            made = ToolCall(id=id, name=call.function.name, arguments=arguments)
            deltas.append(CallDelta(call=made))

    def _say(self, thought: str, text: str, deltas: list[Delta]) -> None:
        if thought:
            self._thoughts.append(thought)
            deltas.append(ThoughtDelta(text=thought))
        if text:
            deltas.append(TextDelta(text=text))


def _text(raw: msgspec.Raw) -> str:
    """The arguments as JSON text; they come as an object, from some as a string of it."""
    data = bytes(raw)
    if data.startswith(b'"'):
        return msgspec.json.decode(data, type=str) or "{}"
    return "{}" if data == b"null" else data.decode()
