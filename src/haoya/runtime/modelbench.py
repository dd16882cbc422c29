# SPDX-License-Identifier: AGPL-3.0-or-later
"""Measuring a model through the port every model has, local and remote alike.

One verb does one measurement, so that whoever asks sees each figure as it comes and nothing of a
benchmark outlives its question. Every session is a person of its own: the queue of a local model
shares its time between them as it does between real people.
"""

import asyncio
import secrets
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing

import msgspec

from haoya.core.errors import ConfigError, HaoyaError, Unready
from haoya.core.ports import Model
from haoya.core.tool import CallDelta, Finish, Line, Prompt, Sampling, TextDelta, ToolCall, Usage
from haoya.runtime.benchtools import REQUESTS, SYSTEM, TOOLS, Request, fault_of
from haoya.runtime.runs import Row

TEST_SECONDS = 1200.0
"""Most that one measurement may take: ten sessions on a slow machine, several times over."""

PROMPT_WORDS = 400
"""Words of the long prompt: about a system prompt with its tools."""

ANSWER_TOKENS = 64
MOST_SESSIONS = 32
CACHED_RUNS = 3

_WORDS = (
    "river letter window morning 今天 question island paper 朋友 number garden evening 城市 story "
    "mountain kitchen 时间 machine answer winter 学习 music summer market 消息 bridge village light"
).split()


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Common form of what was measured."""


class Answer(Figures, frozen=True, kw_only=True):
    """One streamed answer: seconds until its first and its last piece, and what it cost."""

    began: float
    first: float
    last: float
    pieces: int
    text: str
    calls: tuple[ToolCall, ...]
    usage: Usage

    @property
    def tokens(self) -> int:
        """Tokens of the answer; its pieces where the server does not count."""
        return self.usage.completion or self.pieces


class FirstToken(Figures, frozen=True, kw_only=True):
    """Milliseconds to the first token of a prompt never seen before (`cold`), and of the next
    message in the same conversation (`cached`, the median). `prompt_per_s` is None where the
    server does not count tokens."""

    cold_ms: float
    cached_ms: float
    prompt_tokens: int
    cached_tokens: int
    prompt_per_s: float | None


class Sessions(Figures, frozen=True, kw_only=True):
    """Answers streamed at the same time: tokens a second of all together, and of each in the
    median. `failed` of them gave none; `reason` is the first one's."""

    sessions: int
    per_s: float
    each_per_s: float
    first_ms: float
    tokens: int
    failed: int = 0
    reason: str = ""


class Called(Figures, frozen=True, kw_only=True):
    """One request: the tool it needs ("" for none), those that were called, what was wrong."""

    request: str
    wanted: str
    called: tuple[str, ...]
    fault: str


class ToolCalls(Figures, frozen=True, kw_only=True):
    """How many requests led to exactly the right call with arguments that fit its schema."""

    asked: int
    valid: int
    calls: tuple[Called, ...]


async def bench(
    models: Mapping[str, Model],
    *,
    name: str,
    test: str,
    sessions: int = 1,
    requests: int = len(REQUESTS),
) -> Row:
    """The answer to the verb `models_bench`: one measurement of one model.

    Raises `ConfigError` for what there is none of, or what the model raised.
    """
    model = models.get(name)
    if model is None:
        there = ", ".join(sorted(models)) or "none"
        raise ConfigError(
            f"no open model is named {name!r}; there are: {there}", cure="see `haoya status`"
        )
    if not 1 <= sessions <= MOST_SESSIONS:
        raise ValueError(f"sessions must be 1 to {MOST_SESSIONS}")
    tests: dict[str, Callable[[], Awaitable[Figures]]] = {
        "first": lambda: first_token(model),
        "sessions": lambda: at_once(model, sessions),
        "tools": lambda: tool_calls(model, requests),
    }
    if test not in tests:
        raise ConfigError(f"no test is named {test!r}", cure=f"there are: {', '.join(tests)}")
    try:
        async with asyncio.timeout(TEST_SECONDS):
            result = await tests[test]()
    except TimeoutError:
        raise Unready(f"{name} took longer than {TEST_SECONDS:.0f} s for this") from None
    return {"name": name, "model": model.name, "test": test, **msgspec.to_builtins(result)}


