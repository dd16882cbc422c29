# SPDX-License-Identifier: AGPL-3.0-or-later
"""The envelope: what opens it, and everything that must not."""

import base64
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from haoya.core.errors import ConfigError, Unready
from haoya.policy.vault import age, envelope, keyfile, passphrase, sources, store
from haoya.policy.vault.suite import KEY_BYTES, SUITES, Broken
from haoya.policy.vault.words import Argon, Lock, SuiteName, Value, Vault, encode
from tests.journal.disk import small_disk

ID = "5e" * 16
KEY = bytes(range(KEY_BYTES))
BOTH = pytest.mark.parametrize("suite", ["aes-256-gcm", "sm4-gcm"])


def filled(suite: SuiteName = "aes-256-gcm") -> envelope.Open:
    lock = Lock(source="file", id=f"{ID}-1", sealed=b"")
    made = envelope.create(ID, suite, lock, KEY)
    made = made.put(Value(name="a", text="first secret", origins=("https://a",)), 1.0)
    return made.put(Value(name="b", text="zweites Geheimnis 好"), 2.0)


def texts(opened: envelope.Open) -> dict[str, str]:
    return {name: value.text for name, value in opened.values().items()}


@BOTH
def test_what_was_sealed_opens_with_the_key_and_with_no_other(suite: SuiteName) -> None:
    vault = filled(suite).vault
    raw = encode(vault)
    assert b"first secret" not in raw and b"Geheimnis" not in raw
    again = msgspec.json.decode(raw, type=Vault)
    assert texts(envelope.unlock(again, KEY)) == {"a": "first secret", "b": "zweites Geheimnis 好"}
    with pytest.raises(ConfigError, match="does not open this vault") as caught:
        envelope.unlock(again, bytes(KEY_BYTES))
    assert "haoya secrets recover" in caught.value.cure


@BOTH
def test_a_new_value_has_a_new_version_and_nothing_of_the_old(suite: SuiteName) -> None:
    opened = filled(suite).put(Value(name="a", text="changed"), 3.0)
    value = opened.values()["a"]
    assert (value.text, value.version, value.at) == ("changed", 2, 3.0)
    assert texts(opened.remove(["a"])) == {"b": "zweites Geheimnis 好"}
    assert opened.vault.generation > filled(suite).vault.generation


@BOTH
def test_every_changed_bit_of_the_file_is_noticed(suite: SuiteName) -> None:
    """Each leaf of the JSON, changed in the smallest way; and each record left out."""
    tree = json.loads(encode(filled(suite).recoverable_by([age.generate()[1]]).vault))
    count = 0
    for path in leaves(tree):
        changed = json.loads(json.dumps(tree))
        change(changed, path)
        try:
            vault = msgspec.json.decode(json.dumps(changed), type=Vault)
        except msgspec.ValidationError:
            continue
        with pytest.raises(ConfigError):
            envelope.unlock(vault, KEY).values()
        count += 1
    assert count > 12
    for missing in (0, 1):
        fewer = json.loads(json.dumps(tree))
        del fewer["records"][missing]
        with pytest.raises(ConfigError, match="changed by somebody"):
            envelope.unlock(msgspec.json.decode(json.dumps(fewer), type=Vault), KEY)


