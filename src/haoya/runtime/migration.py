# SPDX-License-Identifier: AGPL-3.0-or-later
"""Secrets leave the files in which they stood in the clear, once the vault has them durably."""

import os
import re
import stat
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import tomlkit
from tomlkit.exceptions import TOMLKitError

from haoya.core.errors import ConfigError
from haoya.policy.vault import store
from haoya.runtime.vault_words import Plain

CLEAR = "secrets.toml"
COPIES = ("settings.toml*", ".settings.toml*", f"{CLEAR}?*", f".{CLEAR}*")
LEAST_LETTERS = 8
"""A shorter value is found everywhere by chance."""

Branch = dict[str, object]


def clear_text(home: Path) -> dict[str, str]:
    """What stands in secrets.toml; empty where there is none, ConfigError where it is broken."""
    try:
        table = tomllib.loads((home / CLEAR).read_text("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        # The parser's words could quote a secret: only the place is told.
        line = re.search(r"\(at (line \d+)", str(error))
        why = line[1] if line else getattr(error, "strerror", None) or type(error).__name__
        raise ConfigError(
            f"{CLEAR} cannot be read: {why}",
            cure='mend the file, one NAME = "value" a line; it is then moved into the vault',
        ) from None
    return {name: value for name, value in table.items() if isinstance(value, str) and value}


def rewrite_settings(home: Path, plain: Sequence[Plain]) -> list[str]:
    """Write `secret:NAME` where the values stand, in the settings and the last good ones; what
    could not be changed and what else still holds one of the values, in sentences."""
    if not plain:
        return []
    left: list[str] = []
    for path in (home / "settings.toml", home / "state" / "settings.last-good.toml"):
        try:
            _rewrite(path, plain)
        except FileNotFoundError:
            continue
        except (OSError, ValueError, TOMLKitError) as error:
            left.append(f"{path} could not be rewritten ({type(error).__name__})")
    return left + _copies(home, [one.value for one in plain])


def wipe(home: Path) -> list[str]:
    """Overwrite secrets.toml and remove it; a sentence where that failed, and for each copy of it
    that lies beside. On flash and on file systems that copy on write the old bytes may live on."""
    path = home / CLEAR
    try:
        values = list(clear_text(home).values())
        with path.open("r+b") as file:
            file.write(bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
        path.unlink()
        store.sync(home)
    except OSError as error:
        return [f"{path} could not be removed: {error.strerror}"]
    return _copies(home, values)


def _rewrite(path: Path, plain: Sequence[Plain]) -> None:
    raw = path.read_bytes()
    text = raw.decode("utf-8-sig")
    before = tomllib.loads(text)
    document = tomlkit.parse(text)
    changed = False
    for one in plain:
        *outer, key = one.path
        if _get(before, one.path) == one.value:
            branch = cast("Branch", document)
            for step in outer:
                branch = cast("Branch", branch[step])
            branch[key] = f"secret:{one.name}"
            _branch(before, outer)[key] = f"secret:{one.name}"
            changed = True
    if not changed:
        return
    written = tomlkit.dumps(document)
    if tomllib.loads(written) != before:
        raise ValueError("the rewritten file would mean something else")
    mark = raw[:3] if raw.startswith(b"\xef\xbb\xbf") else b""
    real = path.resolve()  # a link stays a link
    found = real.stat()
    store.replace(real, mark + written.encode(), stat.S_IMODE(found.st_mode))
    if found.st_uid != os.getuid():
        os.chown(real, found.st_uid, found.st_gid)


def _get(table: Branch, path: Sequence[str]) -> object:
    *outer, key = path
    try:
        return _branch(table, outer).get(key)
    except (KeyError, TypeError):
        return None


def _branch(table: Branch, path: Sequence[str]) -> Branch:
    for step in path:
        inner = table[step]
        if not isinstance(inner, dict):
            raise TypeError(step)
        table = cast("Branch", inner)
    return table


def _copies(home: Path, values: Sequence[str]) -> list[str]:
    """Other files beside the settings that hold one of the values, as editors leave them."""
    needles = [value.encode() for value in values if len(value) >= LEAST_LETTERS]
    found: list[str] = []
    for pattern in COPIES:
        for path in sorted(home.glob(pattern)):
            try:
                text = path.read_bytes()
            except OSError:
                continue
            if any(needle in text for needle in needles):
                found.append(f"{path} still holds a secret in the clear; remove it")
    return found
