# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a vault file holds. Light: no cryptography is loaded to read its shape.

    key-encryption key  (TPM, keyring, passphrase or key file: the lock)
      └─ wraps the data key  (32 random bytes, never on disk in the clear)
           ├─ seals each record, bound to the vault, its name, version and origins
           └─ authenticates the whole file, so that no line of it can go or change

The names of the secrets, their origins and dates stand in the clear, as they do in the settings.
"""

from typing import Literal

import msgspec

from haoya.core.message import Word

SuiteName = Literal["aes-256-gcm", "sm4-gcm"]
"""How records are sealed: AES-256-GCM with SHA-256 (NIST SP 800-38D, FIPS 180-4), or SM4-GCM with
SM3 (GB/T 32907-2016, GB/T 32905-2016)."""

Source = Literal["tpm", "keyring", "passphrase", "file"]
"""Where a key-encryption key comes from, the strongest first."""


class Argon(Word, frozen=True, kw_only=True):
    """Argon2id's costs. The defaults are the second recommended set of RFC 9106, section 4."""

    passes: int = 3
    lanes: int = 4
    memory_kib: int = 65536


class Lock(Word, frozen=True, kw_only=True):
    """What opens the vault every day. `id` names its key with the source, `sealed` is the data key
    under it. `salt` and `argon` belong to a passphrase, `blob` is the key as the TPM sealed it."""

    source: Source
    id: str
    sealed: bytes
    salt: bytes = b""
    argon: Argon | None = None
    blob: bytes = b""


class Recovery(Word, frozen=True, kw_only=True):
    """Who else can open it: an age recipient, and the data key as an age file for it alone."""

    recipient: str
    sealed: bytes


class Record(Word, frozen=True, kw_only=True):
    """One secret. `version` rises with each new value; with `origins` it may go to those alone."""

    name: str
    version: int
    at: float
    sealed: bytes
    origins: tuple[str, ...] = ()


class Vault(Word, frozen=True, kw_only=True):
    """The whole file. `mac` authenticates everything else in it; `generation` rises with every
    change."""

    format: int = 1
    id: str
    suite: SuiteName
    generation: int
    lock: Lock
    recoveries: tuple[Recovery, ...] = ()
    records: tuple[Record, ...] = ()
    mac: bytes = b""


class Value(Word, frozen=True, kw_only=True):
    """An opened record. Never logged and never stored: `repr` does not show `text`."""

    name: str
    text: str
    version: int = 0
    at: float = 0
    origins: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Value({self.name!r})"


def encode(vault: Vault) -> bytes:
    """The bytes of the file."""
    return msgspec.json.format(msgspec.json.encode(vault)) + b"\n"


def authenticated(vault: Vault) -> bytes:
    """The bytes that `mac` is over: the same for the same content, however the file is laid out."""
    return msgspec.json.encode(msgspec.structs.replace(vault, mac=b""))
