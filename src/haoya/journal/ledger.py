# SPDX-License-Identifier: AGPL-3.0-or-later
"""The writing side of the journal: many steps, one transaction, one fsync."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import apsw

from haoya.core.event import Entry
from haoya.journal import query
from haoya.journal.codec import Item, claim_of, numbered
from haoya.journal.database import Database
from haoya.journal.failure import explain
from haoya.journal.projection import project

_KNOWN_CONVERSATIONS = 4096


class Step(NamedTuple):
    """What is written together. A `whole` step is dropped entirely when one of its claims is
    taken already; any other only loses the items whose claim is."""

    items: tuple[Item, ...]
    whole: bool = True
    cursors: tuple[tuple[str, str], ...] = ()


class Ledger:
    """The only one who writes; used by one thread at a time."""

    def __init__(self, connection: Database) -> None:
        self._db = connection
        self._ids: dict[str, tuple[int, str]] = {}
        self._grown: dict[int, tuple[int, float, int]] = {}
        self.last = query.last(connection)
        self.commit_seconds = 0.0

    def write(self, steps: Sequence[Step]) -> list[list[Entry]]:
        """The new entries of each step, once they are durable.

        All steps are written, or none: then what a failing disk or SQLite says is raised, as
        `Unready` where time or the owner can heal it.
        """
        last, done, began = self.last, False, time.perf_counter()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            written = [self._step(step) for step in steps]
            self._touch()
            self._db.execute("COMMIT")
            done = True
        except apsw.Error as error:
            raise explain(error) or error from error
        finally:
            self._grown.clear()
            if not done:
                self._undo(last)
        self.commit_seconds = time.perf_counter() - began
        return written

    def close(self) -> None:
        """Fold the write-ahead log into the file and let go of it."""
        self._db.close()

    def _undo(self, last: int) -> None:
        self.last = last
        self._ids.clear()
        if self._db.in_transaction:  # SQLite has already undone it after some errors
            self._db.execute("ROLLBACK")

    def _step(self, step: Step) -> list[Entry]:
        for channel, cursor in step.cursors:
            self._db.execute(
                "INSERT INTO cursors VALUES (?1, ?2) ON CONFLICT (channel) DO UPDATE "
                "SET cursor = excluded.cursor WHERE cursor <> excluded.cursor",
                (channel, cursor),
            )
        if not step.whole:
            return [self._item(item) for item in step.items if self._claim(item, self.last + 1)]
        for index, item in enumerate(step.items):
            if not self._claim(item, self.last + 1 + index):
                self._disclaim(step.items[:index])
                return []
        return [self._item(item) for item in step.items]

    def _claim(self, item: Item, number: int) -> bool:
        claim = claim_of(item.event)
        if claim is None:
            return True
        self._db.execute("INSERT OR IGNORE INTO claims VALUES (?1, ?2, ?3)", (*claim, number))
        return self._db.changes() == 1

    def _disclaim(self, items: Sequence[Item]) -> None:
        for item in items:
            if claim := claim_of(item.event):
                sql = "DELETE FROM claims WHERE channel = ?1 AND id = ?2"
                self._db.execute(sql, claim)

    def _item(self, item: Item) -> Entry:
        conversation = self._conversation(item)
        self.last = number = self.last + 1
        self._db.execute(
            "INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (conversation, number, item.at, item.kind, item.turn, item.body),
        )
        event = numbered(item.event, number)
        project(self._db, conversation, number, event)
        lines = self._grown.get(conversation, (0, 0, 0))[2]
        self._grown[conversation] = (number, item.at, lines + 1)
        return Entry(number=number, at=item.at, conversation=item.key, event=event)

    def _conversation(self, item: Item) -> int:
        address = item.address
        known = self._ids.get(item.key)
        if known and known[1] == address.kind:
            return known[0]
        row = self._db.execute(
            "INSERT INTO conversations (key, channel, space, room, thread, kind) "
            "VALUES (?1, ?2, ?3, ?4, ?5, ?6) "
            "ON CONFLICT (key) DO UPDATE SET kind = excluded.kind RETURNING id",
            (
                item.key,
                address.channel,
                address.space,
                address.room,
                address.thread,
                address.kind,
            ),
        ).get
        if len(self._ids) >= _KNOWN_CONVERSATIONS:
            self._ids.clear()
        self._ids[item.key] = (int(row), address.kind)
        return int(row)

    def _touch(self) -> None:
        self._db.executemany(
            "UPDATE conversations SET last = ?2, at = ?3, lines = lines + ?4 WHERE id = ?1",
            ((id, *grown) for id, grown in self._grown.items()),
        )
