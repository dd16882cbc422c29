# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where the key of a vault's lock comes from: the best source there is, without asking.

tpm: only this machine can open the vault. keyring: only this person's session can. passphrase:
only who knows it can; it is asked for at every start, so never chosen unasked. file: whoever has
the key file can; it protects copies of the vault, no more.
"""

import importlib
import importlib.util
import os
import uuid
from pathlib import Path
from typing import Any

import msgspec

from haoya.core.errors import ConfigError, Unready
from haoya.policy.vault import keyfile, passphrase, tpm
from haoya.policy.vault.suite import KEY_BYTES
from haoya.policy.vault.words import Lock, Source

PASSPHRASE_FILE = "HAOYA_PASSPHRASE_FILE"
CREDENTIAL = "haoya-passphrase"
"""The name of the passphrase among the credentials of a systemd service (systemd.exec(5))."""

LEAST_LETTERS = 8


def best(chosen: Source | None = None) -> tuple[Source, list[str]]:
    """The source to use, and why better ones were not; `chosen` is taken or refused."""
    wanted: list[Source] = [chosen] if chosen else ["tpm", "keyring", "file"]
    why: list[str] = []
    for source in wanted:
        if not (lack := lacks(source)):
            return source, why
        why.append(lack)
    raise ConfigError("; ".join(why), cure="choose another: tpm, keyring, passphrase or file")


def lacks(source: Source) -> str:
    """Why a source cannot be used here, "" where it can."""
    if source == "tpm":
        return tpm.lacks()
    if source == "keyring":
        if importlib.util.find_spec("keyring") is None:
            return "the package keyring is not installed"
        return str(_keyring().lacks())
    return ""


def new_lock(source: Source, vault: str, phrase: str = "") -> tuple[Lock, bytes]:
    """A lock with a new key, durably kept with the source; what the lock seals is still to come."""
    id = f"{vault}-{uuid.uuid4().hex[:8]}"
    if source == "passphrase":
        if len(phrase) < LEAST_LETTERS:
            raise ConfigError(
                f"the passphrase has fewer than {LEAST_LETTERS} letters",
                cure="take a longer one: five words that do not belong together",
            )
        lock = passphrase.new_lock(id)
        return lock, passphrase.key_of(lock, phrase)
    key = os.urandom(KEY_BYTES)
    lock = Lock(source=source, id=id, sealed=b"")
    if source == "tpm":
        return msgspec.structs.replace(lock, blob=tpm.seal(key)), key
    if source == "keyring":
        _keyring().new_key(id, key)
    else:
        try:
            keyfile.new_key(id, key)
        except OSError as error:
            raise Unready(
                f"the vault's key cannot be kept in {keyfile.folder()}: {error.strerror}; name "
                f"another folder with {keyfile.FOLDER}"
            ) from error
    return lock, key


def key_of(lock: Lock, phrase: str = "") -> bytes:
    """The key of a lock. `phrase` is what a person typed, where one could be asked."""
    if lock.source == "passphrase":
        given = phrase or standing_passphrase()
        if not given:
            raise ConfigError(
                "the vault is locked with a passphrase, and nobody is there to type it",
                cure=f"start haoya in a terminal, or name a file with {PASSPHRASE_FILE}, or give "
                f"the service the credential {CREDENTIAL}",
            )
        return passphrase.key_of(lock, given)
    if lock.source == "tpm":
        return tpm.unseal(lock.blob)
    if lock.source == "file":
        return keyfile.key_of(lock.id)
    if importlib.util.find_spec("keyring") is None:
        raise ConfigError(
            "the vault's key is in the keyring, and the package keyring is not installed",
            cure="install haoya with the extra `keyring`",
        )
    return bytes(_keyring().key_of(lock.id))


def forget(lock: Lock) -> None:
    """Let go of a key that opens nothing any more."""
    if lock.source == "file":
        keyfile.forget(lock.id)
    elif lock.source == "keyring" and importlib.util.find_spec("keyring"):
        _keyring().forget(lock.id)


def standing_passphrase() -> str:
    """The passphrase from the file or credential that whoever started us has laid out."""
    named = os.environ.get(PASSPHRASE_FILE, "")
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    path = Path(named) if named else Path(folder) / CREDENTIAL if folder else None
    if path is None:
        return ""
    try:
        return path.read_text("utf-8").rstrip("\r\n")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the passphrase in {path} cannot be read: {error}", cure="make it a readable file"
        ) from None


def _keyring() -> Any:
    """Loaded when it is used: the library takes 0.2 s and 28 MB."""
    return importlib.import_module("haoya.policy.vault.keyring")
