# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plan first (`[policy] mode = "plan"`): what a run may call is fixed before it reads anything.

The first thing a model of such a run is asked for is a call of `plan`, and all it is shown for that
are the asking person's own words. From then on policy lets nothing pass that strays from it.
"""

from collections.abc import Iterable, Mapping

import msgspec

from haoya.agent.lent import Read
from haoya.core.event import Entry, ToolAsked, ToolReturned
from haoya.core.schema import schema_of
from haoya.core.tool import ToolResult, ToolSpec
from haoya.policy.planned import Plan, faults

NAME = "plan"
MOST_TRIES = 2
"""Plans that may be faulty before the run goes on with an empty one and can call nothing."""

_PURPOSE = (
    "Say first, before you read anything, which tools you will call, in order. For each: in "
    "`constants` the exact texts of arguments (a list for each argument), in `open` the arguments "
    "that what you read will fill. Arguments that decide whom or where an effect hits must be "
    "constants. `repeat` how often at most. No steps if you need no tool. The tools: {tools}"
)


class Planning:
    """Where a run that plans first stands: `plan` is None until there is one. `specs` are the
    tools it may plan with."""

    def __init__(self, specs: Mapping[str, ToolSpec]) -> None:
        self.specs = specs
        self.plan: Plan | None = None
        self._tries = 0

    @property
    def spec(self) -> ToolSpec:
        """The tool with which the plan is laid down; it tells which tools there are."""
        tools = "; ".join(
            f"{one.name} ({one.purpose}) {bytes(one.schema).decode()}"
            for one in self.specs.values()
        )
        return ToolSpec(
            name=NAME,
            purpose=_PURPOSE.format(tools=tools),
            schema=schema_of(Plan),
            idempotent=True,
            author="owner",
        )

    def take(self, arguments: str) -> ToolResult:
        """Take the plan that a model wrote; what it is told of it. A run whose plans are faulty too
        often goes on with an empty one, under which nothing can be called."""
        try:
            plan = msgspec.json.decode(arguments, type=Plan)
            found = "; ".join(faults(plan, self.specs))
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            plan, found = None, str(error)
        if plan is not None and not found:
            self.plan = plan
            return ToolResult(text="The plan stands. Go on with its first step.")
        self._tries += 1
        if self._tries >= MOST_TRIES:
            self.plan = Plan(steps=())
        return ToolResult(text=f"That plan cannot be used: {found}.", ok=False)

    def recall(self, entries: Iterable[Entry], turn: int) -> None:
        """Take up what an earlier life of this turn has laid down."""
        asked: dict[str, str] = {}
        for entry in entries:
            match entry.event:
                case ToolAsked(turn=of, call=call) if of == turn and call.name == NAME:
                    asked[call.id] = call.arguments
                case ToolReturned(call=id) if id in asked and self.plan is None:
                    self.take(asked[id])
                case _:
                    pass


def since_plan(read: Read) -> Read:
    """What was read after the plan was made: only what was called since counts as its steps. All
    that came before keeps its label."""
    made = [at for at, line in enumerate(read.lines) if any(c.name == NAME for c in line.calls)]
    return Read(lines=read.lines[made[-1] + 1 :] if made else (), past=read.label)
