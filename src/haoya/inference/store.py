# SPDX-License-Identifier: AGPL-3.0-or-later
"""Models on disk, by name; every file once, under the SHA-256 of its bytes.

    names/NAME.json         what a model is made of
    blobs/sha256-HEX        the files themselves
    views/NAME/FILE.gguf    links with their first names, for models in several files
    partial/NAME/           a download that is not finished (`pull` fills it)

A model is there when its name is; names and blobs appear whole or not at all (rename), and all
changes are made under one lock, so that several programs may share the folder.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Generator, Sequence
from pathlib import Path

import msgspec

from haoya.core.errors import ConfigError
from haoya.inference.entry import NAME, ONNX, Entry, Held, Record, Sidecar, SidecarKind, name_for
from haoya.inference.gguf import parts_of, read
from haoya.inference.hashing import sha256_of, sync_folder

STALE_SECONDS = 24 * 3600
"""A file that was to be taken in this long ago and was not, never will be."""

Fresh = Sequence[tuple[Path, Held]]
"""Finished files that lie elsewhere on the same disk, and what they are."""


class Store:
    """The models of one folder, which is made when the first one comes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = folder / "blobs"
        self.names = folder / "names"
        self.views = folder / "views"
        self.partial = folder / "partial"

    def list(self) -> tuple[Entry, ...]:
        """All models by name; one whose record cannot be read is left out (`verify` tells)."""
        found: dict[str, Entry] = {}
        for name in self._names():
            with contextlib.suppress(ConfigError):
                found[name] = self._entry(name)
        return tuple(found.values())

    def find(self, name: str) -> Entry:
        """The model of that name, or the GGUF file (or ONNX folder) at that absolute path.

        Raises `ConfigError` that names the models there are.
        """
        path = Path(name).expanduser()
        if path.is_absolute():
            return _outside(path)
        if NAME.fullmatch(name.lower()) and (self.names / f"{name.lower()}.json").exists():
            return self._entry(name.lower())
        there = ", ".join(self._names())
        if there:
            message, cure = f"no model is named {name!r}; there are: {there}", "choose one of them"
        else:
            message, cure = f"no model is named {name!r}; there are none yet", "fetch one"
        raise ConfigError(message, cure=f"{cure}, see `haoya models list` and `haoya models pull`")

    def add(self, file: Path, *, name: str = "", source: str = "") -> Entry:
        """Take in a file (all parts of it), linked where that can be, else copied.

        Raises `ConfigError` where it is no sound GGUF file or the name is another model's.
        """
        read(file)
        name = self.check_name(name or name_for(file.name))
        taken = [self._take(one) for one in parts_of(file)]
        held = [one for _, one in taken]
        return self.enter(name, held, source=source or f"file:{file.absolute()}", fresh=taken)

    def attach(self, name: str, file: Path, kind: SidecarKind) -> Entry:
        """Put a sidecar file beside a model; a projector and a draft model replace the old one."""
        entry = self.find(name)
        if not entry.files:
            raise ConfigError(f"{name} lies outside the store", cure="add it first")
        read(file)
        path, held = self._take(file)
        sidecar = Sidecar(kind=kind, file=held)
        kept = [one for one in entry.sidecars if one.kind != kind or kind == "lora"]
        kept = [one for one in kept if one.file.sha256 != sidecar.file.sha256]
        with self.locked():
            self._settle([(path, held)])
            self._write(
                entry.name,
                Record(
                    files=entry.files,
                    sidecars=(*kept, sidecar),
                    source=entry.source,
                    added=entry.added,
                ),
            )
        return self.find(entry.name)

    def enter(
        self,
        name: str,
        files: Sequence[Held],
        *,
        sidecars: Sequence[Sidecar] = (),
        source: str = "",
        fresh: Fresh = (),
    ) -> Entry:
        """Give a name to files of the store; `fresh` are finished ones that move in first.

        The same files under the same name are no fault, other files are.
        """
        with self.locked():
            old = self._record(name) if (self.names / f"{name}.json").exists() else None
            digests = [one.sha256 for one in files]
            if old and [one.sha256 for one in old.files] != digests:
                raise ConfigError(
                    f"another model is already named {name!r}",
                    cure=f"choose a name with --name, or run `haoya models rm {name}`",
                )
            self._settle(fresh)
            record = Record(
                files=tuple(files),
                sidecars=tuple(sidecars) or (old.sidecars if old else ()),
                source=source or (old.source if old else ""),
                added=old.added if old else round(time.time(), 3),
            )
            self._write(name, record)
        return self.find(name)

    def remove(self, name: str) -> int:
        """Forget a model, or a download that is not finished; how many bytes that gave back."""
        if NAME.fullmatch(name) and (self.partial / name).is_dir():
            size = _size(self.partial / name)
            shutil.rmtree(self.partial / name)
            if not (self.names / f"{name}.json").exists():
                return size
        entry = self.find(name)
        if not entry.files:
            raise ConfigError(
                f"{name} lies outside the store", cure="delete the file itself if you mean it"
            )
        with self.locked():
            (self.names / f"{entry.name}.json").unlink(missing_ok=True)
            return self._collect()

    def collect(self) -> int:
        """Remove files that no name stands for; how many bytes that gave back."""
        with self.locked():
            return self._collect()

    def verify(self, name: str) -> tuple[str, ...]:
        """What is wrong with a model's files, read from beginning to end; nothing where all is
        well."""
        entry = self.find(name)
        wrong: dict[str, str] = {}
        for held in (*entry.files, *(one.file for one in entry.sidecars)):
            blob = self.blob(held.sha256)
            if not blob.exists():
                wrong[held.sha256] = f"{held.name} is missing"
            elif (size := blob.stat().st_size) != held.bytes:
                wrong[held.sha256] = f"{held.name} has {size:,} bytes, not {held.bytes:,}"
            elif sha256_of(blob) != held.sha256:
                wrong[held.sha256] = f"{held.name} is not what it was: its SHA-256 is another one"
        return tuple(wrong.values())

    def blob(self, sha256: str) -> Path:
        """Where the file of that digest lies, or would."""
        return self.blobs / f"sha256-{sha256}"

    def check_name(self, name: str) -> str:
        """The name in the form it is kept; raises `ConfigError` for one that cannot be."""
        if not NAME.fullmatch(name.lower()):
            raise ConfigError(
                f"{name!r} cannot name a model",
                cure="use letters, digits, '.', '_', '+' and '-', at most 100",
            )
        return name.lower()

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Be the only one who changes the store; the lock goes with the process."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / ".lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _names(self) -> tuple[str, ...]:
        if not self.names.is_dir():
            return ()
        return tuple(
            sorted(path.stem for path in self.names.glob("*.json") if NAME.fullmatch(path.stem))
        )

    def _record(self, name: str) -> Record:
        path = self.names / f"{name}.json"
        try:
            record = msgspec.json.decode(path.read_bytes(), type=Record)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"{path} cannot be read: {error}", cure=f"run `haoya models rm {name}`, pull anew"
            ) from error
        digests = [one.sha256 for one in record.each()]
        if not record.files or not all(re.fullmatch(r"[0-9a-f]{64}", one) for one in digests):
            raise ConfigError(f"{path} names no files", cure="remove it and pull the model anew")
        return record

    def _entry(self, name: str) -> Entry:
        record = self._record(name)
        files = tuple(self._placed(one) for one in record.files)
        sidecars = tuple(
            Sidecar(kind=one.kind, file=self._placed(one.file)) for one in record.sidecars
        )
        digest = files[0].sha256
        path = files[0].path
        if len(files) > 1:
            path = self._view(name, files)
            digest = hashlib.sha256("".join(one.sha256 for one in files).encode()).hexdigest()
        return Entry(
            name=name,
            path=path,
            sha256=digest,
            bytes=sum(one.bytes for one in files),
            source=record.source,
            added=record.added,
            files=files,
            sidecars=sidecars,
        )

    def _placed(self, held: Held) -> Held:
        return msgspec.structs.replace(held, path=self.blob(held.sha256))

    def _view(self, name: str, files: Sequence[Held]) -> Path:
        """The first file's link in a folder where all parts have their own names again: engines
        find the further parts by them."""
        folder = self.views / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for held in files:
            link = folder / Path(held.name).name
            target = Path("..", "..", self.blobs.name, held.path.name)
            if not link.is_symlink() or link.readlink() != target:
                link.unlink(missing_ok=True)
                with contextlib.suppress(FileExistsError):  # another process was as quick
                    link.symlink_to(target)
        return folder / Path(files[0].name).name

    def _take(self, file: Path) -> tuple[Path, Held]:
        """A file's bytes on the store's disk: a second name for them where the file system can,
        else a copy."""
        self.blobs.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.blobs / f".{os.getpid()}-{hashlib.sha256(os.fsencode(file)).hexdigest()}"
        try:
            before = file.stat()
            _bring(file.resolve(), new)
            digest = sha256_of(new)
            after = file.stat()
        except OSError as error:
            new.unlink(missing_ok=True)
            raise ConfigError(
                f"{file} cannot be taken in: {error}", cure="check the file and the disk"
            ) from error
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            new.unlink(missing_ok=True)
            raise ConfigError(f"{file} is being written", cure="wait until it is done")
        return new, Held(name=file.name, sha256=digest, bytes=before.st_size)

    def _settle(self, fresh: Fresh) -> None:
        """Move finished files to their places."""
        self.blobs.mkdir(mode=0o700, exist_ok=True)
        for path, held in fresh:
            blob = self.blob(held.sha256)
            if blob.exists():  # rename(2) does nothing between two names of one file
                path.unlink(missing_ok=True)
            else:
                path.replace(blob)
        sync_folder(self.blobs)

    def _write(self, name: str, record: Record) -> None:
        self.names.mkdir(mode=0o700, exist_ok=True)
        new = self.names / f".{name}.new"
        with new.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(record.bare()), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.names / f"{name}.json")
        sync_folder(self.names)

    def _collect(self) -> int:
        """Blobs of no name; where a name cannot be read nothing is removed."""
        names = self._names()
        used = {held.sha256 for name in names for held in self._record(name).each()}
        freed = 0
        for path in self.blobs.glob("*") if self.blobs.is_dir() else ():
            status = path.stat()
            coming = path.name.startswith(".") and status.st_mtime > time.time() - STALE_SECONDS
            if path.name.removeprefix("sha256-") not in used and not coming:
                freed += status.st_size
                path.unlink()
        for view in self.views.glob("*") if self.views.is_dir() else ():
            if view.name not in names:
                shutil.rmtree(view)
        return freed


def _bring(file: Path, new: Path) -> None:
    new.unlink(missing_ok=True)
    try:
        os.link(file, new)
    except OSError:
        shutil.copyfile(file, new)
        with new.open("rb") as copied:
            os.fsync(copied.fileno())


def _outside(path: Path) -> Entry:
    if (path / ONNX).is_file():
        files = [one for one in sorted(path.iterdir()) if one.is_file()]
    elif path.suffix == ".gguf" and path.is_file():
        files = parts_of(path)
    else:
        text = f"there is no GGUF file at {path}, nor is it a folder with a {ONNX}"
        raise ConfigError(text, cure="correct the path")
    stats = [one.stat() for one in files if one.exists()]
    told = repr([(str(path), one.st_size, one.st_mtime_ns) for one in stats])
    return Entry(
        name=name_for(path.name),
        path=path if path.is_dir() else files[0],
        sha256=hashlib.sha256(told.encode()).hexdigest(),
        bytes=sum(one.st_size for one in stats),
        source=f"file:{path}",
    )


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
