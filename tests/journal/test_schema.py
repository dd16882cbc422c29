# SPDX-License-Identifier: AGPL-3.0-or-later
import asyncio
import sqlite3
from pathlib import Path

import pytest

from haoya.core.errors import ConfigError
from haoya.core.event import Received
from haoya.journal import open_journal
from haoya.journal.check import check_file
from haoya.journal.schema import MIGRATIONS, connect
from tests.journal.make import HOME, ROOM, admitted, received, said


def change(folder: Path, sql: str) -> None:
    db = sqlite3.connect(folder / "journal.db")
    db.executescript(sql)
    db.commit()
    db.close()


def fill(folder: Path) -> None:
    async def run() -> None:
        async with open_journal(folder) as journal:
            await journal.append(HOME, received("1"), admitted(1), said("1"))
            await journal.append(ROOM, received("1", ROOM), said("2", ROOM))

    asyncio.run(run())


def opening(folder: Path, *, read_only: bool = False) -> None:
    async def run() -> None:
        async with open_journal(folder, read_only=read_only):
            pass

    asyncio.run(run())


def test_a_file_of_a_newer_haoya_is_refused_with_the_cure(tmp_path: Path) -> None:
    fill(tmp_path)
    change(tmp_path, "PRAGMA user_version = 99")
    with pytest.raises(ConfigError, match="has version 99") as raised:
        opening(tmp_path)
    assert "newer haoya" in raised.value.cure


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    change(tmp_path, "CREATE TABLE recipes (name TEXT)")
    with pytest.raises(ConfigError, match="is not a journal of haoya"):
        opening(tmp_path)
    change(tmp_path, "PRAGMA application_id = 5")
    with pytest.raises(ConfigError, match="is not a journal of haoya"):
        opening(tmp_path)


def test_migrations_run_once_in_order_and_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(tmp_path)
    newer = [*MIGRATIONS, "CREATE TABLE extra (a)", "INSERT INTO extra VALUES (1)"]
    connect(path, migrations=newer).close()
    db = connect(path, migrations=newer)
    assert db.execute("SELECT a FROM extra").fetchall() == [(1,)]
    db.close()
    broken = [*newer, "CREATE TABLE more (a); INSERT INTO nothing VALUES (1)"]
    with pytest.raises(Exception, match="nothing"):
        connect(path, migrations=broken)
    assert connect(path, migrations=newer).execute("PRAGMA user_version").get == len(newer)


def test_an_older_file_cannot_be_read_before_it_was_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    fill(tmp_path)
    with pytest.raises(ConfigError, match="not yet") as raised:
        connect(path, read_only=True, migrations=[*MIGRATIONS, "SELECT 1"])
    assert "haoya up" in raised.value.cure


def test_what_a_plain_sqlite_shell_sees_is_readable_json(tmp_path: Path) -> None:
    fill(tmp_path)
    db = sqlite3.connect(tmp_path / "journal.db")
    sql = "SELECT json_extract(body, '$.inbound.parts[0].text') FROM entries WHERE number = 1"
    assert db.execute(sql).fetchone() == ("hello",)
    db.close()


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("DELETE FROM owed", "(owed) differs"),
        ("DELETE FROM waiting", "(waiting) differs"),
        ("INSERT INTO undecided VALUES (1)", "(undecided) differs"),
        ("DELETE FROM entries WHERE number = 3", "1 of 5 lines are missing"),
        ("UPDATE conversations SET lines = 9 WHERE id = 1", "tg//1 is not as long"),
        ("DELETE FROM claims WHERE channel = 'irc'", "line 4 (received) is not known by its id"),
        ("UPDATE entries SET body = x'00'", "line 1 (received) cannot be read"),
        ("PRAGMA writable_schema = on; DELETE FROM sqlite_schema WHERE name = 'owed'", "damaged"),
        (
            "PRAGMA writable_schema = on; UPDATE sqlite_schema "
            "SET sql = replace(sql, '(kind, ', '(turn, ') WHERE name = 'entries_by_kind'",
            "SQLite: row 1 missing from index",
        ),
    ],
)
def test_check_finds_what_was_tampered_with(tmp_path: Path, sql: str, fault: str) -> None:
    fill(tmp_path)
    assert check_file(tmp_path / "journal.db") == []
    change(tmp_path, sql)
    found = check_file(tmp_path / "journal.db")
    assert any(fault in line for line in found), found


def test_check_finds_damaged_pages(tmp_path: Path) -> None:
    fill(tmp_path)
    path = tmp_path / "journal.db"
    db = connect(path)
    root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'entries_by_kind'").get
    db.close()
    data = bytearray(path.read_bytes())
    data[(root - 1) * 4096 : root * 4096] = b"\x55" * 4096
    path.write_bytes(data)
    assert "damaged" in check_file(path)[0]
    path.write_bytes(b"\x55" * 5000)
    assert "damaged" in check_file(path)[0]


def test_check_stops_after_a_few_faults(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            await journal.append(HOME, *(received(str(i)) for i in range(50)))
            assert all(isinstance(e.event, Received) for e in await journal.read(HOME.key))

    asyncio.run(run())
    change(tmp_path, "UPDATE entries SET body = x'00'")
    assert len(check_file(tmp_path / "journal.db")) == 10
