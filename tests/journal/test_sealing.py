# SPDX-License-Identifier: AGPL-3.0-or-later
"""The journal encrypted: no word of it on disk, and the way there and back loses nothing."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

from haoya.core.errors import ConfigError, Unready
from haoya.core.event import Entry, Received
from haoya.core.message import Address, Inbound, Sender, Text
from haoya.journal import create_backup, open_journal, restore_backup, settle, verify_backup
from haoya.journal.database import is_sealed, require_cipher
from haoya.journal.schema import FILE
from tests.runtime.waiting import run

pytestmark = pytest.mark.skipif(
    not hasattr(apsw, "mc_version"),
    reason="this build of SQLite cannot encrypt: apsw-sqlite3mc is not installed",
)
KEY = "a7" * 32
SPOKEN = "a very private word"
ADDRESS = Address(channel="c", room="r")


def heard(number: int) -> Inbound:
    return Inbound(
        id=str(number),
        address=ADDRESS,
        sender=Sender(id="1"),
        parts=(Text(text=f"{SPOKEN} {number}"),),
        at=float(number),
    )


def filled(folder: Path, key: str = "", count: int = 300) -> list[Entry]:
    found: list[Entry] = []

    async def body() -> None:
        async with open_journal(folder, key=key) as journal:
            await journal.receive([heard(number) for number in range(count)])
            found.extend(await journal.read(ADDRESS.key))

    run(body)
    return found


def entries(folder: Path, key: str = "") -> list[Entry]:
    found: list[Entry] = []

    async def body() -> None:
        async with open_journal(folder, key=key) as journal:
            assert await journal.check() == []
            found.extend(await journal.read(ADDRESS.key))

    run(body)
    return found


def spoken(folder: Path) -> list[str]:
    """Files in which the private word stands."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if SPOKEN.encode() in path.read_bytes()]


def test_a_new_journal_with_a_key_never_shows_a_word(tmp_path: Path) -> None:
    async def body() -> None:
        async with open_journal(tmp_path, key=KEY) as journal:
            await journal.receive([heard(1)])
            assert (tmp_path / f"{FILE}-wal").stat().st_size > 0
            assert spoken(tmp_path) == [], "while it is open and its log is full"

    run(body)
    assert is_sealed(tmp_path / FILE) and spoken(tmp_path) == []
    (entry,) = entries(tmp_path, KEY)
    assert isinstance(entry.event, Received)


@pytest.mark.parametrize("key", ["", "00" * 32])
def test_without_its_key_it_is_a_fault_and_stays_as_it_is(tmp_path: Path, key: str) -> None:
    filled(tmp_path, KEY, 3)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(Unready):
        entries(tmp_path, key)
    assert (tmp_path / FILE).read_bytes() == before


def test_there_and_back_nothing_is_lost(tmp_path: Path) -> None:
    before = filled(tmp_path)
    assert spoken(tmp_path)
    assert settle(tmp_path, KEY, sealed=True)
    assert is_sealed(tmp_path / FILE) and spoken(tmp_path) == []
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert not settle(tmp_path, KEY, sealed=True), "it is so already"
    assert entries(tmp_path, KEY) == before
    assert settle(tmp_path, KEY, sealed=False)
    assert not is_sealed(tmp_path / FILE)
    assert entries(tmp_path) == before


def test_while_somebody_reads_the_old_one_stands(tmp_path: Path) -> None:
    before = filled(tmp_path, count=5)

    async def body() -> None:
        async with open_journal(tmp_path, read_only=True) as reading:
            with pytest.raises(Unready):
                settle(tmp_path, KEY, sealed=True)
            assert await reading.read(ADDRESS.key) == before

    run(body)
    assert entries(tmp_path) == before
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


SETTLE = """
import sys
from pathlib import Path
from haoya.journal import settle
print("go", flush=True)
settle(Path(sys.argv[1]), "a7" * 32, sealed=sys.argv[2] == "1")
"""


def test_killed_on_the_way_one_of_the_two_is_there_whole(tmp_path: Path) -> None:
    before = filled(tmp_path, count=2000)
    for attempt in range(8):
        wanted = not is_sealed(tmp_path / FILE)
        child = subprocess.Popen(
            [sys.executable, "-c", SETTLE, str(tmp_path), str(int(wanted))],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout and child.stdout.readline() == "go\n"
        threading.Event().wait(attempt * 0.02)
        os.kill(child.pid, signal.SIGKILL)
        child.wait(20)
        child.stdout.close()
        assert entries(tmp_path, KEY if is_sealed(tmp_path / FILE) else "") == before


def test_a_backup_of_an_encrypted_journal_stays_encrypted_and_is_whole(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    before = filled(home, KEY)
    copies: list[Path] = []

    async def body() -> None:
        async with open_journal(home, key=KEY) as journal:
            await journal.receive([heard(9999)])  # in the write-ahead log alone
            create_backup(home, tmp_path / "copy", key=KEY)
            copies.append(tmp_path / "copy")

    run(body)
    assert verify_backup(tmp_path / "copy", lambda _: KEY) == []
    assert verify_backup(tmp_path / "copy") == [], "without the key what can be checked is"
    assert verify_backup(tmp_path / "copy", lambda _: "11" * 32) != []
    restore_backup(tmp_path / "copy", tmp_path / "there", key_of=lambda _: KEY)
    assert is_sealed(tmp_path / "there" / FILE) and spoken(tmp_path / "there") == []
    assert len(entries(tmp_path / "there", KEY)) == len(before) + 1


def test_a_build_that_cannot_encrypt_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(apsw, "mc_version")
    with pytest.raises(ConfigError, match="cannot encrypt") as caught:
        require_cipher()
    assert "apsw-sqlite3mc" in caught.value.cure
