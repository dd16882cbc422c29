# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a case rests on, taken apart: the asking person's own words, and what tools returned,
value by value, each with whose word it is."""

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from haoya.core.label import TRUST, Author, Label, joined
from haoya.core.tool import Line, ToolCall, ToolSpec
from haoya.policy.access import answer_of
from haoya.policy.amounts import amount
from haoya.policy.arguments import Leaf, declared, leaves
from haoya.policy.canonical import fold, link, stands, tokens
from haoya.policy.case import Case, Words
from haoya.policy.labels import trusts
from haoya.policy.moments import exact

_PROPER = re.compile(r"(?<=[\w,;:'\"(] )['\"(]?([A-Z][\w]{2,})|['\"]([A-Z][\w]{2,})['\"]")
"""A word with a capital that does not begin a sentence, or stands in quotes: a name."""


_STOP = re.compile(r"(?<=[a-z])\.(?=[A-Z][a-z]* )")


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """One value of a tool's result. `author` is whose word it is, `vouched` whether the tool
    declares its field; `names` are what the things it belongs to are called, each with whether
    that name is as trusted as the value must be."""

    text: str
    author: Author
    vouched: bool
    tool: str
    path: str
    names: tuple[tuple[str, Author], ...] = ()


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a tool returned: its text, and its values where it is JSON. `given` are the values
    of the call's own arguments, which prove nothing when they come back."""

    tool: str
    label: Label
    text: str
    values: tuple[Value, ...]
    given: tuple[str, ...]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `own` are all the person's own words, `request` those that ask for this turn,
    `read` the label of everything the model had before it."""

    own: str
    request: str
    read: Label
    results: tuple[Result, ...]
    approved: frozenset[str]


def evidence(case: Case) -> Evidence:
    """Take a case apart."""
    words = tuple(case.words) or tuple(_said(case.lines))
    mine = [one for one in words if _own(one, case)]
    asking = [one.text for one in mine if one.asks]
    if asking and all(answer_of(text) for text in asking):
        # "Yes" means what was asked for before.
        asking = [one.text for one in mine if not one.asks][-1:] + asking
    approved = (fold(leaf.value) for call in case.approved for leaf in leaves(call.arguments))
    return Evidence(
        own=_spaced("\n".join(one.text for one in mine)),
        request=_spaced("\n".join(asking)),
        read=case.past | joined(line.label for line in case.lines),
        results=tuple(_results(case)),
        approved=frozenset(approved),
    )


def _spaced(text: str) -> str:
    """With the space that people forget after a full stop, lest a link go on into the next word."""
    return _STOP.sub(". ", text)


def _said(lines: Iterable[Line]) -> Iterator[Words]:
    """The user lines as words; the last one asks."""
    users = [line for line in lines if line.role == "user"]
    for line in users:
        yield Words(text=line.text, label=line.label, asks=line is users[-1])


def _own(words: Words, case: Case) -> bool:
    return trusts(words.label, case.role) and words.label.sources <= {case.person}


def _results(case: Case) -> Iterator[Result]:
    """What tools returned, found again by the ids of their calls."""
    calls: dict[str, ToolCall] = {}
    for line in case.lines:
        calls.update({call.id: call for call in line.calls})
        call = calls.get(line.call)
        if line.role == "tool":
            spec = case.tools.get(call.name) if call else None
            yield Result(
                tool=call.name if call else "an unknown tool",
                label=line.label,
                text=line.text,
                values=tuple(_values(line, spec)) if spec else (),
                given=tuple(leaf.value for leaf in leaves(call.arguments)) if call else (),
            )


def _values(line: Line, spec: ToolSpec) -> Iterator[Value]:
    found = leaves(line.text)
    names = [leaf for leaf in found if spec.names and declared(_facts(spec), leaf.path)]
    for leaf in found:
        vouched = declared(spec.fields, leaf.path)
        yield Value(
            text=leaf.value,
            author=_author(vouched, line.label.author),
            vouched=vouched is not None,
            tool=spec.name,
            path=leaf.path,
            names=tuple(
                (name.value, _author(declared(spec.fields, name.path), line.label.author))
                for name in names
                if _belongs(name, leaf)
            ),
        )


def _facts(spec: ToolSpec) -> Mapping[str, str]:
    return dict.fromkeys(spec.names, "name")


def _author(vouched: str | None, otherwise: Author) -> Author:
    for author in TRUST:
        if author == vouched:
            return author
    return otherwise


def _belongs(name: Leaf, leaf: Leaf) -> bool:
    """Whether a name is that of the thing, or of a thing around it, that a value stands in."""
    return bool(name.records) and name.records[-1] in leaf.records


def equal(one: str, other: str) -> bool:
    """Whether two values are the same in any of their forms."""
    if fold(one) == fold(other):
        return True
    first, second = amount(one), amount(other)
    if first is not None and second is not None:
        return first == second
    if (moment := exact(one)) is not None:
        return moment == exact(other)
    return "." in one and link(one) == link(other)


def calls_it(name: str, text: str, others: frozenset[str]) -> bool:
    """Whether a text speaks of the thing of this name: by its whole name, by the words of a
    file's name, or by its first word as a proper name where no other thing shares it.

    >>> calls_it("grocery-list.docx", "add it to the grocery list", frozenset())
    True
    >>> calls_it("External_0", "the channel starting with External", frozenset({"general"}))
    True
    >>> calls_it("External_0", "the channel starting with External", frozenset({"External_1"}))
    False
    """
    if stands(name, text):
        return True
    wanted, found = tokens(name), tokens(text)
    stem = wanted[:-1] if "." in name else wanted
    if len(stem) > 1 and any(found[at : at + len(stem)] == stem for at in range(len(found))):
        return True
    proper = {fold(one or two) for one, two in _PROPER.findall(text)}
    first = wanted[0] if wanted else ""
    alike = {one for one in others if tokens(one)[:1] == (first,)} - {name}
    return first in proper and not alike
