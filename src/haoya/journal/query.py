# SPDX-License-Identifier: AGPL-3.0-or-later
"""The reading side: one function per question, each over a connection of its own.

SQLite binds `$1` by first appearance, so every parameter is written `?n`.
"""

import heapq
from collections.abc import Iterable
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

from haoya.core.event import Entry, Said
from haoya.core.message import Address
from haoya.journal.codec import entry_of
from haoya.journal.database import Database, Row
from haoya.journal.words import Conversation, Owed

_ENTRY = """
    SELECT e.number, e.at, c.key, e.body FROM entries AS e
    JOIN conversations AS c ON c.id = e.conversation
"""
_OPEN = {
    table: f"SELECT e.number, e.at, c.key, e.body FROM {table} AS o "
    "CROSS JOIN entries AS e ON e.number = o.number "
    "JOIN conversations AS c ON c.id = e.conversation ORDER BY o.number"
    for table in ("undecided", "asked")
}
_FOREVER = 2**63 - 1


class Page(NamedTuple):
    """Some entries in order; `end` is the number of the last line looked at, readable or not."""

    entries: list[Entry]
    end: int
    unreadable: int


def read(
    db: Database,
    conversation: str,
    *,
    after: int,
    before: int | None,
    newest: int | None,
    kinds: frozenset[str],
) -> Page:
    """Entries of one conversation between two numbers; with `newest`, only that many at the end."""
    wanted = ", ".join(f"?{index}" for index in range(5, 5 + len(kinds)))
    sql = f"""
        SELECT number, at, ?1, body FROM entries
        WHERE conversation = (SELECT id FROM conversations WHERE key = ?1)
        AND number > ?2 AND number < ?3 {f"AND kind IN ({wanted})" if kinds else ""}
        ORDER BY number DESC LIMIT ?4
    """
    limit = -1 if newest is None else max(newest, 0)
    bound = (conversation, after, _FOREVER if before is None else before, limit, *sorted(kinds))
    return _page(reversed(db.execute(sql, bound).fetchall()))


def following(db: Database, after: int, limit: int) -> Page:
    """The next entries of the whole journal."""
    sql = f"{_ENTRY} WHERE e.number > ?1 ORDER BY e.number LIMIT ?2"
    return _page(db.execute(sql, (after, limit)), after)


def entry(db: Database, number: int) -> Page:
    """The one entry with that number, if there is one."""
    return _page(db.execute(f"{_ENTRY} WHERE e.number = ?1", (number,)))


def recent(db: Database, kinds: frozenset[str], limit: int, before: int | None) -> Page:
    """The newest entries of the whole journal, newest first."""
    end = _FOREVER if before is None else before
    if not kinds:
        sql = f"{_ENTRY} WHERE e.number < ?1 ORDER BY e.number DESC LIMIT ?2"
        return _page(db.execute(sql, (end, max(limit, 0))))
    # One walk down the index per kind: a single IN would sort all that ever happened.
    sql = f"{_ENTRY} WHERE e.kind = ?1 AND e.number < ?2 ORDER BY e.number DESC LIMIT ?3"
    each = [db.execute(sql, (kind, end, max(limit, 0))).fetchall() for kind in sorted(kinds)]
    merged = heapq.merge(*each, key=itemgetter(0), reverse=True)
    return _page(islice(merged, max(limit, 0)))


def last(db: Database) -> int:
    """The number of the newest entry, 0 if there is none."""
    return int(db.execute("SELECT max(number) FROM entries").get or 0)


def find(db: Database, channel: str, id: str) -> int | None:
    """The number of what was heard on `channel` as `id`; with channel "", of what was said."""
    sql = "SELECT number FROM claims WHERE channel = ?1 AND id = ?2"
    return db.execute(sql, (channel, id)).get


def still_open(db: Database, table: str) -> Page:
    """The entries in `undecided` or `asked`, oldest first."""
    return _page(db.execute(_OPEN[table]))


def owed(db: Database, channel: str) -> list[Owed]:
    """What a channel has yet to send, oldest first."""
    sql = """
        SELECT e.number, e.at, c.key, e.body, o.piece, o.sending, ifnull(d.id, '')
        FROM owed AS o
        CROSS JOIN entries AS e ON e.number = o.number
        JOIN conversations AS c ON c.id = e.conversation
        LEFT JOIN drafts AS d ON d.outbound = o.outbound
        WHERE o.channel = ?1 ORDER BY o.number
    """
    found: list[Owed] = []
    for number, at, key, body, piece, sending, drafted in db.execute(sql, (channel,)):
        line = entry_of(number, at, key, body)
        if line and isinstance(line.event, Said):
            found.append(
                Owed(
                    entry=line,
                    said=line.event,
                    address=line.event.outbound.address,
                    piece=piece,
                    drafted=drafted,
                    sending=sending == piece,
                )
            )
    return found


def waiting(db: Database) -> list[Address]:
    """The conversations in which somebody waits for an answer, longest untouched first."""
    sql = """
        SELECT c.channel, c.space, c.room, c.thread, c.kind
        FROM waiting AS w JOIN conversations AS c ON c.id = w.conversation ORDER BY w.number
    """
    return [_address(row) for row in db.execute(sql)]


def cursor(db: Database, channel: str) -> str:
    """The channel's own position, "" before the first."""
    return str(db.execute("SELECT cursor FROM cursors WHERE channel = ?1", (channel,)).get or "")


def conversations(db: Database, limit: int, channel: str | None) -> list[Conversation]:
    """The conversations, the one with the newest line first."""
    sql = """
        SELECT last, at, lines, channel, space, room, thread, kind FROM conversations
        WHERE ?1 IS NULL OR channel = ?1 ORDER BY last DESC LIMIT ?2
    """
    return [
        Conversation(address=_address(place), last=number, at=at, lines=lines)
        for number, at, lines, *place in db.execute(sql, (channel, max(limit, 0)))
    ]


def address(db: Database, key: str) -> Address | None:
    """The whole address of the conversation with that key, None for one never heard of."""
    sql = "SELECT channel, space, room, thread, kind FROM conversations WHERE key = ?1"
    return next((_address(row) for row in db.execute(sql, (key,))), None)


def _address(row: Iterable[Any]) -> Address:
    channel, space, room, thread, kind = row
    return Address(channel=channel, space=space, room=room, thread=thread, kind=kind)


def _page(rows: Iterable[Row], end: int = 0) -> Page:
    entries: list[Entry] = []
    unreadable = 0
    for row in rows:
        end = row[0]
        line = entry_of(row[0], row[1], row[2], row[3])
        if line is None:
            unreadable += 1
        else:
            entries.append(line)
    return Page(entries, end, unreadable)
