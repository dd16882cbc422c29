# SPDX-License-Identifier: AGPL-3.0-or-later
"""A small true model that answers by rules: for tests, for demos, for a house without a server.

    [models.toy]
    use = "script"
    rules = [
        { match = "time in (.+)", calls = [{ name = "clock", arguments = { zone = "{1}" } }] },
        { match = "(?i)^hello", say = "Hello to you." },
    ]

Without a fitting rule it says what it heard.
"""

import asyncio
import hashlib
import math
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pydantic

from haoya.core.plugin import Context, Plugin
from haoya.core.ports import Embedding
from haoya.core.tool import (
    CallDelta,
    Delta,
    Finish,
    Line,
    Prompt,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    Urgency,
    Usage,
)

PLACES = 64

_PIECE = re.compile(r"\S*\s*")
_HOLE = re.compile(r"\{(\w+)\}")


class Wish(pydantic.BaseModel):
    """A tool call a rule makes; strings within `arguments` are templates."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str
    arguments: dict[str, pydantic.JsonValue] = {}


class Rule(pydantic.BaseModel):
    """What to do when `match` is found in the last user line; the first rule that fits is taken.

    In templates `{text}` is the line, `{0}` what matched, `{1}` or `{name}` a group of it and
    `{results}` what the tools returned, joined by line ends.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    match: str = pydantic.Field(description="A regular expression")
    think: str = pydantic.Field(default="", description="Template of thoughts before all that")
    say: str = pydantic.Field(
        default="", description="Template of the answer, said before any call"
    )
    calls: list[Wish] = []
    after: str = pydantic.Field(default="{results}", description="Template said after the calls")

    @pydantic.field_validator("match")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as e:
            raise ValueError(f"not a regular expression: {e}") from None
        return value


class ScriptSettings(pydantic.BaseModel):
    """Rules, and how slowly to speak."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    rules: list[Rule] = pydantic.Field(
        default=[], description="Tried in order: match, say, calls, after"
    )
    delay: float = pydantic.Field(default=0, ge=0, le=60, description="Seconds before each word")
    context_tokens: int = pydantic.Field(
        default=8192, ge=256, description="Tokens that prompt and answer may have together"
    )


class ScriptModel:
    """A `Model` that knows its rules and nothing else. A word costs it one token."""

    def __init__(self, settings: ScriptSettings) -> None:
        self._settings = settings

    @property
    def name(self) -> str:
        """Always `script`."""
        return "script"

    @property
    def context_tokens(self) -> int:
        """As set; nothing is ever cut."""
        return self._settings.context_tokens

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """The answer word by word; calls have ids that count on through the conversation."""
        lines = prompt.lines
        text, results = _read(lines)
        rule, holes = self._rule(text)
        calling = results is None and bool(rule.calls)
        if results is not None:
            holes["results"] = "\n".join(results)
        if results is None and (thought := _filled(rule.think, holes)):
            yield ThoughtDelta(text=thought)
        said = _filled(rule.say if results is None else rule.after, holes)
        for word in _PIECE.findall(said):
            if word:
                await asyncio.sleep(self._settings.delay)
                yield TextDelta(text=word)
        made = sum(len(line.calls) for line in lines)
        for number, wish in enumerate(rule.calls if calling else (), made + 1):
            arguments = msgspec.json.encode(_deep(wish.arguments, holes)).decode()
            call = ToolCall(id=f"call_{number}", name=wish.name, arguments=arguments)
            yield CallDelta(call=call)
        heard = sum(len(line.text.split()) for line in lines)
        usage = Usage(prompt=heard, completion=len(said.split()))
        yield Finish(reason="tools" if calling else "stop", usage=usage, model=self.name)

    async def embed(self, texts: Sequence[str], *, urgency: Urgency = "chat") -> Embedding:
        """Texts with words in common are near each other: a word counts in one of `PLACES`."""
        vectors = tuple(_placed(text) for text in texts)
        return Embedding(vectors=vectors, tokens=sum(len(text.split()) for text in texts))

    def _rule(self, text: str) -> tuple[Rule, dict[str, str]]:
        for rule in self._settings.rules:
            if found := re.search(rule.match, text):
                groups = {str(i): group or "" for i, group in enumerate(found.groups(), 1)}
                named = {name: group or "" for name, group in found.groupdict().items()}
                return rule, {"text": text, "0": found[0], **groups, **named}
        return Rule(match="", say="{text}"), {"text": text}


def _placed(text: str) -> tuple[float, ...]:
    counts = [0.0] * PLACES
    for word in text.lower().split():
        counts[hashlib.sha256(word.encode("utf-8", "replace")).digest()[0] % PLACES] += 1
    size = math.sqrt(sum(count * count for count in counts)) or 1.0
    return tuple(count / size for count in counts)


@asynccontextmanager
async def _open(settings: ScriptSettings, context: Context) -> AsyncGenerator[ScriptModel, None]:
    yield ScriptModel(settings)


def _read(lines: Sequence[Line]) -> tuple[str, list[str] | None]:
    """The last user line and the tool results after it, None where there are none."""
    results: list[str] = []
    for line in reversed(lines):
        if line.role == "tool":
            results.insert(0, line.text)
        elif line.role == "user":
            return line.text, results or None
    return "", results or None


def _filled(template: str, holes: dict[str, str]) -> str:
    """The template with its holes filled; unknown ones stay as they are written."""
    return _HOLE.sub(lambda hole: holes.get(hole[1], hole[0]), template)


def _deep(value: pydantic.JsonValue, holes: dict[str, str]) -> pydantic.JsonValue:
    match value:
        case str():
            return _filled(value, holes)
        case list():
            return [_deep(item, holes) for item in value]
        case dict():
            return {key: _deep(item, holes) for key, item in value.items()}
        case _:
            return value


plugin = Plugin(
    kind="model",
    name="script",
    settings=ScriptSettings,
    open=_open,
    summary="Answers by rules, without any model server; for tests and demos",
    summary_zh="按规则回答，不需要模型服务；用于测试和演示",
)
