# SPDX-License-Identifier: AGPL-3.0-or-later
"""The envelope: locks open the data key, the data key opens the records. Pure: no file, no clock.

Every change gives a new `Vault`; nothing here is changed in place.
"""

import os
from collections.abc import Iterable, Sequence

import msgspec

from haoya.core.errors import ConfigError
from haoya.policy.vault import age
from haoya.policy.vault.suite import KEY_BYTES, SUITES, Broken, same
from haoya.policy.vault.words import (
    Lock,
    Record,
    Recovery,
    SuiteName,
    Value,
    Vault,
    authenticated,
)

CURE = "restore it from a backup (`haoya backup restore`), or set the secrets anew"


class Open:
    """An unlocked vault: the file as it was read, and its data key."""

    def __init__(self, vault: Vault, key: bytes) -> None:
        self.vault = vault
        self._key = key

    def __repr__(self) -> str:
        return f"Open({self.vault.id!r})"

    def values(self) -> dict[str, Value]:
        """All secrets by name; ConfigError where a record was changed."""
        return {record.name: self._value(record) for record in self.vault.records}

    def put(self, value: Value, at: float) -> "Open":
        """With this value under its name; its version is one more than the one there was."""
        old = next((r for r in self.vault.records if r.name == value.name), None)
        version = old.version + 1 if old else 1
        new = msgspec.structs.replace(value, version=version, at=at)
        kept = [record for record in self.vault.records if record.name != value.name]
        return self._with(records=(*kept, _seal(self.vault, self._key, new)))

    def remove(self, names: Iterable[str]) -> "Open":
        """Without these."""
        gone = set(names)
        return self._with(records=tuple(r for r in self.vault.records if r.name not in gone))

    def bind(self, name: str, origins: Sequence[str]) -> "Open":
        """With another set of origins that the secret may go to."""
        value = msgspec.structs.replace(self.values()[name], origins=tuple(sorted(set(origins))))
        records = tuple(
            _seal(self.vault, self._key, value) if record.name == name else record
            for record in self.vault.records
        )
        return self._with(records=records)

    def recoverable_by(self, recipients: Iterable[str]) -> "Open":
        """With the data key sealed for exactly these age recipients."""
        sealed = [
            Recovery(recipient=one, sealed=age.encrypt(self._key, [one]))
            for one in dict.fromkeys(recipients)
        ]
        return self._with(recoveries=tuple(sealed))

    def relocked(self, lock: Lock, key: bytes, suite: SuiteName) -> "Open":
        """Under another lock, with a new data key: nothing sealed before opens anything now."""
        values = self.values()
        new = create(self.vault.id, suite, lock, key, generation=self.vault.generation)
        recipients = [recovery.recipient for recovery in self.vault.recoveries]
        records = tuple(_seal(new.vault, new._key, value) for value in values.values())
        return new._with(records=records).recoverable_by(recipients)

    def _value(self, record: Record) -> Value:
        suite = SUITES[self.vault.suite]
        key = suite.derive(self._key, b"records")
        try:
            text = suite.open(key, record.sealed, _context(self.vault.id, record))
            said = text.decode()
        except (Broken, UnicodeDecodeError):
            raise ConfigError(
                f"the secret {record.name!r} in the vault was changed by somebody without its key",
                cure=f"set it anew with `haoya secrets set {record.name}`, or restore a backup",
            ) from None
        return Value(
            name=record.name,
            text=said,
            version=record.version,
            at=record.at,
            origins=record.origins,
        )

    def _with(self, **changes: object) -> "Open":
        later = self.vault.generation + 1
        changed = msgspec.structs.replace(self.vault, generation=later, **changes)
        return Open(_signed(changed, self._key), self._key)


def create(id: str, suite: SuiteName, lock: Lock, key: bytes, generation: int = 1) -> Open:
    """An empty vault with a new data key under `key`, which `lock` says where to find."""
    data_key = os.urandom(KEY_BYTES)
    sealed = SUITES[suite].seal(key, data_key, _lock_context(id, suite, lock))
    lock = msgspec.structs.replace(lock, sealed=sealed)
    vault = Vault(id=id, suite=suite, generation=generation, lock=lock)
    return Open(_signed(vault, data_key), data_key)


def unlock(vault: Vault, key: bytes) -> Open:
    """Open it with the key of its lock; ConfigError where that is another one, or the file was
    changed."""
    lock = vault.lock
    try:
        context = _lock_context(vault.id, vault.suite, lock)
        data_key = SUITES[vault.suite].open(key, lock.sealed, context)
    except Broken:
        raise ConfigError(_WRONG[lock.source], cure=_WRONG_CURE[lock.source]) from None
    return _checked(vault, data_key)


def recover(vault: Vault, identity: str) -> Open:
    """Open it with a recovery key; ConfigError where it is none of this vault's."""
    for recovery in vault.recoveries:
        try:
            return _checked(vault, age.decrypt(recovery.sealed, identity=identity))
        except age.NotForUs:
            continue
    known = ", ".join(recovery.recipient for recovery in vault.recoveries) or "none"
    raise ConfigError(
        f"this recovery key does not open the vault; it was made for: {known}",
        cure="use the key that `haoya secrets recovery` showed for this vault",
    )


def _checked(vault: Vault, data_key: bytes) -> Open:
    mac = SUITES[vault.suite].mac(_mac_key(vault, data_key), authenticated(vault))
    if not same(mac, vault.mac):
        raise ConfigError("the vault was changed by somebody without its key", cure=CURE)
    return Open(vault, data_key)


def _signed(vault: Vault, data_key: bytes) -> Vault:
    mac = SUITES[vault.suite].mac(_mac_key(vault, data_key), authenticated(vault))
    return msgspec.structs.replace(vault, mac=mac)


def _mac_key(vault: Vault, data_key: bytes) -> bytes:
    return SUITES[vault.suite].derive(data_key, b"file")


def _seal(vault: Vault, data_key: bytes, value: Value) -> Record:
    suite = SUITES[vault.suite]
    record = Record(
        name=value.name, version=value.version, at=value.at, sealed=b"", origins=value.origins
    )
    context = _context(vault.id, record)
    sealed = suite.seal(suite.derive(data_key, b"records"), value.text.encode(), context)
    return msgspec.structs.replace(record, sealed=sealed)


def _context(id: str, record: Record) -> bytes:
    """What a record is bound to: renamed, put back or given other origins it stays shut."""
    return msgspec.json.encode(["record", id, record.name, record.version, record.origins])


def _lock_context(id: str, suite: SuiteName, lock: Lock) -> bytes:
    return msgspec.json.encode(
        ["lock", id, suite, lock.source, lock.id, lock.salt, lock.argon, lock.blob]
    )


_WRONG = {
    "passphrase": "the passphrase of the vault is wrong",
    "file": "the key file does not open this vault",
    "keyring": "the key in the keyring does not open this vault",
    "tpm": "the key in the TPM does not open this vault",
}
_WRONG_CURE = {
    "passphrase": "try again; if it is lost, `haoya secrets recover` takes the recovery key",
    "file": "bring back the right key file, or use the recovery key: `haoya secrets recover`",
    "keyring": "use the recovery key: `haoya secrets recover`",
    "tpm": "use the recovery key: `haoya secrets recover`",
}
