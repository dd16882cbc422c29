# SPDX-License-Identifier: AGPL-3.0-or-later
"""From our prompt to the body of a Messages request (API reference, "Create a Message").

The order is that of Anthropic's own prompt cache: tools, system, messages; marks stand behind the
stable beginning and behind the last two lines of a person's side.
"""

import re
from collections.abc import Sequence

import msgspec

from haoya.core.plugin import Blobs
from haoya.core.tool import Line, Prompt, Sampling, ToolCall, ToolSpec
from haoya.models._wire.fitting import (
    Picture,
    alternated,
    closed,
    fitted,
    object_of,
    pictures,
    since_question,
    words,
)
from haoya.models._wire.order import Spoken, ordered
from haoya.models._wire.quirks import Quirks
from haoya.models._wire.settings import WireSettings

TAKES = frozenset({"temperature", "top_p", "max_tokens", "stop"})
"""What the API has of `Sampling`."""
FORM = "answer_form"
"""The tool that a model fills in where it cannot be held to a schema otherwise."""
MAX_TOKENS = 8192
"""The API demands a limit; this one where the settings name none."""
_KINDS = ("image/jpeg", "image/png", "image/gif", "image/webp")
_NO_ID = re.compile(r"[^a-zA-Z0-9_-]")
_BLANK = "(no words)"


class _Mark(msgspec.Struct):
    type: str = "ephemeral"


class _Source(msgspec.Struct, tag_field="type", tag="base64"):
    media_type: str
    data: str


class _Text(msgspec.Struct, tag_field="type", tag="text", omit_defaults=True):
    text: str
    cache_control: _Mark | None = None


class _Image(msgspec.Struct, tag_field="type", tag="image", omit_defaults=True):
    source: _Source
    cache_control: _Mark | None = None


class _Use(msgspec.Struct, tag_field="type", tag="tool_use", omit_defaults=True):
    id: str
    name: str
    input: msgspec.Raw
    cache_control: _Mark | None = None


class _Result(msgspec.Struct, tag_field="type", tag="tool_result", omit_defaults=True):
    tool_use_id: str
    content: str
    cache_control: _Mark | None = None


_Block = _Text | _Image | _Use | _Result | msgspec.Raw


class _Message(msgspec.Struct):
    role: str
    content: list[_Block]


class _Tool(msgspec.Struct, omit_defaults=True):
    name: str
    description: str
    input_schema: msgspec.Raw
    cache_control: _Mark | None = None


class _Choice(msgspec.Struct, omit_defaults=True):
    type: str
    name: str = ""


class _Thinking(msgspec.Struct, omit_defaults=True):
    type: str
    budget_tokens: int = 0


class _Format(msgspec.Struct, tag_field="type", tag="json_schema"):
    schema: msgspec.Raw


class _Output(msgspec.Struct, omit_defaults=True):
    effort: str = ""
    format: _Format | None = None


