# SPDX-License-Identifier: AGPL-3.0-or-later
"""Secrets by reference: `secret:NAME` from secrets.toml, `env:NAME`, or the plain string."""

import hashlib
import os
import re
from collections.abc import Mapping
from typing import cast

from haoya.core.errors import ConfigError
from haoya.runtime.home import Home
from haoya.runtime.settings import Finding, Settings, Table, toml_of

_SECRETLIKE = re.compile(r"(^|_)(token|key|password|secret)$")


def resolve(home: Home, value: str) -> str:
    """The secret behind a settings value; ConfigError with the cure where there is none."""
    scheme, separator, name = value.partition(":")
    if separator and scheme == "env":
        if name in os.environ:
            return os.environ[name]
        raise ConfigError(
            f"the environment has no variable {name!r}", cure=f"set {name} where haoya starts"
        )
    if separator and scheme == "secret":
        found = read_secrets(home).get(name)
        if found is None:
            raise ConfigError(
                f"there is no secret named {name!r}", cure=f"run `haoya secrets set {name}`"
            )
        return found
    return value


def read_secrets(home: Home) -> dict[str, str]:
    """All named secrets; ConfigError where the file is broken."""
    try:
        table = toml_of(home.secrets.read_text("utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"secrets.toml cannot be read: {error}", cure="mend the file or set the secrets anew"
        ) from error
    return {name: value for name, value in table.items() if isinstance(value, str)}


def mark_of(secrets: Mapping[str, str], value: object) -> str:
    """A digest (hex) of all secrets that `value` (a settings table) refers to, "" for none.

    A part whose mark is another one has a new secret and is opened anew.

    >>> mark_of({}, {"host": "irc.example.org"})
    ''
    """
    named = sorted(_references(value))
    held = "\0".join(f"{name}\0{secrets.get(name, '')}" for name in named)
    return hashlib.sha256(held.encode()).hexdigest() if named else ""


def _references(value: object) -> set[str]:
    match value:
        case str() if value.startswith("secret:"):
            return {value.removeprefix("secret:")}
        case dict():
            return _references(list(cast("dict[str, object]", value).values()))
        case list():
            inner = cast("list[object]", value)
            return {name for one in inner for name in _references(one)}
        case _:
            return set()


def plain_secrets(settings: Settings) -> list[Finding]:
    """A warning for each secret that stands in the settings file in plain text."""
    tables: dict[str, Table] = {"api": {"token": settings.api.token}}
    tables["downloads"] = settings.downloads.model_dump()
    tables |= {f"channels.{name}": part.table for name, part in settings.channels.items()}
    tables |= {f"models.{name}": part.table for name, part in settings.models.items()}
    findings: list[Finding] = []
    for section, table in tables.items():
        for key, value in table.items():
            if not (_SECRETLIKE.search(key) and isinstance(value, str) and value):
                continue
            if not value.startswith(("secret:", "env:")):
                findings.append(_plain(section, key))
    return findings


def _plain(section: str, key: str) -> Finding:
    name = section.rpartition(".")[2] + "-" + key.replace("_", "-")
    return Finding(
        id="secret-plain",
        severity="warning",
        section=section,
        message=f"[{section}] {key} is written in plain text",
        cure=f'run `haoya secrets set {name}`, then write {key} = "secret:{name}"',
    )
