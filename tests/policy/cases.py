# SPDX-License-Identifier: AGPL-3.0-or-later
"""Runs to be judged, told in a few words: who asked for what, what was read, what is wished."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from haoya.core.label import Label
from haoya.core.tool import Line, ToolCall, ToolResult, ToolSpec, Verdict
from haoya.policy.case import Case
from haoya.policy.judge import Decision, Judge
from haoya.policy.labels import label_of, label_of_answer, label_of_result
from haoya.policy.principal import Role

ME = "tg:1"
NOON = 1715774400.0
"""2024-05-15 12:00 UTC, a Wednesday."""

CONTACTS = ToolSpec(
    name="contacts",
    purpose="?",
    effects=frozenset({"read"}),
    author="owner",
    fields={"*": "owner"},
    names=frozenset({"name"}),
)
MAILBOX = ToolSpec(
    name="mailbox",
    purpose="?",
    effects=frozenset({"read"}),
    private=True,
    fields={"id": "owner"},
    names=frozenset({"subject"}),
)
LEDGER = ToolSpec(
    name="ledger",
    purpose="?",
    effects=frozenset({"read"}),
    private=True,
    fields={"id": "owner", "amount": "owner", "recipient": "owner"},
    names=frozenset({"subject"}),
)
ROOMS = ToolSpec(name="rooms", purpose="?", effects=frozenset({"read"}), fields={"*": "known"})
CHAT = ToolSpec(name="chat", purpose="?", effects=frozenset({"read"}), author="known")
PAGE = ToolSpec(
    name="page",
    purpose="?",
    effects=frozenset({"read", "net"}),
    authority={"url": "where"},
)
NOTES = ToolSpec(name="notes", purpose="?", effects=frozenset({"read"}), author="owner")
SEND = ToolSpec(
    name="send",
    purpose="?",
    effects=frozenset({"send"}),
    authority={"to": "who", "file": "which"},
    audience=frozenset({"to"}),
)
PAY = ToolSpec(
    name="pay",
    purpose="?",
    effects=frozenset({"spend"}),
    authority={"to": "who", "amount": "amount"},
    audience=frozenset({"to"}),
)
MOVE = ToolSpec(
    name="move",
    purpose="?",
    effects=frozenset({"write"}),
    deed="change",
    undo="move it back",
    authority={"id": "which", "start": "when", "end": "when"},
)
DELETE = ToolSpec(
    name="delete",
    purpose="?",
    effects=frozenset({"write"}),
    deed="delete",
    authority={"id": "which"},
)
CREATE = ToolSpec(
    name="create",
    purpose="?",
    effects=frozenset({"write"}),
    deed="create",
    writes=frozenset({"calendar"}),
    undo="cancel it",
    authority={"title": "which", "guests": "who"},
    audience=frozenset({"guests"}),
)
TOOLS = {
    spec.name: spec
    for spec in (
        *(CONTACTS, MAILBOX, LEDGER, ROOMS, CHAT, PAGE, NOTES),
        *(SEND, PAY, MOVE, DELETE, CREATE),
    )
}


class Told:
    """A run so far. Each step returns the run, so that a test reads like one."""

    def __init__(self, *words: str, role: Role = "owner", person: str = ME) -> None:
        self.role, self.person = role, person
        label = label_of(person, role)
        self.lines = [Line(role="system", text="You help.")]
        self.lines += [Line(role="user", text=text, label=label) for text in words]
        self.more: dict[str, Any] = {}

    def read(self, tool: str, result: object, **arguments: object) -> "Told":
        """A tool was called and gave this back (JSON unless it is a text)."""
        call = ToolCall(id=f"c{len(self.lines)}", name=tool, arguments=json.dumps(arguments))
        said = label_of_answer(self.lines, self.more.get("past", Label(author="owner")))
        text = result if isinstance(result, str) else json.dumps(result)
        label = label_of_result(TOOLS[tool], call, ToolResult(text=text), self.person, said)
        self.lines.append(Line(role="assistant", calls=(call,), label=said))
        self.lines.append(Line(role="tool", call=call.id, text=text, label=label))
        return self

    def having(self, **more: Any) -> "Told":
        """Further fields of the case."""
        self.more |= more
        return self

    def case(self, tool: str | ToolSpec, arguments: Mapping[str, object] | str) -> Case:
        """The case of a call that is wished for now."""
        spec = TOOLS[tool] if isinstance(tool, str) else tool
        text = arguments if isinstance(arguments, str) else json.dumps(arguments)
        whole: dict[str, Any] = {
            "spec": spec,
            "call": ToolCall(id="now", name=spec.name, arguments=text),
            "person": self.person,
            "role": self.role,
            "where": "tg//1",
            "lines": tuple(self.lines),
            "now": NOON,
            "tools": TOOLS | {spec.name: spec},
        }
        return Case(**(whole | self.more))

    def verdict(
        self, tool: str | ToolSpec, cells: Mapping[str, Decision] | None = None, **arguments: object
    ) -> Verdict:
        """What policy says to it."""
        return Judge(cells=dict(cells or {})).judge(self.case(tool, arguments))

    def wish(self, tool: str | ToolSpec, **arguments: object) -> str:
        """The decision alone."""
        return self.verdict(tool, **arguments).decision


def but(spec: ToolSpec, **changed: object) -> ToolSpec:
    """A tool with other facts."""
    return msgspec.structs.replace(spec, **changed)


def reasons(verdict: Verdict) -> Sequence[str]:
    """What is said against a call, piece by piece."""
    return verdict.reason.split("; ")
