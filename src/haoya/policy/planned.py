# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plan first: what a run may do is fixed before it reads a word of a stranger's.

The stricter way of working. A model that has read nothing but the request writes a `Plan`: which
tools, in which order, with which constant arguments, and which arguments are still open because
they are to be read somewhere. From then on a call is good only where it is the plan's next step
(or one already begun that may repeat), and what was read can fill the open places and no others.
"""

from collections.abc import Mapping, Sequence

import msgspec

from haoya.core.message import Word
from haoya.core.tool import ToolCall, ToolSpec
from haoya.policy.arguments import declared, leaves


class Step(Word, frozen=True, kw_only=True):
    """One tool of a plan. `constants` are exact values by argument path (several for a list),
    `open` the paths that may be filled with what was read; `repeat` how often it may be called."""

    tool: str
    constants: dict[str, tuple[str, ...]] = msgspec.field(
        default_factory=dict[str, tuple[str, ...]]
    )
    open: frozenset[str] = frozenset()
    repeat: int = 1


class Plan(Word, frozen=True, kw_only=True):
    """The steps in order; a step may be left out, never taken after a later one."""

    steps: tuple[Step, ...]


def faults(plan: Plan, specs: Mapping[str, ToolSpec]) -> tuple[str, ...]:
    """What makes a plan unusable: a tool that is not there, and an open place that decides whom,
    where or what the effect hits (that must be a constant: what is read may never decide it)."""
    found: list[str] = []
    for step in plan.steps:
        spec = specs.get(step.tool)
        if spec is None:
            found.append(f"the plan names {step.tool!r}, but there is no such tool")
            continue
        loose = sorted(path for path in step.open if declared(spec.authority, path))
        if spec.effects - {"read"}:
            found += [f"{step.tool}: {path} must be fixed in the plan" for path in loose]
    return tuple(found)


def strays(plan: Plan, made: Sequence[ToolCall], call: ToolCall) -> str:
    """Why a call lies outside the plan after the calls `made`, in words; "" where it lies in it.

    >>> plan = Plan(steps=(Step(tool="mail", constants={"to": ("a",)}, open=frozenset({"text"})),))
    >>> strays(plan, (), ToolCall(id="1", name="mail", arguments='{"to":"a","text":"hi"}'))
    ''
    >>> strays(plan, (), ToolCall(id="1", name="mail", arguments='{"to":"b","text":"hi"}'))
    'the plan says otherwise of to'
    """
    at, used = 0, 0
    for one in (*made, call):
        why = f"{one.name} is not in what was planned"
        for position in range(at, len(plan.steps)):
            step = plan.steps[position]
            if position > at:
                used = 0
            if step.tool != one.name or used >= step.repeat:
                continue
            why = _differs(step, one)
            if not why:
                at, used = position, used + 1
                break
        else:
            if one is call:
                return why
    return ""


def _differs(step: Step, call: ToolCall) -> str:
    """What of the call is neither as planned nor left open."""
    given: dict[str, list[str]] = {}
    for leaf in leaves(call.arguments):
        given.setdefault(leaf.path, []).append(leaf.value)
    for path, values in step.constants.items():
        if tuple(given.get(path, ())) != values:
            return f"the plan says otherwise of {path}"
    loose = dict.fromkeys(step.open, "open")
    for path in given:
        if path not in step.constants and declared(loose, path) is None:
            return f"the plan does not speak of {path}"
    return ""
