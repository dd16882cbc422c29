# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pictures, sounds and files, each once, under the SHA-256 of its bytes: `ab/abcdef…`.

A blob is durable before the journal line that names it, and never changes; so the line always
finds it, and a backup that copies the journal first and the blobs after has them all.
"""

import asyncio
import hashlib
import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from haoya.core.message import Blob
from haoya.journal.failure import explain

_SHA256 = re.compile("[0-9a-f]{64}")
_SUBJECT = "blob store"


class BlobStore:
    """The `haoya.core.plugin.Blobs` port over a folder; made on first use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._threads = ThreadPoolExecutor(2, "blobs")

    async def put(self, data: bytes, *, mime: str = "", name: str = "") -> Blob:
        """Store durably and return the handle; the same bytes are stored once.

        Raises `Unready` where the disk refuses; then nothing is left behind.
        """
        loop = asyncio.get_running_loop()
        sha256 = await loop.run_in_executor(self._threads, self._put, data)
        handle = Blob(sha256=sha256, size=len(data), name=name)
        return Blob(sha256=sha256, size=len(data), mime=mime, name=name) if mime else handle

    async def get(self, sha256: str) -> bytes:
        """The bytes; KeyError where there are none, or where the disk has changed them."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._get, sha256)

    def close(self) -> None:
        """Wait for what is being stored, and let the threads go."""
        self._threads.shutdown()

    def _place(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256

    def _put(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        place = self._place(sha256)
        try:
            if not place.exists():
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_durably(place, data)
                # The folder's own name may be new as well.
                sync_folder(self._folder)
        except OSError as error:
            raise explain(error, _SUBJECT) or error from error
        return sha256

    def _get(self, sha256: str) -> bytes:
        if not _SHA256.fullmatch(sha256):
            raise KeyError(f"{_SUBJECT}: {sha256!r} is not a SHA-256 in lower-case hex")
        place = self._place(sha256)
        try:
            data = place.read_bytes()
            if hashlib.sha256(data).hexdigest() == sha256:
                return data
            # Out of the way, so that storing the same bytes again heals it.
            place.replace(place.with_suffix(".damaged"))
        except FileNotFoundError:
            raise KeyError(f"{_SUBJECT}: no {sha256}; it is not on this machine") from None
        except OSError as error:
            raise explain(error, _SUBJECT) or error from error
        raise KeyError(f"{_SUBJECT}: {sha256} was damaged on disk; look at the disk's health")


def write_durably(path: Path, data: bytes) -> None:
    """Write a file so that after a crash it is there whole or not at all; for its owner only."""
    handle, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make names in the folder as durable as the files behind them."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
