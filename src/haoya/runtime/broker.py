# SPDX-License-Identifier: AGPL-3.0-or-later
"""The broker: the one place from which tools are reached.

It holds the tools; everybody else knows their specs. A run (a turn in a chat, later a job or
another agent) gets a `Lease`: what it is, on whose behalf, and what it may do at all. Every call is
judged right before it is made, whatever was judged earlier, and told to `record` before anything
happens.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from haoya.agent.labels import bounded
from haoya.agent.lent import Read
from haoya.agent.transcript import Approval
from haoya.core.errors import HaoyaError
from haoya.core.message import Word
from haoya.core.ports import Tool
from haoya.core.tool import Effect, Line, Scene, ToolCall, ToolResult, ToolSpec, Verdict
from haoya.policy.case import Case, Rights, Words
from haoya.policy.grants import Grants
from haoya.policy.judge import DEFAULTS, Decision, Judge, digest_of
from haoya.policy.labels import label_of_result
from haoya.policy.principal import Role
from haoya.runtime.planning import NAME as PLAN
from haoya.runtime.planning import Planning, since_plan

TOOL_SECONDS = 120.0
"""The longest one tool may run before the turn goes on without it."""

_EFFECTS: tuple[Effect, ...] = ("read", "write", "net", "exec", "send", "spend")
_OWN: frozenset[Effect] = frozenset({"read", "write"})
"""What everybody needs for a memory of their own; the table says what else may be read."""


class Act(Word, frozen=True, kw_only=True):
    """What is about to be done, by whom and why: written down before it is. `digest` is that of
    the exact effect, `approval` the number of the question that was answered
    with yes, 0 where nobody was asked."""

    scene: Scene
    tool: str
    effects: frozenset[Effect]
    digest: str
    verdict: Verdict
    approval: int = 0


Record = Callable[[Act], Awaitable[None]]
"""Write an act down, durably. What it raises keeps the act from being done."""


async def _unrecorded(act: Act) -> None:
    """The journal's own lines are the only record."""


class Broker:
    """Holds the open tools by the name of their part, and leases them out. `judge` and `grants`
    are those of the moment."""

    def __init__(
        self,
        judge: Callable[[], Judge],
        clock: Callable[[], float],
        *,
        grants: Callable[[], Grants] = Grants,
        record: Record = _unrecorded,
    ) -> None:
        self.judge = judge
        self.clock = clock
        self.grants = grants
        self.record = record
        self.parts: dict[str, list[Tool[Any]]] = {}
        self.used: set[int] = set()

    def specs(self, parts: Sequence[str]) -> dict[str, ToolSpec]:
        """What is open of these parts, by tool."""
        return {name: tool.spec for name, tool in self._tools(parts).items()}

    def chat(
        self,
        scene: Scene,
        role: Role,
        parts: Sequence[str],
        *,
        approved: Sequence[ToolCall] = (),
        plans: bool = False,
    ) -> "Lease":
        """The lease of a turn in a chat, with the rights of the role. `approved` are the calls of
        this turn that an owner said yes to; with `plans` it must make a plan first."""
        rights = rights_of(role, self.judge().cells)
        specs = self.specs(parts)
        return Lease(
            self,
            scene=scene,
            role=role,
            rights=rights,
            specs=specs,
            parts=tuple(parts),
            approved=approved,
            planning=Planning(specs) if plans else None,
        )

    def tool(self, name: str, parts: Sequence[str]) -> Tool[Any] | None:
        """The open tool of that name, for a lease."""
        return self._tools(parts).get(name)

    def _tools(self, parts: Sequence[str]) -> dict[str, Tool[Any]]:
        open_ = (tool for part in parts for tool in self.parts.get(part, []))
        return {tool.spec.name: tool for tool in open_}


