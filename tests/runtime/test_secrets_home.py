# SPDX-License-Identifier: AGPL-3.0-or-later
"""The vault of a home: clear text taken in, many writers, kills in the middle, other machines."""

import os
import signal
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path

import pytest

from haoya.core.errors import ConfigError
from haoya.journal import create_backup, open_journal, restore_backup
from haoya.policy.vault import keyfile, store
from haoya.runtime import vault, vaulting
from haoya.runtime.migration import rewrite_settings
from haoya.runtime.vault_words import Plain, Take
from tests.runtime.waiting import run

SECONDS = 30
SETTINGS = """\
# my house
[agent]
model = "main"  # the one

[models.main]
use = "openai"
base_url = "https://api.example.com/v1"
model = "m"
api_key = "sk-planted-0123456789"  # from the console

[channels]
tg = { use = "telegram", token = "12:planted-token" }  # inline
"""
PLAIN = (
    Plain(
        path=("models", "main", "api_key"),
        name="main-api-key",
        value="sk-planted-0123456789",
        origins=("https://api.example.com",),
    ),
    Plain(path=("channels", "tg", "token"), name="tg-token", value="12:planted-token"),
)
PLANTED = (b"sk-planted-0123456789", b"12:planted-token", b"planted-by-hand")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HAOYA_KEYS", str(tmp_path / "keys"))
    monkeypatch.delenv("HAOYA_PASSPHRASE_FILE", raising=False)
    folder = tmp_path / "home"
    (folder / "state").mkdir(parents=True)
    return folder


def texts(home: Path, phrase: str = "") -> dict[str, str]:
    return {name: value.text for name, value in vault.values(home, phrase=phrase).items()}


def clear(folder: Path) -> list[str]:
    """Files in which one of the planted values stands in the clear."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(p.name for p in files if any(value in p.read_bytes() for value in PLANTED))


def planted(home: Path) -> Take:
    (home / "settings.toml").write_text(SETTINGS)
    (home / "state" / "settings.last-good.toml").write_text(SETTINGS)
    (home / "secrets.toml").write_text('# mine\nby-hand = "planted-by-hand"\n')
    return Take(home=str(home), plain=PLAIN, bind={"by-hand": ("https://b.example",)})


def test_clear_text_moves_into_the_vault_and_the_settings_keep_their_comments(home: Path) -> None:
    taken = vaulting.call(planted(home))
    assert set(taken.moved) == {"main-api-key", "tg-token", "by-hand"}
    assert not taken.left
    assert clear(home) == []
    assert not (home / "secrets.toml").exists()
    expected = SETTINGS.replace("sk-planted-0123456789", "secret:main-api-key")
    expected = expected.replace("12:planted-token", "secret:tg-token")
    assert (home / "settings.toml").read_text() == expected
    assert (home / "state" / "settings.last-good.toml").read_text() == expected
    held = {one.name: one for one in taken.held}
    assert held["main-api-key"].text == "sk-planted-0123456789"
    assert held["main-api-key"].origins == ("https://api.example.com",)
    assert held["by-hand"].origins == ("https://b.example",)
    before = (home / "vault").read_bytes()
    again = vaulting.call(Take(home=str(home), bind={"by-hand": ("https://other",)}))
    assert again.held == taken.held and not again.moved, "a second start changes nothing"
    assert (home / "vault").read_bytes() == before


def test_a_home_without_secrets_gets_no_vault(home: Path) -> None:
    assert vaulting.call(Take(home=str(home))).held == ()
    assert list(home.iterdir()) == [home / "state"]


def test_settings_that_cannot_be_rewritten_stay_and_are_told_of(home: Path) -> None:
    """A link stays a link; a file that would come out with another meaning stays as it is."""
    planted(home)
    real = home.parent / "dotfiles.toml"
    (home / "settings.toml").replace(real)
    (home / "settings.toml").symlink_to(real)
    real.chmod(0o640)
    assert rewrite_settings(home, PLAIN) == []
    assert (home / "settings.toml").is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert tomllib.loads(real.read_text())["channels"]["tg"]["token"] == "secret:tg-token"
    (home / "settings.toml").unlink()
    (home / "settings.toml").write_text(SETTINGS + "broken = = \n")
    (told,) = [one for one in rewrite_settings(home, PLAIN) if "rewritten" in one]
    assert "planted" not in told
    assert (home / "settings.toml").read_text() == SETTINGS + "broken = = \n"


def test_copies_that_editors_left_are_named(home: Path) -> None:
    wish = planted(home)
    (home / "settings.toml~").write_text(SETTINGS)
    (home / "secrets.toml.bak").write_text('by-hand = "planted-by-hand"\n')
    left = vaulting.call(wish).left
    assert any("settings.toml~" in one for one in left)
    assert any("secrets.toml.bak" in one for one in left)


@pytest.mark.parametrize("content", [b"x = ", b"\xff", b"a = [" * 5000, b"key = planted-by-hand\n"])
def test_a_broken_file_of_secrets_stays_and_is_a_fault_with_a_cure(
    home: Path, content: bytes
) -> None:
    (home / "secrets.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"secrets\.toml cannot be read") as caught:
        vaulting.call(Take(home=str(home)))
    assert caught.value.cure and "planted" not in str(caught.value)
    assert (home / "secrets.toml").read_bytes() == content
    assert not (home / "vault").exists()


def test_many_writers_at_once_lose_nothing(home: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from haoya.runtime import vault\n"
        "for at in range(5): vault.put(Path(sys.argv[1]), {f'{sys.argv[2]}-{at}': 'x' * 9})"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(home), f"writer{number}"])
        for number in range(4)
    ]
    for writer in writers:
        assert writer.wait(SECONDS * 2) == 0
    assert len(texts(home)) == 20
    assert store.read(home)


KILLED = """
import sys, time
from pathlib import Path
from haoya.runtime import vault
print("go", flush=True)
while True:
    vault.rotate(Path(sys.argv[1]))
