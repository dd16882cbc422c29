# SPDX-License-Identifier: AGPL-3.0-or-later
"""The age format, held against two other programs that speak it."""

import os
import shutil
import subprocess
from pathlib import Path

import pyrage
import pytest

from haoya.core.errors import ConfigError
from haoya.policy.vault import age

SIZES = [0, 1, 65535, 65536, 65537, 131072, 200_000]


@pytest.mark.parametrize("size", SIZES)
def test_another_implementation_reads_what_we_write_and_we_what_it_writes(size: int) -> None:
    identity, recipient = age.generate()
    other, theirs = age.generate()
    data = os.urandom(size)
    sealed = age.encrypt(data, [theirs, recipient])
    for one in (identity, other):
        assert age.decrypt(sealed, identity=one) == data
        assert pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(one)]) == data
    foreign = pyrage.encrypt(data, [pyrage.x25519.Recipient.from_str(recipient)])
    assert age.decrypt(foreign, identity=identity) == data


def test_passphrases_are_understood_both_ways() -> None:
    sealed = age.encrypt(b"hello", passphrase="correct horse")
    assert pyrage.passphrase.decrypt(sealed, "correct horse") == b"hello"
    assert age.decrypt(pyrage.passphrase.encrypt(b"you", "pp"), passphrase="pp") == b"you"
    assert age.is_for_passphrase(sealed)
    with pytest.raises(age.NotForUs):
        age.decrypt(sealed, passphrase="wrong horse")


@pytest.mark.skipif(not shutil.which("age"), reason="the program age is not installed")
def test_the_program_age_opens_an_armoured_file(tmp_path: Path) -> None:
    identity, recipient = age.generate()
    (tmp_path / "key").write_text(identity + "\n")
    text = age.armoured(age.encrypt(b"hello age", [recipient]))
    (tmp_path / "file.age").write_text(text)
    command = ["age", "-d", "-i", str(tmp_path / "key"), str(tmp_path / "file.age")]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"hello age"
    made = subprocess.run(
        ["age", "-a", "-r", recipient], input=b"back", capture_output=True, check=True
    ).stdout
    assert age.decrypt(made, identity=identity) == b"back"
    derived = ["age-keygen", "-y", str(tmp_path / "key")]
    shown = subprocess.run(derived, capture_output=True, check=True, text=True).stdout.strip()
    assert shown == recipient == age.recipient_of(identity)


def test_the_wrong_key_opens_nothing() -> None:
    sealed = age.encrypt(b"x", [age.generate()[1]])
    with pytest.raises(age.NotForUs):
        age.decrypt(sealed, identity=age.generate()[0])
    with pytest.raises(age.NotForUs):
        age.decrypt(sealed, passphrase="no passphrase at all")


def test_every_changed_byte_and_every_cut_is_noticed() -> None:
    identity, recipient = age.generate()
    sealed = age.encrypt(b"sixteen bytes ok", [recipient])
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises((ConfigError, age.NotForUs)):
            age.decrypt(bytes(changed), identity=identity)
    for cut in range(len(sealed)):
        with pytest.raises((ConfigError, age.NotForUs)):
            age.decrypt(sealed[:cut], identity=identity)


def test_chunks_cannot_be_left_out_or_swapped() -> None:
    identity, recipient = age.generate()
    sealed = age.encrypt(os.urandom(65536 * 2), [recipient])
    step = 65536 + 16
    head, first, second = sealed[: -2 * step], sealed[-2 * step : -step], sealed[-step:]
    for forged in (head + second + first, head + first, head + second, sealed + second):
        with pytest.raises(ConfigError):
            age.decrypt(forged, identity=identity)


@pytest.mark.parametrize("recipient", ["", "age1", "age1qqqq", "AGE-SECRET-KEY-1", "ssh-ed25519 A"])
def test_what_is_no_recipient_is_a_fault_with_a_cure(recipient: str) -> None:
    with pytest.raises(ConfigError, match="not an age recipient") as caught:
        age.check_recipient(recipient)
    assert caught.value.cure
    good = age.generate()[1]
    with pytest.raises(ConfigError):
        age.check_recipient(good[:-1] + ("q" if good[-1] != "q" else "p"))
