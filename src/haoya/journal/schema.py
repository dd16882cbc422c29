# SPDX-License-Identifier: AGPL-3.0-or-later
"""The tables, their numbered migrations, and how a connection to them is opened.

`entries` is the journal; everything else can be counted again from it (`haoya.journal.check`).
It is clustered by conversation, so the last lines of one lie side by side among millions.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from haoya.core.errors import ConfigError
from haoya.journal.database import Database, open_database, open_to_read

Synchronous = Literal["full", "normal"]
FILE = "journal.db"
_APPLICATION = 0x68616F79  # "haoy", so that no other program's file is taken for ours

MIGRATIONS = (
    """
    CREATE TABLE conversations (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        channel TEXT NOT NULL,
        space TEXT NOT NULL,
        room TEXT NOT NULL,
        thread TEXT NOT NULL,
        kind TEXT NOT NULL,
        last INTEGER NOT NULL DEFAULT 0,
        at REAL NOT NULL DEFAULT 0,
        lines INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE entries (
        conversation INTEGER NOT NULL,
        number INTEGER NOT NULL,
        at REAL NOT NULL,
        kind TEXT NOT NULL,
        turn INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (conversation, number)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX entries_by_number ON entries (number);
    CREATE INDEX entries_by_kind ON entries (kind, number);

    -- What may be there only once: (channel, id) as heard, ('', id) as said.
    CREATE TABLE claims (
        channel TEXT NOT NULL,
        id TEXT NOT NULL,
        number INTEGER NOT NULL,
        PRIMARY KEY (channel, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE cursors (channel TEXT PRIMARY KEY, cursor TEXT NOT NULL) STRICT, WITHOUT ROWID;

    -- What is still open.
    CREATE TABLE undecided (number INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE asked (number INTEGER PRIMARY KEY) STRICT;
    CREATE TABLE waiting (conversation INTEGER PRIMARY KEY, number INTEGER NOT NULL) STRICT;
    CREATE TABLE owed (
        number INTEGER PRIMARY KEY,
        channel TEXT NOT NULL,
        outbound TEXT NOT NULL,
        piece INTEGER NOT NULL DEFAULT 0,
        sending INTEGER NOT NULL DEFAULT -1
    ) STRICT;
    CREATE INDEX owed_by_channel ON owed (channel, number);
    CREATE TABLE drafts (outbound TEXT PRIMARY KEY, id TEXT NOT NULL) STRICT, WITHOUT ROWID;
    """,
)
"""Step n brings a file from version n to n + 1. Never change one that was released."""

OPEN_TABLES = ("undecided", "asked", "waiting", "owed", "drafts")
"""The tables that `haoya.journal.projection` keeps, and a replay must fill alike."""


def make_folder(folder: Path) -> None:
    """Make the folder if it is missing, for its owner only."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def connect(
    path: Path,
    *,
    synchronous: Synchronous = "full",
    read_only: bool = False,
    migrations: Sequence[str] = MIGRATIONS,
    key: str = "",
) -> Database:
    """A connection to the journal file, made and brought up to date as needed. `key` opens an
    encrypted one; with it a new one is encrypted.

    Raises `apsw.Error` where the disk refuses, `ConfigError` where the file is from a newer
    haoya, is not a journal at all, or (`read_only`) is too old or missing.
    """
    if read_only:
        if not path.exists():
            raise ConfigError(f"no journal at {path}", cure="start haoya once: haoya up")
        connection = open_to_read(path, key)
    else:
        # SQLite gives its -wal and -shm files the permissions that it finds on this one.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = open_database(path, key)
    try:
        connection.set_busy_timeout(5000)
        # In KiB, for each of two connections: 4,000 cost 4 MB of memory and were no faster.
        connection.execute("PRAGMA cache_size = -1000; PRAGMA temp_store = MEMORY")
        if not read_only:
            _prepare_to_write(connection, synchronous)
        _migrate(connection, path, migrations, read_only)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare_to_write(connection: Database, synchronous: Synchronous) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    # On macOS fsync alone leaves data in the drive's cache; elsewhere this does nothing.
    connection.execute("PRAGMA fullfsync = 1")
    connection.execute("PRAGMA journal_size_limit = 16000000")


def _migrate(connection: Database, path: Path, migrations: Sequence[str], read_only: bool) -> None:
    version = int(connection.execute("PRAGMA user_version").get)
    owner = int(connection.execute("PRAGMA application_id").get)
    if owner not in (0, _APPLICATION) or (owner == 0 and _has_tables(connection)):
        raise ConfigError(f"{path} is not a journal of haoya", cure="move that file elsewhere")
    if version > len(migrations):
        raise ConfigError(
            f"the journal {path} has version {version}, this haoya knows up to {len(migrations)}",
            cure="install the newer haoya that wrote it, or restore an older backup",
        )
    if read_only and version < len(migrations):
        raise ConfigError(
            f"the journal {path} has version {version}, not yet {len(migrations)}",
            cure="start haoya once, it brings the journal up to date: haoya up",
        )
    for number in range(version, len(migrations)):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(migrations[number])
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute("COMMIT")


def _has_tables(connection: Database) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_schema").get)
