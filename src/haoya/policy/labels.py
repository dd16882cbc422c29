# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whose words something is made of: of what people write, tools return and models say.

A label only ever joins others: nothing here can make one that is more trusted, or may be read by
more people, than what it was made of.
"""

from collections.abc import Iterable, Iterator, Sequence

from haoya.core.label import TRUST, Author, Label, joined
from haoya.core.message import Button, Code, Link, Location, Mention, Part, Reading, Text, text_of
from haoya.core.tool import Line, ToolCall, ToolResult, ToolSpec
from haoya.policy.arguments import leaves
from haoya.policy.canonical import fold
from haoya.policy.case import Words
from haoya.policy.principal import Role

_AUTHORS: dict[Role, Author] = {"owner": "owner", "member": "paired", "guest": "untrusted"}
_OWN = (Text, Mention, Location, Button, Reading, Code)
_ECHO_LENGTH = 4
"""Shorter arguments stand in most results by chance."""


def label_of(person: str, role: Role) -> Label:
    """The label of what somebody typed; his key stands in `sources`."""
    return Label(author=_AUTHORS[role], sources=frozenset({person}))


def pieces(parts: Sequence[Part], person: str, role: Role) -> Iterator[Words]:
    """A message in pieces, each with whose words it is.

    What was typed is the sender's own. What is quoted, forwarded, attached or previewed was
    written by somebody else; of a link only the address was chosen by the sender.
    """
    own, strange = label_of(person, role), Label(sources=frozenset({f"shown by {person}"}))
    for part in parts:
        if isinstance(part, _OWN):
            yield Words(text=text_of((part,)), label=own)
        elif isinstance(part, Link):
            yield Words(text=part.url, label=own)
            if part.title:
                yield Words(text=part.title, label=strange)
        else:
            yield Words(text=text_of((part,)), label=strange)


def label_of_message(parts: Sequence[Part], person: str, role: Role) -> Label:
    """The label of a whole message: of all its pieces together."""
    return label_of(person, role) | joined(one.label for one in pieces(parts, person, role))


def label_of_answer(lines: Iterable[Line], past: Label) -> Label:
    """The label of what a model says: of all it has read."""
    return past | joined(line.label for line in lines)


def label_of_result(
    spec: ToolSpec, call: ToolCall, result: ToolResult, person: str, asked: Label
) -> Label:
    """The label of what a tool gave back to `person`.

    As its spec promises, lowered by what the tool says of this result, and by `asked`, the label
    of the call itself (of the model that made it), where an argument stands in the result again.
    """
    readers = frozenset({person}) if spec.private else None
    label = Label(author=spec.author, readers=readers, sources=frozenset({spec.name}))
    if result.label is not None:
        label = label | result.label
    text = fold(result.text)
    echoed = (fold(leaf.value) for leaf in leaves(call.arguments))
    if any(len(value) >= _ECHO_LENGTH and value in text for value in echoed):
        label = label | asked
    return label


def trusts(label: Label, role: Role) -> bool:
    """Whether these words may decide for somebody of this role."""
    return TRUST[label.author] >= TRUST[_AUTHORS[role]]
