# SPDX-License-Identifier: AGPL-3.0-or-later
"""Standing leaves as the owner sees them: recalled from the journal, listed, revoked."""

from collections.abc import Callable, Mapping
from typing import Any

from haoya.core.errors import ConfigError
from haoya.core.event import Entry, Granted, Revoked, ToolJudged, kind_of
from haoya.journal import Journal
from haoya.policy.case import Grant
from haoya.policy.grants import Grants
from haoya.runtime.rulings import Rulings

Row = dict[str, Any]

GRANT_DAYS = 30.0
"""How long an `always` holds where the settings say nothing else."""

_KINDS = frozenset({kind_of(Granted), kind_of(Revoked)})
_JUDGED = frozenset({kind_of(ToolJudged)})
_PAGE = 500


async def recall(journal: Journal, may_grant: Callable[[str], bool] = bool) -> Grants:
    """All standing leaves, and how often each limited one was used."""
    lines = await _all(journal, _KINDS, 0)
    limited = [e.number for e in lines if isinstance(e.event, Granted) and e.event.limit]
    if limited:
        judged = await _all(journal, _JUDGED, min(limited))
        lines = sorted([*lines, *judged], key=lambda entry: entry.number)
    return Grants(lines, may_grant)


async def _all(journal: Journal, kinds: frozenset[str], after: int) -> list[Entry]:
    """Every line of these kinds after a number, oldest first."""
    found: list[Entry] = []
    before: int | None = None
    while page := await journal.recent(kinds, limit=_PAGE, before=before):
        found += [entry for entry in page if entry.number > after]
        before = page[-1].number
        if before <= after:
            break
    return found[::-1]


def grants_list(grants: Grants, now: float) -> list[Row]:
    """The answer to the verb `grants_list`: what counts now, oldest first."""
    return [_row(grant) for grant in grants.all(now)]


async def grants_revoke(rulings: Rulings, given: Mapping[str, Any], by: str) -> Row:
    """The answer to the verb `grants_revoke`; ConfigError where there is no such leave."""
    number = int(given["number"])
    found = [grant for grant in rulings.grants.all(rulings.clock()) if grant.number == number]
    entry = await rulings.journal.entry(number)
    if not found or entry is None:
        raise ConfigError(f"there is no leave {number}", cure="see `haoya grants`")
    address = await rulings.address(entry.conversation)
    for written in await rulings.journal.append(address, Revoked(of=number, by=by)):
        rulings.grants.note(written)
    return _row(found[0])


def _row(grant: Grant) -> Row:
    return {
        "number": grant.number,
        "person": grant.person,
        "conversation": grant.where,
        "tool": grant.tool,
        "arguments": dict(grant.arguments),
        "limit": grant.limit,
        "used": grant.used,
        "expires": grant.expires,
    }
