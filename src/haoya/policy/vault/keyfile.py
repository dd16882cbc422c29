# SPDX-License-Identifier: AGPL-3.0-or-later
"""A key in a file of its own, outside of the home.

It protects the vault where the vault goes alone: in backups, copies and synchronised folders. It
does not protect it from who reads this user's files, for the key is one of them.
"""

import contextlib
import os
import re
import sys
from pathlib import Path

from haoya.core.errors import ConfigError
from haoya.policy.vault.store import replace
from haoya.policy.vault.suite import KEY_BYTES

FOLDER = "HAOYA_KEYS"
"""The environment variable that names another folder for the keys."""

_ID = re.compile(r"[0-9a-f-]{8,80}")


def folder() -> Path:
    """Where the keys lie: HAOYA_KEYS, else the user's folder for data of programs."""
    if chosen := os.environ.get(FOLDER):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "haoya-keys"
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "haoya-keys"


def new_key(id: str, key: bytes) -> None:
    """Keep the key under `id`, durably."""
    replace(_path(id), key.hex().encode() + b"\n")


def key_of(id: str) -> bytes:
    """The key; ConfigError where the file is missing or something else."""
    path = _path(id)
    cure = f"bring {path.name} back into {path.parent} ({FOLDER} names another folder), or use "
    cure += "the recovery key: `haoya secrets recover`"
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except FileNotFoundError:
        raise ConfigError(f"the key file of the vault is missing: {path}", cure=cure) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"the key file {path} cannot be read: {error}", cure=cure) from None
    if len(key) != KEY_BYTES:
        raise ConfigError(f"the key file {path} is cut short", cure=cure)
    return key


def forget(id: str) -> None:
    """Remove a key that nothing is locked with any more."""
    with contextlib.suppress(OSError):
        _path(id).unlink()


def others(prefix: str, id: str) -> list[str]:
    """Keys of the same vault (`prefix`) but the one in use: left by a rotation that was killed."""
    with contextlib.suppress(OSError):
        found = [path.stem for path in folder().glob(f"{prefix}-*.key")]
        return [name for name in found if name != id]
    return []


def fleeting(home: Path) -> bool:
    """Whether the keys lie in a container's own layer or in memory, and the home does not: then
    the vault outlives what opens it."""
    try:
        ours, device = home.stat().st_dev, folder().stat().st_dev
        mounts = Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
    except OSError:
        return False
    number = f"{os.major(device)}:{os.minor(device)}"
    kinds = {line.partition(" - ")[2].split()[0] for line in mounts if line.split()[2] == number}
    return ours != device and bool(kinds & {"overlay", "tmpfs", "ramfs"})


def _path(id: str) -> Path:
    if not _ID.fullmatch(id):
        raise ConfigError("the vault names no sound key file", cure="restore it from a backup")
    return folder() / f"{id}.key"
