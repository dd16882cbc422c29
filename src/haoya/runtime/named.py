# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the owner's settings name: web addresses that a part may ask, secrets it may use, and the
values that must be known to be kept in."""

import re
from collections.abc import Iterator, Mapping
from typing import cast

from haoya.runtime.parts import Wanted
from haoya.runtime.registry import find
from haoya.runtime.settings import PartSettings, Settings, Table

_ADDRESS = re.compile(r"(https?|wss?)://[^\s/?#]", re.IGNORECASE)
_SECRETLIKE = re.compile(r"(^|_)(token|key|password|secret)$")


def reach_of(part: Wanted) -> tuple[list[str], list[str]]:
    """The web addresses in a part's settings, its plugin's defaults among them, and the names of
    the secrets there."""
    plugin = find(part.kind, part.settings.use)
    settings = plugin.settings.model_validate(part.settings.table)
    found = list(texts(settings.model_dump(mode="json", fallback=str)))
    return addresses(found), [
        text.removeprefix("secret:") for text in found if text.startswith("secret:")
    ]


def addresses(found: list[str]) -> list[str]:
    """Those of the texts that are web addresses."""
    return [text for text in found if _ADDRESS.match(text)]


def texts(value: object) -> Iterator[str]:
    """All texts in a table, however deep.

    >>> list(texts({"a": "x", "b": [{"c": "y"}, 3]}))
    ['x', 'y']
    """
    match value:
        case str():
            yield value
        case dict():
            yield from texts(list(cast("dict[str, object]", value).values()))
        case list() | tuple():
            for one in cast("list[object]", value):
                yield from texts(one)
        case _:
            return


def parts_of(settings: Settings) -> Iterator[tuple[str, PartSettings]]:
    """Every part with the name of its section."""
    groups = {"channels": settings.channels, "models": settings.models, "tools": settings.tools}
    for group, parts in groups.items():
        for name, part in parts.items():
            yield f"{group}.{name}", part


def known_secrets(settings: Settings, secrets: Mapping[str, str]) -> dict[str, str]:
    """Everything that must not leave, by a name to tell it by: the named secrets, and what stands
    in the settings in the clear where a secret belongs."""
    known = dict(secrets)
    tables: dict[str, Table] = {"api": {"token": settings.api.token}}
    tables["downloads"] = settings.downloads.model_dump()
    tables |= {section: part.table for section, part in parts_of(settings)}
    for section, table in tables.items():
        for key, value in table.items():
            secret = _SECRETLIKE.search(key) and isinstance(value, str)
            if secret and value and not value.startswith(("secret:", "env:")):
                known[f"{section}.{key}"] = value
    return known
