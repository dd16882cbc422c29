# SPDX-License-Identifier: AGPL-3.0-or-later
import asyncio
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from haoya.core.errors import ConfigError, Unready
from haoya.core.event import Entry
from haoya.journal import BlobStore, open_journal
from haoya.journal.failure import explain
from tests.journal.disk import small_disk
from tests.journal.make import HOME, received


def test_a_full_disk_refuses_clearly_and_heals_by_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def run(folder: Path) -> None:
        async with open_journal(folder) as journal:
            kept: list[Entry] = []
            number = 0
            disk.fill()
            while not journal.figures().failure:
                number += 1
                try:
                    kept += await journal.append(HOME, received(str(number), text="x" * 2000))
                except Unready as error:
                    assert "the disk is full; free some space" in str(error)
            many = [journal.append(HOME, received(f"m{i}", text="y" * 9000)) for i in range(20)]
            results = await asyncio.gather(*many, return_exceptions=True)
            assert all(isinstance(result, Unready) for result in results)
            assert len({id(result) for result in results}) == 20
            assert await journal.read(HOME.key) == kept
            disk.free()
            kept += await journal.append(HOME, received(str(number)))
            assert journal.figures().failure == ""
            assert await journal.read(HOME.key) == kept
            assert await journal.check() == []

    with small_disk(tmp_path / "disk", "2m") as disk:
        asyncio.run(run(disk.folder))
    told = [record.message for record in caplog.records if record.name == "haoya.journal"]
    assert len(told) == 2
    assert "full" in told[0]
    assert "works again" in told[1]


def test_a_full_disk_when_opening(tmp_path: Path) -> None:
    async def run(folder: Path) -> None:
        with pytest.raises(Unready, match="the disk is full"):
            async with open_journal(folder):
                pass

    with small_disk(tmp_path / "disk", "1m") as disk:
        disk.fill()
        asyncio.run(run(disk.folder))
        disk.free()
        store = BlobStore(disk.folder / "blobs")
        with pytest.raises(Unready, match="blob store: the disk is full"):
            asyncio.run(store.put(b"x" * 2_000_000))
        assert [path for path in (disk.folder / "blobs").rglob("*") if path.is_file()] == []
        assert len(asyncio.run(store.put(b"x" * 1000)).sha256) == 64
        store.close()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_the_system_refuses_leaves_nothing_half_written(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path) as journal:
            kept = await journal.append(HOME, received("1"))
            with largest_file(200_000), pytest.raises(Unready, match=r"journal: the disk"):
                await journal.append(HOME, received("2", text="x" * 500_000), received("3"))
            kept += await journal.append(HOME, received("3"), received("2"))
            assert [entry.number for entry in kept] == [1, 2, 3]
            assert await journal.read(HOME.key) == kept
            assert await journal.check() == []

    assert signal.getsignal(signal.SIGXFSZ) == signal.SIG_IGN
    asyncio.run(run())


def test_a_read_only_disk_refuses_writing_and_lets_read(tmp_path: Path) -> None:
    async def write(folder: Path) -> list[Entry]:
        async with open_journal(folder) as journal:
            return await journal.append(HOME, received("1"))

    async def read(folder: Path) -> list[Entry]:
        async with open_journal(folder, read_only=True) as journal:
            assert await journal.check() == []
            return await journal.read(HOME.key)

    with small_disk(tmp_path / "disk", "2m") as disk:
        written = asyncio.run(write(disk.folder))
        disk.make_read_only()
        with pytest.raises(Unready, match="read-only; make it writable"):
            asyncio.run(write(disk.folder))
        assert asyncio.run(read(disk.folder)) == written
        store = BlobStore(disk.folder / "blobs")
        with pytest.raises(Unready, match="blob store: the disk or folder is read-only"):
            asyncio.run(store.put(b"x"))
        store.close()


def test_a_read_only_disk_with_an_unfinished_log_says_so(tmp_path: Path) -> None:
    async def write() -> None:
        async with open_journal(tmp_path / "home") as journal:
            await journal.append(HOME, received("1"))
            for name in ("journal.db", "journal.db-wal"):
                shutil.copy(tmp_path / "home" / name, disk.folder / name)

    async def read() -> None:
        with pytest.raises(Unready, match=r"journal: .* cannot be opened"):
            async with open_journal(disk.folder, read_only=True):
                pass

    with small_disk(tmp_path / "disk", "2m") as disk:
        asyncio.run(write())
        disk.make_read_only()
        asyncio.run(read())


@contextmanager
def nobody_special() -> Iterator[None]:
    """Root may write everywhere, so it is somebody else for a moment."""
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_folder_that_is_not_ours_refuses_clearly(tmp_path: Path) -> None:
    async def run() -> None:
        with pytest.raises(Unready, match=r"journal: the disk or folder is read-only"):
            async with open_journal(tmp_path / "journal"):
                pass

    tmp_path.chmod(0o500)
    with nobody_special():
        asyncio.run(run())


HOLDER = """
import asyncio, sys
from pathlib import Path
from haoya.journal import open_journal

async def run():
    async with open_journal(Path(sys.argv[1])):
        print("open", flush=True)
        sys.stdin.read()

asyncio.run(run())
"""


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    async def run() -> None:
        with pytest.raises(Unready, match=f"process {holder.pid} already writes"):
            async with open_journal(tmp_path):
                pass

    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"open\n"
        asyncio.run(run())
        holder.kill()

    async def afterwards() -> None:
        async with open_journal(tmp_path):
            pass

    asyncio.run(afterwards())


def test_an_empty_lock_file_names_nobody(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path):
            (tmp_path / "journal.lock").write_text("")
            with pytest.raises(Unready, match="process unknown"):
                async with open_journal(tmp_path):
                    pass

    asyncio.run(run())


def test_a_file_that_is_no_database_names_the_cure(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"not a database at all" * 1000)

    async def run(read_only: bool) -> None:
        with pytest.raises(Unready, match="haoya backup restore"):
            async with open_journal(tmp_path, read_only=read_only):
                pass

    asyncio.run(run(False))
    asyncio.run(run(True))


def test_a_missing_journal_cannot_be_read(tmp_path: Path) -> None:
    async def run() -> None:
        with pytest.raises(ConfigError, match="no journal at"):
            async with open_journal(tmp_path, read_only=True):
                pass

    asyncio.run(run())


def test_errors_that_say_nothing_about_the_disk_stay_what_they_are() -> None:
    assert explain(apsw.ConstraintError("unique")) is None
    assert "holds the file" in str(explain(apsw.BusyError("locked")))
    assert "the disk fails (?)" in str(explain(OSError("?")))
