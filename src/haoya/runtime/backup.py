# SPDX-License-Identifier: AGPL-3.0-or-later
"""Backups of a whole home, as the terminal asks for them."""

from collections.abc import Callable
from pathlib import Path

from haoya.core.errors import ConfigError, Unready
from haoya.journal import create_backup, restore_backup, verify_backup
from haoya.runtime.vaulting import journal_key


def create(home: Path, target: Path, progress: Callable[[str], None] = lambda _: None) -> object:
    """Write a backup of `home` to the new file `target`, daemon running or not."""
    return create_backup(home, target, progress, key=journal_key(home))


def verify(file: Path) -> object:
    """Unpack a backup aside and check every file of it."""
    return verify_backup(file, _key_of)


def restore(file: Path, home: Path, *, force: bool = False) -> object:
    """Put a backup back. With `force`, what stands in `home` is moved aside, never deleted."""
    return restore_backup(file, home, replace=force, key_of=_key_of)


def _key_of(home: Path) -> str:
    """The key to an unpacked journal, where the vault beside it opens on this machine."""
    try:
        return journal_key(home)
    except (ConfigError, Unready):
        return ""
