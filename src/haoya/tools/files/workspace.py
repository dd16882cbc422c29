# SPDX-License-Identifier: AGPL-3.0-or-later
"""A folder that cannot be left, by file descriptors instead of by comparing names.

Every step of a path is opened relative to the folder before it, as a folder and never through a
link (openat(2) with O_DIRECTORY and O_NOFOLLOW). What is checked is what is held open, so
exchanging a folder for a link in between reaches nothing else. All functions here block; they
raise `ValueError` in words for a model, and `OSError`.
"""

import errno
import os
import stat
import zlib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

READ_BYTES = 64 * 1024
WRITE_BYTES = 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_LINKED = (errno.ELOOP, errno.ENOTDIR, errno.EMLINK)  # what systems say of a link there


def parts_of(path: str, root: Path) -> list[str]:
    """The steps of a path below the workspace.

    >>> parts_of("a//./b.txt", Path("/srv/me"))
    ['a', 'b.txt']
    """
    inside = path.strip().removeprefix(f"{root}/") if path.strip() != str(root) else ""
    steps = [step for step in inside.split("/") if step not in ("", ".")]
    cure = "write a path inside the workspace, such as notes/today.md"
    if inside.startswith(("/", "~")) or ".." in steps:
        raise ValueError(f"{path!r} is outside the workspace; {cure}")
    if any(ord(sign) < 32 or sign in "\\\x7f" for sign in inside):
        raise ValueError(f"{path!r} has signs that no name here may have; {cure}")
    try:
        too_long = any(len(step.encode()) > 255 for step in steps)
    except UnicodeEncodeError:
        raise ValueError(f"{path!r} is not Unicode text; {cure}") from None
    if too_long or len(steps) > 32:
        raise ValueError(f"{path!r} is too long; {cure}")
    return steps


@contextmanager
def folder(root: Path, steps: list[str], *, make: bool = False) -> Generator[int, None, None]:
    """A descriptor of the folder `steps` below the workspace; made where it is missing."""
    held = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for i, step in enumerate(steps):
            inner = _enter(held, step, "/".join(steps[: i + 1]), make)
            os.close(held)
            held = inner
        yield held
    finally:
        os.close(held)


def _enter(held: int, step: str, shown: str, make: bool) -> int:
    if make:
        with suppress(FileExistsError):
            os.mkdir(step, dir_fd=held)
            os.fsync(held)
    try:
        return os.open(step, _FOLDER, dir_fd=held)
    except FileNotFoundError:
        raise ValueError(f"no folder {shown!r}; list_files shows what is there") from None
    except OSError as e:
        if e.errno in _LINKED:
            raise ValueError(f"{shown!r} is a file or a link; links are not followed") from None
        raise


def kind_of(held: int, name: str) -> os.stat_result | None:
    """What stands under `name`, links not followed; None where there is nothing."""
    try:
        return os.stat(name, dir_fd=held, follow_symlinks=False)
    except FileNotFoundError:
        return None


def open_file(held: int, name: str, shown: str) -> int:
    """A descriptor of a regular file for reading; pipes, devices and links are refused."""
    found = kind_of(held, name)
    if found is None:
        raise ValueError(f"no file {shown!r}; list_files shows what is there")
    if not stat.S_ISREG(found.st_mode):  # opening a pipe or a device could already do something
        raise ValueError(f"{shown!r} is no regular file; only those can be read")
    try:
        opened = os.open(name, os.O_RDONLY | _FILE, dir_fd=held)
    except OSError as e:
        if e.errno in _LINKED:
            raise ValueError(f"{shown!r} is a link; links are not followed") from None
        raise
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise ValueError(f"{shown!r} is no regular file; only those can be read")
    return opened


def read(root: Path, path: str, offset: int) -> str:
    """The text of a file from byte `offset` on, or the list of a folder."""
    steps = parts_of(path, root)
    if not steps:
        return listed(root, path)
    with folder(root, steps[:-1]) as held:
        found = kind_of(held, steps[-1])
        if found is not None and stat.S_ISDIR(found.st_mode):
            return listed(root, path)
        opened = open_file(held, steps[-1], path)
    with os.fdopen(opened, "rb") as file:
        size = os.fstat(opened).st_size
        file.seek(min(max(0, offset), size))
        data = file.read(READ_BYTES)
    return _text(data, path, max(0, offset), size)


