# SPDX-License-Identifier: AGPL-3.0-or-later
"""Asking the house: the daemon where it runs, its files where it does not.

The rooms behind are loaded by name and only when needed: `haoya status` must not pay for a
journal it never opens.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar, cast

import msgspec

from haoya.cli.client import CALL_SECONDS, reach
from haoya.cli.view import NOT_RUNNING, View
from haoya.cli.words import say
from haoya.core.errors import ConfigError

Shape = TypeVar("Shape")


def ask(view: View, verb: str, *, seconds: float = CALL_SECONDS, **arguments: object) -> object:
    """The daemon's answer to a verb; leaves with status 3 where no daemon runs."""
    client = reach(view.home)
    if client is None:
        leave_not_running(view)
    with client:
        return client.call(verb, arguments, seconds)


def ask_anyhow(
    view: View, verb: str, *, seconds: float = CALL_SECONDS, **arguments: object
) -> object:
    """As `ask`, and where no daemon runs the answer is read from the files of its home."""
    client = reach(view.home)
    if client is None:
        return read_files(view, verb, **arguments)
    with client:
        return client.call(verb, arguments, seconds)


def read_files(view: View, verb: str, **arguments: object) -> object:
    """What the files of the home say to a verb, daemon or not."""
    call = room(view, "haoya.runtime.offline", "call")
    return cast("Callable[[Path, str, dict[str, object]], object]", call)(
        view.home, verb, arguments
    )


def room(view: View, module: str, name: str) -> Callable[..., object]:
    """A function of the runtime; leaves with status 3 where this build has none."""
    try:
        found: Callable[..., object] = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        leave_not_running(view)
    return found


def leave_not_running(view: View) -> NoReturn:
    """Say that no daemon runs in this home and how to start one, and leave with status 3."""
    view.complain(say("down", home=view.home), say("down.cure"), kind="not-running")
    raise SystemExit(NOT_RUNNING)


def shaped(result: object, shape: type[Shape]) -> Shape:
    """A JSON result as the type this command knows; unknown fields of a newer daemon pass."""
    try:
        return msgspec.convert(result, shape)
    except msgspec.ValidationError as error:
        raise ConfigError(say("daemon.other", error=error), cure=say("daemon.restart")) from None
