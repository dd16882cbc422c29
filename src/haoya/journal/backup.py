# SPDX-License-Identifier: AGPL-3.0-or-later
"""The whole house in one file: made while the daemon runs, checked, and put back.

A backup is a gzipped tar file of everything in the home folder but
what can be had again; its last member, `manifest.json`, holds the SHA-256 of each file.
"""

import gzip
import hashlib
import os
import re
import shutil
import stat
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, BinaryIO

import apsw
import msgspec

from haoya.core.errors import ConfigError
from haoya.core.message import Word
from haoya.journal.blobs import sync_folder
from haoya.journal.database import MAGIC, copy_database
from haoya.journal.failure import explain
from haoya.journal.schema import FILE

LEFT_OUT = frozenset({"run", "backups", "cache", "models"})
"""Folders of the home that no backup holds: sockets, the backups, what can be fetched again."""
ASIDE = "before-restore-"
"""How the folder begins into which a restore moves what was there."""
STAGE = ".restoring-"
"""How the folders begin in which a backup grows and a restore unpacks; none is ever stored."""
MANIFEST = "manifest.json"

_IN_MEMORY = 8_000_000
_CHUNK = 1_000_000


class StoredFile(Word, frozen=True, kw_only=True):
    """A file in a backup: where it lies in the home, and what it must be."""

    path: str
    sha256: str
    size: int
    mode: int


class Manifest(Word, frozen=True, kw_only=True):
    """What a backup holds. `left_out` names links and other things that are no plain files."""

    format: int = 1
    at: float
    files: tuple[StoredFile, ...]
    left_out: tuple[str, ...] = ()


def create_backup(
    home: Path,
    target: Path,
    progress: Callable[[str], None] = lambda path: None,
    *,
    clock: Callable[[], float] = time.time,
    key: str = "",
) -> Manifest:
    """Write a backup of `home` to `target`, which must not exist yet, for its owner only.

    The journal comes first and the blobs after it, so every blob that the copy names is there;
    an encrypted one (`key`) stays encrypted.
    `progress` hears each path. Raises `ConfigError` or, where the disk refuses, `Unready`.
    """
    if not (home / FILE).is_file():
        raise ConfigError(f"no journal in {home}", cure="name the home with --home or HAOYA_HOME")
    if target.exists():
        raise ConfigError(f"{target} is there already", cure="choose another name for the backup")
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=STAGE, dir=target.parent) as scratch:
            unfinished = Path(scratch) / "backup"
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                manifest = _write(home, file, Path(scratch), progress, at=clock(), key=key)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(target)
        sync_folder(target.parent)
    except (OSError, apsw.Error) as error:
        raise explain(error, "backup") or error from error
    return manifest


def contents(home: Path) -> list[Path]:
    """What lies directly in the home and belongs into a backup."""
    return sorted(
        path
        for path in home.iterdir()
        if path.name not in LEFT_OUT
        and not path.name.startswith((ASIDE, STAGE))
        and path.suffix != ".lock"
    )


def _write(
    home: Path,
    file: BinaryIO,
    scratch: Path,
    progress: Callable[[str], None],
    *,
    at: float,
    key: str,
) -> Manifest:
    files: list[StoredFile] = []
    left_out: list[str] = []
    # Level 1: text shrinks to a fifth at little cost; pictures would not shrink at any.
    with (
        gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, filename="", mtime=at) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in _paths(home):
            name = path.relative_to(home).as_posix()
            with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(scratch)) as spool:
                try:
                    mode = path.lstat().st_mode
                    if not stat.S_ISREG(mode):
                        left_out.append(name)
                        continue
                    _snapshot(path, spool, scratch / "copy.db", key if path == home / FILE else "")
                except FileNotFoundError:  # somebody works in the workspace meanwhile
                    continue
                files.append(_add(tar, name, spool, mode & 0o777))
            progress(name)
        manifest = Manifest(at=at, files=tuple(files), left_out=tuple(left_out))
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(scratch)) as spool:
            spool.write(msgspec.json.format(msgspec.json.encode(manifest)))
            _add(tar, MANIFEST, spool, 0o600)
    return manifest


def _paths(home: Path) -> Iterator[Path]:
    """The journal, then all other files and links."""
    yield home / FILE
    for top in contents(home):
        if top.is_symlink() or not top.is_dir():
            yield from _wanted(home, [top])
            continue
        for folder, folders, files in os.walk(top):
            inside = Path(folder)
            links = [name for name in folders if (inside / name).is_symlink()]
            folders[:] = sorted(name for name in folders if not name.startswith(STAGE))
            yield from _wanted(home, [inside / name for name in sorted(files + links)])


def _wanted(home: Path, paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        base = re.sub("-(wal|shm|journal)$", "", path.name)
        whole = path.with_name(base)
        beside = base != path.name and (whole == home / FILE or _is_database(whole))
        if path != home / FILE and not beside:
            yield path


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _snapshot(path: Path, spool: IO[bytes], copy: Path, key: str) -> None:
    """The file's content at one moment; a database as SQLite sees it, with its log folded in."""
    if key or _is_database(path):
        try:
            copy_database(path, copy, key)
        except apsw.Error:
            if path.name == FILE:
                raise
        else:
            path = copy
    try:
        with path.open("rb") as file:
            shutil.copyfileobj(file, spool, _CHUNK)
    finally:
        copy.unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, name: str, spool: IO[bytes], mode: int) -> StoredFile:
    size = spool.tell()
    spool.seek(0)
    sha256 = hashlib.file_digest(spool, "sha256").hexdigest()  # pyright: ignore[reportArgumentType]
    spool.seek(0)
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, mode
    tar.addfile(member, spool)
    return StoredFile(path=name, sha256=sha256, size=size, mode=mode)
