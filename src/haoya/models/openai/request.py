# SPDX-License-Identifier: AGPL-3.0-or-later
"""From our prompt to the body of a Chat Completions request.

Keys are written in one fixed order and nothing volatile stands before the lines, so two prompts
that begin with the same lines begin with the same bytes: servers reuse their prompt cache by the
longest common prefix.
"""

from collections.abc import Sequence

import msgspec

from haoya.core.plugin import Blobs
from haoya.core.tool import Line, Prompt, Sampling, ToolCall, ToolSpec
from haoya.models._wire.fitting import (
    Picture,
    alternated,
    cache_key,
    closed,
    object_of,
    offered,
    pictures,
    short_id,
    since_question,
    words,
)
from haoya.models._wire.quirks import Quirks
from haoya.models.openai.echo import Echo, echo_of

_NAMELESS = "answer"
"""What a schema is called where a name is demanded."""
_OBJECT_CURE = "Answer with one JSON object and nothing else. It satisfies this JSON Schema: "


class _Mark(msgspec.Struct):
    type: str = "ephemeral"


class _Url(msgspec.Struct):
    url: str


class _Piece(msgspec.Struct, omit_defaults=True):
    type: str
    text: str = ""
    image_url: _Url | None = None
    cache_control: _Mark | None = None


class _Function(msgspec.Struct):
    name: str
    arguments: str


class _Call(msgspec.Struct, omit_defaults=True):
    id: str
    type: str
    function: _Function
    extra_content: msgspec.Raw | None = None


class _Message(msgspec.Struct, omit_defaults=True):
    role: str
    content: str | list[_Piece] | None = None  # an empty string is sent, None is not
    tool_calls: list[_Call] = []
    tool_call_id: str = ""
    reasoning_content: str = ""
    reasoning: str = ""
    reasoning_details: list[msgspec.Raw] = []


class _Offer(msgspec.Struct):
    name: str
    description: str
    parameters: msgspec.Raw


class _Tool(msgspec.Struct):
    type: str
    function: _Offer


class _Named(msgspec.Struct):
    name: str


class _Choice(msgspec.Struct):
    type: str
    function: _Named


class _Schema(msgspec.Struct):
    name: str
    strict: bool
    schema: msgspec.Raw


class _Format(msgspec.Struct, omit_defaults=True):
    type: str
    json_schema: _Schema | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool = True


class Body(msgspec.Struct, omit_defaults=True):
    """A request as it is encoded; see the API reference, "Create chat completion"."""

    model: str
    messages: list[_Message]
    tools: list[_Tool] = []
    tool_choice: str | _Choice | None = None
    response_format: _Format | None = None
    stream: bool = False
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    random_seed: int | None = None
    stop: tuple[str, ...] = ()
    reasoning_effort: str = ""
    prompt_cache_key: str = ""


_ENCODER = msgspec.json.Encoder()


async def encode(
    model: str,
    prompt: Prompt,
    *,
    part: str = "",
    quirks: Quirks | None = None,
    sampling: Sampling | None = None,
    effort: str = "",
    blobs: Blobs | None = None,
) -> bytes:
    """The JSON text to send.

    `part` is the name by which our own lines are known again, `sampling` what stands after the
    settings. Pictures go along only where `blobs` are lent (a model that sees).
    """
    odd, drawn = quirks or Quirks(), sampling or prompt.sampling
    shown = offered(prompt) if odd.forced == "auto" else prompt.tools
    small = odd.limit == "max_tokens"
    body = Body(
        model=model,
        messages=await _messages(prompt, part, odd, blobs),
        tools=[_tool(spec) for spec in shown],
        tool_choice=_choice(prompt, odd),
        response_format=_format(prompt.schema, odd),
        stream=True,
        stream_options=_StreamOptions() if odd.counts else None,
        max_tokens=drawn.max_tokens if small else None,
        max_completion_tokens=None if small else drawn.max_tokens,
        temperature=drawn.temperature,
        top_p=drawn.top_p,
        seed=drawn.seed if odd.seed == "seed" else None,
        random_seed=drawn.seed if odd.seed == "random_seed" else None,
        stop=drawn.stop,
        reasoning_effort=effort,
        prompt_cache_key=cache_key(prompt.conversation) if odd.cache == "key" else "",
    )
    return _ENCODER.encode(body)


