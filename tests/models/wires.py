# SPDX-License-Identifier: AGPL-3.0-or-later
"""Each wire with its strict stand-in, for tests that hold for all of them."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from haoya.core.plugin import Plugin
from haoya.core.ports import Model
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
)
from haoya.models._wire.link import Reader
from haoya.models.anthropic import plugin as anthropic
from haoya.models.anthropic.answer import Answer as MessagesAnswer
from haoya.models.ollama import plugin as ollama
from haoya.models.ollama.answer import Answer as OllamaAnswer
from haoya.models.openai import plugin as openai
from haoya.models.openai.answer import Answer as ChatAnswer
from haoya.models.responses import plugin as responses
from haoya.models.responses.answer import Answer as ResponsesAnswer
from tests.models.lent import context
from tests.servers.strict.chat import Chat
from tests.servers.strict.life import Dialect, Life, serving
from tests.servers.strict.messages import Messages
from tests.servers.strict.ollama import Ollama
from tests.servers.strict.responses import Responses

PART = "mine"
"""The name of the model's part in the settings."""

CLOCK = ToolSpec(
    name="clock",
    purpose="Tell the time.",
    schema=msgspec.Raw(b'{"type":"object","properties":{"zone":{"type":"string"}}}'),
)
RECALL = ToolSpec(name="recall", purpose="Remember.")


@dataclass(frozen=True)
class Wire:
    """A plugin, the stand-in of its server, where it answers and how its answers are read."""

    plugin: Plugin[Any, Model]
    dialect: Callable[[], Dialect]
    path: str
    reader: Callable[[str, str], Reader]
    extra: tuple[tuple[str, Any], ...] = ()

    @property
    def name(self) -> str:
        return self.plugin.name


WIRES = (
    Wire(openai, Chat, "/v1", ChatAnswer),
    Wire(responses, Responses, "/v1", ResponsesAnswer),
    Wire(anthropic, Messages, "", MessagesAnswer),
    Wire(ollama, Ollama, "", OllamaAnswer),
)


@asynccontextmanager
async def opened(
    wire: Wire, folder: Path, port: int, **settings: Any
) -> AsyncGenerator[Model, None]:
    """The model of a wire, pointed at a port of this machine."""
    base = f"http://127.0.0.1:{port}{wire.path}"
    given = {"base_url": base, "model": "m", **dict(wire.extra), **settings}
    async with (
        context(folder, name=PART) as lent,
        wire.plugin.open(wire.plugin.settings(**given), lent) as model,
    ):
        yield model


@asynccontextmanager
async def talking(
    wire: Wire, folder: Path, *, key: str = "", **settings: Any
) -> AsyncGenerator[tuple[Model, Life], None]:
    """A model and the stand-in it speaks to."""
    async with (
        serving(wire.dialect(), key=key) as life,
        opened(wire, folder, life.port, **settings) as model,
    ):
        yield model, life


def prompt(*lines: Line | str, tools: Sequence[ToolSpec] = (), **more: Any) -> Prompt:
    """A prompt; a plain string is a person's line."""
    whole = [Line(role="user", text=line) if isinstance(line, str) else line for line in lines]
    return Prompt(lines=tuple(whole), tools=tuple(tools), **more)


async def asked(model: Model, given: Prompt | str) -> list[Delta]:
    """All deltas of one answer."""
    whole = prompt(given) if isinstance(given, str) else given
    return [delta async for delta in model.stream(whole)]


def said(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def thought(deltas: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, ThoughtDelta))


def calls(deltas: Sequence[Delta]) -> list[ToolCall]:
    return [delta.call for delta in deltas if isinstance(delta, CallDelta)]


def finish(deltas: Sequence[Delta]) -> Finish:
    last = deltas[-1]
    assert isinstance(last, Finish)
    assert not any(isinstance(delta, Finish) for delta in deltas[:-1])
    return last


def spoken(deltas: Sequence[Delta], turn: str = "3.1") -> Line:
    """The assistant's line that the house makes of an answer, its call ids made the house's."""
    made = tuple(
        msgspec.structs.replace(call, id=f"{turn}.{i}") for i, call in enumerate(calls(deltas))
    )
    echo = finish(deltas).echo
    return Line(role="assistant", text=said(deltas), calls=made, model=PART, echo=echo)


def results(line: Line, *texts: str) -> list[Line]:
    """The line with calls, and the tools' lines behind it."""
    return [
        line,
        *(
            Line(role="tool", call=call.id, text=text)
            for call, text in zip(line.calls, texts, strict=True)
        ),
    ]
