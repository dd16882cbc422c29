# SPDX-License-Identifier: AGPL-3.0-or-later
"""Putting a backup back, after it has proven whole. A backup is read as if a stranger wrote it."""

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO

import apsw
import msgspec

from haoya.core.errors import ConfigError
from haoya.journal.backup import ASIDE, MANIFEST, STAGE, Manifest, contents
from haoya.journal.blobs import sync_folder
from haoya.journal.check import check_file
from haoya.journal.database import is_sealed, open_to_read
from haoya.journal.failure import explain
from haoya.journal.lock import hold
from haoya.journal.schema import FILE

_CHUNK = 1_000_000
_MANIFEST_BYTES = 200_000_000
_BROKEN = (
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    FileExistsError,
    NotADirectoryError,
    ValueError,
    msgspec.MsgspecError,
)
"""Everything a file can be instead of a backup of ours."""


def verify_backup(file: Path, key_of: Callable[[Path], str] = lambda home: "") -> list[str]:
    """What is wrong with a backup, in sentences; [] when every file is as it was and the journal
    in it is sound. Unpacks into a temporary folder beside it; raises `ConfigError` where there is
    no such file, `Unready` where the disk refuses. `key_of` gives the key to an encrypted journal
    in a folder, "" where it cannot be had; the journal is then not looked into."""
    _require(file)
    try:
        near = file.parent if os.access(file.parent, os.W_OK) else None
        with tempfile.TemporaryDirectory(prefix=STAGE, dir=near) as stage:
            return _unpack(file, Path(stage)) or _examine(Path(stage), key_of)
    except OSError as error:
        raise explain(error, "backup") or error from error


def restore_backup(
    file: Path,
    home: Path,
    *,
    replace: bool = False,
    clock: Callable[[], float] = time.time,
    key_of: Callable[[Path], str] = lambda home: "",
) -> Path | None:
    """Put a backup into `home`; returns the folder inside it that now holds what was there.

    Nothing is ever deleted, and nothing is moved before the backup has proven whole. Raises
    `ConfigError` where it has not, or `home` is not empty and `replace` not given; `Unready`
    where a daemon runs on `home` or the disk refuses.
    """
    _require(file)
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if contents(home) and not replace:
            raise ConfigError(f"{home} is not empty", cure="say --replace to move it aside")
        with hold(home):
            stage = Path(tempfile.mkdtemp(prefix=STAGE, dir=home))
            try:
                faults = _unpack(file, stage) or _examine(stage, key_of)
                if faults:
                    raise ConfigError(
                        f"{file} is not a whole backup: {faults[0]}", cure="use another backup"
                    )
                return _swap(home, stage, clock())
            finally:
                shutil.rmtree(stage)
    except OSError as error:
        raise explain(error, "backup") or error from error


def _require(file: Path) -> None:
    if not file.is_file():
        raise ConfigError(f"no backup at {file}", cure="name a file that haoya backup create wrote")


def _swap(home: Path, stage: Path, at: float) -> Path | None:
    aside = None
    if old := contents(home):
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(at))
        aside = Path(tempfile.mkdtemp(prefix=f"{ASIDE}{stamp}-", dir=home))
        for path in old:
            path.replace(aside / path.name)
    for path in list(stage.iterdir()):
        path.replace(home / path.name)
    sync_folder(home)
    return aside


def _unpack(file: Path, stage: Path) -> list[str]:
    """Write every member below `stage`; what differs from the manifest, in sentences."""
    found: dict[str, tuple[str, int]] = {}
    manifest = None
    try:
        with tarfile.open(file, "r:gz") as tar:
            for member in tar:
                source = tar.extractfile(member) if member.isreg() else None
                if source is None or not _is_inside(member.name) or member.name in found:
                    return [f"it holds {member.name!r}, which no backup of ours does"]
                if member.name == MANIFEST:
                    raw = source.read(_MANIFEST_BYTES)
                    manifest = msgspec.json.decode(raw, type=Manifest)
                    break
                found[member.name] = _write(source, stage / member.name, member.mode)
    except _BROKEN as error:
        return [f"it cannot be read to its end: {error}"]
    if manifest is None:
        return ["its manifest is missing"]
    listed = {stored.path: (stored.sha256, stored.size) for stored in manifest.files}
    differing = sorted(name for name, _ in found.items() ^ listed.items())
    return [f"{name} is not as it was stored" for name in dict.fromkeys(differing)]


def _is_inside(name: str) -> bool:
    """Whether the name stays below the folder it is unpacked into.

    >>> _is_inside("workspace/a.txt"), _is_inside("../a"), _is_inside("/etc/passwd")
    (True, False, False)
    """
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts


def _write(source: IO[bytes], target: Path, mode: int) -> tuple[str, int]:
    """Everything here was made by us in a new folder, so no link leads out of it."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    digest, size = hashlib.sha256(), 0
    with os.fdopen(os.open(target, flags, 0o600 | mode & 0o100), "wb") as file:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest(), size


def _examine(stage: Path, key_of: Callable[[Path], str]) -> list[str]:
    """Whether the journal and the other databases of the house are sound."""
    key = key_of(stage) if is_sealed(stage / FILE) else ""
    faults: list[str] = []
    if key or not is_sealed(stage / FILE):
        faults = [f"journal: {fault}" for fault in check_file(stage / FILE, key=key)]
    for path in sorted(stage.glob("*.db")):
        if path.name != FILE:
            faults += _database_faults(path)
    return faults


def _database_faults(path: Path) -> list[str]:
    try:
        db = open_to_read(path)
        try:
            rows = db.execute("PRAGMA integrity_check").fetchall()
        finally:
            db.close()
    except apsw.Error as error:
        return [f"{path.name}: {error}"]
    return [f"{path.name}: {row[0]}" for row in rows if row[0] != "ok"]
