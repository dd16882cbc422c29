# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whose words something is made of."""

from haoya.core.label import Author, Label
from haoya.core.tool import ToolCall, ToolResult, ToolSpec
from haoya.policy.principal import Role

_AUTHORS: dict[Role, Author] = {"owner": "owner", "member": "paired", "guest": "untrusted"}


def label_of(person: str, role: Role) -> Label:
    """The label of what somebody typed; his key stands in `sources`."""
    return Label(author=_AUTHORS[role], sources=frozenset({person}))


def label_of_result(
    spec: ToolSpec, call: ToolCall, result: ToolResult, person: str, asked: Label
) -> Label:
    """The label of what a tool gave back to `person`."""
    readers = frozenset({person}) if spec.private else None
    label = Label(author=spec.author, readers=readers, sources=frozenset({spec.name}))
    if result.label is not None:
        label = label | result.label
    return label if result.ok else label | asked
