# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a turn asks for, what it is lent, and why, in words."""

import math
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from haoya.agent.budget import PROMPT_SHARE, Group, line_tokens, tools_tokens
from haoya.core.message import Address
from haoya.core.phrases import Language
from haoya.core.ports import Model
from haoya.core.tool import Line, ToolSpec
from haoya.inference.router import Bar, Choice, Talent
from haoya.policy.leave import Talk

PICTURE_GROUPS = 6
"""How many of the last lines (with their calls) may still be about a picture."""

_CANNOT: dict[Bar, str] = {
    "images": "it sees no pictures",
    "tools": "it cannot use tools",
    "schema": "it cannot answer in a given form",
    "context": "the conversation is too long for it",
    "budget": "its budget is spent",
    "place": "these words may not go there",
}


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn asks for: whose words it shows a model, what it needs, in which language to
    say that it cannot be had. `tokens` counts the least room it needs, where there is a choice."""

    talk: Talk
    talents: frozenset[Talent] = frozenset()
    tokens: Callable[[], int] = lambda: 0
    language: Language = "en"


def wish_of(
    address: Address,
    people: frozenset[str],
    groups: Sequence[Group],
    tools: Mapping[str, ToolSpec],
    *,
    system: str,
    language: Language,
) -> Wish:
    """What a turn asks for that shows a model these lines: pictures where somebody showed one a
    little while ago, tools where there are any."""
    recent = [line for group in groups[-PICTURE_GROUPS:] for line in group.lines]
    talents: set[Talent] = {"images"} if any(line.images for line in recent) else set()
    if tools:
        talents.add("tools")

    def tokens() -> int:
        specs = tuple(tools.values())
        fixed = line_tokens(Line(role="system", text=system)) + tools_tokens(specs)
        last = groups[-1].tokens if groups else 0
        return int((fixed + last) / PROMPT_SHARE)

    return Wish(
        talk=Talk(address=address, people=people),
        talents=frozenset(talents),
        tokens=tokens,
        language=language,
    )


class Lending(msgspec.Struct, frozen=True, kw_only=True):
    """The models of one turn in the order of failover, why each, and why there are none."""

    models: Sequence[tuple[str, Model]] = ()
    why: Mapping[str, str] = {}
    trouble: str = ""


def reasons(
    names: Sequence[str],
    measured: Sequence[Choice],
    pauses: Mapping[str, float],
    left_out: Sequence[tuple[str, Bar]],
) -> dict[str, str]:
    """Why each model stands where it does, for the owner."""
    worth = {choice.name: choice for choice in measured}
    best = max((choice.worth for choice in measured), default=0.0)
    out = [f"{name} left out: {_CANNOT[bar]}" for name, bar in left_out]
    out += [f"{name} rests {_until(pauses[name])}" for name in names if pauses[name]]
    found: dict[str, str] = {}
    for place, name in enumerate(names):
        choice = worth.get(name)
        if place:
            said = "next if those before it fail"
        elif choice is None:
            said = "first in your order"
        elif choice.worth >= best:
            said = f"measured best ({choice.worth:.2f} after {choice.tries} requests)"
        else:
            said = f"tried to see ({choice.worth:.2f} after {choice.tries}, best {best:.2f})"
        found[name] = "; ".join([said, *out])
    return found


def _until(pause: float) -> str:
    if math.isinf(pause):
        return "until its settings change"
    return f"until {time.strftime('%H:%M:%S', time.localtime(pause))}"
