# SPDX-License-Identifier: AGPL-3.0-or-later
"""OpenAI's Chat Completions (API reference, "Create chat completion").

Thoughts go as `reasoning_content` beside the content, the form most servers share.
"""

import time
import uuid
from typing import Literal

import msgspec

from haoya.api.replies import Fault, Refusal
from haoya.api.wires.words import (
    Ask,
    Dialect,
    Pictures,
    chosen,
    decoded,
    parameters,
    sampling,
    schema,
    wrong,
)
from haoya.core.message import Blob
from haoya.core.tool import (
    CallDelta,
    Delta,
    Finish,
    Line,
    Prompt,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolSpec,
    Usage,
)

REASONS = {"stop": "stop", "length": "length", "tools": "tool_calls", "filter": "content_filter"}


class _Url(msgspec.Struct):
    url: str


class _Piece(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: _Url | str | None = None


class _Function(msgspec.Struct):
    name: str
    arguments: str = "{}"


class _Call(msgspec.Struct):
    id: str
    function: _Function
    type: str = "function"


class _Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[_Piece] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    name: str | None = None


class _Offer(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: msgspec.Raw = msgspec.Raw(b"")


class _Tool(msgspec.Struct):
    type: str
    function: _Offer | None = None


class _Named(msgspec.Struct):
    name: str


class _Choice(msgspec.Struct):
    type: str
    function: _Named | None = None


class _Schema(msgspec.Struct):
    schema: msgspec.Raw = msgspec.Raw(b"")


class _Format(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: _Schema | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Body(msgspec.Struct):
    model: str
    messages: list[_Message]
    tools: list[_Tool] | None = None
    tool_choice: str | _Choice | None = None
    response_format: _Format | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    n: int | None = None
    logprobs: bool | None = None
    user: str | None = None
    prompt_cache_key: str | None = None


_BODY = msgspec.json.Decoder(_Body)


def read(body: bytes) -> Ask:
    """The request as it is understood; 400 for what cannot be done here."""
    given = decoded(_BODY, body)
    if (given.n or 1) != 1:
        raise wrong("n", "haoya gives one answer")
    if given.logprobs:
        raise wrong("logprobs", "haoya does not tell probabilities")
    pictures = Pictures()
    lines = tuple(_line(message, pictures) for message in given.messages)
    if not lines:
        raise wrong("messages", "there must be at least one")
    tools = tuple(_spec(tool) for tool in given.tools or ())
    stop = [given.stop] if isinstance(given.stop, str) else given.stop or []
    prompt = Prompt(
        lines=lines,
        tools=tools,
        choice=_choice(given.tool_choice, tools),
        schema=_schema(given.response_format),
        sampling=sampling(
            temperature=given.temperature,
            top_p=given.top_p,
            max_tokens=given.max_completion_tokens or given.max_tokens,
            seed=given.seed,
            stop=tuple(stop),
        ),
    )
    return Ask(
        model=given.model,
        prompt=prompt,
        stream=bool(given.stream),
        usage=bool(given.stream_options and given.stream_options.include_usage),
        name=given.user or "",
        pin=given.prompt_cache_key or given.user or "",
        pictures=tuple(pictures.found.values()),
    )


def _line(message: _Message, pictures: Pictures) -> Line:
    words: list[str] = []
    images: list[Blob] = []
    content = message.content
    for piece in [_Piece("text", content)] if isinstance(content, str) else content or ():
        if piece.type in ("text", "refusal"):
            words.append(piece.text or piece.refusal or "")
        elif piece.type == "image_url" and piece.image_url is not None:
            url = piece.image_url if isinstance(piece.image_url, str) else piece.image_url.url
            images.append(pictures.url(url, "messages"))
        else:
            text = f"content of type {piece.type!r} is not understood; there are: text, image_url"
            raise Refusal(400, text, code="invalid_value", param="messages")
    calls = [
        ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
        for call in message.tool_calls or ()
    ]
    text = "\n".join(words)
    match message.role:
        case "system" | "developer":
            return Line(role="system", text=text)
        case "assistant":
            return Line(role="assistant", text=text, calls=tuple(calls))
        case "tool" | "function":
            call = message.tool_call_id or message.name or ""
            return Line(role="tool", text=text, call=call, images=tuple(images))
        case "user":
            return Line(role="user", text=text, images=tuple(images))


def _spec(tool: _Tool) -> ToolSpec:
    if tool.type != "function" or tool.function is None:
        raise wrong("tools", f"a tool of type {tool.type!r} is not known; there are: function")
    offer = tool.function
    shape = parameters(offer.parameters, "tools")
    return ToolSpec(name=offer.name, purpose=offer.description or "", schema=shape)


def _choice(choice: str | _Choice | None, tools: tuple[ToolSpec, ...]) -> str:
    if choice is None or isinstance(choice, str):
        return chosen(choice or "auto", tools)
    if choice.type != "function" or choice.function is None:
        raise wrong("tool_choice", f"{choice.type!r} is not known; name a function")
    return chosen(choice.function.name, tools, named=True)


def _schema(format: _Format | None) -> msgspec.Raw:
    if format is None or format.type == "text":
        return msgspec.Raw(b"")
    if format.type == "json_object":
        return msgspec.Raw(b'{"type":"object"}')
    if format.json_schema is None:
        raise wrong("response_format", "json_schema is missing")
    return schema(format.json_schema.schema, "response_format")


class _Details(msgspec.Struct):
    cached_tokens: int


class Tokens(msgspec.Struct):
    """`usage` of a completion."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: _Details


class _SaidCall(msgspec.Struct, omit_defaults=True):
    id: str
    type: str
    function: _Function
    index: int | msgspec.UnsetType = msgspec.UNSET


class _Said(msgspec.Struct, omit_defaults=True):
    role: str = ""
    content: str | msgspec.UnsetType | None = msgspec.UNSET
    reasoning_content: str = ""
    tool_calls: list[_SaidCall] = []


class ChatPen:
    """Writes completions, or chunks of one. Only the last chunks are bigger than their words."""

    def __init__(self, ask: Ask, _: str) -> None:
        self._usage_wanted = ask.usage
        self._id = f"chatcmpl-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._model = ask.model
        self._text: list[str] = []
        self._thought: list[str] = []
        self._calls: list[ToolCall] = []
        self._finish = Finish()
        self._before = b"data: " + self._head("chat.completion.chunk") + b',"choices":'

    def begin(self) -> bytes:
        """The chunk that says who speaks."""
        return self._chunk(_Said(role="assistant", content=""))

    def more(self, delta: Delta) -> bytes:
        """A chunk; after the last words the end, the usage where wanted, and `[DONE]`."""
        match delta:
            case TextDelta(text=text):
                self._text.append(text)
                return self._chunk(_Said(content=text))
            case ThoughtDelta(text=text):
                self._thought.append(text)
                return self._chunk(_Said(reasoning_content=text))
            case CallDelta(call=call):
                said = _said(call, len(self._calls))
                self._calls.append(call)
                return self._chunk(_Said(tool_calls=[said]))
            case Finish():
                self._finish = delta
                last = self._chunk(_Said(), REASONS[delta.reason])
                if self._usage_wanted:
                    usage = msgspec.json.encode(_tokens(delta.usage))
                    last += self._before + b'[],"usage":' + usage + b"}\n\n"
                return last + b"data: [DONE]\n\n"

    def whole(self) -> bytes:
        """The completion."""
        text = "".join(self._text)
        message = _Said(
            role="assistant",
            content=text if text or not self._calls else None,
            reasoning_content="".join(self._thought),
            tool_calls=[_said(call) for call in self._calls],
        )
        choice = _choice_json(b"message", message, REASONS[self._finish.reason])
        usage = msgspec.json.encode(_tokens(self._finish.usage))
        head = self._head("chat.completion")
        return head + b',"choices":' + choice + b',"usage":' + usage + b"}"

    def _chunk(self, said: _Said, reason: str | None = None) -> bytes:
        return self._before + _choice_json(b"delta", said, reason) + b"}\n\n"

    def _head(self, kind: str) -> bytes:
        head = {"id": self._id, "object": kind, "created": self._created, "model": self._model}
        return msgspec.json.encode(head)[:-1]


def _choice_json(key: bytes, said: _Said, reason: str | None) -> bytes:
    parts = key, msgspec.json.encode(said), msgspec.json.encode(reason)
    return b'[{"index":0,"%b":%b,"finish_reason":%b}]' % parts


def _said(call: ToolCall, index: int | msgspec.UnsetType = msgspec.UNSET) -> _SaidCall:
    return _SaidCall(call.id, "function", _Function(call.name, call.arguments), index)


def _tokens(usage: Usage) -> Tokens:
    total = usage.prompt + usage.completion
    return Tokens(usage.prompt, usage.completion, total, _Details(usage.cached))


def error(_: int, fault: Fault) -> bytes:
    """The body of an error."""
    return msgspec.json.encode({"error": fault})


CHAT = Dialect(
    wire="openai-chat",
    read=read,
    pen=ChatPen,
    error=error,
    farewell=lambda status, fault: b"data: " + error(status, fault) + b"\n\n",
)