"""


def test_killed_while_it_rotates_it_always_opens_again(home: Path) -> None:
    vault.put(home, {"a": "first", "b": "second"})
    identity, _ = vault.recovery(home)
    for attempt in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(home)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout and child.stdout.readline() == "go\n"
        before = store.read(home)
        assert before
        deadline = time.monotonic() + SECONDS
        # Killed at another moment each time: in the middle of some rotation after the first.
        while (now := store.read(home)) and now.generation == before.generation:
            assert time.monotonic() < deadline
        threading.Event().wait(attempt * 0.003)
        os.kill(child.pid, signal.SIGKILL)
        child.wait(SECONDS)
        child.stdout.close()
        assert texts(home) == {"a": "first", "b": "second"}
    last = vault.rotate(home)
    keys = sorted(path.stem for path in keyfile.folder().iterdir() if path.suffix == ".key")
    assert keys == [last.lock.id], "keys that killed rotations left behind are gone"
    assert vault.recover(home, identity).lock.source == "file"


def test_killed_while_it_takes_clear_text_in_nothing_is_lost(home: Path) -> None:
    """Whatever is still in the clear is also still there to be taken in at the next start."""
    for attempt in range(6):
        wish = planted(home)
        child = subprocess.Popen(
            [sys.executable, "-m", vaulting.PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        assert child.stdin
        child.stdin.write(vault.msgspec.json.encode(wish))
        child.stdin.close()
        threading.Event().wait(0.04 + attempt * 0.02)
        child.kill()
        child.wait(SECONDS)
        known = texts(home) if (home / "vault").exists() else {}
        for value in ("sk-planted-0123456789", "planted-by-hand"):
            in_clear = any(value.encode() in p.read_bytes() for p in home.glob("*.toml"))
            assert in_clear or value in known.values()
        vaulting.call(wish)
        assert clear(home) == []
        assert set(texts(home).values()) == {value.decode() for value in PLANTED}


def test_a_backup_has_the_vault_and_never_its_key_and_another_machine_needs_the_recovery_key(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.put(home, {"a": "sk-planted-0123456789"})
    identity, _ = vault.recovery(home)

    async def journal() -> None:
        async with open_journal(home):
            pass

    run(journal)
    stored = {file.path for file in create_backup(home, tmp_path / "copy").files}
    assert "vault" in stored and not [name for name in stored if name.endswith(".key")]
    monkeypatch.setenv("HAOYA_KEYS", str(tmp_path / "keys of another machine"))
    there = tmp_path / "there"
    restore_backup(tmp_path / "copy", there)
    with pytest.raises(ConfigError, match="key file of the vault is missing") as caught:
        vaulting.call(Take(home=str(there)))
    assert "haoya secrets recover" in caught.value.cure
    vault.recover(there, identity)
    assert texts(there) == {"a": "sk-planted-0123456789"}
    assert [v.text for v in vaulting.call(Take(home=str(there))).held] == ["sk-planted-0123456789"]


def test_a_key_folder_inside_of_the_home_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAOYA_KEYS", str(home / "state" / "keys"))
    with pytest.raises(ConfigError, match="inside of the home") as caught:
        vault.put(home, {"a": "b"})
    assert "HAOYA_KEYS" in caught.value.cure
    assert not (home / "vault").exists()


def test_a_passphrase_vault_opens_for_who_knows_it_alone(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.put(home, {"a": "b"})
    vault.rotate(home, source="passphrase", suite="sm4-gcm", new_phrase="five words far apart")
    assert vaulting.source_of(home) == "passphrase"
    assert not list(keyfile.folder().glob("*.key")), "the old key file is gone"
    with pytest.raises(ConfigError, match="nobody is there to type it"):
        vaulting.call(Take(home=str(home)))
    with pytest.raises(ConfigError, match="passphrase of the vault is wrong"):
        vaulting.call(Take(home=str(home), phrase="five words too near"))
    assert vaulting.call(Take(home=str(home), phrase="five words far apart")).held
    laid_out = tmp_path / "phrase"
    laid_out.write_text("five words far apart\n")
    monkeypatch.setenv("HAOYA_PASSPHRASE_FILE", str(laid_out))
    assert vaulting.call(Take(home=str(home))).held
    assert vault.rotate(home, source="file").suite == "sm4-gcm"
    assert texts(home) == {"a": "b"}


def test_secrets_move_to_another_home_in_an_age_file(home: Path, tmp_path: Path) -> None:
    vault.put(home, {"a": "sk-planted-0123456789"}, ["https://api.example.com"])
    other = tmp_path / "other"
    identity, recipient = vault.recovery(other)
    text = vault.export(home, [recipient])
    assert "planted" not in text
    with pytest.raises(ConfigError, match="does not open the file"):
        vault.import_(other, text.encode(), passphrase="nothing")
    assert vault.import_(other, text.encode(), identity=identity) == ["a"]
    value = vault.values(other)["a"]
    assert (value.text, value.origins) == ("sk-planted-0123456789", ("https://api.example.com",))
    sealed = vault.export(home, passphrase="a long one to say")
    assert vault.is_for_passphrase(sealed.encode())
    assert vault.import_(other, sealed.encode(), passphrase="a long one to say") == ["a"]
    assert vault.values(other)["a"].version == 2
    with pytest.raises(ConfigError, match="no whole age file"):
        vault.import_(other, b"something else", identity=identity)


def test_a_recovery_key_that_was_taken_away_opens_nothing(home: Path) -> None:
    vault.put(home, {"a": "b"})
    identity, recipient = vault.recovery(home)
    vault.unrecover(home, recipient)
    with pytest.raises(ConfigError, match="does not open the vault"):
        vault.recover(home, identity)
    with pytest.raises(ConfigError, match="is no recovery key"):
        vault.unrecover(home, recipient)
    assert texts(home) == {"a": "b"}


def test_the_program_that_opens_the_vault_knows_only_the_way_to_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-0123456789")
    assert "sk-planted-0123456789" not in vaulting.environment().values()


def test_binding_and_forgetting_name_what_is_there(home: Path) -> None:
    vault.put(home, {"a": "b"})
    for change in (
        lambda: vault.remove(home, "x"),
        lambda: vault.bind(home, "x", ["https://a"]),
    ):
        with pytest.raises(ConfigError, match="there are: a"):
            change()
    vault.bind(home, "a", ["https://a", "https://b"])
    vault.put(home, {"a": "changed"})
    assert vault.values(home)["a"].origins == ("https://a", "https://b"), "a new value keeps them"
