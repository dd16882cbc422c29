# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which conversation sits in which slot of an engine.

A slot holds the attention cache (KV) of one prompt. Left to itself the server sends interleaved
conversations to whichever slot looks alike, and each pays again for its own history. Here a
conversation keeps its slot while it can; when it has to leave, its slot is stored on disk, and
loaded again when it comes back. A conversation that was never seen begins with the stored
beginning that all prompts of its agent share.
"""

import msgspec


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request goes, and what has to be done before: store `leaving` (a conversation),
    then load what `arriving` has stored, if `fresh` says that it is not in the slot already."""

    slot: int
    leaving: str = ""
    fresh: bool = False


class _Slot(msgspec.Struct):
    holds: str = ""
    person: str = ""
    busy: bool = False
    used: int = 0
    dirty: bool = False


class Slots:
    """The seats of one engine; pure book-keeping."""

    def __init__(self, count: int) -> None:
        self._slots = [_Slot() for _ in range(count)]
        self._turn = 0

    @property
    def busy(self) -> int:
        """Slots in use."""
        return sum(slot.busy for slot in self._slots)

    def take(self, conversation: str, person: str = "") -> Placement | None:
        """A slot for a conversation: its own, an empty one, or else the one longest unused of
        whoever holds most (this `person`, where several do), so that many conversations of one
        push out each other and not another's only one. None where all are busy. It is taken until
        `free`."""
        own = [i for i, slot in enumerate(self._slots) if slot.holds == conversation]
        for i in own:
            if conversation and not self._slots[i].busy:
                self._sit(i, conversation, person)
                return Placement(slot=i)
        idle = [i for i, slot in enumerate(self._slots) if not slot.busy]
        if not idle:
            return None
        i = min(idle, key=lambda i: self._worth(self._slots[i], person))
        leaving = self._slots[i].holds if self._slots[i].dirty else ""
        self._sit(i, conversation, person)
        return Placement(slot=i, leaving=leaving, fresh=True)

    def free(self, slot: int, *, known: bool) -> None:
        """Give a slot back; `known` says that its contents are the conversation's."""
        self._slots[slot].busy = False
        self._slots[slot].dirty = known
        if not known:
            self._slots[slot].holds = ""

    def stored(self, slot: int) -> None:
        """What the slot holds now lies on disk as well."""
        self._slots[slot].dirty = False

    def unstored(self) -> list[tuple[int, str]]:
        """Idle slots whose contents are not on disk, with their conversations, oldest first."""
        found = [
            (slot.used, i, slot.holds)
            for i, slot in enumerate(self._slots)
            if slot.dirty and slot.holds and not slot.busy
        ]
        return [(i, holds) for _, i, holds in sorted(found)]

    def _worth(self, slot: _Slot, person: str) -> tuple[bool, int, bool, int]:
        """The less, the sooner this slot is given to `person`'s next conversation."""
        if not slot.holds:
            return False, 0, False, slot.used
        held = sum(other.person == slot.person for other in self._slots if other.holds)
        return True, -held if slot.person else -1, slot.person != person, slot.used

    def _sit(self, i: int, conversation: str, person: str) -> None:
        self._turn += 1
        self._slots[i] = _Slot(holds=conversation, person=person, busy=True, used=self._turn)
