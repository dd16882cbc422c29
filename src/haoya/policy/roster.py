# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who may speak to us: a fold over the journal's pairing lines."""

from collections.abc import Iterable

from haoya.core.event import CodeGiven, Entry, Paired, Unpaired
from haoya.core.message import Word
from haoya.policy.principal import Role

CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Letters of a pairing code: without 0/O and 1/I, which people mistake for each other."""

CODE_LENGTH = 6
"""Six of 32 letters are 30 bits: guessing one of 20 live codes takes 5 · 10⁷ tries."""

CODE_SECONDS = 3600.0
CODES_PER_CHANNEL = 20
"""How many strangers may hold a code at once; further ones are refused without a word, so that
nobody can flood the owner."""


class Person(Word, frozen=True, kw_only=True):
    """Somebody the owner let in."""

    key: str
    name: str
    role: Role
    by: str
    at: float


class Waiting(Word, frozen=True, kw_only=True):
    """A stranger who holds a code; `where` is the key of the conversation it was given in."""

    key: str
    name: str
    code: str
    where: str
    expires: float


class Roster:
    """People and waiting strangers, as the journal tells it. Feed it every pairing line."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.people: dict[str, Person] = {}
        self.waiting: dict[str, Waiting] = {}
        for entry in entries:
            self.note(entry)

    def note(self, entry: Entry) -> None:
        """Take in one line; lines that are not about pairing change nothing."""
        match entry.event:
            case CodeGiven() as given:
                self.waiting[given.person] = Waiting(
                    key=given.person,
                    name=given.name,
                    code=given.code,
                    where=given.where,
                    expires=given.expires,
                )
            case Paired() as paired:
                role: Role = "owner" if paired.role == "owner" else "member"
                self.waiting.pop(paired.person, None)
                self.people[paired.person] = Person(
                    key=paired.person, name=paired.name, role=role, by=paired.by, at=entry.at
                )
            case Unpaired():
                self.people.pop(entry.event.person, None)
            case _:
                pass

    def holder(self, code: str, now: float) -> Waiting | None:
        """Who holds a code that is still valid at `now` (Unix seconds); case does not matter."""
        wanted = code.strip().upper()
        for waiting in self.waiting.values():
            if waiting.code == wanted and waiting.expires > now:
                return waiting
        return None

    def may_ask(self, key: str, now: float) -> bool:
        """Whether this stranger gets a (new) code: holds none, and not too many others do."""
        held = self.waiting.get(key)
        if held and held.expires > now:
            return False
        channel = key.partition(":")[0] + ":"
        live = [w for w in self.waiting.values() if w.expires > now and w.key.startswith(channel)]
        return len(live) < CODES_PER_CHANNEL
