# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya secrets`: passwords and tokens, encrypted, kept apart from the settings that name them."""

import re
import sys
from collections.abc import Mapping
from typing import Annotated

import msgspec
from cyclopts import Parameter

from haoya.cli import prompt
from haoya.cli.house import room
from haoya.cli.lent import Lent
from haoya.cli.view import OK, View, clock, table
from haoya.cli.words import say
from haoya.core.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

SecretName = Annotated[str, Parameter(help=say("option.secret"))]
Origins = Annotated[tuple[str, ...], Parameter(help=say("option.origin"))]

VAULT = "haoya.runtime.vault"


class Row(msgspec.Struct, frozen=True):
    """One secret as the list shows it, in the form of a vault's record."""

    name: str
    version: int = 0
    at: float = 0
    origins: tuple[str, ...] = ()


class Lock(msgspec.Struct, frozen=True):
    """Where the key comes from."""

    source: str


class Recovery(msgspec.Struct, frozen=True):
    """A key beside it."""

    recipient: str


class Shown(msgspec.Struct, frozen=True):
    """What of a vault is shown."""

    suite: str
    lock: Lock
    records: list[Row] = []
    recoveries: list[Recovery] = []


def set_secret(name: SecretName, /, *, origin: Origins = (), view: Lent) -> int:
    """Keep a secret; its value is asked for, or read from standard input, never an argument."""
    check_name(name)
    origins = checked(view, origin)
    phrase = phrase_of(view)
    value = _value(view, name)
    room(view, VAULT, "put")(view.home, {name: value}, origins, phrase=phrase)
    return _done(view, name, "secrets.set")


def list_secrets(*, view: Lent) -> int:
    """Show the names of the secrets, never their values."""
    vault = shown(view)
    rows = sorted(vault.records, key=lambda row: row.name) if vault else []
    if view.json:
        recipients = [one.recipient for one in vault.recoveries] if vault else []
        view.document(
            {
                "secrets": [msgspec.to_builtins(row) for row in rows],
                "source": vault.lock.source if vault else "",
                "cipher": vault.suite if vault else "",
                "recovery": recipients,
            }
        )
        return OK
    lines = [
        (row.name, clock(row.at), ", ".join(row.origins) or say("secrets.free")) for row in rows
    ]
    view.print(*table(lines) or [say("secrets.none")])
    if vault:
        view.print("", say(f"secrets.source.{vault.lock.source}", cipher=vault.suite))
        kept = [say("secrets.recovery.is", recipient=one.recipient) for one in vault.recoveries]
        view.print(*kept or [say("secrets.recovery.none")])
    return OK


def remove_secret(name: SecretName, /, *, view: Lent) -> int:
    """Forget a secret."""
    vault = shown(view)
    names = sorted(row.name for row in vault.records) if vault else []
    if name not in names:
        there = ", ".join(names) or say("secrets.none")
        raise ConfigError(say("secrets.unknown", name=name, there=there), cure="haoya secrets list")
    room(view, VAULT, "remove")(view.home, name, phrase=phrase_of(view))
    return _done(view, name, "secrets.removed")


def bind_secret(
    name: SecretName,
    /,
    *origins: Annotated[str, Parameter(help=say("option.origin"))],
    view: Lent,
) -> int:
    """Say where a secret may go; without a place, where the section that uses it next goes."""
    places = checked(view, origins)
    room(view, VAULT, "bind")(view.home, name, places, phrase=phrase_of(view))
    return _done(view, name, "secrets.bound" if places else "secrets.unbound")


def store(view: View, values: Mapping[str, str]) -> None:
    """Keep secrets, from a process that goes on to be the daemon."""
    room(view, "haoya.runtime.vaulting", "keep")(view.home, dict(values), phrase_of(view))


def shown(view: View) -> Shown | None:
    """The vault as it may be shown, unopened; what lies in secrets.toml is taken in first."""
    if (view.home / "secrets.toml").exists():
        room(view, "haoya.runtime.vaulting", "keep")(view.home, {}, phrase_of(view))
    vault = room(view, VAULT, "vault_of")(view.home)
    return None if vault is None else msgspec.convert(msgspec.to_builtins(vault), Shown)


def phrase_of(view: View) -> str:
    """The vault's passphrase, asked for where it has one and a person is there."""
    if not view.interactive or not room(view, VAULT, "asks")(view.home):
        return ""
    return prompt.hidden(say("secrets.phrase"))


def new_phrase(view: View) -> str:
    """A new passphrase, typed twice; "" where it is to come from a file or credential."""
    if not view.interactive:
        return ""
    phrase = prompt.hidden(say("secrets.phrase.new"))
    if phrase != prompt.hidden(say("secrets.phrase.again")):
        raise ConfigError(say("secrets.phrase.differ"), cure=say("secrets.phrase.retry"))
    return phrase


def check_name(name: str) -> None:
    """Raise `ConfigError` unless `name` can stand after `secret:` in the settings."""
    if not NAME.fullmatch(name):
        raise ConfigError(say("secrets.name", name=name), cure=say("secrets.name.cure"))


def checked(view: View, origins: tuple[str, ...]) -> tuple[str, ...]:
    """The origins in their one spelling; ConfigError for what is none."""
    found = [str(room(view, "haoya.runtime.origins", "origin_of")(one)) for one in origins]
    for given, origin in zip(origins, found, strict=True):
        if not origin:
            raise ConfigError(say("secrets.origin", origin=given), cure=say("secrets.origin.cure"))
    return tuple(found)


def hidden(view: View, question: str) -> str:
    """What a person types unseen, or the whole of standard input."""
    if view.interactive:
        return prompt.hidden(question)
    return sys.stdin.read().strip()


def _value(view: View, name: str) -> str:
    if view.interactive:
        value = prompt.hidden(say("secrets.prompt", name=name))
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
