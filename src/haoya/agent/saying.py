# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a model says in one step, as it comes."""

import time

import msgspec

from haoya.core.event import ModelAnswered
from haoya.core.label import Label
from haoya.core.tool import CallDelta, Delta, Finish, TextDelta, ThoughtDelta, ToolCall, Usage


class Saying:
    """What a model has said so far in one step."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.text = ""
        self.calls: list[ToolCall] = []
        self.finish = Finish()
        self.began = time.monotonic()
        self.first = 0.0

    def take(self, delta: Delta) -> TextDelta | None:
        """Take in a delta; gives it back if it holds words to stream."""
        self.first = self.first or time.monotonic() - self.began
        match delta:
            case TextDelta():
                self.text += delta.text
                return delta
            case CallDelta():
                self.calls.append(self.named(delta.call))
            case Finish():
                self.finish = delta
            case ThoughtDelta():
                pass
        return None

    def named(self, call: ToolCall) -> ToolCall:
        """The call with an id no other call of this step bears (some servers repeat them)."""
        if call.id and all(call.id != other.id for other in self.calls):
            return call
        return msgspec.structs.replace(call, id=f"{call.id or 'call'}-{len(self.calls)}")

    def event(self, number: int, step: int, label: Label) -> ModelAnswered:
        """The journal's line; call ids are made unique over the conversation by the turn. `label`
        is that of all the model had read."""
        calls = tuple(
            msgspec.structs.replace(call, id=f"{number}.{step}.{i}")
            for i, call in enumerate(self.calls)
        )
        return ModelAnswered(
            turn=number,
            step=step,
            model=self.model,
            text=self.text,
            calls=calls,
            reason=self.finish.reason,
            usage=self.finish.usage if self.finish else Usage(),
            first_seconds=round(self.first, 4),
            seconds=round(time.monotonic() - self.began, 4),
            echo=self.finish.echo,
            notes=self.finish.notes,
            label=label,
        )
