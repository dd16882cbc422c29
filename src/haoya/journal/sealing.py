# SPDX-License-Identifier: AGPL-3.0-or-later
"""The journal becomes encrypted, or plain again: through a copy that is proven before it counts."""

import hashlib
import os
from pathlib import Path

import apsw

from haoya.core.errors import Unready
from haoya.journal.blobs import sync_folder
from haoya.journal.check import check_file
from haoya.journal.database import Database, address_of, is_sealed, open_database, open_to_read
from haoya.journal.failure import explain
from haoya.journal.lock import hold
from haoya.journal.schema import FILE

_NEW = f".{FILE}.new"
_CHUNK = 1_000_000


def settle(folder: Path, key: str, *, sealed: bool) -> bool:
    """Make the journal in `folder` encrypted with `key` or plain, as `sealed` says; whether that
    took anything. Blocks for as long as copying and proving take.

    The copy is checked as `haoya doctor` does and compared row by row before it takes the old
    one's place, and the bytes of a plain one are then overwritten. Raises `Unready` where another
    process uses the journal or the disk refuses; then the old one stands.
    """
    path = folder / FILE
    if not path.exists() or path.stat().st_size == 0 or is_sealed(path) == sealed:
        return False
    new = folder / _NEW
    try:
        with hold(folder):
            new.unlink(missing_ok=True)
            old_key, new_key = ("", key) if sealed else (key, "")
            _copy(path, new, old_key, new_key)
            _prove(path, new, old_key, new_key)
            _swap(path, new, wipe=sealed)
    except (OSError, apsw.Error) as error:
        raise explain(error) or error from error
    finally:
        new.unlink(missing_ok=True)
    return True


def _copy(path: Path, new: Path, old_key: str, new_key: str) -> None:
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    db = open_database(path, old_key)
    try:
        # Folds the write-ahead log in and removes it; that needs the file for ourselves alone.
        mode = db.execute("PRAGMA journal_mode = DELETE").get
        if mode != "delete":
            raise Unready("journal: another program reads it; close it, it is tried again")
        target = address_of(new, new_key) if new_key else address_of(new) + "?key="
        db.execute("VACUUM INTO ?1", (target,)).fetchall()
    finally:
        db.close()
    with new.open("rb+") as file:
        os.fsync(file.fileno())


def _prove(path: Path, new: Path, old_key: str, new_key: str) -> None:
    if is_sealed(new) != bool(new_key):
        raise Unready("journal: the copy is not as it was wanted; the old one stands")
    faults = check_file(new, key=new_key)
    before, after = open_to_read(path, old_key), open_to_read(new, new_key)
    try:
        if faults or _digest(before) != _digest(after):
            why = faults[0] if faults else "it differs"
            raise Unready(f"journal: the copy is not sound ({why}); the old one stands")
    finally:
        before.close()
        after.close()


def _digest(db: Database) -> str:
    """Of every row of every table, in the order of their columns."""
    digest = hashlib.sha256()
    tables = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY 1")
    for (table,) in tables.fetchall():
        columns = len(db.execute(f"SELECT * FROM pragma_table_info('{table}')").fetchall())
        order = ", ".join(str(number + 1) for number in range(columns))
        for row in db.execute(f'SELECT * FROM "{table}" ORDER BY {order}'):
            digest.update(repr(row).encode())
    return digest.hexdigest()


def _swap(path: Path, new: Path, *, wipe: bool) -> None:
    with path.open("rb+") as old:
        size = path.stat().st_size
        new.replace(path)
        sync_folder(path.parent)
        if wipe:
            # Flash and file systems that copy on write may keep the old bytes all the same.
            for _ in range(0, size, _CHUNK):
                old.write(bytes(_CHUNK))
            old.flush()
            os.fsync(old.fileno())
