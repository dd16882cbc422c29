# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plugins by name. Nothing of a wing is imported before the settings ask for it."""

import importlib
import importlib.metadata
import pkgutil
from typing import Any

import haoya
from haoya.core.errors import ConfigError
from haoya.core.plugin import Plugin, PluginKind

WINGS: dict[PluginKind, str] = {
    "channel": "channels",
    "model": "models",
    "tools": "tools",
    "memory": "memories",
    "stage": "stages",
}


def find(kind: PluginKind, name: str) -> Plugin[Any, Any]:
    """The plugin of that kind and name; ConfigError listing what there is, or saying why it
    cannot be loaded."""
    try:
        if name in built_in(kind):
            module = importlib.import_module(f"haoya.{WINGS[kind]}.{name}")
            return _checked(module.plugin, kind, name)
        for entry in importlib.metadata.entry_points(group="haoya.plugins", name=f"{kind}.{name}"):
            return _checked(entry.load(), kind, name)
    except ConfigError:
        raise
    except Exception as error:  # the wall around foreign code: one package harms one part
        raise ConfigError(
            f"{kind} {name!r} cannot be loaded: {type(error).__name__}: {error}",
            cure="update the package that brings it, or remove this part",
        ) from error
    known = ", ".join(sorted(built_in(kind)))
    raise ConfigError(
        f"no {kind} plugin is named {name!r}; there are: {known}",
        cure="correct `use`, or install the package that brings it",
    )


def built_in(kind: PluginKind) -> frozenset[str]:
    """Names of the plugins that come with haoya."""
    wing = f"{haoya.__path__[0]}/{WINGS[kind]}"
    return frozenset(m.name for m in pkgutil.iter_modules([wing]) if not m.name.startswith("_"))


def window() -> Any:
    """The HTTP window's opener: `haoya.api.serve.serve`, imported only when it is opened."""
    return importlib.import_module("haoya.api.serve").serve


def peers_window() -> Any:
    """The opener for other nodes: `haoya.api.peers.serve.serve`, imported only when it is used."""
    return importlib.import_module("haoya.api.peers.serve").serve


def _checked(plugin: object, kind: PluginKind, name: str) -> Plugin[Any, Any]:
    if not isinstance(plugin, Plugin):
        raise ConfigError(
            f"{kind} {name!r} is no plugin of this version of haoya",
            cure="update the package that brings it",
        )
    return plugin  # pyright: ignore[reportUnknownVariableType]
