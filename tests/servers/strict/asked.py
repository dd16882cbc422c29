# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a strict stand-in makes of a request, whatever wire it came over."""

import base64
import binascii
import re

import msgspec

from tests.servers.rote import Answer, Body, Called, Function, Message, Piece, answer

PNG = b"\x89PNG"
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


class Refused(Exception):
    """The request is not one that the real API takes."""


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    """A shape in which an unknown field is an error."""


class Asked(msgspec.Struct):
    """A request: whom it asks, what it says, what it demands."""

    model: str
    messages: list[Message] = []
    tools: list[str] = []
    choice: str = "auto"
    schema: bool = False
    form: str = ""
    stream: bool = True
    usage: bool = True
    max_tokens: int | None = None

    def answered(self) -> Answer:
        """What is said to it by rote."""
        said = answer(Body(messages=self.messages, max_tokens=self.max_tokens))
        fresh = not self.messages or self.messages[-1].role != "tool"
        if self.form or self.schema:
            return _said(said, '{"ok": true, "说": "好😀"}')
        if self.choice == "none":
            return _said(said, said.text or "no tools")
        if fresh and self.choice != "auto" and not said.calls:
            name = self.tools[0] if self.choice == "required" else self.choice
            call = Function(name=name, arguments="{}")
            return msgspec.structs.replace(said, text="", calls=[call])
        return said


def _said(said: Answer, text: str) -> Answer:
    return msgspec.structs.replace(said, text=text, calls=[])


def demand(holds: object, words: str) -> None:
    """Refuse the request with these words where something does not hold."""
    if not holds:
        raise Refused(words)


def picture(data: str) -> Piece:
    """A picture as the model sees it; it must be the base64 of one."""
    try:
        found = base64.b64decode(data, validate=True)
    except binascii.Error:
        raise Refused("the image is no base64") from None
    demand(found.startswith(PNG), "the image is no picture")
    return Piece("image")


def called(id: str, name: str, arguments: str) -> Called:
    """A call of the past; its arguments must be an object."""
    demand(_NAME.fullmatch(name), f"no name for a tool: {name!r}")
    try:
        msgspec.json.decode(arguments, type=dict[str, object])
    except msgspec.DecodeError:
        raise Refused("the arguments of a call are no object") from None
    return Called(id=id, function=Function(name=name, arguments=arguments))


def pair_up(messages: list[Message], ids: list[str]) -> None:
    """Each call has its result right behind it, and each result its call.

    `ids` are those of the tool lines in their order.
    """
    results = iter(ids)
    open_calls: list[str] = []
    for message in messages:
        if message.role == "tool":
            id = next(results)
            demand(id in open_calls, f"a result for no call: {id}")
            open_calls.remove(id)
            continue
        demand(not open_calls, f"calls without a result: {open_calls}")
        open_calls = [call.id for call in message.tool_calls or ()]
    demand(not open_calls, f"calls without a result: {open_calls}")


def a_schema(raw: msgspec.Raw) -> None:
    """Refuse what is no JSON Schema of an object."""
    try:
        schema = msgspec.json.decode(raw, type=dict[str, object])
    except msgspec.DecodeError:
        raise Refused("the schema is no object") from None
    demand(schema.get("type") == "object", "the schema is not that of an object")
