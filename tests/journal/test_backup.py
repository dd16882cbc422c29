# SPDX-License-Identifier: AGPL-3.0-or-later
import asyncio
import gzip
import hashlib
import io
import os
import socket
import sqlite3
import tarfile
from pathlib import Path

import msgspec
import pytest

from haoya.core.errors import ConfigError, Unready
from haoya.journal import (
    BlobStore,
    Manifest,
    create_backup,
    open_journal,
    restore_backup,
    verify_backup,
)
from haoya.journal.backup import MANIFEST
from tests.journal.disk import small_disk
from tests.journal.make import HOME, received, said


def furnish(home: Path) -> None:
    """A home with all that homes have."""

    async def run() -> None:
        async with open_journal(home) as journal:
            await journal.append(HOME, received("1"), said("1"))
        store = BlobStore(home / "blobs")
        await store.put(b"meow")
        store.close()

    asyncio.run(run())
    (home / "settings.toml").write_text("[agent]\n")
    (home / "secrets.toml").write_text("key = 'x'\n")
    memory = sqlite3.connect(home / "memory.db")
    memory.executescript("PRAGMA journal_mode = WAL; CREATE TABLE memo (text)")
    memory.execute("INSERT INTO memo VALUES ('likes tea')")
    memory.commit()
    memory.close()
    script = home / "workspace" / "bin" / "run.sh"
    script.parent.mkdir(parents=True)
    script.write_text("echo hi\n")
    script.chmod(0o755)
    (home / "workspace" / "notes-journal").write_text("a plain file with a telling name\n")
    (home / "workspace" / "fake.db").write_bytes(b"SQLite format 3\0 and then nonsense")
    (home / "workspace" / "link").symlink_to("/etc/passwd")
    (home / "workspace" / "linked").symlink_to("/etc")
    for name in ("run", "backups", "models", "cache"):
        (home / name).mkdir()
        (home / name / "file").write_text("not worth keeping")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    furnish(tmp_path / "home")
    return tmp_path / "home"


def test_a_backup_holds_the_house_and_brings_it_back(home: Path, tmp_path: Path) -> None:
    target = home / "backups" / "one.tar.gz"
    told: list[str] = []
    manifest = create_backup(home, target, told.append, clock=lambda: 5.0)
    assert told == [stored.path for stored in manifest.files]
    assert told[0] == "journal.db"
    assert not [path for path in told if path.startswith(("run/", "backups/", "models/"))]
    assert {"settings.toml", "secrets.toml", "memory.db", "workspace/bin/run.sh"} <= set(told)
    assert manifest.left_out == ("workspace/link", "workspace/linked")
    assert target.stat().st_mode & 0o777 == 0o600
    assert verify_backup(target) == []
    assert list(target.parent.glob(".*")) == []

    new = tmp_path / "new"
    assert restore_backup(target, new) is None
    for path in ("settings.toml", "secrets.toml", "workspace/notes-journal", "workspace/fake.db"):
        assert (new / path).read_bytes() == (home / path).read_bytes()
    assert os.access(new / "workspace" / "bin" / "run.sh", os.X_OK)
    assert (new / "secrets.toml").stat().st_mode & 0o777 == 0o600
    memory = sqlite3.connect(new / "memory.db")
    assert memory.execute("SELECT text FROM memo").fetchall() == [("likes tea",)]
    memory.close()

    async def run() -> None:
        async with open_journal(new) as journal, open_journal(home) as old:
            assert await journal.read(HOME.key) == await old.read(HOME.key)
            assert len(await journal.owed("tg")) == 1

    asyncio.run(run())


def test_a_backup_is_made_while_the_daemon_writes(tmp_path: Path) -> None:
    async def run() -> None:
        async with open_journal(tmp_path / "home") as journal:
            await journal.append(HOME, *(received(str(number)) for number in range(3000)))
            target = tmp_path / "b.tar.gz"
            async with asyncio.TaskGroup() as group:
                copying = group.create_task(
                    asyncio.to_thread(create_backup, tmp_path / "home", target)
                )
                number = 3000
                while not copying.done():
                    await journal.append(HOME, received(str(number)))
                    number += 1
            restore_backup(target, tmp_path / "new")
        async with open_journal(tmp_path / "new") as copy:
            assert 3000 <= copy.figures().lines <= number
            assert await copy.check() == []

    asyncio.run(run())


