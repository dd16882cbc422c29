# SPDX-License-Identifier: AGPL-3.0-or-later
"""Requests and answers as JSON, in the words of llama.cpp's server (its README, "API Endpoints").

Unknown fields are left alone, as that server does; what is wrong in a known one is the client's
fault and named.
"""

import time
from typing import Literal

import msgspec

MOST_STOPS = 16
"""Stop strings in one request; more than any API we serve allows."""


class Refused(Exception):
    """A request cannot be answered; `status` and `kind` are what the client is told."""

    def __init__(self, message: str, *, status: int = 400, kind: str = "invalid_request_error"):
        super().__init__(message)
        self.status = status
        self.kind = kind

    @property
    def body(self) -> bytes:
        """The error as that server writes it."""
        error = {"code": self.status, "message": str(self), "type": self.kind}
        return msgspec.json.encode({"error": error})


class Piece(msgspec.Struct, frozen=True):
    """One part of a message's content."""

    type: str
    text: str = ""


class CalledFunction(msgspec.Struct, frozen=True):
    """A tool's name and the JSON text of its arguments."""

    name: str = ""
    arguments: str = "{}"


class Called(msgspec.Struct, frozen=True):
    """A call that an assistant's line holds."""

    id: str = ""
    type: str = "function"
    function: CalledFunction = CalledFunction()


class Message(msgspec.Struct, frozen=True):
    """One line of the conversation."""

    role: str
    content: str | list[Piece] | None = None
    tool_calls: list[Called] | None = None
    tool_call_id: str | None = None
    name: str | None = None

    @property
    def text(self) -> str:
        """The words; `Refused` where there is something else."""
        if isinstance(self.content, str):
            return self.content
        pieces = self.content or []
        for piece in pieces:
            if piece.type != "text":
                raise Refused(f"this model takes text only, not {piece.type!r}")
        return "\n".join(piece.text for piece in pieces)


class Function(msgspec.Struct, frozen=True):
    """A tool as the client describes it."""

    name: str
    description: str = ""
    parameters: msgspec.Raw = msgspec.Raw(b'{"type":"object"}')


class Tool(msgspec.Struct, frozen=True):
    """A tool; only functions exist."""

    function: Function
    type: str = "function"


class Named(msgspec.Struct, frozen=True):
    """The name inside a choice of tool."""

    name: str


class Choice(msgspec.Struct, frozen=True):
    """A choice of one tool."""

    function: Named
    type: str = "function"


class Schema(msgspec.Struct, frozen=True):
    """A JSON Schema with its name."""

    schema: msgspec.Raw = msgspec.Raw(b"{}")


