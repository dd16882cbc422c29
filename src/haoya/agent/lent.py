# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the house lends a turn, and what a turn gives back."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from haoya.agent.transcript import Approval
from haoya.core.event import Event
from haoya.core.label import Label, joined
from haoya.core.phrases import Language
from haoya.core.ports import Model
from haoya.core.tool import (
    Line,
    Scene,
    ToolCall,
    ToolResult,
    ToolSpec,
    Urgency,
    Verdict,
)


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run has read so far: its lines, oldest first, and the label of what was read
    before them and is cut away."""

    lines: Sequence[Line]
    past: Label

    @property
    def label(self) -> Label:
        """The label of everything read."""
        return joined([self.past, *(line.label for line in self.lines)])


class Broker(Protocol):
    """The only way from a turn to the tools: it shows what they are, says what may be done, and
    does it. A turn never holds a tool."""

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """The tools that may be shown to the model, by name."""
        ...

    @property
    def planning(self) -> str:
        """The tool that must be called before anything else is read or done, "" for none: the
        model then sees the asking person's own words alone."""
        ...

    def judge(
        self, spec: ToolSpec | None, call: ToolCall, read: Read, approval: Approval | None = None
    ) -> Verdict:
        """Whether this call may be made now, after all that was read; `ask` where the owner has to
        say so first. An `approval` that is not for this very effect is worth nothing."""
        ...

    def digest(self, spec: ToolSpec, call: ToolCall) -> str:
        """The name of this very effect: whose, which call, which tool, which arguments."""
        ...

    async def call(
        self, spec: ToolSpec, call: ToolCall, read: Read, approval: Approval | None = None
    ) -> ToolResult:
        """Judge once more, then do it, and label the result. Never raises for what a tool does."""
        ...


class Lent(msgspec.Struct, frozen=True, kw_only=True):
    """What the house lends a turn. `models` in the order of failover: all steps ask the same one
    while it answers (it has the turn in its cache), one that failed goes to the end. `scene` says
    where the turn is, `system` is the whole system prompt, `max_steps` model calls a turn."""

    models: Sequence[tuple[str, Model]]
    broker: Broker
    system: str
    scene: Scene
    why: Mapping[str, str] = {}
    """Why each model stands where it does, for the owner."""
    urgency: Urgency = "chat"
    language: Language = "en"
    max_steps: int = 12
    trouble: str = ""
    """Why there is no model, where `models` is empty and the reason is known."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The turn's last word; the caller makes it the `Said` that ends the turn."""

    text: str


class AskOwner(msgspec.Struct, frozen=True, kw_only=True):
    """The turn pauses here until the owner has decided about `call`. `digest` is what the approval
    will be bound to, `label` that of all the model had read."""

    call: ToolCall
    spec: ToolSpec
    verdict: Verdict
    digest: str
    label: Label


class Retracted(msgspec.Struct, frozen=True, kw_only=True):
    """The words streamed so far are void: another model begins anew."""


Step = tuple[Event | Answer | AskOwner, ...]
