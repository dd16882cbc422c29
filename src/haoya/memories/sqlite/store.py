# SPDX-License-Identifier: AGPL-3.0-or-later
"""The store: one SQLite file, one thread of its own, every memo durable before `keep` returns."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

import apsw
import msgspec
import pydantic

from haoya.core.errors import ConfigError, Unready
from haoya.core.label import Label
from haoya.core.plugin import Context
from haoya.core.ports import Memo
from haoya.memories.sqlite.words import ranked, words_of

VERSION = 2
MAX_QUERY_WORDS = 32
MAX_CANDIDATES = 200
_SCHEMA = """
CREATE TABLE memo (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, person TEXT NOT NULL,
    text TEXT NOT NULL, at REAL NOT NULL, source TEXT NOT NULL, label TEXT
);
CREATE INDEX memo_person ON memo (person, at);
CREATE VIRTUAL TABLE word USING fts5(
    body, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 0'
);
"""
_LABELS = "ALTER TABLE memo ADD COLUMN label TEXT"
"""From version 1 to 2; NULL where nobody knows."""

_NEWEST = """
SELECT id, person, text, at, source, label FROM memo WHERE person = ?
ORDER BY at DESC, number DESC LIMIT ?
"""
_MATCHING = """
SELECT id, person, text, at, source, label FROM word JOIN memo ON memo.number = word.rowid
WHERE word MATCH ? AND memo.person = ? ORDER BY bm25(word), at DESC, number DESC LIMIT ?
"""
Result = TypeVar("Result")


class _Rows(Protocol):
    def __iter__(self) -> Iterator[tuple[Any, ...]]: ...

    @property
    def get(self) -> Any: ...


class _Database(Protocol):
    """What we ask of apsw, whose own types are unknown to a checker on Python 3.11."""

    def execute(
        self, statements: str, bindings: Sequence[str | int | float | None] = ()
    ) -> _Rows: ...

    def set_busy_timeout(self, milliseconds: int) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> object: ...

    def __exit__(
        self,
        etype: type[BaseException] | None,
        evalue: BaseException | None,
        etraceback: TracebackType | None,
    ) -> bool | None: ...


class SqliteSettings(pydantic.BaseModel):
    """Nothing to choose; the file lies in the state folder."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


@asynccontextmanager
async def connect(
    settings: SqliteSettings, context: Context
) -> AsyncGenerator["SqliteMemory", None]:
    """Open `memory.db`, made where there is none.

    Raises `Unready` where the disk does not let us, `ConfigError` where the file is no memory of
    ours.
    """
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, thread_name_prefix="haoya-memory") as thread:
        file = context.state / "memory.db"
        connection = await loop.run_in_executor(thread, _opened, file)
        try:
            yield SqliteMemory(connection, thread)
        finally:
            await loop.run_in_executor(thread, connection.close)


class SqliteMemory:
    """A `Memory`. What one person kept is never compared with what another did."""

    def __init__(self, connection: _Database, thread: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._thread = thread

    async def keep(self, memo: Memo) -> None:
        """Store durably; a second memo with the same `id` changes nothing."""
        await self._on_thread(lambda: self._keep(memo))

    async def recall(self, person: str, query: str, limit: int = 5) -> Sequence[Memo]:
        """The best matches, best first, newer before older; without words the newest."""
        return await self._on_thread(lambda: self._recall(person, query, limit))

    async def forget(self, person: str, id: str) -> bool:
        """Remove one of that person's memos; whether it was there."""
        return await self._on_thread(lambda: self._forget(person, id))

    async def _on_thread(self, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except apsw.Error as e:
            raise Unready(f"the memory refuses ({_why(e)}); look at the disk") from e

    def _keep(self, memo: Memo) -> None:
        label = msgspec.json.encode(memo.label).decode() if memo.label else None
        values = (memo.id, memo.person, memo.text, memo.at, memo.source, label)
        with self._connection:
            stored = self._connection.execute(
                "INSERT INTO memo (id, person, text, at, source, label) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (id) DO NOTHING RETURNING number",
                values,
            ).get
            if stored is not None:
                body = " ".join(words_of(memo.text))
                self._connection.execute(
                    "INSERT INTO word (rowid, body) VALUES (?, ?)", (stored, body)
                )

    def _recall(self, person: str, query: str, limit: int) -> list[Memo]:
        sought = list(dict.fromkeys(words_of(query, sought=True)))[:MAX_QUERY_WORDS]
        if not sought:
            return self._memos(_NEWEST, (person, limit))
        match = " OR ".join(f'"{word}"' for word in sought)  # words are letters and digits only
        found = self._memos(_MATCHING, (match, person, MAX_CANDIDATES))
        scores = ranked(sought, [words_of(memo.text) for memo in found])
        best = sorted(zip(scores, found, strict=True), key=lambda pair: (-pair[0], -pair[1].at))
        return [memo for _, memo in best[:limit]]

    def _memos(self, query: str, values: tuple[str | int, ...]) -> list[Memo]:
        return [
            Memo(id=id, person=person, text=text, at=at, source=source, label=_label(label))
            for id, person, text, at, source, label in self._connection.execute(query, values)
        ]

    def _forget(self, person: str, id: str) -> bool:
        with self._connection:
            number = self._connection.execute(
                "DELETE FROM memo WHERE id = ? AND person = ? RETURNING number", (id, person)
            ).get
            if number is None:
                return False
            self._connection.execute("DELETE FROM word WHERE rowid = ?", (number,))
        return True


def _opened(file: Path) -> _Database:
    try:
        connection = _database(file)
        connection.set_busy_timeout(5000)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # an acknowledged memo survives the plug
        with connection:
            _migrate(connection, file)
    except (apsw.NotADBError, apsw.CorruptError) as e:
        cure = "restore it from a backup or move it away"
        raise ConfigError(f"{file} is no memory ({_why(e)})", cure=cure) from None
    except apsw.Error as e:
        text = f"{file} cannot be opened ({_why(e)}); make it writable, free disk space"
        raise Unready(text) from None
    return connection


def _database(file: Path) -> _Database:
    return apsw.Connection(str(file))


def _migrate(connection: _Database, file: Path) -> None:
    version = connection.execute("PRAGMA user_version").get
    if version > VERSION:
        cure = "update haoya, or move the file away"
        raise ConfigError(f"{file} was written by a newer haoya", cure=cure)
    if version == 0:
        connection.execute(_SCHEMA)
    elif version == 1:
        connection.execute(_LABELS)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _label(written: str | None) -> Label | None:
    return msgspec.json.decode(written, type=Label) if written else None


def _why(error: apsw.Error) -> str:
    return str(error) or type(error).__name__
