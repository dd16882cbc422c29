# SPDX-License-Identifier: AGPL-3.0-or-later
"""One writer per folder, held against other processes by a lock that dies with its holder."""

import contextlib
import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from haoya.core.errors import Unready
from haoya.journal.failure import explain

FILE = "journal.lock"


def holder(folder: Path) -> str:
    """The process id of who writes in `folder` right now, "" if nobody does."""
    try:
        handle = os.open(folder / FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
    else:
        return ""
    finally:
        os.close(handle)


@contextmanager
def hold(folder: Path) -> Generator[None]:
    """Be the only writer in `folder`; raises `Unready` with the process id of the one who is."""
    try:
        handle = os.open(folder / FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise explain(error) or error from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise Unready(
                f"journal: process {holder} already writes in {folder}; stop it first, or choose "
                "another folder with HAOYA_HOME"
            ) from None
        # Only words for people: on a full disk the lock holds without them.
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)