async def _messages(prompt: Prompt, part: str, odd: Quirks, blobs: Blobs | None) -> list[_Message]:
    lines: Sequence[Line] = prompt.lines
    if bytes(prompt.schema) and odd.schema != "format":
        cure = Line(role="system", text=_OBJECT_CURE + bytes(prompt.schema).decode())
        at = sum(1 for line in lines if line.role == "system")
        lines = (*lines[:at], cure, *lines[at:])
    if odd.alternates:
        lines = alternated(lines)
    now = since_question(lines)
    messages: list[_Message] = []
    for i, line in enumerate(lines):
        echo = echo_of(line.echo) if line.echo and line.model == part else Echo()
        messages.append(await _message(line, echo, odd, blobs, back=i >= now))
    if odd.cache == "marks":
        _mark(messages)
    return messages


async def _message(
    line: Line, echo: Echo, odd: Quirks, blobs: Blobs | None, *, back: bool
) -> _Message:
    if line.role == "tool":
        return _Message(role="tool", content=line.text, tool_call_id=_id(line.call, odd))
    if line.role == "assistant":
        thoughts = echo.thoughts if back else ""
        return _Message(
            role=line.role,
            content=line.text,
            tool_calls=[_call(call, echo.extra_of(i), odd) for i, call in enumerate(line.calls)],
            reasoning_content=thoughts if odd.thoughts_back == "reasoning_content" else "",
            reasoning=thoughts if odd.thoughts_back == "reasoning" else "",
            reasoning_details=echo.details,
        )
    seen = await pictures(line, blobs)
    if seen:
        pieces = [_Piece(type="text", text=line.text)] if line.text else []
        return _Message(role=line.role, content=pieces + [_picture(one) for one in seen])
    return _Message(role=line.role, content=words(line))


def _picture(picture: Picture | str) -> _Piece:
    if isinstance(picture, str):
        return _Piece(type="text", text=picture)
    url = f"data:{picture.mime};base64,{picture.data}"
    return _Piece(type="image_url", image_url=_Url(url))


def _id(id: str, odd: Quirks) -> str:
    return short_id(id, odd.id_length) if odd.id_length else id


def _call(call: ToolCall, extra: msgspec.Raw | None, odd: Quirks) -> _Call:
    function = _Function(call.name, object_of(call))
    return _Call(id=_id(call.id, odd), type="function", function=function, extra_content=extra)


def _tool(spec: ToolSpec) -> _Tool:
    return _Tool(type="function", function=_Offer(spec.name, spec.purpose, spec.schema))


def _choice(prompt: Prompt, odd: Quirks) -> str | _Choice | None:
    if not prompt.tools or prompt.choice == "auto" or odd.forced == "auto":
        return None
    if prompt.choice == "none":
        return "none"
    if prompt.choice == "required":
        return odd.forced
    return _Choice(type="function", function=_Named(prompt.choice))


def _format(schema: msgspec.Raw, odd: Quirks) -> _Format | None:
    text = bytes(schema)
    if not text:
        return None
    if odd.schema != "format":
        return _Format(type="json_object")
    named = _Schema(name=_NAMELESS, strict=closed(text), schema=schema)
    return _Format(type="json_schema", json_schema=named)


def _mark(messages: list[_Message]) -> None:
    """Marks behind the stable beginning and behind the last line, where a cache may end."""
    heads = [message for message in messages if message.role == "system"][-1:]
    lasts = [message for message in messages if message.role == "user"][-1:]
    for message in heads + lasts:
        if isinstance(message.content, str) and message.content:
            message.content = [_Piece(type="text", text=message.content, cache_control=_Mark())]
        elif isinstance(message.content, list) and message.content:
            message.content[-1].cache_control = _Mark()
