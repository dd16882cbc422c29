# SPDX-License-Identifier: AGPL-3.0-or-later
"""A key in the system's keyring (Secret Service, KWallet, macOS Keychain): the extra `keyring`.

On a machine without a desktop the library answers with a backend that only fails, and other
packages bring backends that keep plain text; both count as no keyring.
"""

import contextlib
from typing import Any, cast

import keyring
from keyring.backend import KeyringBackend
from keyring.errors import KeyringError

from haoya.core.errors import ConfigError, Unready

SERVICE = "haoya"
_GOOD = ("SecretService", "kwallet", "libsecret", "macOS", "Windows")
"""The library's own backends that encrypt and belong to a person's session."""


def lacks() -> str:
    """Why there is no keyring to use, "" where there is one."""
    backend = _backend()
    if backend is None:
        return "no keyring of this system can be reached"
    return ""


def new_key(id: str, key: bytes) -> None:
    """Keep it, and prove that it comes back."""
    backend: Any = _reached()  # the library's own checks hide the types
    backend.set_password(SERVICE, id, key.hex())
    if key_of(id) != key:
        raise Unready("the keyring did not give back what it was given")


def key_of(id: str) -> bytes:
    """The key; Unready while the keyring is shut, ConfigError where it has no such key."""
    try:
        found = _reached().get_password(SERVICE, id)
    except KeyringError as error:
        raise Unready(f"the keyring is locked: {type(error).__name__}; unlock it") from None
    if found is None:
        raise ConfigError(
            "the keyring has no key for this vault",
            cure="use the recovery key: `haoya secrets recover`",
        )
    return bytes.fromhex(found)


def forget(id: str) -> None:
    """Remove a key that nothing is locked with any more."""
    with contextlib.suppress(KeyringError, Unready):
        _reached().delete_password(SERVICE, id)


def _reached() -> KeyringBackend:
    backend = _backend()
    if backend is None:
        raise Unready("the system's keyring cannot be reached; is its session running?")
    return backend


def _backend() -> KeyringBackend | None:
    """The best backend that is one of the good ones; a chain is looked into."""
    chosen = keyring.get_keyring()
    inner = getattr(chosen, "backends", None)
    for one in cast("list[KeyringBackend]", inner if inner is not None else [chosen]):
        module = type(one).__module__
        if module.startswith("keyring.backends.") and module.rpartition(".")[2] in _GOOD:
            return one
    return None
