# SPDX-License-Identifier: AGPL-3.0-or-later
import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from haoya.core.errors import Unready
from haoya.core.message import Blob
from haoya.core.plugin import Blobs
from haoya.journal import BlobStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    store = BlobStore(tmp_path / "blobs")
    yield store
    store.close()


def test_bytes_come_back_by_their_hash(tmp_path: Path, store: BlobStore) -> None:
    async def run(blobs: Blobs) -> None:
        blob = await blobs.put(b"meow", mime="image/png", name="cat.png")
        sha256 = hashlib.sha256(b"meow").hexdigest()
        assert blob == Blob(sha256=sha256, size=4, mime="image/png", name="cat.png")
        assert await blobs.get(sha256) == b"meow"
        assert (await blobs.put(b"")).mime == "application/octet-stream"

    asyncio.run(run(store))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {file.parent.name for file in files} == {file.name[:2] for file in files}
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_the_same_bytes_are_stored_once(tmp_path: Path, store: BlobStore) -> None:
    async def run() -> None:
        await asyncio.gather(*(store.put(b"x" * 100_000, name=str(i)) for i in range(10)))

    asyncio.run(run())
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1


def test_what_is_not_there_is_a_key_error(store: BlobStore) -> None:
    for wrong in ("0" * 64, "../../etc/passwd", "A" * 64, "", "0" * 64 + "\n"):
        with pytest.raises(KeyError):
            asyncio.run(store.get(wrong))


def test_damaged_bytes_are_never_handed_out_and_heal(tmp_path: Path, store: BlobStore) -> None:
    blob = asyncio.run(store.put(b"good"))
    place = tmp_path / "blobs" / blob.sha256[:2] / blob.sha256
    place.write_bytes(b"evil")
    with pytest.raises(KeyError, match="damaged"):
        asyncio.run(store.get(blob.sha256))
    with pytest.raises(KeyError, match="no "):
        asyncio.run(store.get(blob.sha256))
    asyncio.run(store.put(b"good"))
    assert asyncio.run(store.get(blob.sha256)) == b"good"


def test_a_blob_that_cannot_be_read_says_why(tmp_path: Path, store: BlobStore) -> None:
    (tmp_path / "blobs" / "ab" / ("ab" * 32)).mkdir(parents=True)
    with pytest.raises(Unready, match="blob store: the disk fails"):
        asyncio.run(store.get("ab" * 32))
