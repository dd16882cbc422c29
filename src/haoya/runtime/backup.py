# SPDX-License-Identifier: AGPL-3.0-or-later
"""Backups of a whole home, as the terminal asks for them."""

from collections.abc import Callable
from pathlib import Path

from haoya.journal import create_backup, restore_backup, verify_backup


def create(home: Path, target: Path, progress: Callable[[str], None] = lambda _: None) -> object:
    """Write a backup of `home` to the new file `target`, daemon running or not."""
    return create_backup(home, target, progress)


def verify(file: Path) -> object:
    """Unpack a backup aside and check every file of it."""
    return verify_backup(file)


def restore(file: Path, home: Path, *, force: bool = False) -> object:
    """Put a backup back. With `force`, what stands in `home` is moved aside, never deleted."""
    return restore_backup(file, home, replace=force)
