# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whose words a line is made of: a person's own, or such as the person only passed on."""

from collections.abc import Iterator

import msgspec

from haoya.core.event import Admitted
from haoya.core.label import Author, Label
from haoya.core.message import (
    Audio,
    Button,
    Code,
    File,
    Image,
    Link,
    Location,
    Mention,
    Part,
    Reading,
    Text,
    Video,
)

MOST_SOURCES = 12
"""Sources a label names; a long conversation has read hundreds of pages."""

MORE = "…"
"""Stands for the sources beyond those named."""

OLD = Label(author="untrusted", sources=frozenset({"read before there were labels"}))
"""What an older haoya has read and cut away."""

_BY_ROLE: dict[str, Author] = {"owner": "owner", "member": "paired"}
_OWN = (Text, Mention, Location, Button, Reading, Code)
"""Parts that a sender makes; the contents of all others may be somebody else's."""


def label_of_sender(role: str, person: str) -> Label:
    """The label of what somebody in that role says in own words.

    >>> label_of_sender("owner", "tg:1").author, label_of_sender("guest", "tg:2").author
    ('owner', 'untrusted')
    """
    return Label(author=_BY_ROLE.get(role, "untrusted"), sources=frozenset({person}))


def pieces_of(admitted: Admitted) -> Iterator[tuple[tuple[Part, ...], Label]]:
    """A message's parts in their order, cut where own words and what is passed on meet; the label
    of each piece. Words written under a picture are one's own, what it shows is not."""
    own = admitted.label or label_of_sender(admitted.role, admitted.person)
    run: list[Part] = []
    foreign = False
    for part in admitted.parts:
        for piece, passed_on in _halves(part):
            if run and passed_on != foreign:
                yield tuple(run), _passed_on(own, run) if foreign else own
                run = []
            run.append(piece)
            foreign = passed_on
    if run:
        yield tuple(run), _passed_on(own, run) if foreign else own


def bounded(label: Label) -> Label:
    """The label with no more sources than people read."""
    if len(label.sources) <= MOST_SOURCES:
        return label
    kept = sorted(label.sources - {MORE})[: MOST_SOURCES - 1]
    return msgspec.structs.replace(label, sources=frozenset({*kept, MORE}))


def _halves(part: Part) -> Iterator[tuple[Part, bool]]:
    """A part and whether it is passed on. What is written under a picture is a part of its own;
    of a link only the address was chosen by the sender."""
    match part:
        case Link(title=title) if title:
            yield Text(text=title), True
            yield Link(url=part.url), False
        case Link():
            yield part, False
        case Image(caption=caption) | Audio(caption=caption) | Video(caption=caption) if caption:
            yield msgspec.structs.replace(part, caption=""), True
            yield Text(text=caption), False
        case File(caption=caption) if caption:
            yield msgspec.structs.replace(part, caption=""), True
            yield Text(text=caption), False
        case _:
            yield part, not isinstance(part, _OWN)


def _passed_on(own: Label, parts: list[Part]) -> Label:
    """The label of what a sender shows: trusted by nobody; a forwarded page is no word of his."""
    kinds = {str(type(part).__struct_config__.tag) for part in parts}
    return own | Label(author="untrusted", sources=frozenset(kinds))