def test_side_files_and_sockets_are_not_stored(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_database = sqlite3.connect(home / "memory.db")
    open_database.execute("INSERT INTO memo VALUES ('still in the log')")
    open_database.commit()
    assert (home / "memory.db-wal").exists()
    with socket.socket(socket.AF_UNIX) as door:
        monkeypatch.chdir(home)  # a socket's name has little room
        door.bind("door")
        manifest = create_backup(home, home / "workspace" / "b.tar.gz")
    open_database.close()
    paths = [stored.path for stored in manifest.files]
    assert "memory.db" in paths
    assert not [path for path in paths if path.endswith(("-wal", "-shm", ".lock", ".tar.gz"))]
    assert "door" in manifest.left_out
    restore_backup(home / "workspace" / "b.tar.gz", tmp_path / "new")
    memory = sqlite3.connect(tmp_path / "new" / "memory.db")
    assert memory.execute("SELECT count(*) FROM memo").fetchone() == (2,)
    memory.close()


def test_files_that_vanish_meanwhile_are_passed_over(home: Path, tmp_path: Path) -> None:
    def progress(path: str) -> None:
        if path == "workspace/fake.db":
            (home / "workspace" / "notes-journal").unlink()

    manifest = create_backup(home, tmp_path / "b.tar.gz", progress)
    assert "workspace/notes-journal" not in [stored.path for stored in manifest.files]
    assert verify_backup(tmp_path / "b.tar.gz") == []


def test_restoring_moves_what_was_there_aside(home: Path, tmp_path: Path) -> None:
    target = home / "backups" / "one.tar.gz"
    create_backup(home, target)
    (home / "settings.toml").write_text("changed")
    with pytest.raises(ConfigError, match="is not empty") as raised:
        restore_backup(target, home)
    assert "--replace" in raised.value.cure
    aside = restore_backup(target, home, replace=True, clock=lambda: 0.0)
    assert aside
    assert aside.name.startswith("before-restore-19700101-000000")
    assert (aside / "settings.toml").read_text() == "changed"
    assert (home / "settings.toml").read_text() == "[agent]\n"
    assert target.exists()
    create_backup(home, tmp_path / "two.tar.gz")
    assert verify_backup(tmp_path / "two.tar.gz") == []
    manifest = create_backup(home, tmp_path / "three.tar.gz")
    assert not [stored for stored in manifest.files if "before-restore" in stored.path]


def test_no_restore_under_a_running_daemon(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "one.tar.gz"
    create_backup(home, target)

    async def run() -> None:
        async with open_journal(home):
            with pytest.raises(Unready, match="already writes"):
                restore_backup(target, home, replace=True)

    asyncio.run(run())
    assert (home / "settings.toml").exists()


def test_what_cannot_be_backed_up_says_why(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no journal in"):
        create_backup(tmp_path, tmp_path / "b.tar.gz")
    target = tmp_path / "b.tar.gz"
    create_backup(home, target)
    with pytest.raises(ConfigError, match="is there already"):
        create_backup(home, target)
    (home / "journal.db").write_bytes(b"SQLite format 3\0" + b"\x55" * 9000)
    with pytest.raises(Unready, match="backup: the file is damaged"):
        create_backup(home, tmp_path / "c.tar.gz")
    assert not (tmp_path / "c.tar.gz").exists()
    with pytest.raises(ConfigError, match="no backup at"):
        verify_backup(tmp_path / "none.tar.gz")


def test_a_full_disk_leaves_no_half_backup(home: Path, tmp_path: Path) -> None:
    (home / "workspace" / "noise").write_bytes(os.urandom(300_000))
    whole = tmp_path / "whole.tar.gz"
    create_backup(home, whole)
    with small_disk(tmp_path / "disk", "200k") as disk:
        with pytest.raises(Unready, match="backup: the disk is full"):
            create_backup(home, disk.folder / "b.tar.gz")
        with pytest.raises(Unready, match="backup: the disk is full"):
            restore_backup(whole, disk.folder / "new")
        assert {path.name for path in disk.folder.rglob("*")} == {"new", "journal.lock"}
        (disk.folder / "copy.tar.gz").write_bytes(b"x")
        (disk.folder / "copy.tar.gz").unlink()


def test_verifying_on_a_full_disk_says_so(home: Path, tmp_path: Path) -> None:
    (home / "workspace" / "zeros").write_bytes(bytes(3_000_000))
    whole = tmp_path / "whole.tar.gz"
    create_backup(home, whole)
    with small_disk(tmp_path / "disk", "200k") as disk:
        copy = disk.folder / "whole.tar.gz"
        copy.write_bytes(whole.read_bytes())
        with pytest.raises(Unready, match="backup: the disk is full"):
            verify_backup(copy)


def rewrite(target: Path, members: dict[str, bytes | None], *, link: bool = False) -> None:
    """The backup again, with members added, replaced or (None) removed, and a manifest to suit."""
    with tarfile.open(target) as tar:
        kept = {m.name: (f.read() if (f := tar.extractfile(m)) else b"") for m in tar}
    everything = {**kept, **members}
    with tarfile.open(target, "w:gz") as tar:
        for name in sorted(everything, key=lambda name: name == MANIFEST):
            data = everything[name]
            if data is not None:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                if link and name in members:
                    member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc", 0
                tar.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("name", ["../outside", "/tmp/outside", "workspace/../../outside"])
def test_a_name_that_leads_out_is_refused(home: Path, tmp_path: Path, name: str) -> None:
    target = tmp_path / "b.tar.gz"
    create_backup(home, target)
    rewrite(target, {name: b"gotcha"})
    assert "which no backup of ours does" in verify_backup(target)[0]
    with pytest.raises(ConfigError, match="is not a whole backup"):
        restore_backup(target, tmp_path / "new" / "home")
    assert not (tmp_path / "new" / "outside").exists()
    assert not (tmp_path / "outside").exists()
    assert [path.name for path in (tmp_path / "new" / "home").iterdir()] == ["journal.lock"]


def test_links_and_clashing_names_are_refused(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "b.tar.gz"
    create_backup(home, target)
    rewrite(target, {"workspace/way-out": b""}, link=True)
    assert "which no backup of ours does" in verify_backup(target)[0]
    target.unlink()
    create_backup(home, target)
    rewrite(target, {"settings.toml/inside": b"x"})
    assert "cannot be read to its end" in verify_backup(target)[0]


def test_every_kind_of_damage_is_found(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "b.tar.gz"
    whole = create_backup(home, target)
    data = target.read_bytes()

    rewrite(target, {"settings.toml": b"[agent]\nmodel = 'evil'\n"})
    assert verify_backup(target) == ["settings.toml is not as it was stored"]
    rewrite(target, {"settings.toml": None})
    assert verify_backup(target) == ["settings.toml is not as it was stored"]
    rewrite(target, {MANIFEST: None})
    assert verify_backup(target) == ["its manifest is missing"]
    rewrite(target, {MANIFEST: b"{}"})
    assert "cannot be read" in verify_backup(target)[0]
    target.write_bytes(data[: len(data) // 2])
    assert "cannot be read" in verify_backup(target)[0]
    target.write_bytes(b"not a backup")
    assert "cannot be read" in verify_backup(target)[0]
    raw = bytearray(gzip.decompress(data))
    raw[700] ^= 1
    target.write_bytes(gzip.compress(raw))
    assert verify_backup(target) == ["journal.db is not as it was stored"]
    assert isinstance(whole, Manifest)


def resealed(target: Path, name: str, data: bytes) -> None:
    """A backup whose manifest is right about a file that is wrong."""
    with tarfile.open(target) as tar:
        stored = tar.extractfile(MANIFEST)
        assert stored
        manifest = msgspec.json.decode(stored.read(), type=Manifest)
    digest = hashlib.sha256(data).hexdigest()
    files = tuple(
        msgspec.structs.replace(file, sha256=digest, size=len(data)) if file.path == name else file
        for file in manifest.files
    )
    sealed = msgspec.structs.replace(manifest, files=files)
    rewrite(target, {name: data, MANIFEST: msgspec.json.encode(sealed)})


def test_an_unsound_database_in_a_whole_backup_is_found(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "b.tar.gz"
    create_backup(home, target)
    resealed(target, "memory.db", b"SQLite format 3\0" + b"\x55" * 8000)
    assert verify_backup(target)[0].startswith("memory.db: ")
    data = bytearray((home / "memory.db").read_bytes())
    data[4096:8192] = b"\x55" * 4096
    resealed(target, "memory.db", bytes(data))
    assert verify_backup(target)[0].startswith("memory.db: ")
    resealed(target, "journal.db", b"nonsense")
    assert verify_backup(target)[0].startswith("journal: ")
