# SPDX-License-Identifier: AGPL-3.0-or-later
"""Is the journal sound? SQLite's own check, then everything counted again from the entries."""

from collections.abc import Callable
from pathlib import Path

import apsw

from haoya.core.errors import Unready
from haoya.journal.codec import claim_of, numbered, unpack
from haoya.journal.database import Database, Row, open_scratch
from haoya.journal.failure import explain
from haoya.journal.projection import project
from haoya.journal.query import find
from haoya.journal.schema import MIGRATIONS, OPEN_TABLES, connect

_SHOWN = 10


def check_file(
    path: Path, begun: Callable[[Database], None] = lambda db: None, key: str = ""
) -> list[str]:
    """What is wrong with the journal file, in sentences; empty when it is sound.

    Looks at one snapshot, so it may run beside the writer. `begun` is lent the connection, whose
    `interrupt` ends the check with `Unready`.
    """
    try:
        db = connect(path, read_only=True, key=key)
        try:
            begun(db)
            return _check(db)
        finally:
            db.close()
    except apsw.InterruptError:
        raise Unready("journal: closed while it was checked") from None
    except apsw.Error as error:
        return [str(explain(error) or error)]


def _check(db: Database) -> list[str]:
    db.execute("BEGIN")
    faults = [f"SQLite: {row[0]}" for row in db.execute("PRAGMA integrity_check")]
    if faults != ["SQLite: ok"]:
        return faults[:_SHOWN]
    return (_numbers(db) + _conversations(db) + _replay(db))[:_SHOWN]


def _numbers(db: Database) -> list[str]:
    lines, last = db.execute("SELECT count(*), ifnull(max(number), 0) FROM entries").fetchall()[0]
    return [] if lines == last else [f"{last - lines} of {last} lines are missing"]


def _conversations(db: Database) -> list[str]:
    sql = """
        SELECT c.key FROM conversations AS c LEFT JOIN (
            SELECT conversation, max(number) AS last, count(*) AS lines FROM entries GROUP BY 1
        ) AS e ON e.conversation = c.id
        WHERE c.last IS NOT e.last OR c.lines IS NOT e.lines
    """
    return [
        f"the conversation {key} is not as long as its entry says" for (key,) in db.execute(sql)
    ]


def _replay(db: Database) -> list[str]:
    """Every line readable, every claim kept, and the open state what a replay makes of it."""
    faults: list[str] = []
    scratch = _empty()
    sql = "SELECT conversation, number, kind, body FROM entries ORDER BY number"
    for conversation, number, kind, body in db.execute(sql):
        event = unpack(body)
        if event is None:
            faults.append(f"line {number} ({kind}) cannot be read by this version")
        else:
            project(scratch, conversation, number, numbered(event, number))
            claim = claim_of(event)
            if claim and find(db, *claim) != number:
                faults.append(f"line {number} ({kind}) is not known by its id")
        if len(faults) >= _SHOWN:
            break
    return faults or [
        f"the list of what is open ({table}) differs from a replay of the lines"
        for table in OPEN_TABLES
        if _rows(db, table) != _rows(scratch, table)
    ]


def _empty() -> Database:
    scratch = open_scratch()
    for migration in MIGRATIONS:
        scratch.execute(migration)
    scratch.execute("BEGIN")
    return scratch


def _rows(db: Database, table: str) -> list[Row]:
    return db.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
