# SPDX-License-Identifier: AGPL-3.0-or-later
"""May this call be made for this person? Judged by what tools declare, never by their names."""

import hashlib
from typing import Literal

import msgspec

from haoya.core.tool import ToolCall, ToolSpec, Verdict
from haoya.policy.arguments import canonical, is_object
from haoya.policy.case import MEANING, Case
from haoya.policy.concerns import Ground, concerns
from haoya.policy.evidence import evidence
from haoya.policy.grants import covering
from haoya.policy.planned import strays
from haoya.policy.principal import Role
from haoya.policy.provenance import prove

Decision = Literal["allow", "ask", "deny"]

_STRICTNESS: dict[Decision, int] = {"allow": 0, "ask": 1, "deny": 2}
_MEMORY = frozenset({"memory"})

DEFAULTS: dict[str, Decision] = {
    "owner.read": "allow",
    "owner.write": "allow",
    "owner.net": "allow",
    "owner.exec": "ask",
    "owner.send": "ask",
    "owner.spend": "ask",
    "member.read": "allow",
    "member.write": "allow",
    "member.net": "allow",
    "member.exec": "ask",
    "member.send": "ask",
    "member.spend": "ask",
    "guest.read": "deny",
    "guest.write": "deny",
    "guest.net": "deny",
    "guest.exec": "deny",
    "guest.send": "deny",
    "guest.spend": "deny",
}
"""What each role may have done, `role.effect`; the owner changes single cells in the settings.
`write` is within the agent's own workspace, whose files are the agent's to change."""

NAMED = frozenset({"owner.send", "owner.spend"})
"""Cells whose default gives way to the owner's own request, where it names the deed and every
value that decides whom or what it hits. A cell that stands in the settings never gives way."""


class Judge(msgspec.Struct, frozen=True, kw_only=True):
    """The owner's table: `cells` override `DEFAULTS`."""

    cells: dict[str, Decision] = {}

    def judge(self, case: Case) -> Verdict:
        """Whether a call may pass, from the outside in.

        What the run may do at all, and the table, are bounds that nothing else widens. Inside of
        them the origin of every value with authority, what the run has read and what the request
        names decide; where they do not settle it, the owner is asked, unless he gave a standing
        leave. One's own memory is always one's own.
        """
        spec = case.spec
        if spec is None:
            return Verdict(decision="deny", reason=f"there is no tool named {case.call.name!r}")
        if refusal := _refusal(case, spec):
            return Verdict(decision="deny", reason=refusal)
        if spec.effects <= {"read", "write"} and spec.reads | spec.writes == _MEMORY:
            return Verdict(decision="allow", reason="one's own memory")
        decision, because, soft = self._cell(case.role, spec)
        if decision == "deny":
            return Verdict(decision="deny", reason=because)
        seen = evidence(case)
        ground = Ground(
            case=case,
            spec=spec,
            seen=seen,
            proofs=prove(case, spec, seen),
            grant=covering(case),
        )
        if seen.read.readers == frozenset() and spec.effects - {"read", "write"}:
            return Verdict(
                decision="deny", reason="the run has read what nobody may be shown; it stays here"
            )
        return _weighed(ground, decision, because, soft)

    def _cell(self, role: Role, spec: ToolSpec) -> tuple[Decision, str, bool]:
        """The strictest cell among the tool's effects, its words, and whether it gives way to a
        request that names everything: only where the owner did not set it himself."""
        worst: Decision = "allow"
        because, soft = "no effects", True
        for effect in sorted(spec.effects):
            cell = f"{role}.{effect}"
            decision = self.cells.get(cell, DEFAULTS[cell])
            if _STRICTNESS[decision] >= _STRICTNESS[worst]:
                worst, because = decision, f"{role}: {MEANING[effect]}"
            if decision == "ask":
                soft = soft and cell in NAMED and cell not in self.cells
        return worst, because, soft


def _refusal(case: Case, spec: ToolSpec) -> str:
    """Why a call is out of the question, whatever anybody says; "" where it is not."""
    beyond = sorted(spec.effects - case.rights.effects)
    if beyond:
        return f"this run may not {MEANING[beyond[0]]}"
    if case.rights.tools is not None and spec.name not in case.rights.tools:
        return f"this run may not use {spec.name}"
    if case.plan is not None and (stray := strays(case.plan, made(case), case.call)):
        return stray
    if spec.authority and not is_object(case.call.arguments):
        return f"the arguments of {spec.name} are no JSON object"
    return ""


def made(case: Case) -> tuple[ToolCall, ...]:
    """The calls of a run that came to something, oldest first."""
    done = {line.call for line in case.lines if line.role == "tool"}
    return tuple(call for line in case.lines for call in line.calls if call.id in done)


def _weighed(ground: Ground, decision: Decision, because: str, soft: bool) -> Verdict:
    """The verdict inside of the table's bound."""
    origins = tuple(proof.origin for proof in ground.proofs)
    against = tuple(concerns(ground))
    if against:
        hard = (because,) if decision == "ask" and not soft else ()
        return Verdict(decision="ask", reason="; ".join((*hard, *against)), origins=origins)
    exact = soft and ground.asked_for and bool(ground.proofs)
    if decision == "ask" and not exact:
        if ground.grant is None:
            return Verdict(decision="ask", reason=because, origins=origins)
        number = ground.grant.number
        return Verdict(decision="allow", reason="your leave", origins=origins, grant=number)
    return Verdict(
        decision="allow",
        reason=f"{because}, as asked for" if decision == "ask" else because,
        origins=origins,
        grant=_needed(ground),
    )


def _needed(ground: Ground) -> int:
    """The grant without which the call would have had something against it."""
    if ground.grant is None:
        return 0
    without = msgspec.structs.replace(ground, grant=None)
    return ground.grant.number if any(concerns(without)) else 0


def digest_of(call: ToolCall, person: str, spec: ToolSpec | None = None) -> str:
    """SHA-256 (hex) over the exact effect: who, which call, which tool as it is declared now,
    which arguments (as canonical JSON).

    An approval is bound to it, so nothing can be swapped between the question and the deed.
    """
    declared = msgspec.json.encode(spec, order="deterministic").decode() if spec else ""
    exact = (person, call.id, call.name, canonical(call.arguments), declared)
    text = "".join(f"{len(one)}:{one}" for one in exact)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
