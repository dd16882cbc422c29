# SPDX-License-Identifier: AGPL-3.0-or-later
"""The blob store, and beside it bytes that live only as long as the request they came with."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from haoya.core.message import Blob
from haoya.journal import BlobStore


class LentBlobs:
    """The `Blobs` port as the house lends it: the store on disk, and what passes through."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._passing: dict[str, list[bytes]] = {}

    async def put(self, data: bytes, *, mime: str = "", name: str = "") -> Blob:
        """Store durably; see `core.plugin.Blobs`."""
        return await self._store.put(data, mime=mime, name=name)

    async def get(self, sha256: str) -> bytes:
        """The bytes, wherever they are; KeyError where there are none."""
        if passing := self._passing.get(sha256):
            return passing[-1]
        return await self._store.get(sha256)

    @contextmanager
    def lend(self, given: Mapping[str, bytes]) -> Generator[None, None, None]:
        """Have these bytes, by their SHA-256, in reach of all models for a while, in memory
        alone."""
        for sha256, data in given.items():
            self._passing.setdefault(sha256, []).append(data)
        try:
            yield
        finally:
            for sha256 in given:
                self._passing[sha256].pop()
                if not self._passing[sha256]:
                    del self._passing[sha256]
