# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya secrets`: passwords and tokens, kept apart from the settings that name them."""

import getpass
import re
import sys
from pathlib import Path
from typing import Annotated

import tomlkit
from cyclopts import Parameter
from tomlkit.exceptions import ParseError

from haoya.cli.files import write_private
from haoya.cli.lent import Lent
from haoya.cli.view import OK, View
from haoya.cli.words import say
from haoya.core.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

SecretName = Annotated[str, Parameter(help=say("option.secret"))]


def set_secret(name: SecretName, /, *, view: Lent) -> int:
    """Keep a secret; its value is asked for, or read from standard input, never an argument."""
    check_name(name)
    value = _value(view, name)
    store(view.home, {name: value})
    return _done(view, name, "secrets.set")


def list_secrets(*, view: Lent) -> int:
    """Show the names of the secrets, never their values."""
    names = sorted(read(view.home).unwrap())
    if view.json:
        view.document(names)
    else:
        view.print(*names or [say("secrets.none")])
    return OK


def remove_secret(name: SecretName, /, *, view: Lent) -> int:
    """Forget a secret."""
    document = read(view.home)
    if name not in document:
        there = ", ".join(sorted(document)) or say("secrets.none")
        raise ConfigError(say("secrets.unknown", name=name, there=there), cure="haoya secrets list")
    document.remove(name)
    write_private(view.home / "secrets.toml", tomlkit.dumps(document))
    return _done(view, name, "secrets.removed")


def store(home: Path, values: dict[str, str]) -> None:
    """Add secrets to the file of `home`, keeping what else it holds."""
    document = read(home)
    for name, value in values.items():
        document[name] = value
    write_private(home / "secrets.toml", tomlkit.dumps(document))


def read(home: Path) -> tomlkit.TOMLDocument:
    """The secrets of `home`; empty where there is no file yet."""
    path = home / "secrets.toml"
    try:
        return tomlkit.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return tomlkit.document()
    except (ParseError, UnicodeDecodeError) as error:
        # The parser's words could quote a secret: only the line is told.
        line = getattr(error, "line", 0)
        raise ConfigError(
            say("secrets.broken", path=path, line=line), cure=say("secrets.mend")
        ) from None


def check_name(name: str) -> None:
    """Raise `ConfigError` unless `name` can stand after `secret:` in the settings."""
    if not NAME.fullmatch(name):
        raise ConfigError(say("secrets.name", name=name), cure=say("secrets.name.cure"))


def _value(view: View, name: str) -> str:
    if view.interactive:
        value = getpass.getpass(say("secrets.prompt", name=name))
    else:
        value = sys.stdin.read().removesuffix("\n").removesuffix("\r")
    if not value:
        raise ConfigError(say("secrets.empty", name=name), cure=f"haoya secrets set {name} < FILE")
    return value


def _done(view: View, name: str, sentence: str) -> int:
    if view.json:
        view.document({"name": name})
    else:
        view.print(say(sentence, name=name))
    return OK
