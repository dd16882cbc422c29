# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya models bench`: how fast the models are, and whether they can use tools."""

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
from cyclopts import Parameter

from haoya.cli.answers import Answer, Status
from haoya.cli.house import ask, shaped
from haoya.cli.lent import Lent
from haoya.cli.view import ERROR, OK, View, table
from haoya.cli.words import say
from haoya.core.errors import ConfigError, HaoyaError

SESSIONS, FEW_SESSIONS = (1, 3, 5, 10), (1, 3)
FEW_REQUESTS, MANY_REQUESTS = 5, 100
TEST_SECONDS = 1300.0
"""A little longer than the daemon gives one measurement (`runtime.modelbench.TEST_SECONDS`)."""


class FirstToken(Answer, frozen=True, kw_only=True):
    """`models_bench`, test `first`."""

    cold_ms: float = 0
    cached_ms: float = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    prompt_per_s: float | None = None


class Sessions(Answer, frozen=True, kw_only=True):
    """`models_bench`, test `sessions`."""

    sessions: int = 0
    per_s: float = 0
    each_per_s: float = 0
    first_ms: float = 0
    tokens: int = 0
    failed: int = 0
    reason: str = ""


class Called(Answer, frozen=True, kw_only=True):
    """One request of the test `tools`."""

    request: str = ""
    wanted: str = ""
    called: tuple[str, ...] = ()
    fault: str = ""


class ToolCalls(Answer, frozen=True, kw_only=True):
    """`models_bench`, test `tools`."""

    asked: int = 0
    valid: int = 0
    calls: tuple[Called, ...] = ()


class Measured(Answer, frozen=True, kw_only=True):
    """All measurements of one model; `error` says why the rest is missing."""

    name: str
    first: FirstToken | None = None
    sessions: tuple[Sessions, ...] = ()
    tools: ToolCalls | None = None
    error: str = ""


def bench(
    *names: Annotated[str, Parameter(help=say("option.models"))],
    quick: Annotated[bool, Parameter(negative="", help=say("option.quick"))] = False,
    view: Lent,
) -> int:
    """Measure models; all that are open where none is named.

    The status is 1 where one of them failed.
    """
    wanted = names or _open(view)
    if not wanted:
        raise ConfigError(say("bench.none"), cure=say("bench.none.cure"))
    done = [_measure(view, name, quick) for name in wanted]
    if view.json:
        view.document({"models": [msgspec.to_builtins(one) for one in done]})
    else:
        view.print(*_table(done, FEW_SESSIONS if quick else SESSIONS), "", say("bench.legend"))
    return ERROR if any(one.error for one in done) else OK


def _open(view: View) -> Sequence[str]:
    status = shaped(ask(view, "status"), Status)
    return [model.name for model in status.models if model.state == "open"]


def _measure(view: View, name: str, quick: bool) -> Measured:
    done = Measured(name=name)
    steps: list[Callable[[Measured], Measured]] = [lambda so_far: _first(view, so_far)]
    for count in FEW_SESSIONS if quick else SESSIONS:
        steps.append(lambda so_far, count=count: _sessions(view, so_far, count))
    steps.append(lambda so_far: _tools(view, so_far, quick))
    for step in steps:
        try:
            done = step(done)
        except HaoyaError as error:
            _tell(name, say("bench.failed", reason=error))
            return msgspec.structs.replace(done, error=str(error))
    return done


def _first(view: View, so_far: Measured) -> Measured:
    _tell(so_far.name, say("bench.first"))
    first = shaped(_ask(view, so_far.name, "first"), FirstToken)
    cold, cached = _seconds(first.cold_ms), _seconds(first.cached_ms)
    _tell(so_far.name, say("bench.first.done", cold=cold, cached=cached))
    return msgspec.structs.replace(so_far, first=first)


def _sessions(view: View, so_far: Measured, count: int) -> Measured:
    _tell(so_far.name, say("bench.sessions", count=count))
    one = shaped(_ask(view, so_far.name, "sessions", sessions=count), Sessions)
    _tell(so_far.name, say("bench.sessions.done", count=count, speed=f"{one.per_s:g}"))
    if one.failed:
        _tell(so_far.name, say("bench.lost", failed=one.failed, count=count, reason=one.reason))
    return msgspec.structs.replace(so_far, sessions=(*so_far.sessions, one))


def _tools(view: View, so_far: Measured, quick: bool) -> Measured:
    _tell(so_far.name, say("bench.tools"))
    count = FEW_REQUESTS if quick else MANY_REQUESTS
    tools = shaped(_ask(view, so_far.name, "tools", requests=count), ToolCalls)
    _tell(so_far.name, say("bench.tools.done", valid=tools.valid, asked=tools.asked))
    for call in tools.calls:
        if call.fault:
            _tell(so_far.name, say("bench.fault", request=call.request, fault=call.fault))
    return msgspec.structs.replace(so_far, tools=tools)


def _ask(view: View, name: str, test: str, **more: object) -> object:
    return ask(view, "models_bench", seconds=TEST_SECONDS, name=name, test=test, **more)


def _tell(name: str, sentence: str) -> None:
    """Progress, beside the result: whoever reads the JSON is not bothered by it."""
    print(f"{name}: {sentence}", file=sys.stderr, flush=True)


def _table(done: Sequence[Measured], counts: Sequence[int]) -> list[str]:
    titles = [say("bench.model"), say("bench.cold"), say("bench.cached"), say("bench.prompt")]
    head = [*titles, *(f"×{count}" for count in counts), say("bench.calls")]
    return table([head, *(_row(one, counts) for one in done)])


def _row(one: Measured, counts: Sequence[int]) -> list[str]:
    first, tools = one.first, one.tools
    speeds = {found.sessions: f"{found.per_s:g}" for found in one.sessions}
    return [
        one.name,
        _seconds(first.cold_ms) if first else "—",
        _seconds(first.cached_ms) if first else "—",
        f"{first.prompt_per_s:g}" if first and first.prompt_per_s else "—",
        *(speeds.get(count, "—") for count in counts),
        f"{tools.valid}/{tools.asked}" if tools else "—",
    ]


def _seconds(milliseconds: float) -> str:
    return f"{milliseconds / 1000:.2f} s" if milliseconds >= 1000 else f"{milliseconds:.0f} ms"
