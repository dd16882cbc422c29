# SPDX-License-Identifier: AGPL-3.0-or-later
"""Anthropic's Messages: requests and errors (API reference, "Create a Message", "Errors")."""

from typing import Literal

import msgspec

from haoya.api.replies import Fault
from haoya.api.wires.messages_pen import MessagesPen
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

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class _Source(msgspec.Struct):
    type: str
    media_type: str = ""
    data: str = ""
    url: str = ""


class _Piece(msgspec.Struct):
    """A block of words or a picture."""

    type: str
    text: str | None = None
    source: _Source | None = None


class _Block(msgspec.Struct):
    type: str
    text: str | None = None
    source: _Source | None = None
    id: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"{}")
    tool_use_id: str | None = None
    content: str | list[_Piece] | None = None
    is_error: bool | None = None


class _Message(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[_Block]


class _Tool(msgspec.Struct):
    name: str
    type: str | None = None
    description: str | None = None
    input_schema: msgspec.Raw = msgspec.Raw(b"")


class _Choice(msgspec.Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None


class _Metadata(msgspec.Struct):
    user_id: str | None = None


class _Format(msgspec.Struct):
    type: Literal["json_schema"]
    schema: msgspec.Raw = msgspec.Raw(b"")


class _Output(msgspec.Struct):
    format: _Format | None = None


class _Body(msgspec.Struct):
    model: str
    messages: list[_Message]
    max_tokens: int | None = None
    system: str | list[_Piece] | None = None
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    metadata: _Metadata | None = None
    output_config: _Output | None = None
    output_format: _Format | None = None


_BODY = msgspec.json.Decoder(_Body)


def read(body: bytes) -> Ask:
    """The request as it is understood; 400 for what cannot be done here."""
    ask = counted(body)
    if ask.prompt.sampling.max_tokens is None:
        raise wrong("max_tokens", "Field required")
    return ask


def counted(body: bytes) -> Ask:
    """A request for its number of tokens: the same without the need of a limit."""
    given = decoded(_BODY, body)
    if not given.messages:
        raise wrong("messages", "at least one message is required")
    pictures = Pictures()
    lines: list[Line] = []
    if system := _words(given.system):
        lines.append(Line(role="system", text=system))
    for message in given.messages:
        _add(lines, message, pictures)
    tools = tuple(_spec(tool) for tool in given.tools or ())
    format = (given.output_config and given.output_config.format) or given.output_format
    user = (given.metadata and given.metadata.user_id) or ""
    prompt = Prompt(
        lines=tuple(lines),
        tools=tools,
        choice=_choice(given.tool_choice, tools),
        schema=schema(format.schema, "output_config.format") if format else msgspec.Raw(b""),
        sampling=sampling(
            temperature=given.temperature,
            top_p=given.top_p,
            max_tokens=given.max_tokens,
            stop=tuple(given.stop_sequences or ()),
        ),
    )
    return Ask(
        model=given.model,
        prompt=prompt,
        stream=bool(given.stream),
        name=user,
        pin=user,
        pictures=tuple(pictures.found.values()),
    )


def _words(content: str | list[_Piece] | None) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(piece.text or "" for piece in content or () if piece.type == "text")


def _add(lines: list[Line], message: _Message, pictures: Pictures) -> None:
    """The lines of one message: results of tools come before the words beside them."""
    if isinstance(message.content, str):
        lines.append(Line(role=message.role, text=message.content))
        return
    words: list[str] = []
    images: list[Blob] = []
    calls: list[ToolCall] = []
    results = 0
    for block in message.content:
        match block.type:
            case "text":
                words.append(block.text or "")
            case "image":
                images.append(_image(block.source, pictures))
            case "document" if block.source and block.source.type == "text":
                words.append(block.source.data)
            case "tool_use":
                calls.append(_call(block))
            case "tool_result":
                results += 1
                lines.append(_result(block, images, pictures))
            case "thinking" | "redacted_thinking":
                pass  # thoughts of earlier answers; no model here needs them back
            case _:
                raise _unknown(block.type)
    if words or images or calls or not results:
        line = Line(
            role=message.role, text="\n".join(words), images=tuple(images), calls=tuple(calls)
        )
        lines.append(line)


def _call(block: _Block) -> ToolCall:
    arguments = bytes(block.input)
    try:
        known = isinstance(msgspec.json.decode(arguments), dict)
    except (msgspec.DecodeError, RecursionError):
        known = False
    if not known:
        raise wrong("messages", "the input of a tool_use must be an object")
    return ToolCall(id=block.id or "", name=block.name or "", arguments=arguments.decode())


def _result(block: _Block, images: list[Blob], pictures: Pictures) -> Line:
    """A tool's result. Its pictures go to the user's words: few wires take them with a result."""
    words: list[str] = []
    content = block.content
    for piece in [_Piece("text", content)] if isinstance(content, str) else content or ():
        if piece.type == "text":
            words.append(piece.text or "")
        elif piece.type == "image":
            images.append(_image(piece.source, pictures))
        else:
            raise _unknown(piece.type)
    text = "\n".join(words)
    if block.is_error:
        text = f"error: {text}"
    return Line(role="tool", text=text, call=block.tool_use_id or "")


def _unknown(kind: str) -> Exception:
    there = "text, image, document (text), tool_use, tool_result, thinking"
    return wrong("messages", f"content of type {kind!r} is not known; there are: {there}")


def _image(source: _Source | None, pictures: Pictures) -> Blob:
    if source and source.type == "base64":
        return pictures.add(source.media_type, source.data, "messages")
    return pictures.url(source.url if source else "", "messages")


def _spec(tool: _Tool) -> ToolSpec:
    if tool.type not in (None, "custom"):
        raise wrong("tools", f"a tool of type {tool.type!r} is not known; there are: custom")
    shape = parameters(tool.input_schema, "tools")
    return ToolSpec(name=tool.name, purpose=tool.description or "", schema=shape)


def _choice(choice: _Choice | None, tools: tuple[ToolSpec, ...]) -> str:
    if choice is None:
        return "auto"
    if choice.type == "tool":
        return chosen(choice.name or "", tools, named=True)
    return chosen("required" if choice.type == "any" else choice.type, tools)


class _Told(msgspec.Struct, omit_defaults=True):
    type: str
    message: str
    cure: str = ""


class _Error(msgspec.Struct):
    type: str
    error: _Told


def _error(status: int, fault: Fault) -> _Error:
    kind = TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    return _Error("error", _Told(kind, fault.message, fault.cure))


def error(status: int, fault: Fault) -> bytes:
    """The body of an error."""
    return msgspec.json.encode(_error(status, fault))


def farewell(status: int, fault: Fault) -> bytes:
    """The last event of a message that breaks off."""
    return event("error", _error(status, fault))


MESSAGES = Dialect(
    wire="anthropic-messages",
    read=read,
    pen=lambda ask, _: MessagesPen(ask),
    error=error,
    farewell=farewell,
    overloaded=529,
)
