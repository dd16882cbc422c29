# SPDX-License-Identifier: AGPL-3.0-or-later
"""The few things we ask of SQLite's driver, typed: apsw's own types name `Buffer`, which Python
3.11 does not have, and so are unknown to a strict checker."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import apsw

from haoya.core.errors import ConfigError

Value = str | bytes | int | float | None
Row = tuple[Any, ...]


class Rows(Protocol):
    """The answer to a statement."""

    def __iter__(self) -> Iterator[Row]: ...

    def fetchall(self) -> list[Row]:
        """All rows that are left."""
        ...

    @property
    def get(self) -> Any:
        """The value, row or rows: as few wrappings as there are; None where there is no row."""
        ...


class Database(Protocol):
    """A connection, used by one thread at a time."""

    @property
    def in_transaction(self) -> bool:
        """Whether BEGIN was said and neither COMMIT nor ROLLBACK has followed."""
        ...

    def execute(self, statements: str, bindings: Sequence[Value] | None = None) -> Rows:
        """Run SQL; write parameters as ?1, ?2: SQLite binds $1 by first appearance."""
        ...

    def executemany(self, statements: str, sequenceofbindings: Iterable[Sequence[Value]]) -> Rows:
        """Run SQL once for each set of values."""
        ...

    def changes(self) -> int:
        """How many rows the last INSERT, UPDATE or DELETE changed."""
        ...

    def set_busy_timeout(self, milliseconds: int) -> None:
        """How long to wait for another process's lock."""
        ...

    def interrupt(self) -> None:
        """Make the statement that runs in another thread fail with `InterruptError`."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


MAGIC = b"SQLite format 3\0"
"""How a database begins that is not encrypted."""
CIPHER = "aegis"
"""AEGIS-256, as fast as no encryption (bench/at_rest.py)."""


def is_sealed(path: Path) -> bool:
    """Whether there is a database and it is encrypted; False where it cannot be read, or is no
    database at all (one consists of whole pages of 512 bytes or a multiple: SQLite's file format,
    1.3.2)."""
    try:
        with path.open("rb") as file:
            whole = os.fstat(file.fileno()).st_size % 512 == 0
            return whole and file.read(len(MAGIC)) not in (MAGIC, b"")
    except OSError:
        return False


def require_cipher() -> None:
    """Raise `ConfigError` unless this build of SQLite can encrypt."""
    if not hasattr(apsw, "mc_version"):
        raise ConfigError(
            "this build of SQLite cannot encrypt the journal",
            cure="put the package apsw-sqlite3mc in the place of apsw, or set encrypt = false",
        )


def address_of(path: Path, key: str = "", **more: str) -> str:
    """The file as SQLite is told of it; with a `key` (64 hex digits) it is encrypted."""
    if key:
        require_cipher()
        more |= {"cipher": CIPHER, "key": f"raw:{key}"}
    tail = "&".join(f"{name}={value}" for name, value in more.items())
    return path.absolute().as_uri() + (f"?{tail}" if tail else "")


def open_database(path: Path, key: str = "") -> Database:
    """Open the file for reading and writing, or make it; raises `apsw.Error`."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    return apsw.Connection(address_of(path, key), flags=flags)


def open_to_read(path: Path, key: str = "") -> Database:
    """Open the file for reading only; raises `apsw.Error`.

    Reading a write-ahead log needs a shared-memory file beside it, which a read-only disk cannot
    have; where no log was left behind there is nothing to share either.
    """
    connection = _typed(_open(address_of(path, key)))
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema")
    except (apsw.CantOpenError, apsw.ReadOnlyError):
        connection.close()
        if path.with_name(f"{path.name}-wal").exists():
            raise
        connection = _typed(_open(address_of(path, key, immutable="1")))
    except apsw.Error:
        connection.close()
        raise
    return connection


def open_scratch() -> Database:
    """An empty database in memory."""
    return apsw.Connection(":memory:")


def copy_database(source: Path, target: Path, key: str = "") -> None:
    """A consistent copy in one file, made while others go on writing; raises `apsw.Error`. One
    that is encrypted stays so, with the same `key`.

    The open read transaction keeps SQLite's backup from starting over at every commit.
    """
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
    reading = _open(address_of(source, key))
    writing = apsw.Connection(address_of(target, key), flags=flags)
    snapshot, copy = _typed(reading), _typed(writing)
    try:
        snapshot.execute("BEGIN; SELECT count(*) FROM sqlite_schema")
        with writing.backup("main", reading, "main") as backup:
            while not backup.done:
                backup.step(1000)
        # A lone file needs no write-ahead log; whoever opens it to write turns it on again.
        copy.execute("PRAGMA journal_mode = DELETE")
    finally:
        copy.close()
        snapshot.close()


def _open(uri: str) -> apsw.Connection:
    connection = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    connection.set_busy_timeout(5000)
    return connection


def _typed(connection: apsw.Connection) -> Database:
    return connection
