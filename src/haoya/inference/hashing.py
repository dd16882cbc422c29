# SPDX-License-Identifier: AGPL-3.0-or-later
"""Digests of large files, and writes that are still there after a power cut."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

PIECE_BYTES = 1 << 20


class Digest(Protocol):
    """A digest that grows (what hashlib's functions return)."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take in more bytes."""
        ...


def sha256_of(path: Path, told: Callable[[int], None] | None = None) -> str:
    """The SHA-256 of a file (hex); `told` hears how many bytes each step read."""
    digest = hashlib.sha256()
    read_into(path, digest, told)
    return digest.hexdigest()


def read_into(path: Path, digest: Digest, told: Callable[[int], None] | None = None) -> None:
    """Feed a file into a digest."""
    buffer = bytearray(PIECE_BYTES)
    view = memoryview(buffer)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(view[:count])
            if told:
                told(count)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable (fsync(2))."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
