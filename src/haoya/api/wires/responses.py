# SPDX-License-Identifier: AGPL-3.0-or-later
"""OpenAI's Responses: requests (API reference, "Create a response").

Nothing is kept: `store` is always false. Only the agent remembers, under its conversation's name;
the ids of its responses bear that name, so that `previous_response_id` goes on with it.
"""

import uuid
from typing import Literal

import msgspec

from haoya.api.replies import Fault
from haoya.api.wires.responses_pen import ResponsesPen
from haoya.api.wires.words import (
    Ask,
    Dialect,
    Pictures,
    chosen,
    decoded,
    event,
    parameters,
    sampling,
    schema,
    wrong,
)
from haoya.core.message import Blob
from haoya.core.tool import Line, Prompt, ToolCall, ToolSpec


class _Piece(msgspec.Struct):
    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None


class _Item(msgspec.Struct):
    type: str = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[_Piece] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[_Piece] | None = None


class _Tool(msgspec.Struct):
    type: str
    name: str = ""
    description: str | None = None
    parameters: msgspec.Raw = msgspec.Raw(b"")


class _Choice(msgspec.Struct):
    type: str
    name: str = ""


class _Format(msgspec.Struct):
    type: Literal["text", "json_object", "json_schema"]
    schema: msgspec.Raw = msgspec.Raw(b"")


class _Text(msgspec.Struct):
    format: _Format | None = None


class _Conversation(msgspec.Struct):
    id: str


class _Body(msgspec.Struct):
    model: str
    input: str | list[_Item]
    instructions: str | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | _Choice | None = None
    text: _Text | None = None
    stream: bool | None = None
    background: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    previous_response_id: str | None = None
    conversation: str | _Conversation | None = None
    prompt_cache_key: str | None = None
    user: str | None = None


_BODY = msgspec.json.Decoder(_Body)


def read(body: bytes) -> Ask:
    """The request as it is understood; 400 for what cannot be done here."""
    given = decoded(_BODY, body)
    if given.background:
        raise wrong("background", "haoya keeps no responses to be asked for later")
    pictures = Pictures()
    lines: list[Line] = []
    if given.instructions:
        lines.append(Line(role="system", text=given.instructions))
    if isinstance(given.input, str):
        lines.append(Line(role="user", text=given.input))
    else:
        for item in given.input:
            _add(lines, item, pictures)
    if not lines:
        raise wrong("input", "there must be at least one item")
    tools = tuple(_spec(tool) for tool in given.tools or ())
    prompt = Prompt(
        lines=tuple(lines),
        tools=tools,
        choice=_choice(given.tool_choice, tools),
        schema=_schema(given.text),
        sampling=sampling(
            temperature=given.temperature, top_p=given.top_p, max_tokens=given.max_output_tokens
        ),
    )
    name = _name(given)
    return Ask(
        model=given.model,
        prompt=prompt,
        stream=bool(given.stream),
        name=name,
        pin=given.prompt_cache_key or name,
        pictures=tuple(pictures.found.values()),
        raw=body,
    )


def _name(given: _Body) -> str:
    """The conversation of the agent's that is meant."""
    if given.previous_response_id:
        return conversation_of(given.previous_response_id)
    if isinstance(given.conversation, str):
        return given.conversation
    return given.conversation.id if given.conversation else given.user or ""


def conversation_of(id: str) -> str:
    """The name that an id made by `ResponsesPen` bears.

    >>> conversation_of(response_id("tea"))
    'tea'
    """
    try:
        name = bytes.fromhex(id.removeprefix("resp_").partition("_")[0]).decode()
    except ValueError:
        name = ""
    if not name:
        text = (
            f"Previous response with id {id!r} not found: haoya keeps no responses of bare models"
        )
        raise wrong("previous_response_id", text)
    return name


def _add(lines: list[Line], item: _Item, pictures: Pictures) -> None:
    match item.type:
        case "message":
            text, images = _content(item.content, pictures)
            role = "system" if item.role == "developer" else item.role or "user"
            lines.append(Line(role=role, text=text, images=images))
        case "function_call":
            call = ToolCall(
                id=item.call_id or "", name=item.name or "", arguments=item.arguments or "{}"
            )
            before = lines[-1] if lines else None
            if before and before.role == "assistant":  # words and calls of one answer
                lines[-1] = msgspec.structs.replace(before, calls=(*before.calls, call))
            else:
                lines.append(Line(role="assistant", calls=(call,)))
        case "function_call_output":
            text, images = _content(item.output, pictures)
            lines.append(Line(role="tool", text=text, call=item.call_id or "", images=images))
        case "reasoning":
            pass  # thoughts of earlier answers; no model here needs them back
        case _:
            there = "message, function_call, function_call_output, reasoning"
            raise wrong("input", f"an item of type {item.type!r} is not known; there are: {there}")


def _content(
    content: str | list[_Piece] | None, pictures: Pictures
) -> tuple[str, tuple[Blob, ...]]:
    words: list[str] = []
    images: list[Blob] = []
    for piece in [_Piece("input_text", content)] if isinstance(content, str) else content or ():
        if piece.type in ("input_text", "output_text", "text", "refusal"):
            words.append(piece.text or piece.refusal or "")
        elif piece.type == "input_image" and piece.image_url:
            images.append(pictures.url(piece.image_url, "input"))
        else:
            text = (
                f"content of type {piece.type!r} is not known; there are: input_text, input_image"
            )
            raise wrong("input", text)
    return "\n".join(words), tuple(images)


def _spec(tool: _Tool) -> ToolSpec:
    if tool.type != "function" or not tool.name:
        raise wrong("tools", f"a tool of type {tool.type!r} is not known; there are: function")
    shape = parameters(tool.parameters, "tools")
    return ToolSpec(name=tool.name, purpose=tool.description or "", schema=shape)


def _choice(choice: str | _Choice | None, tools: tuple[ToolSpec, ...]) -> str:
    if choice is None or isinstance(choice, str):
        return chosen(choice or "auto", tools)
    if choice.type != "function":
        raise wrong("tool_choice", f"{choice.type!r} is not known; name a function")
    return chosen(choice.name, tools, named=True)


def _schema(text: _Text | None) -> msgspec.Raw:
    format = text.format if text else None
    if format is None or format.type == "text":
        return msgspec.Raw(b"")
    if format.type == "json_object":
        return msgspec.Raw(b'{"type":"object"}')
    return schema(format.schema, "text.format")


def response_id(name: str) -> str:
    """A new id; it bears the name of the agent's conversation."""
    return f"resp_{name.encode().hex()}_{uuid.uuid4().hex[:16]}"


class _Broken(msgspec.Struct):
    """An `error` event; `error` is what the official client looks for."""

    type: str
    code: str | None
    message: str
    param: str | None
    sequence_number: int
    error: Fault


def error(_: int, fault: Fault) -> bytes:
    """The body of an error."""
    return msgspec.json.encode({"error": fault})


def farewell(_: int, fault: Fault) -> bytes:
    """The last event of a response that breaks off."""
    said = _Broken("error", fault.code, fault.message, fault.param, 0, fault)
    return event("error", said)


RESPONSES = Dialect(
    wire="openai-responses",
    read=read,
    pen=lambda ask, name: ResponsesPen(ask, response_id(name)),
    error=error,
    farewell=farewell,
)
