# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya models engine`: what runs local models, and building one for this very machine."""

import sys
import time
from typing import Annotated

from cyclopts import Parameter

from haoya.cli.answers import Answer
from haoya.cli.house import room, shaped
from haoya.cli.lent import Lent
from haoya.cli.view import ERROR, OK, View, duration, paint, table
from haoya.cli.words import say

LOOK_SECONDS = 0.5
MODULE = "haoya.runtime.engines"

STEPS = {
    "check": say("engine.check"),
    "fetch": say("engine.fetch"),
    "unpack": say("engine.unpack"),
    "configure": say("engine.configure"),
    "compile": say("engine.compile"),
    "install": say("engine.install"),
    "prove": say("engine.prove"),
    "done": say("engine.done"),
    "failed": say("engine.failed"),
    "cancelled": say("engine.cancelled"),
    "broken": say("engine.broken"),
}


class Proof(Answer, frozen=True, kw_only=True):
    """How a build did beside the wheel."""

    model: str = ""
    equal: bool = False
    tokens: int = 0
    prompt_ratio: float = 0
    answer_ratio: float = 0
    ratio: float = 0
    reason: str = ""


class Engine(Answer, frozen=True, kw_only=True):
    """One engine of this machine."""

    name: str = ""
    version: str = ""
    in_use: bool = False
    proof: Proof | None = None


class Build(Answer, frozen=True, kw_only=True):
    """A build under way or ended; `done` of `of` steps of the compiler."""

    name: str = ""
    step: str = ""
    running: bool = False
    began: float = 0
    at: float = 0
    done: int = 0
    of: int = 0
    error: str = ""
    cure: str = ""
    log: str = ""


class Status(Answer, frozen=True, kw_only=True):
    """`engines` with the one in use first, and the last build."""

    engines: tuple[Engine, ...] = ()
    build: Build | None = None


def build(
    *,
    model: Annotated[str, Parameter(help=say("option.proof"))] = "",
    wait: Annotated[bool, Parameter(negative="", help=say("option.wait"))] = False,
    view: Lent,
) -> int:
    """Build an engine for this machine in the background, prove it, and switch to it."""
    result = room(view, MODULE, "build")(view.home, model)
    if wait:
        result = _watch(view)
    if view.json:
        view.document(result)
    elif wait:
        view.print(*_shown(shaped(result, Status)))
    else:
        view.print(say("engine.begun"))
    built = shaped(result, Status).build
    return ERROR if built and built.step in ("failed", "cancelled", "broken") else OK


def status(*, view: Lent) -> int:
    """Show the engines and how a build goes."""
    return _show(view, room(view, MODULE, "status")(view.home))


def use(name: Annotated[str, Parameter(help=say("option.engine"))], /, *, view: Lent) -> int:
    """Choose what runs local models."""
    result = room(view, MODULE, "use")(view.home, name)
    if not view.json:
        view.print(say("engine.used", name=name))
    return _show(view, result)


def cancel(*, view: Lent) -> int:
    """Stop a build; what is done of it is kept."""
    return _show(view, room(view, MODULE, "cancel")(view.home))


def _show(view: View, result: object) -> int:
    if view.json:
        view.document(result)
    else:
        view.print(*_shown(shaped(result, Status)))
    return OK


def _watch(view: View) -> object:
    """Tell each step of a build until it ends."""
    told = ""
    while True:
        result = room(view, MODULE, "status")(view.home)
        build = shaped(result, Status).build
        if build is None or not build.running:
            return result
        line = f"{STEPS.get(build.step, build.step)}{_count(build)}"
        if line != told:
            print(line, file=sys.stderr, flush=True)
        told = line
        time.sleep(LOOK_SECONDS)


def _shown(status: Status) -> list[str]:
    rows = [
        (paint("✓", "green") if one.in_use else " ", one.name, one.version, _proof(one))
        for one in status.engines
    ]
    lines = table(rows) or [say("engine.none")]
    if (build := status.build) is None:
        return [*lines, say("engine.hint")]
    step = STEPS.get(build.step, build.step)
    took = duration((time.time() if build.running else build.at) - build.began)
    lines.append(say("engine.build", name=build.name, step=f"{step}{_count(build)}", time=took))
    if build.error:
        lines.append(f"  {build.error}" + (f" — {build.cure}" if build.cure else ""))
    if build.running or build.error:
        lines.append(say("engine.log", path=build.log))
    return lines


def _count(build: Build) -> str:
    return f" {build.done}/{build.of}" if build.of else ""


def _proof(engine: Engine) -> str:
    proof = engine.proof
    if proof is None:
        return say("engine.unproven") if engine.name == "native" else ""
    if proof.reason:
        return say("engine.refused", reason=proof.reason)
    return say(
        "engine.proven",
        ratio=f"{proof.ratio:g}",
        prompt=f"{proof.prompt_ratio:g}",
        answer=f"{proof.answer_ratio:g}",
        tokens=proof.tokens,
        model=proof.model,
    )
