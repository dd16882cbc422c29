# SPDX-License-Identifier: AGPL-3.0-or-later
"""May this tool run for this person? Judged by declared effects, never by the tool's name."""

import hashlib
from typing import Literal

import msgspec

from haoya.core.tool import Effect, ToolCall, ToolSpec, Verdict
from haoya.policy.case import Case
from haoya.policy.grants import covering

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

MEANING: dict[Effect, str] = {
    "read": "read the workspace",
    "write": "change files in the workspace",
    "net": "reach the network",
    "exec": "run a program",
    "send": "send a message to somebody",
    "spend": "spend money",
}


class Judge(msgspec.Struct, frozen=True, kw_only=True):
    """The owner's table: `cells` override `DEFAULTS`."""

    cells: dict[str, Decision] = {}

    def judge(self, case: Case) -> Verdict:
        """The strictest cell among the tool's effects.

        One's own memory is always one's own: reading and writing it alone is allowed to all.
        """
        spec, role = case.spec, case.role
        if spec is None:
            return Verdict(decision="deny", reason=f"there is no tool named {case.call.name!r}")
        if spec.effects <= {"read", "write"} and spec.reads | spec.writes == _MEMORY:
            return Verdict(decision="allow", reason="one's own memory")
        worst: Decision = "allow"
        because = "no effects"
        for effect in sorted(spec.effects):
            decision = self.cells.get(f"{role}.{effect}", DEFAULTS[f"{role}.{effect}"])
            if _STRICTNESS[decision] >= _STRICTNESS[worst]:
                worst, because = decision, f"{role}: {MEANING[effect]}"
        if worst == "ask" and (grant := covering(case)):
            return Verdict(decision="allow", reason="your leave", grant=grant.number)
        return Verdict(decision=worst, reason=because)


def digest_of(call: ToolCall, person: str, spec: ToolSpec | None = None) -> str:
    """SHA-256 (hex) over the exact effect: who, which call, which tool, which arguments.

    An approval is bound to it, so nothing can be swapped between the question and the deed.
    """
    declared = msgspec.json.encode(spec, order="deterministic").decode() if spec else ""
    exact = "\0".join((person, call.id, call.name, call.arguments, declared))
    return hashlib.sha256(exact.encode("utf-8", "surrogatepass")).hexdigest()