class Lease:
    """One run's way to the tools. `scene` says where it is and for whom; `rights` bound what it
    may do whatever anybody says."""

    def __init__(
        self,
        broker: Broker,
        *,
        scene: Scene,
        role: Role,
        rights: Rights,
        specs: Mapping[str, ToolSpec],
        parts: tuple[str, ...],
        approved: Sequence[ToolCall] = (),
        planning: Planning | None = None,
    ) -> None:
        self._broker = broker
        self._scene = scene
        self._role: Role = role
        self._parts = parts
        self._approved_before = tuple(approved)
        self._specs = specs
        self.rights = rights
        self.plans = planning

    @property
    def specs(self) -> Mapping[str, ToolSpec]:
        """The tools the run may be shown; while a plan is wanted, the one to make it with."""
        return {PLAN: self.plans.spec} if self.plans and self.planning else self._specs

    @property
    def planning(self) -> str:
        """The name of the tool to make a plan with, while one is wanted and not there."""
        return PLAN if self.plans and self.plans.plan is None else ""

    def part(self, asked: Rights, scene: Scene | None = None) -> "Lease":
        """The lease of a run that this one starts: no more than this one may, and of that only
        what was asked for. It is shown only what it may use."""
        rights = self.rights & asked
        specs = {name: spec for name, spec in self._specs.items() if _within(spec, rights)}
        return Lease(
            self._broker,
            scene=scene or self._scene,
            role=self._role,
            rights=rights,
            specs=specs,
            parts=self._parts,
            planning=Planning(specs) if self.plans else None,
        )

    def judge(
        self, spec: ToolSpec | None, call: ToolCall, read: Read, approval: Approval | None = None
    ) -> Verdict:
        """Whether this call may be made now. An owner's yes counts for the very effect that was
        asked about, in its time, and once; it never helps where policy says no."""
        if self.planning and spec is not None and spec.name == PLAN:
            return Verdict(decision="allow", reason="the plan comes first")
        now, words = self._broker.clock(), tuple(_words(read.lines))
        read = since_plan(read) if self.plans else read
        case = Case(
            spec=spec,
            call=call,
            person=self._scene.person,
            role=self._role,
            where=self._scene.address.key,
            lines=read.lines,
            past=read.past,
            rights=self.rights,
            grants=self._broker.grants().of(self._scene.person, self._scene.address.key, now),
            now=now,
            tools=self._broker.specs(self._parts),
            words=words,
            approved=self._approved_before,
            plan=self.plans.plan if self.plans else None,
        )
        verdict = self._broker.judge().judge(case)
        if spec is None or approval is None or verdict.decision == "deny":
            return verdict
        if approval.digest != self.digest(spec, call):
            reason = f"the owner's yes to question {approval.of} was for another effect"
            return msgspec.structs.replace(verdict, decision="deny", reason=reason)
        return verdict if verdict.decision == "allow" else self._approved(spec, verdict, approval)

    async def call(
        self, spec: ToolSpec, call: ToolCall, read: Read, approval: Approval | None = None
    ) -> ToolResult:
        """Judge again, record, run, label."""
        verdict = self.judge(spec, call, read, approval)
        scene = msgspec.structs.replace(self._scene, call=call.id, label=bounded(read.label))
        if verdict.decision == "allow":
            act = Act(
                scene=scene,
                tool=spec.name,
                effects=spec.effects,
                digest=self.digest(spec, call),
                verdict=verdict,
                approval=approval.of if approval else 0,
            )
            result = await self._do(act, spec, call)
        else:
            result = ToolResult(text=f"Not allowed: {verdict.reason}.", ok=False)
        label = label_of_result(spec, call, result, scene.person, scene.label)
        if not result.ok:  # a refusal tells the model its own words again, in many forms
            label = label | scene.label
        if label.author == "owner":  # what the owner's own tools say needs no naming
            label = msgspec.structs.replace(label, sources=frozenset())
        return msgspec.structs.replace(result, label=bounded(label))

    def digest(self, spec: ToolSpec, call: ToolCall) -> str:
        """What an approval of this call is bound to. The call's id names turn and step."""
        return digest_of(call, self._scene.person, spec)

    def _approved(self, spec: ToolSpec, verdict: Verdict, approval: Approval) -> Verdict:
        question = f"question {approval.of}"
        decision: Decision = "deny"
        if approval.expires <= self._broker.clock():
            reason = f"the owner's yes to {question} has run out; ask again if it is still wanted"
        elif approval.of in self._broker.used and not spec.idempotent:
            reason = f"the owner's yes to {question} was for one time"
        else:
            decision, reason = "allow", f"{verdict.reason}; yes to {question} by {approval.by}"
        return msgspec.structs.replace(verdict, decision=decision, reason=reason)

    async def _do(self, act: Act, spec: ToolSpec, call: ToolCall) -> ToolResult:
        """Run a tool behind its wall: whatever it raises becomes a result that is not ok."""
        name = call.name
        if self.plans and self.planning and name == PLAN:
            return self.plans.take(call.arguments)
        tool = self._broker.tool(name, self._parts)
        if tool is None or tool.spec != spec:
            return ToolResult(text=f"{name} has changed just now; call it again.", ok=False)
        try:
            arguments = msgspec.json.decode(call.arguments or "{}", type=tool.arguments)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            return ToolResult(text=f"The arguments do not fit {name}: {error}.", ok=False)
        try:
            async with asyncio.timeout(TOOL_SECONDS):
                await self._broker.record(act)
                if act.approval:
                    self._broker.used.add(act.approval)
                return await tool.run(arguments, act.scene)
        except TimeoutError:
            return ToolResult(text=f"{name} took over {TOOL_SECONDS:.0f} s.", ok=False)
        except HaoyaError as error:
            return ToolResult(text=f"{name}: {error}", ok=False)
        except Exception as error:  # the tool wall
            return ToolResult(text=f"{name} failed: {type(error).__name__}: {error}", ok=False)


def rights_of(role: Role, cells: Mapping[str, Decision]) -> Rights:
    """What a role may have done at all: what the owner's table does not rule out for it.

    >>> sorted(rights_of("guest", {"guest.net": "ask"}).effects)
    ['net', 'read', 'write']
    """
    table = DEFAULTS | dict(cells)
    open_ = frozenset[Effect](effect for effect in _EFFECTS if table[f"{role}.{effect}"] != "deny")
    return Rights(effects=_OWN | open_)


def _words(lines: Sequence[Line]) -> Iterator[Words]:
    """What people wrote, for the judge; the last of it in a row is what the turn answers."""
    users = [at for at, line in enumerate(lines) if line.role == "user"]
    first = users[-1] if users else 0
    while first and lines[first - 1].role == "user":
        first -= 1
    for at in users:
        yield Words(text=lines[at].text, label=lines[at].label, asks=at >= first)


def _within(spec: ToolSpec, rights: Rights) -> bool:
    return spec.effects <= rights.effects and (rights.tools is None or spec.name in rights.tools)