class _Body(msgspec.Struct, omit_defaults=True):
    model: str
    max_tokens: int
    tools: list[_Tool] = []
    system: list[_Text] = []
    messages: list[_Message] = []
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _Output | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: tuple[str, ...] = ()
    stream: bool = False


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt with all that is decided before it is written: `form` is the tool to be filled in
    for the schema, `thinking` how it may think, `choice` which tools it must call."""

    model: str
    part: str
    lines: Sequence[Line]
    tools: Sequence[ToolSpec]
    schema: msgspec.Raw
    sampling: Sampling
    choice: _Choice | None
    thinking: _Thinking | None
    form: bool
    notes: tuple[str, ...]

    @property
    def form_tool(self) -> str:
        """The name of the form, empty where there is none."""
        return FORM if self.form else ""

    @classmethod
    def of(
        cls, prompt: Prompt, settings: WireSettings, quirks: Quirks, *, part: str, budget: int
    ) -> "Ask":
        """Decide; `budget` is the tokens that thoughts may have, 0 for no thoughts."""
        schema = bytes(prompt.schema)
        form = bool(schema) and (quirks.schema != "format" or not closed(schema))
        choice = _choice(prompt, form)
        thinking = _thinking(prompt, part, quirks, budget)
        if choice is not None and choice.type != "none":
            thinking = None  # the API refuses thoughts before a forced call
        takes = quirks.takes & TAKES
        if thinking is not None:
            takes -= {"temperature", "top_p"}
        sampling, notes = fitted(prompt.sampling, settings, takes)
        return cls(
            model=settings.model,
            part=part,
            lines=alternated(prompt.lines),
            tools=prompt.tools,
            schema=prompt.schema,
            sampling=sampling,
            choice=choice,
            thinking=thinking,
            form=form,
            notes=notes,
        )


_ENCODER = msgspec.json.Encoder()


async def encode(ask: Ask, *, effort: str, cache: bool, blobs: Blobs | None) -> bytes:
    """The JSON text to send; `cache` sets marks for the prompt cache. Pictures go along only where
    `blobs` are lent (a model that sees)."""
    lines = ask.lines
    system = [_Text(line.text) for line in lines if line.role == "system"]
    messages = await _messages([line for line in lines if line.role != "system"], ask.part, blobs)
    tools = [_Tool(spec.name, spec.purpose, spec.schema) for spec in ask.tools]
    if ask.form:
        tools.append(_Tool(FORM, "Give your whole answer by filling in this form.", ask.schema))
    if cache:
        _mark(system, tools, messages)
    format = _Format(ask.schema) if bytes(ask.schema) and not ask.form else None
    room = ask.thinking.budget_tokens if ask.thinking else 0
    body = _Body(
        model=ask.model,
        max_tokens=(ask.sampling.max_tokens or MAX_TOKENS) + room,
        tools=tools,
        system=system,
        messages=messages,
        tool_choice=ask.choice,
        thinking=ask.thinking,
        output_config=_Output(effort, format) if effort or format else None,
        temperature=ask.sampling.temperature,
        top_p=ask.sampling.top_p,
        stop_sequences=ask.sampling.stop,
        stream=True,
    )
    return _ENCODER.encode(body)


def _choice(prompt: Prompt, form: bool) -> _Choice | None:
    if form:
        free = prompt.tools and prompt.choice != "none"
        return _Choice("any") if free else _Choice("tool", FORM)
    if not prompt.tools or prompt.choice == "auto":
        return None
    if prompt.choice in ("none", "required"):
        return _Choice("none" if prompt.choice == "none" else "any")
    return _Choice("tool", prompt.choice)


def _thinking(prompt: Prompt, part: str, quirks: Quirks, budget: int) -> _Thinking | None:
    """How it may think. A tool loop that another model began has no thoughts in front of its
    calls, and a model with a budget refuses to go on with it thinking."""
    if not budget:
        return None
    if quirks.thinks == "adaptive":
        return _Thinking("adaptive")
    loop = prompt.lines[since_question(prompt.lines) :]
    if any(line.calls and not (line.echo and line.model == part) for line in loop):
        return None
    return _Thinking("enabled", budget)


async def _messages(lines: Sequence[Line], part: str, blobs: Blobs | None) -> list[_Message]:
    """Messages that take turns: the results of all calls and the words after them are one."""
    messages: list[_Message] = []
    for line in lines:
        if line.role == "assistant":
            blocks = [_said(piece) for piece in ordered(line, part) if _speaks(piece)]
            messages.append(_Message("assistant", blocks or [_Text(_BLANK)]))
            continue
        blocks = await _heard(line, blobs)
        if messages and messages[-1].role == "user":
            messages[-1].content += blocks
        else:
            messages.append(_Message("user", blocks))
    return messages


def _speaks(piece: Spoken) -> bool:
    return not isinstance(piece, str) or bool(piece.strip())  # blank text blocks are refused


def _said(piece: Spoken) -> _Block:
    if isinstance(piece, str):
        return _Text(piece)
    if isinstance(piece, ToolCall):
        return _Use(_id(piece.id), piece.name, msgspec.Raw(object_of(piece).encode()))
    return piece


async def _heard(line: Line, blobs: Blobs | None) -> list[_Block]:
    if line.role == "tool":
        return [_Result(_id(line.call), line.text)]
    seen = await pictures(line, blobs)
    if not seen:
        said = words(line)
        return [_Text(said if said.strip() else _BLANK)]
    text: list[_Block] = [_Text(line.text)] if line.text.strip() else []
    return text + [_picture(one) for one in seen]


def _picture(picture: Picture | str) -> _Block:
    if isinstance(picture, str):
        return _Text(picture)
    if picture.mime not in _KINDS:
        return _Text(f"[a picture of the type {picture.mime}, which cannot be shown]")
    return _Image(_Source(picture.mime, picture.data))


def _id(id: str) -> str:
    """The API takes letters, digits, `_` and `-` in an id."""
    return _NO_ID.sub("_", id) or "call"


def _mark(system: list[_Text], tools: list[_Tool], messages: list[_Message]) -> None:
    if system:
        system[-1].cache_control = _Mark()
    elif tools:
        tools[-1].cache_control = _Mark()
    for message in [one for one in messages if one.role == "user"][-2:]:
        last = message.content[-1]
        if not isinstance(last, msgspec.Raw):
            last.cache_control = _Mark()
