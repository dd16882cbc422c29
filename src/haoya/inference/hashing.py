# SPDX-License-Identifier: AGPL-3.0-or-later
"""Digests of large files, and writes that are still there after a power cut."""

import hashlib
import os
from pathlib import Path
from typing import Protocol

PIECE_BYTES = 1 << 20


class Digest(Protocol):
    """A digest that grows (what hashlib's functions return)."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take in more bytes."""
        ...


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file (hex)."""
    digest = hashlib.sha256()
    read_into(path, digest)
    return digest.hexdigest()


def read_into(path: Path, digest: Digest, *, start: int = 0) -> int:
    """Feed a file into a digest, from byte `start` on; how many bytes that were."""
    buffer = bytearray(PIECE_BYTES)
    view = memoryview(buffer)
    total = 0
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while count := file.readinto(buffer):
            digest.update(view[:count])
            total += count
    return total


def sync_file(path: Path) -> None:
    """Make a file's bytes durable (fsync(2))."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable (fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
