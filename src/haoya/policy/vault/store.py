# SPDX-License-Identifier: AGPL-3.0-or-later
"""The vault's file: read whole, replaced whole, written by one at a time."""

import fcntl
import os
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from haoya.core.errors import ConfigError, Unready
from haoya.policy.vault.envelope import CURE
from haoya.policy.vault.words import Vault, encode

FILE = "vault"
LOCK_SECONDS = 20.0
"""How long to wait for another program that changes the vault; each takes some milliseconds."""

_MOST_BYTES = 64_000_000


def read(home: Path) -> Vault | None:
    """The vault of `home`; None where there is none, ConfigError where it cannot be one."""
    path = home / FILE
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unready(f"the vault {path} cannot be read: {error.strerror}") from error
    try:
        vault = msgspec.json.decode(raw, type=Vault)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise ConfigError(f"the vault {path} is cut short or damaged", cure=CURE) from None
    if vault.format != 1:
        raise ConfigError(
            f"the vault {path} has format {vault.format}, this haoya knows 1",
            cure="update haoya, or restore an older backup",
        )
    return vault


def write(home: Path, vault: Vault) -> None:
    """Put it in the place of the one there was; Unready where the disk refuses, and then the old
    one stands."""
    try:
        replace(home / FILE, encode(vault))
    except OSError as error:
        raise Unready(f"the vault cannot be written: {error.strerror}; free some space") from error


@contextmanager
def alone(home: Path) -> Generator[None]:
    """Be the only one who changes the vault of `home`."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        handle = os.open(home / f"{FILE}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unready(f"{home} cannot be written: {error.strerror}") from error
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    text = f"another program has been changing the vault of {home} all the time"
                    raise Unready(f"{text}; end it and try again") from None
                time.sleep(0.01)
        yield
    finally:
        os.close(handle)


def replace(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file so that after a crash the old one stands or the new one, whole. OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(handle, mode)
            file.write(data)
            file.flush()
            os.fsync(handle)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
