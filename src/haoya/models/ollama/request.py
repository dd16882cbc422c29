# SPDX-License-Identifier: AGPL-3.0-or-later
"""From our prompt to the body of a chat request (Ollama's API reference, "Generate a chat
message").

The wire has no choice of tools: which may be called is said by which are shown.
"""

import msgspec

from haoya.core.plugin import Blobs
from haoya.core.tool import Line, Prompt, Sampling, ToolSpec
from haoya.models._wire.fitting import Picture, object_of, offered, pictures, words


class Manner(msgspec.Struct, frozen=True, kw_only=True):
    """What stays the same from one request to the next; `part` is our own name."""

    model: str
    part: str
    num_ctx: int
    think: str = ""
    keep_alive: str = ""

    @property
    def kept(self) -> str | int | None:
        """`keep_alive` as the API takes it: a duration with its unit, or a number of seconds."""
        text = self.keep_alive
        return int(text) if text.lstrip("-").isdigit() else text or None


class _Function(msgspec.Struct):
    name: str
    arguments: msgspec.Raw


class _Call(msgspec.Struct, omit_defaults=True):
    function: _Function
    id: str = ""


class _Message(msgspec.Struct, omit_defaults=True):
    role: str
    content: str | None = None  # an empty string is sent, None is not
    images: list[str] = []
    thinking: str = ""
    tool_calls: list[_Call] = []
    tool_name: str = ""
    tool_call_id: str = ""


class _Offer(msgspec.Struct):
    name: str
    description: str
    parameters: msgspec.Raw


class _Tool(msgspec.Struct):
    type: str
    function: _Offer


class _Options(msgspec.Struct, omit_defaults=True):
    num_ctx: int
    num_predict: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    messages: list[_Message]
    tools: list[_Tool] = []
    format: msgspec.Raw | None = None
    stream: bool | None = None
    think: bool | str | None = None
    keep_alive: str | int | None = None
    options: _Options | None = None


_ENCODER = msgspec.json.Encoder()


async def encode(
    manner: Manner, prompt: Prompt, *, sampling: Sampling, blobs: Blobs | None = None
) -> bytes:
    """The JSON text to send. Pictures go along only where `blobs` are lent (a model that sees)."""
    names = {call.id: call.name for line in prompt.lines for call in line.calls}
    body = _Body(
        model=manner.model,
        messages=[await _message(line, names, manner.part, blobs) for line in prompt.lines],
        tools=[_tool(spec) for spec in offered(prompt)],
        format=prompt.schema if bytes(prompt.schema) else None,
        stream=True,
        think={"": None, "on": True, "off": False}.get(manner.think, manner.think),
        keep_alive=manner.kept,
        options=_Options(
            num_ctx=manner.num_ctx,
            num_predict=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=sampling.seed,
            stop=sampling.stop,
        ),
    )
    return _ENCODER.encode(body)


async def _message(line: Line, names: dict[str, str], part: str, blobs: Blobs | None) -> _Message:
    if line.role == "tool":
        name = names.get(line.call, "")
        return _Message("tool", line.text, tool_name=name, tool_call_id=line.call)
    if line.role == "assistant":
        calls = [
            _Call(_Function(call.name, msgspec.Raw(object_of(call).encode())), call.id)
            for call in line.calls
        ]
        thinking = line.echo if line.model == part else ""
        return _Message("assistant", line.text, thinking=thinking, tool_calls=calls)
    seen = await pictures(line, blobs)
    gone = [one for one in seen if isinstance(one, str)]
    text = "\n".join([line.text, *gone]) if gone else words(line) if not seen else line.text
    images = [one.data for one in seen if isinstance(one, Picture)]
    return _Message(line.role, text, images=images)


def _tool(spec: ToolSpec) -> _Tool:
    return _Tool("function", _Offer(spec.name, spec.purpose, spec.schema))
