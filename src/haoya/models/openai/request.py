# SPDX-License-Identifier: AGPL-3.0-or-later
"""From our lines to the body of a Chat Completions request.

Keys are written in one fixed order and nothing volatile is added, so two prompts that begin with
the same lines begin with the same bytes: servers reuse their prompt cache by the longest common
prefix.
"""

import base64
from collections.abc import Sequence

import msgspec

from haoya.core.message import Blob
from haoya.core.plugin import Blobs
from haoya.core.tool import Line, ToolCall, ToolSpec


class _Url(msgspec.Struct):
    url: str


class _Piece(msgspec.Struct, omit_defaults=True):
    type: str
    text: str = ""
    image_url: _Url | None = None


class _Function(msgspec.Struct):
    name: str
    arguments: str


class _Call(msgspec.Struct):
    id: str
    type: str
    function: _Function


class _Message(msgspec.Struct, omit_defaults=True):
    role: str
    content: str | list[_Piece] | None = None  # an empty string is sent, None is not
    tool_calls: list[_Call] = []
    tool_call_id: str = ""


class _Offer(msgspec.Struct):
    name: str
    description: str
    parameters: msgspec.Raw


class _Tool(msgspec.Struct):
    type: str
    function: _Offer


class _StreamOptions(msgspec.Struct):
    include_usage: bool = True


class Body(msgspec.Struct, omit_defaults=True):
    """A request as it is encoded; see the API reference, "Create chat completion"."""

    model: str
    messages: list[_Message]
    tools: list[_Tool] = []
    stream: bool = False
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None


_ENCODER = msgspec.json.Encoder()
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


async def encode(
    model: str,
    lines: Sequence[Line],
    tools: Sequence[ToolSpec],
    *,
    blobs: Blobs | None = None,
    max_tokens: int | None = None,
    max_completion_tokens: int | None = None,
    temperature: float | None = None,
) -> bytes:
    """The JSON text to send. Pictures go along only where `blobs` are lent (a model that sees)."""
    body = Body(
        model=model,
        messages=[await _message(line, blobs) for line in lines],
        tools=[_tool(spec) for spec in tools],
        stream=True,
        stream_options=_StreamOptions(),
        max_tokens=max_tokens,
        max_completion_tokens=max_completion_tokens,
        temperature=temperature,
    )
    return _ENCODER.encode(body)


async def _message(line: Line, blobs: Blobs | None) -> _Message:
    if line.role == "tool":
        return _Message(role="tool", content=line.text, tool_call_id=line.call)
    if line.calls:
        return _Message(
            role=line.role, content=line.text, tool_calls=[_call(call) for call in line.calls]
        )
    if line.images and blobs is not None:
        pieces = [_Piece(type="text", text=line.text)] if line.text else []
        pieces += [await _picture(image, blobs) for image in line.images]
        return _Message(role=line.role, content=pieces)
    return _Message(role=line.role, content=line.text or ("[image]" if line.images else ""))


async def _picture(image: Blob, blobs: Blobs) -> _Piece:
    try:
        data = await blobs.get(image.sha256)
    except KeyError:
        return _Piece(type="text", text=f"[image {image.name} is no longer there]")
    url = f"data:{image.mime};base64,{base64.b64encode(data).decode()}"
    return _Piece(type="image_url", image_url=_Url(url))


def _call(call: ToolCall) -> _Call:
    """A call of the past. Servers parse its arguments and fail the whole request (llama.cpp:
    500) where they are no JSON object, so such a slip of the model is sent inside of one."""
    arguments = call.arguments
    try:
        _OBJECT.decode(arguments)
    except msgspec.DecodeError:
        arguments = _ENCODER.encode({"invalid": arguments}).decode()
    return _Call(id=call.id, type="function", function=_Function(call.name, arguments))


def _tool(spec: ToolSpec) -> _Tool:
    return _Tool(type="function", function=_Offer(spec.name, spec.purpose, spec.schema))