async def first_token(model: Model) -> FirstToken:
    """How long the first token takes for a long new prompt, and for the next message after it."""
    person = f"bench:{secrets.token_hex(4)}"
    lines = (
        Line(role="system", text=long_text(PROMPT_WORDS)),
        Line(role="user", text="Which word stands first in the list? Answer with that word."),
    )
    cold = await _ask(model, lines, person, tokens=8)
    cached: list[Answer] = []
    for number in range(CACHED_RUNS):
        said = cached[-1] if cached else cold
        lines += (
            Line(role="assistant", text=said.text or "…"),
            Line(role="user", text=f"And which is number {number + 2}?"),
        )
        cached.append(await _ask(model, lines, person, tokens=8))
    new = cold.usage.prompt - cold.usage.cached
    return FirstToken(
        cold_ms=round(cold.first * 1000, 1),
        cached_ms=round(statistics.median(answer.first for answer in cached) * 1000, 1),
        prompt_tokens=cold.usage.prompt,
        cached_tokens=cached[-1].usage.cached,
        prompt_per_s=round(new / cold.first, 1) if new > 0 and cold.first > 0 else None,
    )


async def at_once(model: Model, count: int) -> Sessions:
    """How fast `count` answers stream when asked for at the same moment."""
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(_or_reason(_talk(model, number))) for number in range(count)]
    outcomes = [task.result() for task in asked]
    answers = [outcome for outcome in outcomes if isinstance(outcome, Answer)]
    failures = [outcome for outcome in outcomes if isinstance(outcome, HaoyaError)]
    if not answers:
        raise failures[0]
    begun = min(answer.began + answer.first for answer in answers)
    ended = max(answer.began + answer.last for answer in answers)
    return Sessions(
        sessions=count,
        per_s=_rate(sum(answer.tokens for answer in answers) - 1, ended - begun),
        each_per_s=round(statistics.median(_own_rate(answer) for answer in answers), 1),
        first_ms=round(statistics.median(answer.first for answer in answers) * 1000, 1),
        tokens=sum(answer.tokens for answer in answers),
        failed=len(failures),
        reason=str(failures[0]) if failures else "",
    )


async def tool_calls(model: Model, count: int) -> ToolCalls:
    """Whether the model calls the right tools rightly; one request after the other."""
    done = [await _call(model, request) for request in REQUESTS[: max(1, count)]]
    return ToolCalls(asked=len(done), valid=sum(not one.fault for one in done), calls=tuple(done))


def long_text(words: int) -> str:
    """A list of words that no prompt has ever begun with."""
    source = secrets.SystemRandom()
    return f"List {secrets.token_hex(8)}: " + " ".join(source.choices(_WORDS, k=words))


async def _talk(model: Model, number: int) -> Answer:
    text = "Write the numbers from one upwards in English words and do not stop."
    lines = (Line(role="system", text=SYSTEM), Line(role="user", text=text))
    return await _ask(model, lines, f"bench:session-{number}", tokens=ANSWER_TOKENS)


async def _call(model: Model, request: Request) -> Called:
    lines = (Line(role="system", text=SYSTEM), Line(role="user", text=request.text))
    answer = await _ask(model, lines, "bench:tools", tokens=256, tools=True)
    return Called(
        request=request.text,
        wanted=request.wanted,
        called=tuple(call.name for call in answer.calls),
        fault=fault_of(request, answer.calls),
    )


async def _or_reason(asked: Awaitable[Answer]) -> Answer | HaoyaError:
    try:
        return await asked
    except HaoyaError as error:
        return error


async def _ask(
    model: Model, lines: Sequence[Line], person: str, *, tokens: int, tools: bool = False
) -> Answer:
    prompt = Prompt(
        lines=tuple(lines),
        tools=TOOLS if tools else (),
        sampling=Sampling(temperature=0, max_tokens=tokens),
        conversation=person,
        person=person,
    )
    began = time.perf_counter()
    first, pieces, usage = 0.0, 0, Usage()
    text: list[str] = []
    calls: list[ToolCall] = []
    last = 0.0
    async with aclosing(model.stream(prompt)) as deltas:
        async for delta in deltas:
            now = time.perf_counter() - began
            if isinstance(delta, Finish):
                usage = delta.usage
                break
            first, last, pieces = first or now, now, pieces + 1
            if isinstance(delta, TextDelta):
                text.append(delta.text)
            elif isinstance(delta, CallDelta):
                calls.append(delta.call)
    return Answer(
        began=began,
        first=first or time.perf_counter() - began,
        last=last or time.perf_counter() - began,
        pieces=pieces,
        text="".join(text),
        calls=tuple(calls),
        usage=usage,
    )


def _own_rate(answer: Answer) -> float:
    return _rate(answer.tokens - 1, answer.last - answer.first)


def _rate(tokens: int, seconds: float) -> float:
    return round(tokens / seconds, 1) if tokens > 0 and seconds > 0 else 0.0
