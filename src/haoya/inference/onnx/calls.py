# SPDX-License-Identifier: AGPL-3.0-or-later
"""How models of several families write calls of tools, and grammars that let them write no other.

The marks stand in a model's chat template, so that is where its way is found out. A model whose
template knows none is told in words.
"""

import json
from collections.abc import Sequence

import msgspec

from haoya.inference.onnx.wire import Function, Message, Refused


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """`{"name": …, "arguments": …}` between marks, or a list of them."""

    opens: str
    closes: str = ""
    listed: bool = False


WAYS = (
    Way(opens="<tool_call>", closes="</tool_call>"),
    Way(opens="<|tool_call|>", closes="<|/tool_call|>", listed=True),
    Way(opens="[TOOL_CALLS]", listed=True),
)
"""Qwen, Hermes and their kin; Phi-4; Mistral (their model cards)."""


class Wish(msgspec.Struct, frozen=True):
    """A call as the model wrote it."""

    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


def way_of(template: str) -> Way | None:
    """The way of the family whose marks stand in the template."""
    return next((way for way in WAYS if way.opens in template), None)


def wishes(body: str) -> list[Wish]:
    """The calls in what stood between the marks; none where it is not what it should be.

    >>> wishes('{"name": "look", "arguments": {"path": "."}}')[0].name
    'look'
    """
    try:
        if body.lstrip().startswith("["):
            return msgspec.json.decode(body.encode(), type=list[Wish])
        return [msgspec.json.decode(body.encode(), type=Wish)]
    except msgspec.DecodeError:
        return []


def grammar(way: Way, tools: Sequence[Function], close: str, opening: str = "") -> str:
    """A grammar (llguidance's Lark) of what follows the opening mark, closing mark included.

    `close` and `opening` are the marks as terms of the grammar: a quoted string, or a token's
    number where a single special token stands for the mark.
    """
    each = [
        f'call_{n}: {_quoted(_HEAD % json.dumps(tool.name))} %json {bounded(tool.parameters)} "}}"'
        for n, tool in enumerate(tools)
    ]
    one = " | ".join(f"call_{n}" for n in range(len(tools)))
    body = '"[" call (/,\\s?/ call)* "]"' if way.listed else "call"
    start = f"start: {opening} WS {body} WS {close}".rstrip()
    return "\n".join([start, f"call: {one}", *each, "WS: /[ \\n]{0,2}/"])


_HEAD = '{"name": %s, "arguments": '


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def bounded(schema: msgspec.Raw) -> str:
    """A JSON Schema with llguidance's options in it: blanks are few, for a model that is small or
    confused would write them for ever; keywords it does not know are let be.

    >>> bounded(msgspec.Raw(b'{"type":"null"}'))[-16:]
    '},"type":"null"}'
    """
    text = bytes(schema).decode().strip()
    if not text.startswith("{"):
        raise Refused("a JSON Schema must be an object; see https://json-schema.org")
    rest = text[1:].lstrip()
    return f"{{{_OPTIONS}{rest if rest == '}' else ',' + rest}"


_OPTIONS = r'"x-guidance":{"whitespace_pattern":"[ \n\t]{0,12}","lenient":true}'


def told(messages: Sequence[Message], tools: Sequence[Function]) -> list[Message]:
    """The conversation for a template that knows no tools: all about them as plain words."""
    lines = [_plain(message) for message in messages]
    if not tools:
        return lines
    offered = "\n".join(msgspec.json.encode(tool).decode() for tool in tools)
    words = (
        f"You can call these tools:\n{offered}\n"
        'To call one, write <tool_call>{"name": "…", "arguments": {…}}</tool_call> '
        "and nothing after it."
    )
    if lines and lines[0].role == "system":
        return [Message("system", f"{lines[0].text}\n\n{words}"), *lines[1:]]
    return [Message("system", words), *lines]


def _plain(message: Message) -> Message:
    if message.role == "tool":
        return Message("user", f"<tool_response>{message.text}</tool_response>")
    said = "".join(
        f'<tool_call>{{"name": {json.dumps(call.function.name)}, '
        f'"arguments": {call.function.arguments}}}</tool_call>'
        for call in message.tool_calls or ()
    )
    return Message(message.role, message.text + said)
