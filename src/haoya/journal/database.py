# SPDX-License-Identifier: AGPL-3.0-or-later
"""The few things we ask of SQLite's driver, typed: apsw's own types name `Buffer`, which Python
3.11 does not have, and so are unknown to a strict checker."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import apsw

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


def open_database(path: Path | str, *, read_only: bool = False) -> Database:
    """Open the file, or with `read_only` a `file:` URI too, raising `apsw.Error`."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    if read_only:
        flags = apsw.SQLITE_OPEN_READONLY
    return apsw.Connection(str(path), flags=flags | apsw.SQLITE_OPEN_URI)