def leaves(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(tree, dict):
        return [leaf for key, value in tree.items() for leaf in leaves(value, (*path, key))]
    if isinstance(tree, list):
        return [leaf for at, value in enumerate(tree) for leaf in leaves(value, (*path, at))]
    return [path]


def change(tree: Any, path: tuple[Any, ...]) -> None:
    *outer, last = path
    for step in outer:
        tree = tree[step]
    value = tree[last]
    if isinstance(value, str) and last in ("sealed", "mac"):
        raw = bytearray(base64.b64decode(value))
        raw[len(raw) // 2] ^= 1
        tree[last] = base64.b64encode(raw).decode()
    elif isinstance(value, str):
        tree[last] = "sm4-gcm" if value == "aes-256-gcm" else "aes-256-gcm"
        if last != "suite":
            tree[last] = value[:-1] + ("x" if value[-1] != "x" else "y")
    else:
        tree[last] = value + 1


def test_a_record_opens_under_its_own_name_version_origins_and_vault_only() -> None:
    """Even for who could sign the file anew: the record itself is bound to what it is."""
    opened = filled()
    record = opened.vault.records[0]
    suite = SUITES["aes-256-gcm"]
    for other in (
        msgspec.structs.replace(record, name="b"),
        msgspec.structs.replace(record, version=7),
        msgspec.structs.replace(record, origins=("https://evil",)),
    ):
        forged = envelope.Open(msgspec.structs.replace(opened.vault, records=(other,)), opened._key)
        with pytest.raises(ConfigError, match="was changed by somebody"):
            forged.values()
    elsewhere = msgspec.structs.replace(opened.vault, id="11" * 16)
    with pytest.raises(ConfigError, match="was changed by somebody"):
        envelope.Open(elsewhere, opened._key).values()
    with pytest.raises(Broken):
        suite.open(KEY, b"short", b"")


@BOTH
def test_a_new_lock_makes_every_old_key_useless(suite: SuiteName) -> None:
    old = filled(suite)
    identity, recipient = age.generate()
    old = old.recoverable_by([recipient])
    new = old.relocked(Lock(source="file", id=f"{ID}-2", sealed=b""), b"n" * KEY_BYTES, "sm4-gcm")
    assert texts(envelope.unlock(new.vault, b"n" * KEY_BYTES)) == texts(old)
    assert texts(envelope.recover(new.vault, identity)) == texts(old)
    with pytest.raises(ConfigError):
        envelope.unlock(new.vault, KEY)
    stolen = envelope.Open(new.vault, old._key)
    with pytest.raises(ConfigError):
        stolen.values()


def test_only_a_recovery_key_of_this_vault_opens_it() -> None:
    identity, recipient = age.generate()
    vault = filled().recoverable_by([recipient, age.generate()[1]]).vault
    assert texts(envelope.recover(vault, identity))["a"] == "first secret"
    with pytest.raises(ConfigError, match="does not open the vault") as caught:
        envelope.recover(vault, age.generate()[0])
    assert recipient in str(caught.value)


def test_a_passphrase_opens_however_it_is_typed_and_a_wrong_one_does_not() -> None:
    lock = passphrase.new_lock(ID)
    assert lock.argon == Argon(passes=3, lanes=4, memory_kib=65536)
    lock = msgspec.structs.replace(lock, argon=Argon(passes=1, lanes=1, memory_kib=8))
    vault = envelope.create(ID, "aes-256-gcm", lock, passphrase.key_of(lock, "caf\u00e9 好")).vault
    key = passphrase.key_of(vault.lock, "cafe\u0301 好")
    assert envelope.unlock(vault, key).values() == {}
    with pytest.raises(ConfigError, match="passphrase of the vault is wrong"):
        envelope.unlock(vault, passphrase.key_of(vault.lock, "cafe 好"))


def test_the_argon2_of_the_rfc_is_what_is_used() -> None:
    """The costs change the key: a file that asks for fewer passes opens nothing."""
    lock = passphrase.new_lock(ID)
    cheap = msgspec.structs.replace(lock, argon=Argon(passes=1, lanes=1, memory_kib=8))
    assert passphrase.key_of(lock, "x" * 9) != passphrase.key_of(cheap, "x" * 9)


def test_sm4_and_sm3_are_those_of_the_standards() -> None:
    """GB/T 32907-2016 example 1, GB/T 32905-2016 example 1, through the same library."""
    key = bytes.fromhex("0123456789abcdeffedcba9876543210")
    block = Cipher(algorithms.SM4(key), modes.ECB()).encryptor()
    assert block.update(key).hex() == "681edf34d206965e86b3e94f536e4246"
    digest = hashes.Hash(hashes.SM3())
    digest.update(b"abc")
    expected = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert digest.finalize().hex() == expected


@pytest.mark.parametrize("cut", [0, 1, 100, -40, -2])
def test_a_file_that_was_cut_short_is_a_fault_with_a_cure(tmp_path: Path, cut: int) -> None:
    raw = encode(filled().vault)
    (tmp_path / "vault").write_bytes(raw[: cut or 0])
    with pytest.raises(ConfigError, match="cut short or damaged") as caught:
        store.read(tmp_path)
    assert "haoya backup restore" in caught.value.cure


def test_a_file_of_a_newer_haoya_is_left_alone(tmp_path: Path) -> None:
    vault = msgspec.structs.replace(filled().vault, format=2)
    (tmp_path / "vault").write_bytes(encode(vault))
    with pytest.raises(ConfigError, match="format 2"):
        store.read(tmp_path)


def test_on_a_full_disk_the_old_vault_stands(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", "256k") as disk:
        old = filled().vault
        store.write(disk.folder, old)
        disk.fill()
        big = filled().put(Value(name="big", text="x" * 100_000), 1.0).vault
        with pytest.raises(Unready, match="No space left"):
            store.write(disk.folder, big)
        assert store.read(disk.folder) == old
        assert sorted(path.name for path in disk.folder.iterdir()) == ["filler", "vault"]
        disk.free()
        small = filled().put(Value(name="more", text="now"), 1.0).vault
        store.write(disk.folder, small)
        assert store.read(disk.folder) == small


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    store.write(tmp_path, filled().vault)
    assert (tmp_path / "vault").stat().st_mode & 0o777 == 0o600


def test_a_key_file_lies_elsewhere_and_only_its_owner_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HAOYA_KEYS", str(tmp_path / "keys"))
    lock, key = sources.new_lock("file", ID)
    path = tmp_path / "keys" / f"{lock.id}.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert sources.key_of(lock) == key
    path.write_text("ab")
    with pytest.raises(ConfigError, match="cut short"):
        sources.key_of(lock)
    path.write_text("no hex")
    with pytest.raises(ConfigError, match="cannot be read"):
        sources.key_of(lock)
    sources.forget(lock)
    with pytest.raises(ConfigError, match="is missing") as caught:
        sources.key_of(lock)
    assert "haoya secrets recover" in caught.value.cure
    with pytest.raises(ConfigError, match="no sound key file"):
        keyfile.key_of("../../etc/passwd")


def test_a_passphrase_may_come_from_a_file_or_a_services_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    lock, key = sources.new_lock("passphrase", ID, "five words apart")
    with pytest.raises(ConfigError, match="nobody is there to type it"):
        sources.key_of(lock)
    (tmp_path / "haoya-passphrase").write_text("five words apart\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert sources.key_of(lock) == key
    (tmp_path / "other").write_text("something else")
    monkeypatch.setenv("HAOYA_PASSPHRASE_FILE", str(tmp_path / "other"))
    assert sources.key_of(lock) != key
    with pytest.raises(ConfigError, match="fewer than"):
        sources.new_lock("passphrase", ID, "short")


def test_nothing_that_holds_a_secret_shows_it() -> None:
    opened = filled()
    value = opened.values()["a"]
    assert "first secret" not in f"{value!r} {value} {opened!r} {opened}"
    assert "first secret" not in repr({"x": value, "y": [value]})
