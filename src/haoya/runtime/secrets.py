# SPDX-License-Identifier: AGPL-3.0-or-later
"""Secrets by reference: `secret:NAME` from the vault, `env:NAME`, or the plain string."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import cast

import pydantic

from haoya.core.errors import ConfigError, Unready
from haoya.core.plugin import PluginKind
from haoya.runtime.hardening import take_variable
from haoya.runtime.origins import origin_of
from haoya.runtime.redaction import Redactor
from haoya.runtime.registry import find
from haoya.runtime.settings import Finding, PartSettings, Settings, Table
from haoya.runtime.vault_words import Held, Plain

_SECRETLIKE = re.compile(r"(^|_)(token|key|password|secret)$")
_NOT_SECRET = frozenset({"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR"})
"""Variables that are needed for other things, and so stay where they are."""


class Secrets:
    """All secrets this process holds. A value leaves only through `resolve` and `credential`;
    `trouble` is why the vault could not be opened."""

    def __init__(self) -> None:
        self.redactor = Redactor()
        self.trouble: ConfigError | Unready | None = None
        self._held: dict[str, Held] = {}
        self._variables: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._held))})"

    def hold(self, secrets: Iterable[Held]) -> None:
        """These are all there are in the vault."""
        self._held = {secret.name: secret for secret in secrets}
        self.trouble = None
        self._learn()

    def resolve(self, value: str, origins: frozenset[str] = frozenset()) -> str:
        """The secret behind a settings value; `origins` are the places it is wanted for.

        Raises `ConfigError` with the cure where there is none, or where it is bound to other
        places, `Unready` while the vault cannot be reached.
        """
        scheme, separator, name = value.partition(":")
        if separator and scheme == "env":
            return self._variable(name)
        if not separator or scheme != "secret":
            return value
        held = self._find(name)
        if strange := sorted(origins - set(held.origins)) if held.origins else []:
            raise ConfigError(
                f"the secret {name!r} may go to {', '.join(held.origins)}, not to {strange[0]}",
                cure=f"if you want that, run `haoya secrets bind {name}`; it then takes the new "
                "place",
            )
        return held.text

    def credential(self, name: str, origin: str) -> str:
        """The value of a secret for a request to `origin` (scheme://host:port of the address as it
        was resolved), at the last moment before it is sent.

        Raises `ConfigError` where it may not go there: one that is bound to no place goes nowhere.
        """
        held = self._find(name)
        wanted = origin_of(origin)
        if wanted and wanted in held.origins:
            return held.text
        bound = ", ".join(held.origins) or "no place yet"
        raise ConfigError(
            f"the secret {name!r} is bound to {bound} and may not go to {wanted or origin!r}",
            cure=f"if you want that, run `haoya secrets bind {name} {wanted or 'ORIGIN'}`",
        )

    def known(self) -> dict[str, str]:
        """All values by name, those from the environment too: what must not get out."""
        variables = {n: v for n, v in self._variables.items() if n not in _NOT_SECRET}
        return variables | self.values()

    def values(self) -> dict[str, str]:
        """All of the vault's values by name, for marks (`mark_of`)."""
        return {name: held.text for name, held in self._held.items()}

    def take_variables(self, settings: Settings) -> None:
        """Take the variables that the settings name out of the environment."""
        for table in _tables(settings).values():
            for name in sorted(_references(table, "env:")):
                if name not in _NOT_SECRET and (value := take_variable(name)) is not None:
                    self._variables[name] = value
        self._learn()

    def _variable(self, name: str) -> str:
        value = take_variable(name, keep=name in _NOT_SECRET)
        if value is not None:
            self._variables[name] = value
            self._learn()
        if name not in self._variables:
            raise ConfigError(
                f"the environment has no variable {name!r}", cure=f"set {name} where haoya starts"
            )
        return self._variables[name]

    def _find(self, name: str) -> Held:
        if name in self._held:
            return self._held[name]
        if isinstance(self.trouble, Unready):
            raise Unready(str(self.trouble))
        if self.trouble:
            raise ConfigError(str(self.trouble), cure=self.trouble.cure)
        raise ConfigError(
            f"there is no secret named {name!r}", cure=f"run `haoya secrets set {name}`"
        )

    def _learn(self) -> None:
        self.redactor.learn(self.known().items())


