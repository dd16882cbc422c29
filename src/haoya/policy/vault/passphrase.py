# SPDX-License-Identifier: AGPL-3.0-or-later
"""A key from a passphrase: Argon2id (RFC 9106)."""

import os
import unicodedata

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from haoya.core.errors import Unready
from haoya.policy.vault.suite import KEY_BYTES
from haoya.policy.vault.words import Argon, Lock

SALT_BYTES = 16


def new_lock(id: str) -> Lock:
    """A lock with a new salt; what it seals is still to come."""
    return Lock(source="passphrase", id=id, sealed=b"", salt=os.urandom(SALT_BYTES), argon=Argon())


def key_of(lock: Lock, passphrase: str) -> bytes:
    """The key; the same passphrase typed on another keyboard gives the same (NFC)."""
    costs = lock.argon or Argon()
    text = unicodedata.normalize("NFC", passphrase).encode()
    try:
        return Argon2id(
            salt=lock.salt,
            length=KEY_BYTES,
            iterations=costs.passes,
            lanes=costs.lanes,
            memory_cost=costs.memory_kib,
        ).derive(text)
    except MemoryError:  # a thread that cannot be started ends here too
        needed = f"{costs.memory_kib // 1024} MiB and {costs.lanes} threads"
        raise Unready(
            f"there is no room to try the vault's passphrase: it takes {needed}"
        ) from None