class Format(msgspec.Struct, frozen=True):
    """What the answer's text must be."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: Schema | None = None
    schema: msgspec.Raw = msgspec.Raw(b"")

    @property
    def wanted(self) -> bytes:
        """The JSON Schema to keep to; empty for plain text."""
        if self.type == "text":
            return b""
        if self.json_schema is not None:
            return bytes(self.json_schema.schema)
        return bytes(self.schema) or b'{"type":"object"}'


class StreamOptions(msgspec.Struct, frozen=True):
    """What a stream says besides."""

    include_usage: bool = False


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/chat/completions`. None leaves a setting to the model's own."""

    messages: list[Message]
    model: str = ""
    stream: bool = False
    stream_options: StreamOptions | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["auto", "none", "required"] | Choice | None = None
    response_format: Format | None = None
    json_schema: msgspec.Raw = msgspec.Raw(b"")
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    id_slot: int | None = None
    cache_prompt: bool = True
    ignore_eos: bool = False
    """Go on where the model would end, for measurements."""

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings, checked."""
        stops = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if len(stops) > MOST_STOPS:
            raise Refused(f"stop: {len(stops)} strings, at most {MOST_STOPS} are looked for")
        return tuple(stop for stop in stops if stop)

    @property
    def most(self) -> int | None:
        """Tokens to answer with at most (0: the prompt is only read); None for as many as fit."""
        wanted = self.max_completion_tokens if self.max_tokens is None else self.max_tokens
        return wanted if wanted is not None and wanted >= 0 else None

    @property
    def schema(self) -> bytes:
        """The JSON Schema the answer must satisfy; empty for none."""
        if given := bytes(self.json_schema):
            return given
        return self.response_format.wanted if self.response_format else b""

    @property
    def offered(self) -> list[Function]:
        """The tools that may be called; `Refused` where the chosen one is not there."""
        tools = [tool.function for tool in self.tools or []]
        if not isinstance(self.tool_choice, Choice):
            return [] if self.tool_choice == "none" else tools
        wanted = self.tool_choice.function.name
        if not (chosen := [tool for tool in tools if tool.name == wanted]):
            raise Refused(f"tool_choice: there is no tool {wanted!r} among the tools")
        return chosen

    @property
    def must_call(self) -> bool:
        """Whether the answer has to be a call."""
        return self.tool_choice == "required" or isinstance(self.tool_choice, Choice)


class Text(msgspec.Struct, frozen=True):
    """`POST /tokenize`."""

    content: str
    add_special: bool = False


class Numbers(msgspec.Struct, frozen=True):
    """`POST /detokenize`."""

    tokens: list[int]


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """How long an answer took: `cache_n` of the prompt were reused, `prompt_n` looked at."""

    cache_n: int
    prompt_n: int
    prompt_ms: float
    predicted_n: int
    predicted_ms: float

    @property
    def usage(self) -> dict[str, int | dict[str, int]]:
        """The same as OpenAI counts it."""
        prompt = self.cache_n + self.prompt_n
        return {
            "prompt_tokens": prompt,
            "completion_tokens": self.predicted_n,
            "total_tokens": prompt + self.predicted_n,
            "prompt_tokens_details": {"cached_tokens": self.cache_n},
        }


class Call(msgspec.Struct, frozen=True):
    """A complete call of a tool, with its place among the answer's calls."""

    index: int
    id: str
    name: str
    arguments: str

    @property
    def spoken(self) -> dict[str, str | dict[str, str]]:
        """As an answer that comes whole holds it."""
        function = {"name": self.name, "arguments": self.arguments}
        return {"id": self.id, "type": "function", "function": function}


class Delta(msgspec.Struct, frozen=True, omit_defaults=True):
    """More of an answer."""

    role: str = ""
    content: str = ""
    reasoning_content: str = ""
    tool_calls: tuple[dict[str, int | str | dict[str, str]], ...] = ()


class Spoken(msgspec.Struct, frozen=True, omit_defaults=True):
    """An answer that comes whole."""

    role: str
    content: str | None
    reasoning_content: str = ""
    tool_calls: tuple[dict[str, str | dict[str, str]], ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """What all lines of one answer share."""

    id: str
    model: str
    created: int = msgspec.field(default_factory=lambda: int(time.time()))

    def chunk(self, delta: Delta | None, *, reason: str | None = None) -> bytes:
        """One step of a stream."""
        choice = {"index": 0, "delta": delta or Delta(), "finish_reason": reason}
        return self._line("chat.completion.chunk", choices=[choice])

    def last(self, timings: Timings, *, usage: bool) -> bytes:
        """The end of a stream; with `usage` the tokens are counted in it."""
        if not usage:
            return self._line("chat.completion.chunk", choices=[], timings=timings)
        return self._line("chat.completion.chunk", choices=[], usage=timings.usage, timings=timings)

    def whole(
        self, text: str, thought: str, calls: list[Call], reason: str, timings: Timings
    ) -> bytes:
        """The answer in one piece."""
        message = Spoken(
            role="assistant",
            content=None if calls and not text else text,
            reasoning_content=thought,
            tool_calls=tuple(call.spoken for call in calls),
        )
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return self._line("chat.completion", choices=[choice], usage=timings.usage, timings=timings)

    def _line(self, kind: str, **more: object) -> bytes:
        shared = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        return msgspec.json.encode({**shared, **more})
