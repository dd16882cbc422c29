# SPDX-License-Identifier: AGPL-3.0-or-later
"""From our prompt to the body of a request to the Responses API.

Nothing is stored at the provider (`store: false`): the whole conversation goes along each time, and
the model's encrypted thoughts with it (API reference, "Create a model response").
"""

import msgspec

from haoya.core.plugin import Blobs
from haoya.core.tool import Line, Prompt, Sampling, ToolCall
from haoya.models._wire.fitting import Picture, cache_key, closed, object_of, pictures, words
from haoya.models._wire.order import Spoken, ordered
from haoya.models._wire.quirks import Quirks

TAKES = frozenset({"temperature", "top_p", "max_tokens"})
"""What the API has of `Sampling`."""


class _InputText(msgspec.Struct, tag_field="type", tag="input_text"):
    text: str


class _InputImage(msgspec.Struct, tag_field="type", tag="input_image"):
    image_url: str
    detail: str = "auto"


class _OutputText(msgspec.Struct, tag_field="type", tag="output_text"):
    text: str


_Content = _InputText | _InputImage | _OutputText


class _Message(msgspec.Struct, tag_field="type", tag="message"):
    role: str
    content: list[_Content]


class _Call(msgspec.Struct, tag_field="type", tag="function_call"):
    call_id: str
    name: str
    arguments: str


class _Result(msgspec.Struct, tag_field="type", tag="function_call_output"):
    call_id: str
    output: str


_Item = _Message | _Call | _Result | msgspec.Raw


class _Tool(msgspec.Struct, tag_field="type", tag="function"):
    name: str
    description: str
    parameters: msgspec.Raw
    strict: bool = False


class _Choice(msgspec.Struct, tag_field="type", tag="function"):
    name: str


class _Format(msgspec.Struct, tag_field="type", tag="json_schema"):
    name: str
    schema: msgspec.Raw
    strict: bool


class _Text(msgspec.Struct):
    format: _Format


class _Reasoning(msgspec.Struct):
    effort: str


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    instructions: str = ""
    tools: list[_Tool] = []
    input: list[_Item] = []
    tool_choice: str | _Choice | None = None
    text: _Text | None = None
    stream: bool = False
    store: bool | None = None
    include: tuple[str, ...] = ()
    reasoning: _Reasoning | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    prompt_cache_key: str = ""


_ENCODER = msgspec.json.Encoder()


async def encode(
    model: str,
    prompt: Prompt,
    *,
    part: str,
    quirks: Quirks,
    sampling: Sampling,
    effort: str = "",
    blobs: Blobs | None = None,
) -> bytes:
    """The JSON text to send; the parameters are those of the Chat Completions wire."""
    lines = prompt.lines
    heads = next((i for i, line in enumerate(lines) if line.role != "system"), len(lines))
    items = [item for line in lines[heads:] for item in await _items(line, part, blobs)]
    body = _Body(
        model=model,
        instructions="\n\n".join(line.text for line in lines[:heads]),
        tools=[_Tool(spec.name, spec.purpose, spec.schema) for spec in prompt.tools],
        input=items,
        tool_choice=_choice(prompt),
        text=_text(prompt.schema),
        stream=True,
        store=False,
        include=("reasoning.encrypted_content",) if quirks.encrypts else (),
        reasoning=_Reasoning(effort) if effort else None,
        max_output_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        prompt_cache_key=cache_key(prompt.conversation) if quirks.cache == "key" else "",
    )
    return _ENCODER.encode(body)


async def _items(line: Line, part: str, blobs: Blobs | None) -> list[_Item]:
    if line.role == "tool":
        return [_Result(line.call, line.text)]
    if line.role == "assistant":
        return [_said(piece) for piece in ordered(line, part)]
    seen = await pictures(line, blobs)
    if not seen:
        return [_Message(line.role, [_InputText(words(line))])]
    content: list[_Content] = [_InputText(line.text)] if line.text else []
    return [_Message(line.role, content + [_picture(one) for one in seen])]


def _said(piece: Spoken) -> _Item:
    if isinstance(piece, str):
        return _Message("assistant", [_OutputText(piece)])
    if isinstance(piece, ToolCall):
        return _Call(piece.id, piece.name, object_of(piece))
    return piece


def _picture(picture: Picture | str) -> _Content:
    if isinstance(picture, str):
        return _InputText(picture)
    return _InputImage(f"data:{picture.mime};base64,{picture.data}")


def _choice(prompt: Prompt) -> str | _Choice | None:
    if not prompt.tools or prompt.choice == "auto":
        return None
    return prompt.choice if prompt.choice in ("none", "required") else _Choice(prompt.choice)


def _text(schema: msgspec.Raw) -> _Text | None:
    text = bytes(schema)
    return _Text(_Format("answer", schema, closed(text))) if text else None
