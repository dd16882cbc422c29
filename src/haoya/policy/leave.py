# SPDX-License-Identifier: AGPL-3.0-or-later
"""What may leave: how far the words of a conversation may go to be thought about."""

import re
from collections.abc import Iterator, Mapping
from typing import get_args

import msgspec

from haoya.core.message import Address
from haoya.core.tool import Place, Urgency

STRICTNESS: dict[Place, int] = {"here": 0, "own": 1, "outside": 2}
DEFAULT = "*"
"""The rule for all that no other rule names."""

_CHANNEL = r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}"
_KEY = re.compile(rf"\*|{_CHANNEL}|{_CHANNEL}:.+|{_CHANNEL}/[^/]*/[^/]+(/[^/]+)?")


class Talk(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be thought about: where it was said, all whose words a model would read, and
    how pressing it is."""

    address: Address
    people: frozenset[str] = frozenset()
    urgency: Urgency = "chat"


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """How far words may go, and the key of the rule that says so ("" where none does)."""

    within: Place
    rule: str = ""


def is_rule(key: str) -> bool:
    """Whether a key can name something: `*`, a channel, an urgency, a person, a conversation.

    >>> is_rule("tg"), is_rule("tg:123"), is_rule("irc//#kitchen"), is_rule("a b")
    (True, True, True, False)
    """
    return _KEY.fullmatch(key) is not None


def reach(rules: Mapping[str, Place], talk: Talk) -> Reach:
    """The strictest of the rules that name this talk's conversation, channel, urgency or any of
    its people; where none does, the rule `*`; without one, words may go anywhere.

    >>> talk = Talk(address=Address(channel="tg", room="7"), people=frozenset({"tg:7"}))
    >>> reach({"*": "here", "tg": "outside", "tg:7": "own"}, talk)
    Reach(within='own', rule='tg:7')
    """
    names = {talk.address.key, talk.address.channel, talk.urgency, *talk.people}
    found = [Reach(within=rules[name], rule=name) for name in sorted(names & rules.keys())]
    if found:
        return min(found, key=lambda one: STRICTNESS[one.within])
    if DEFAULT in rules:
        return Reach(within=rules[DEFAULT], rule=DEFAULT)
    return Reach(within="outside")


def leave_faults(
    rules: Mapping[str, Place], models: Mapping[str, Place], channels: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """What is wrong with rules, each with its cure: those that name a channel there is not (a
    misspelt one keeps nothing), and those that no model satisfies. `models` are those that may
    be asked, by where they think."""
    known = channels | {DEFAULT, "local", *get_args(Urgency)}
    for key, place in rules.items():
        channel = re.split("[:/]", key, maxsplit=1)[0]
        if channel not in known:
            there = ", ".join(sorted(channels)) or "none"
            yield (
                f"[policy] leave names {key!r}, but there is no channel {channel!r}",
                f"the channels are: {there}",
            )
        if models and all(STRICTNESS[one] > STRICTNESS[place] for one in models.values()):
            yield (
                f"[policy] leave: {key} = {place!r}, but no model in [agent] model is {place}",
                "add one that is, or say with `place` in its section where a model thinks",
            )
