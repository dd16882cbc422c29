# SPDX-License-Identifier: Apache-2.0
"""Labels: who wrote something, and who may read it.

Two lattices. `author` says whose words these are: what is put together is trusted as little as its
least trusted piece. `readers` says to whom they may be shown: what is put together may be shown
only to those who may read all of it. A label never rises by itself; only an owner raises one, by a
decision that stands in the journal.
"""

from collections.abc import Iterable
from typing import Literal

from haoya.core.message import Word

Author = Literal["owner", "paired", "known", "untrusted"]
"""The owner; somebody the owner let in; somebody the owner knows (a contact); anybody else."""

TRUST: dict[Author, int] = {"owner": 3, "paired": 2, "known": 1, "untrusted": 0}


class Label(Word, frozen=True, kw_only=True):
    """Who wrote it and who may read it.

    `readers` None is everybody (public); otherwise principals' keys (private to them), and the
    empty set nobody (secret). `sources` names where it comes from, for the owner's eyes: a tool's
    name, `web:example.org`, `mail`.
    """

    author: Author = "untrusted"
    readers: frozenset[str] | None = None
    sources: frozenset[str] = frozenset()

    def __or__(self, other: "Label") -> "Label":
        """The label of both put together.

        >>> mine = Label(author="owner", readers=frozenset({"tg:1", "tg:2"}))
        >>> (mine | Label(author="paired", readers=frozenset({"tg:2"}))).readers
        frozenset({'tg:2'})
        """
        if other == self:
            return self
        low = self.author if TRUST[self.author] <= TRUST[other.author] else other.author
        if self.readers is None or other.readers is None:
            readers = other.readers if self.readers is None else self.readers
        else:
            readers = self.readers & other.readers
        return Label(author=low, readers=readers, sources=self.sources | other.sources)

    def may_read(self, people: Iterable[str]) -> bool:
        """Whether all of these people may read it."""
        return self.readers is None or self.readers.issuperset(people)


OWNER = Label(author="owner")
"""The house's own words and the owner's settings: trusted, and no secret."""


def joined(labels: Iterable[Label]) -> Label:
    """The label of everything put together; `OWNER` for nothing.

    >>> joined([OWNER, Label(author="known")]).author
    'known'
    """
    result = OWNER
    for label in set(labels):  # a conversation of a hundred lines has a handful of labels
        result = result | label
    return result