def origins_of(kind: PluginKind, part: PartSettings) -> frozenset[str]:
    """The places a part's settings name: addresses of the web, a host with its port.

    What a plugin fills in by itself counts too (Telegram's own address).
    """
    try:
        settings = find(kind, part.use).settings.model_validate(part.table)
    except (ConfigError, pydantic.ValidationError):
        return frozenset()
    return _places(settings)


def _places(settings: pydantic.BaseModel) -> frozenset[str]:
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    found = {origin_of(value) for value in values.values() if isinstance(value, str)}
    host = values.get("host")
    if isinstance(host, str):
        port = getattr(settings, "port_number", values.get("port"))
        found.add(origin_of(f"tcp://{host}:{port}") if port else f"tcp://{host}")
    return frozenset(found - {""})


def mark_of(secrets: Mapping[str, str], value: object) -> str:
    """A digest (hex) of all secrets that `value` (a settings table) refers to, "" for none.

    A part whose mark is another one has a new secret and is opened anew.

    >>> mark_of({}, {"host": "irc.example.org"})
    ''
    """
    named = sorted(_references(value))
    held = "\0".join(f"{name}\0{secrets.get(name, '')}" for name in named)
    return hashlib.sha256(held.encode()).hexdigest() if named else ""


def wanted_origins(settings: Settings) -> dict[str, tuple[str, ...]]:
    """For each secret that a part names, the origins of all parts that do."""
    found: dict[str, set[str]] = {}
    for kind, parts in _groups(settings).values():
        for part in parts.values():
            if names := _references(part.table):
                origins = origins_of(kind, part)
                for name in names:
                    found.setdefault(name, set()).update(origins)
    return {name: tuple(sorted(origins)) for name, origins in found.items() if origins}


def plain_values(settings: Settings) -> list[Plain]:
    """Each secret that stands in the settings file in the clear, with the name it is to have.

    The name is made of the section's and the key's; where that is taken, of its group's too.
    """
    taken = {name for table in _tables(settings).values() for name in _references(table)}
    groups = _groups(settings)
    found: list[Plain] = []
    for section, table in _tables(settings).items():
        group, _, part = section.rpartition(".")
        origins: frozenset[str] | None = None
        for key, value in table.items():
            if not _is_plain(key, value):
                continue
            if origins is None:
                origins = origins_of(groups[group][0], groups[group][1][part]) if group else None
            name = _name(section, key)
            if name in taken:
                name = f"{section}.{key}".replace(".", "-").replace("_", "-")
            taken.add(name)
            path = (*section.split(".", 1), key)
            places = tuple(sorted(origins or ()))
            found.append(Plain(path=path, name=name, value=str(value), origins=places))
    return found


def plain_secrets(settings: Settings) -> list[Finding]:
    """A warning for each secret that stands in the settings file in plain text."""
    return [
        _plain(section, key)
        for section, table in _tables(settings).items()
        for key, value in table.items()
        if _is_plain(key, value)
    ]


def _is_plain(key: str, value: object) -> bool:
    return bool(
        _SECRETLIKE.search(key)
        and isinstance(value, str)
        and value
        and not value.startswith(("secret:", "env:"))
    )


def _groups(settings: Settings) -> dict[str, tuple[PluginKind, dict[str, PartSettings]]]:
    return {
        "channels": ("channel", settings.channels),
        "models": ("model", settings.models),
        "tools": ("tools", settings.tools),
    }


def _tables(settings: Settings) -> dict[str, Table]:
    """Everything that may hold a secret, by section."""
    tables: dict[str, Table] = {"api": {"token": settings.api.token}}
    tables["downloads"] = settings.downloads.model_dump()
    for group, (_, parts) in _groups(settings).items():
        tables |= {f"{group}.{name}": part.table for name, part in parts.items()}
    return tables


def _references(value: object, scheme: str = "secret:") -> set[str]:
    match value:
        case str() if value.startswith(scheme):
            return {value.removeprefix(scheme)}
        case dict():
            return _references(list(cast("dict[str, object]", value).values()), scheme)
        case list():
            inner = cast("list[object]", value)
            return {name for one in inner for name in _references(one, scheme)}
        case _:
            return set()


def _name(section: str, key: str) -> str:
    return section.rpartition(".")[2] + "-" + key.replace("_", "-")


def _plain(section: str, key: str) -> Finding:
    name = _name(section, key)
    return Finding(
        id="secret-plain",
        severity="warning",
        section=section,
        message=f"[{section}] {key} is written in plain text",
        cure=f'run `haoya secrets set {name}`, then write {key} = "secret:{name}"',
    )
