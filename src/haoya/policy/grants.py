# SPDX-License-Identifier: AGPL-3.0-or-later
"""Standing leaves: a fold over the journal, and which of them covers a call."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from haoya.core.event import Entry, Granted, Revoked, ToolJudged
from haoya.core.tool import ToolCall, ToolSpec
from haoya.policy.arguments import declared, leaves
from haoya.policy.case import Case, Grant
from haoya.policy.evidence import equal

ANYWHERE = "*"
"""The place of a grant that counts in every conversation."""


class Grants:
    """What owners gave leave to, as the journal tells it. Feed it every line.

    `may_grant` says whether a principal's key is an owner's; a line by anybody else is no leave.
    """

    def __init__(
        self, entries: Iterable[Entry] = (), may_grant: Callable[[str], bool] = bool
    ) -> None:
        self._may_grant = may_grant
        self._all: dict[int, Grant] = {}
        for entry in entries:
            self.note(entry)

    def note(self, entry: Entry) -> None:
        """Take in one line; lines that are not about grants change nothing."""
        match entry.event:
            case Granted() as given if self._may_grant(given.by):
                self._all[entry.number] = Grant(
                    number=entry.number,
                    person=given.person,
                    where=given.where,
                    tool=given.tool,
                    arguments=given.arguments,
                    limit=given.limit,
                    expires=given.expires,
                )
            case Revoked(of=of, by=by) if self._may_grant(by):
                self._all.pop(of, None)
            case ToolJudged(verdict=verdict) if used := self._all.get(verdict.grant):
                if verdict.decision == "allow":
                    self._all[used.number] = msgspec.structs.replace(used, used=used.used + 1)
            case _:
                pass

    def of(self, person: str, where: str, now: float) -> tuple[Grant, ...]:
        """What this person may still do in this conversation, oldest leave first."""
        return tuple(
            grant
            for grant in self._all.values()
            if grant.person == person and grant.where in (where, ANYWHERE) and _lives(grant, now)
        )

    def all(self, now: float) -> tuple[Grant, ...]:
        """All leaves that still count."""
        return tuple(grant for grant in self._all.values() if _lives(grant, now))


def _lives(grant: Grant, now: float) -> bool:
    spent = 0 < grant.limit <= grant.used
    return not spent and (grant.expires == 0 or now < grant.expires)


def covering(case: Case) -> Grant | None:
    """The leave that covers a call: everything it names is in the call, exactly."""
    return next((grant for grant in case.grants if _covers(grant, case)), None)


def _covers(grant: Grant, case: Case) -> bool:
    if grant.person != case.person or grant.tool != case.call.name:
        return False
    if grant.where not in (case.where, ANYWHERE) or not _lives(grant, case.now):
        return False
    given: dict[str, list[str]] = {}
    for leaf in leaves(case.call.arguments):
        given.setdefault(leaf.path, []).append(leaf.value)
    return all(_equals(given.get(path, ()), value) for path, value in grant.arguments.items())


def _equals(given: Sequence[str], value: str) -> bool:
    """Whether an argument is what was granted; of a list, the same items in any order."""
    wanted = value.split("\n")
    return all(any(equal(one, other) for other in wanted) for one in given) and all(
        any(equal(one, other) for other in given) for one in wanted
    )


def exact_arguments(spec: ToolSpec, call: ToolCall) -> dict[str, str]:
    """The values with authority of a call, as a grant names them: by path, a list's items in
    lines of their own."""
    found: dict[str, list[str]] = {}
    for leaf in leaves(call.arguments):
        if declared(spec.authority, leaf.path):
            found.setdefault(leaf.path, []).append(leaf.value)
    return {path: "\n".join(values) for path, values in found.items()}
