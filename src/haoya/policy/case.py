# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a judgement rests on: the call, on whose behalf, and all the run has read before it."""

from collections.abc import Mapping, Sequence

import msgspec

from haoya.core.label import OWNER, Label
from haoya.core.message import Word
from haoya.core.tool import Effect, Line, ToolCall, ToolSpec
from haoya.policy.planned import Plan
from haoya.policy.principal import Role

MEANING: dict[Effect, str] = {
    "read": "read the workspace",
    "write": "change files in the workspace",
    "net": "reach the network",
    "exec": "run a program",
    "send": "send a message to somebody",
    "spend": "spend money",
}


class Rights(Word, frozen=True, kw_only=True):
    """What a run may do at all, whatever anybody says: effects, and tools by name (None: every
    tool). A run that another one starts gets an intersection, never a role."""

    effects: frozenset[Effect]
    tools: frozenset[str] | None = None

    def __and__(self, other: "Rights") -> "Rights":
        """What both allow."""
        if self.tools is None or other.tools is None:
            tools = other.tools if self.tools is None else self.tools
        else:
            tools = self.tools & other.tools
        return Rights(effects=self.effects & other.effects, tools=tools)


ALL = Rights(effects=frozenset({"read", "write", "net", "exec", "send", "spend"}))


class Grant(Word, frozen=True, kw_only=True):
    """A standing leave as the journal tells it (`core.event.Granted`), and how often it was
    `used`. `number` is its name."""

    number: int
    person: str
    where: str
    tool: str
    arguments: dict[str, str]
    limit: int = 0
    used: int = 0
    expires: float = 0


class Words(Word, frozen=True, kw_only=True):
    """Something a person wrote, and whose words they are (his key alone in `label.sources`);
    `asks` where it belongs to the message that the turn answers, not to earlier ones."""

    text: str
    label: Label
    asks: bool = True


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One call to be judged. `lines` are all of the run so far with their labels, oldest first,
    `past` the label of what was read before them and cut away; `where` is the conversation's key,
    `now` Unix seconds.

    `tools` are the specs by name of all tools that returned something in `lines`. `words` are the
    messages in pieces (`labels.pieces`), oldest first; without them the user lines are taken as
    they are, the last one as the request. `approved` are the calls of this turn that an owner said
    yes to: what stands in them he has seen. `plan` is what was fixed before anything was read.
    """

    spec: ToolSpec | None
    call: ToolCall
    person: str
    role: Role
    where: str = ""
    lines: Sequence[Line] = ()
    past: Label = OWNER
    rights: Rights = ALL
    grants: Sequence[Grant] = ()
    now: float = 0
    tools: Mapping[str, ToolSpec] = {}
    words: Sequence[Words] = ()
    approved: Sequence[ToolCall] = ()
    plan: Plan | None = None
