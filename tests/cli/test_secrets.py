# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya secrets` for a person at a terminal and for a program, from the first key to recovery."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from haoya.policy.vault import age
from haoya.runtime import vault
from tests.cli.conftest import HAOYA, SECONDS, Haoya, Screen

Show = Callable[..., Screen]
PLANTED = "sk-planted-0123456789"


@pytest.fixture(autouse=True)
def own_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAOYA_KEYS", str(tmp_path / "keys"))
    monkeypatch.delenv("HAOYA_PASSPHRASE_FILE", raising=False)


def piped(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HAOYA, *arguments],
        input=said, capture_output=True, text=True, timeout=SECONDS * 2, check=False,
    )  # fmt: skip


def test_no_command_shows_a_value(home: Path, haoya: Haoya, tmp_path: Path) -> None:
    shown = [
        piped("secrets", "set", "key", "--origin", "https://API.example.com:443/x", said=PLANTED)
    ]
    for line in (
        ("list",), ("bind", "key", "https://b.example"), ("rotate",), ("recovery",),
        ("rotate", "--cipher", "sm4-gcm"), ("list", "--json"), ("rm", "nothing"),
    ):  # fmt: skip
        shown.append(piped("secrets", *line))
    for done in shown:
        assert PLANTED not in done.stdout + done.stderr
    assert [done.returncode for done in shown] == [0] * 7 + [1]
    assert vault.values(home)["key"].text == PLANTED
    listed = json.loads(shown[6].stdout)
    assert listed["secrets"][0]["origins"] == ["https://b.example"]
    assert (listed["cipher"], listed["source"], len(listed["recovery"])) == ("sm4-gcm", "file", 1)
    assert "sm4-gcm" in haoya("secrets", "list").out


def test_an_origin_is_checked_and_brought_into_one_form(home: Path, haoya: Haoya) -> None:
    good = piped("secrets", "set", "key", "--origin", "HTTPS://API.Example.com:443", said="value")
    assert good.returncode == 0
    assert vault.values(home)["key"].origins == ("https://api.example.com",)
    bad = haoya("secrets", "bind", "key", "api.example.com")
    assert bad.status == 1
    assert "https://api.example.com" in bad.err
    assert haoya("secrets", "bind", "key").status == 0
    assert vault.values(home)["key"].origins == ()


def test_the_recovery_key_opens_what_lost_its_key(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert piped("secrets", "set", "key", said=PLANTED).returncode == 0
    made = json.loads(piped("secrets", "recovery", "--json").stdout)
    assert age.recipient_of(made["identity"]) == made["recipient"]
    monkeypatch.setenv("HAOYA_KEYS", str(tmp_path / "another machine"))
    lost = piped("secrets", "set", "more", said="x")
    assert lost.returncode == 1
    assert "haoya secrets recover" in lost.stderr
    wrong = piped("secrets", "recover", said=age.generate()[0])
    assert wrong.returncode == 1 and made["recipient"] in wrong.stderr
    assert piped("secrets", "recover", said=made["identity"] + "\n").returncode == 0
    assert vault.values(home)["key"].text == PLANTED
    assert piped("secrets", "recovery", "--remove", made["recipient"]).returncode == 0
    assert piped("secrets", "recover", said=made["identity"]).returncode == 1


def test_an_export_is_an_age_file_for_whom_it_was_made(home: Path, tmp_path: Path) -> None:
    piped("secrets", "set", "key", said=PLANTED)
    identity, recipient = age.generate()
    file = tmp_path / "secrets.age"
    nobody = piped("secrets", "export", str(file))
    assert nobody.returncode == 1 and "--recipient" in nobody.stderr
    assert piped("secrets", "export", str(file), "--recipient", recipient).returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert PLANTED.encode() not in file.read_bytes()
    assert piped("secrets", "export", str(file), "--recipient", recipient).returncode == 1
    other = tmp_path / "other"
    done = piped("secrets", "import", str(file), "--home", str(other), said=identity)
    assert done.returncode == 0, done.stderr
    assert vault.values(other)["key"].text == PLANTED


def test_a_person_locks_the_vault_with_a_passphrase_and_is_asked_at_the_start(
    home: Path, screen: Show
) -> None:
    piped("secrets", "set", "key", said=PLANTED)
    person = screen("secrets", "rotate", "--to", "passphrase")
    person.reads("New passphrase")
    person.type("five words far apart\n")
    person.reads("Once more")
    person.type("five words far apart\n")
    person.reads("under a passphrase")
    assert person.leave() == 0
    refused = piped("secrets", "set", "more", said="x")
    assert refused.returncode == 1 and "HAOYA_PASSPHRASE_FILE" in refused.stderr
    person = screen("secrets", "rm", "key")
    person.reads("Passphrase of the vault")
    person.type("five words too near\n")
    person.reads("passphrase of the vault is wrong")
    assert person.leave() == 1
    (home / "settings.toml").write_text('[agent]\nmodel = "toy"\n[models.toy]\nuse = "script"\n')
    person = screen("up", "--home", str(home), "--port", "0")
    person.reads("Passphrase of the vault")
    person.type("wrong words here\n")
    person.reads("passphrase of the vault is wrong")
    person.type("five words far apart\n")
    assert "five" not in person.reads("haoya is up")
    assert piped("status", "--json").returncode == 0
    assert "vault-locked" not in piped("doctor", "--json").stdout
    assert piped("down").returncode == 0
    assert person.leave() == 0


def test_two_different_passphrases_change_nothing(home: Path, screen: Show) -> None:
    piped("secrets", "set", "key", said=PLANTED)
    before = (home / "vault").read_bytes()
    person = screen("secrets", "rotate", "--to", "passphrase")
    person.reads("New passphrase")
    person.type("five words far apart\n")
    person.reads("Once more")
    person.type("five words too near\n")
    person.reads("differ")
    assert person.leave() == 1
    assert (home / "vault").read_bytes() == before


def test_a_source_that_is_not_there_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HAOYA_TPM", raising=False)
    piped("secrets", "set", "key", said=PLANTED)
    if Path("/dev/tpmrm0").exists():
        pytest.skip("this machine has a TPM")
    done = piped("secrets", "rotate", "--to", "tpm")
    assert done.returncode == 1
    assert "TPM" in done.stderr and "choose another" in done.stderr
    assert vault.values(home)["key"].text == PLANTED


def test_a_legacy_file_is_taken_in_by_the_command_line_too(home: Path, haoya: Haoya) -> None:
    (home / "secrets.toml").write_text(f'old = "{PLANTED}"\n')
    assert "old" in haoya("secrets", "list").out
    assert not (home / "secrets.toml").exists()
    assert vault.values(home)["old"].text == PLANTED
