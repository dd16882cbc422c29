# SPDX-License-Identifier: AGPL-3.0-or-later
"""All personal data in a text: every rule's finds, put together without overlaps."""

from collections.abc import Sequence

from haoya.policy.masking.cues import cues_in
from haoya.policy.masking.flat import flat
from haoya.policy.masking.keys import keys_in
from haoya.policy.masking.shapes import shaped
from haoya.policy.masking.stated import values_of
from haoya.policy.masking.streets import streets_in
from haoya.policy.masking.words import Found, Rules, canonical


def find(text: str, rules: Rules, heading: str = "") -> list[Found]:
    """What of a text is personal data by these rules, in order and without overlaps.

    `heading` is the name the text goes by (a key of a JSON object): it says what the text is.
    Where two finds overlap, both are put away as one, for what is between them is personal too.
    Raises `Overdue`.
    """
    before = f"{heading}: " if heading else ""
    plain = flat(before + text)
    cues = cues_in(plain)
    skip = rules.skip
    found = [Found(*span, name) for name, own in rules.own for span in own(plain)]
    if "key" not in skip:
        found += keys_in(plain)
    found += shaped(plain, cues, skip)
    found += [one for one in values_of(plain, cues) if one.kind not in skip]
    if "address" not in skip:
        found += streets_in(plain)
    if not found:
        return []
    return _apart(found, text, len(before), rules.exempt)


def _apart(found: Sequence[Found], text: str, offset: int, exempt: frozenset[str]) -> list[Found]:
    """The finds in the text's own places, overlapping ones joined under the name of the first."""
    rank = {one: place for place, one in reversed(list(enumerate(found)))}
    joined: list[tuple[Found, int]] = []
    for one in sorted(rank):
        start, end = max(0, one.start - offset), one.end - offset
        if end <= start or (exempt and canonical(text[start:end]) in exempt):
            continue
        here, place = Found(start, end, one.kind), rank[one]
        if joined and start < joined[-1][0].end:
            before, first = joined[-1]
            kind = before.kind if first <= place else here.kind
            here = Found(before.start, max(before.end, end), kind)
            joined[-1] = (here, min(first, place))
        else:
            joined.append((here, place))
    return [one for one, _ in joined]