def _text(data: bytes, path: str, offset: int, size: int) -> str:
    """Decoded text, cut between characters, with a note where it is not the whole."""
    skipped = 0
    while offset and skipped < min(3, len(data)) and data[skipped] & 0xC0 == 0x80:
        skipped += 1
    end = offset + len(data)
    whole = data[skipped:]
    try:
        text = whole.decode()
    except UnicodeDecodeError as e:
        if len(whole) - e.start > 3 or end >= size:
            words = f"{path!r} is not UTF-8 text ({size} bytes); it cannot be read here"
            raise ValueError(words) from None
        text = whole[: e.start].decode()
        end -= len(whole) - e.start
    if "\0" in text:
        raise ValueError(f"{path!r} is binary ({size} bytes); it cannot be read here")
    if end < size:
        return f"{text}\n[cut: {size - end} of {size} bytes follow; read on with offset {end}]"
    return text if text or size else "[empty]"


MAX_LISTED = 200


def listed(root: Path, path: str) -> str:
    """The names in a folder, sorted, folders with a slash, files with their size in bytes."""
    with folder(root, parts_of(path, root)) as held, os.scandir(held) as entries:
        found = sorted(entry.name for entry in entries if not temporary(entry.name))
        lines = [_entry(held, name) for name in found[:MAX_LISTED]]
    if len(found) > MAX_LISTED:
        lines.append(f"[{len(found) - MAX_LISTED} more; search_files finds them by name]")
    return "\n".join(lines) or "[empty]"


def _entry(held: int, name: str) -> str:
    found = kind_of(held, name)
    shown = name.encode("utf-8", "replace").decode()
    if found is None:
        return shown
    if stat.S_ISDIR(found.st_mode):
        return f"{shown}/"
    return f"{shown} {found.st_size}" if stat.S_ISREG(found.st_mode) else f"{shown} [special]"


def temporary(name: str) -> bool:
    """Whether a name is of a file half written when we died; the next writing clears it."""
    return name.startswith(".haoya-") and name.endswith(".tmp")


def write(root: Path, path: str, text: str, *, append: bool) -> str:
    """Store a whole file so that a crash leaves the old or the new one, never a part.

    Folders on the way are made. The caller must not write twice at a time.
    """
    steps = parts_of(path, root)
    data = text.encode("utf-8", "replace")
    if not steps or path.rstrip().endswith("/"):
        raise ValueError(f"{path!r} is a folder; name a file in it")
    with folder(root, steps[:-1], make=True) as held:
        name = steps[-1]
        before = kind_of(held, name)
        if before is not None and not stat.S_ISREG(before.st_mode):
            raise ValueError(f"{path!r} is no regular file; choose another name")
        if append and before is not None:
            opened = open_file(held, name, path)
            with os.fdopen(opened, "rb") as file:
                data = file.read(WRITE_BYTES + 1) + data
        if len(data) > WRITE_BYTES:
            words = f"{path!r} would have more than {WRITE_BYTES} bytes; use several files"
            raise ValueError(words)
        _replace(held, name, data, stat.S_IMODE(before.st_mode) & 0o777 if before else None)
    return f"{path} has {len(data)} bytes now"


def _replace(held: int, name: str, data: bytes, mode: int | None) -> None:
    """Write beside it, make durable, rename over it, make the rename durable."""
    beside = f".haoya-{zlib.crc32(name.encode()):08x}.tmp"
    with suppress(FileNotFoundError):
        os.unlink(beside, dir_fd=held)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE
    opened = os.open(beside, flags, 0o666, dir_fd=held)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(data)
            file.flush()
            if mode is not None:
                os.fchmod(opened, mode)
            os.fsync(opened)
        os.rename(beside, name, src_dir_fd=held, dst_dir_fd=held)
    finally:
        with suppress(FileNotFoundError):  # gone where the renaming went well
            os.unlink(beside, dir_fd=held)
    os.fsync(held)
