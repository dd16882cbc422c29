# SPDX-License-Identifier: AGPL-3.0-or-later
"""A stage for turns: a true model that follows a script, true tools that count what they did, and
a journal in memory that can be cut off after any step, as a dying process cuts it off.

`Play` drives `turn` exactly as the house does: write each step, then ask for the next.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import msgspec

from haoya.agent.lent import Answer, AskOwner, Lent, Retracted
from haoya.agent.transcript import groups_of, open_calls, standing, steps_taken
from haoya.agent.turn import turn
from haoya.core.errors import HaoyaError
from haoya.core.event import Admitted, Asked, Decided, Entry, Event, Said
from haoya.core.message import Address, Outbound, Text, text_of
from haoya.core.ports import Tool
from haoya.core.tool import (
    CallDelta,
    Delta,
    Effect,
    Finish,
    Line,
    Prompt,
    Scene,
    TextDelta,
    ToolCall,
    ToolResult,
    ToolSpec,
)
from haoya.policy.judge import Decision, Judge
from haoya.runtime.broker import Broker

ADDRESS = Address(channel="c", room="r")
Wish = tuple[str, str]
"""A tool's name and the JSON of its arguments."""


class Scripted:
    """A model that takes its script's step n after n steps with calls, then says `last`.

    What it says follows from the lines alone, so a resumed turn gets the same answers. `breaks`
    raises after the words, the first `times`.
    """

    def __init__(
        self,
        *script: Sequence[Wish],
        last: str = "done",
        words: str = "",
        breaks: HaoyaError | None = None,
        times: int = 1_000,
        context_tokens: int = 100_000,
        finish: bool = True,
    ) -> None:
        self.script = script
        self.last = last
        self.words = words
        self.breaks = breaks
        self.times = times
        self.context_tokens = context_tokens
        self.finish = finish
        self.seen: list[list[Line]] = []

    @property
    def name(self) -> str:
        return "scripted"

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        self.seen.append(list(prompt.lines))
        if self.words:
            yield TextDelta(text=self.words)
        if self.breaks and self.times > 0:
            self.times -= 1
            raise self.breaks
        taken = _steps_since_last_words(prompt.lines)
        if taken < len(self.script):
            for name, arguments in self.script[taken]:
                yield CallDelta(call=ToolCall(id="same", name=name, arguments=arguments))
        else:
            for word in self.last.split(" "):
                yield TextDelta(text=word if word == self.last.split(" ")[0] else f" {word}")
        if self.finish:
            yield Finish(model="scripted-1")


def _steps_since_last_words(lines: Sequence[Line]) -> int:
    last = max((i for i, line in enumerate(lines) if line.role == "user"), default=0)
    return sum(line.role == "assistant" for line in lines[last:])


class Note(msgspec.Struct):
    """What the counting tools take."""

    what: str


class Tools:
    """Tools by name; `ran` counts each effect by its words, `keys` how often each call ran."""

    def __init__(self) -> None:
        self.ran: Counter[str] = Counter()
        self.keys: Counter[str] = Counter()
        self.lent: dict[str, Tool[Any]] = {}
        self.add("once", "write")
        self.add("again", "read", idempotent=True)
        self.add("send", "send")

    def add(
        self,
        name: str,
        *effects: Effect,
        idempotent: bool = False,
        run: Callable[[Note, Scene], Any] | None = None,
    ) -> None:
        """One more tool; without `run` it counts and says what it did."""

        async def count(note: Note, scene: Scene) -> ToolResult:
            self.ran[note.what] += 1
            self.keys[scene.key] += 1
            return ToolResult(text=f"{name} {note.what}")

        spec = ToolSpec(
            name=name,
            purpose="?",
            effects=frozenset(effects),
            writes=frozenset({"workspace"} if "write" in effects else ()),
            idempotent=idempotent,
        )
        self.lent[name] = Tool(spec=spec, arguments=Note, run=run or count)


