# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is still open after each entry: message undecided, question unanswered, conversation
waiting, words owed. Written in the transaction of the entry; `check` replays the same function
over all entries into empty tables and compares."""

from haoya.core.event import (
    Admitted,
    Asked,
    Decided,
    Delivered,
    Drafted,
    Event,
    Failed,
    Held,
    Received,
    Refused,
    Said,
    Sending,
    Stopped,
)
from haoya.journal.database import Database


def project(db: Database, conversation: int, number: int, event: Event) -> None:
    """Bring the open-state tables from before entry `number` to after it."""
    match event:
        case Received():
            db.execute("INSERT INTO undecided VALUES (?1)", (number,))
        case Admitted():
            db.execute("DELETE FROM undecided WHERE number = ?1", (event.of,))
            if event.wakes:
                _wake(db, conversation, number)
        case Refused():
            db.execute("DELETE FROM undecided WHERE number = ?1", (event.of,))
        case Said():
            _owe(db, number, event)
            if event.turn:
                _rest(db, conversation, event.turn)
        case Stopped():
            _rest(db, conversation, event.turn)
        case Drafted():
            db.execute("REPLACE INTO drafts VALUES (?1, ?2)", (event.outbound, event.id))
        case Sending():
            sql = "UPDATE owed SET sending = ?2 WHERE number = ?1"
            db.execute(sql, (event.of, event.piece))
        case Held():
            sql = "UPDATE owed SET sending = -1 WHERE number = ?1 AND sending = ?2"
            db.execute(sql, (event.of, event.piece))
        case Delivered(last=False):
            sql = "UPDATE owed SET piece = max(piece, ?2 + 1) WHERE number = ?1"
            db.execute(sql, (event.of, event.piece))
        case Delivered() | Failed():
            _settle(db, event.of)
        case Asked():
            db.execute("INSERT INTO asked VALUES (?1)", (number,))
        case Decided():
            db.execute("DELETE FROM asked WHERE number = ?1", (event.of,))
        case _:  # all other events neither open nor close anything
            return


def _wake(db: Database, conversation: int, number: int) -> None:
    """The newest waking line is enough: whatever closes it has read the older ones too."""
    db.execute("REPLACE INTO waiting VALUES (?1, ?2)", (conversation, number))


def _rest(db: Database, conversation: int, turn: int) -> None:
    sql = "DELETE FROM waiting WHERE conversation = ?1 AND number <= ?2"
    db.execute(sql, (conversation, turn))


def _owe(db: Database, number: int, said: Said) -> None:
    sql = "INSERT INTO owed (number, channel, outbound) VALUES (?1, ?2, ?3)"
    db.execute(sql, (number, said.outbound.address.channel, said.outbound.id))


def _settle(db: Database, number: int) -> None:
    sql = "DELETE FROM drafts WHERE outbound = (SELECT outbound FROM owed WHERE number = ?1)"
    db.execute(sql, (number,))
    db.execute("DELETE FROM owed WHERE number = ?1", (number,))