CELLS: dict[str, Decision] = {"owner.send": "ask", "owner.spend": "deny"}
"""Sending is asked about, spending denied, all else allowed."""


class Died(Exception):
    """The process ended here."""


class Play:
    """One conversation. `entries` is its journal; `die_after` so many further writes, it dies."""

    def __init__(self, *entries: Entry, tools: Tools | None = None, **lent: Any) -> None:
        self.entries = list(entries)
        self.tools = tools or Tools()
        self.wanted = {
            "models": [("main", Scripted())],
            "system": "You are a test.",
            **lent,
        }
        self.cells = CELLS
        self.broker = Broker(lambda: Judge(cells=dict(self.cells)), lambda: 0.0)
        self.broker.parts["test"] = list(self.tools.lent.values())
        self.die_after: int | None = None
        self.writes = 0
        self.streamed: list[str] = []

    def hear(self, text: str, *, wakes: bool = True, **more: Any) -> Entry:
        """A person's admitted words."""
        admitted = Admitted(
            of=0, person="c:7", role="owner", parts=(Text(text=text),), wakes=wakes, **more
        )
        (entry,) = self.write(admitted)
        return entry

    def write(self, *events: Event) -> list[Entry]:
        """Append as one step."""
        if self.die_after is not None and self.writes >= self.die_after:
            raise Died
        self.writes += 1
        number = self.entries[-1].number if self.entries else 10
        new = [
            Entry(number=number + i, at=0, conversation=ADDRESS.key, event=event)
            for i, event in enumerate(events, 1)
        ]
        self.entries += new
        return new

    def decide(self, yes: bool) -> None:
        """Answer the open question."""
        asked = [e for e in self.entries if isinstance(e.event, Asked)][-1]
        assert isinstance(asked.event, Asked)
        self.write(Decided(of=asked.number, call=asked.event.call, yes=yes, by="c:1"))

    def go(self, *, gather: bool = False) -> str:
        """Run one turn to its end or pause: what was said, "" where nothing was."""
        return asyncio.run(self._go(gather))

    async def _go(self, gather: bool) -> str:
        state = standing(self.entries, gather=gather)
        if not state.turn or state.paused:
            return ""
        number = state.turn
        scene = Scene(address=ADDRESS, person="c:7", turn=number, call="")
        lease = self.broker.chat(scene, "owner", ["test"])
        lent = Lent(**{"scene": scene, "broker": lease, **self.wanted})
        groups = groups_of(self.entries, number, ADDRESS)
        pending = open_calls(self.entries, number)
        taken = steps_taken(self.entries, number)
        async with aclosing(turn(number, groups, pending, lent, taken=taken)) as steps:
            async for step in steps:
                if isinstance(step, TextDelta):
                    self.streamed.append(step.text)
                elif isinstance(step, Retracted):
                    self.streamed.append("<retracted>")
                elif (said := self._write_step(number, step)) is not None:
                    return said
        return ""

    def _write_step(self, number: int, step: Sequence[Any]) -> str | None:
        events: list[Event] = []
        for item in step:
            if isinstance(item, Answer):
                parts = (Text(text=item.text),)
                outbound = Outbound(id=f"c:{number}", address=ADDRESS, parts=parts)
                self.write(*events, Said(outbound=outbound, turn=number))
                return item.text
            if isinstance(item, AskOwner):
                self.write(*events)
                asked = Asked(
                    turn=number,
                    call=item.call.id,
                    where="c//r",
                    digest=item.digest,
                    question="?",
                    expires=9,
                )
                self.write(asked)
                return ""
            events.append(item)
        self.write(*events)
        return None

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of one kind, in order."""
        return [entry.event for entry in self.entries if isinstance(entry.event, kind)]

    def said(self) -> list[str]:
        """Everything said, in order."""
        return [text_of(event.outbound.parts) for event in self.of(Said)]
