# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya setup`: a few questions, then a settings file that works."""

import os
import sys
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import urlsplit

import tomlkit
from cyclopts import Parameter

from haoya.cli import probe, prompt
from haoya.cli.files import write_private
from haoya.cli.lent import Lent
from haoya.cli.secrets import store
from haoya.cli.view import OK, View
from haoya.cli.words import say
from haoya.core.errors import ConfigError

LANGUAGES = {"English": "en", "中文": "zh"}
OLD_NAME = "settings.toml.old"


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What the settings are made from. The key and the token are values to keep as secrets, or
    `env:NAME` to leave them where they are."""

    model_url: str = ""
    model: str = ""
    key: str = ""
    telegram_token: str = ""
    irc_host: str = ""
    irc_nick: str = "haoya"
    irc_rooms: tuple[str, ...] = ()


def setup(
    *,
    yes: Annotated[bool, Parameter(negative="", help=say("option.yes"))] = False,
    model_url: Annotated[str, Parameter(help=say("option.model_url"))] = "",
    model: Annotated[str, Parameter(help=say("option.model"))] = "",
    key_env: Annotated[str, Parameter(help=say("option.key_env"))] = "",
    telegram_token_env: Annotated[str, Parameter(help=say("option.telegram_token_env"))] = "",
    irc_host: Annotated[str, Parameter(help=say("option.irc_host"))] = "",
    irc_nick: Annotated[str, Parameter(help=say("option.irc_nick"))] = "haoya",
    irc_room: Annotated[tuple[str, ...], Parameter(help=say("option.irc_room"))] = (),
    force: Annotated[bool, Parameter(negative="", help=say("option.overwrite"))] = False,
    view: Lent,
) -> int:
    """Write the settings of this home; nothing is overwritten without asking."""
    given = Wishes(
        model_url=probe.complete(model_url) if model_url else "",
        model=model,
        key=_reference(key_env),
        telegram_token=_reference(telegram_token_env),
        irc_host=irc_host,
        irc_nick=irc_nick,
        irc_rooms=irc_room,
    )
    path = view.home / "settings.toml"
    if view.interactive and not yes:
        interview(view, given, force=force)
        view.print(say("setup.next"))
        return OK
    if path.exists() and not force:
        raise ConfigError(say("setup.exists", path=path), cure="haoya setup --force …")
    wishes = _found(given)
    _write(view, wishes)
    if view.json:
        channels = {"tg": wishes.telegram_token, "irc": wishes.irc_host}
        named = [name for name, wanted in channels.items() if wanted]
        view.document({"settings": str(path), "model": wishes.model, "channels": named})
    else:
        view.print(say("setup.next"))
    return OK


def interview(view: View, given: Wishes | None = None, *, force: bool = False) -> None:
    """Ask for what was not given, and write the settings."""
    wishes = given or Wishes()
    languages = list(LANGUAGES)
    chosen = prompt.choose("Language / 语言", languages, int(say("language") == "zh"))
    os.environ["HAOYA_LANG"] = LANGUAGES[languages[chosen]]
    path = view.home / "settings.toml"
    if path.exists() and not force:
        view.print(say("setup.exists", path=path))
        if not prompt.agreed(say("setup.replace", old=OLD_NAME), default=False):
            view.print(say("setup.kept"))
            return
    wishes = _asked_model(view, wishes)
    wishes = _asked_channels(view, wishes)
    _write(view, wishes)


def _asked_model(view: View, wishes: Wishes) -> Wishes:
    if not wishes.model_url:
        view.print(say("setup.looking"))
        servers = probe.near()
        shown = [f"{one.maker} {one.url} ({len(one.models)})" for one in servers]
        chosen = prompt.choose(
            say("setup.server"), [*shown, say("setup.other"), say("setup.later")]
        )
        if chosen > len(servers):
            view.print(say("setup.later.how"))
            return wishes
        if chosen < len(servers):
            wishes = replace(wishes, model_url=servers[chosen].url)
        else:
            url = prompt.words(say("setup.url"), "http://127.0.0.1:8080/v1")
            wishes = replace(wishes, model_url=probe.complete(url))
    if not wishes.key and not _is_near(wishes.model_url):
        wishes = replace(wishes, key=prompt.hidden(say("setup.key")))
    if not wishes.model:
        models = probe.models_of(wishes.model_url, _resolved(wishes.key))
        if models is None:
            view.print(say("setup.silent", url=wishes.model_url))
        name = models[prompt.choose(say("setup.model"), models)] if models else ""
        wishes = replace(wishes, model=name or prompt.words(say("setup.model.name")))
    return wishes


def _asked_channels(view: View, wishes: Wishes) -> Wishes:
    if wishes.telegram_token or wishes.irc_host:
        return wishes
    view.print(say("setup.terminal"))
    chosen = prompt.choose(say("setup.channel"), [say("setup.none"), "Telegram", "IRC"])
    if chosen == 1:
        view.print(say("setup.botfather"))
        wishes = replace(wishes, telegram_token=prompt.hidden(say("setup.token")))
    if chosen == 2:
        wishes = replace(
            wishes,
            irc_host=prompt.words(say("setup.irc.host"), "irc.libera.chat"),
            irc_nick=prompt.words(say("setup.irc.nick"), wishes.irc_nick),
            irc_rooms=tuple(prompt.words(say("setup.irc.rooms"), "#haoya").split()),
        )
    return wishes


def _found(wishes: Wishes) -> Wishes:
    """The wishes with what can be found out without asking; `ConfigError` for the rest."""
    if not wishes.model_url:
        servers = probe.near()
        if not servers:
            raise ConfigError(say("setup.no_server"), cure="haoya setup --yes --model-url URL")
        wishes = replace(wishes, model_url=servers[0].url)
    if not wishes.model:
        models = probe.models_of(wishes.model_url, _resolved(wishes.key))
        if not models:
            message = say("setup.silent", url=wishes.model_url)
            raise ConfigError(message, cure="haoya setup --yes --model-url URL --model NAME")
        wishes = replace(wishes, model=models[0])
    return wishes


def _write(view: View, wishes: Wishes) -> None:
    """Secrets first: settings that name a secret must find it."""
    secrets: dict[str, str] = {}
    text = _settings(wishes, secrets)
    path = view.home / "settings.toml"
    if secrets:
        store(view, secrets)
    if path.exists():
        path.replace(path.with_name(OLD_NAME))
    write_private(path, text)
    print(say("setup.written", path=path), file=sys.stderr)


def _settings(wishes: Wishes, secrets: dict[str, str]) -> str:
    """The settings file; values that are to be kept apart are put into `secrets`."""

    def kept(value: str, name: str) -> str:
        if not value.startswith("env:"):
            secrets[name] = value
            return f"secret:{name}"
        return value

    document = tomlkit.document()
    for line in say("setup.file").splitlines():
        document.add(tomlkit.comment(line))
    agent = tomlkit.table().add("model", "main")
    document.add("agent", agent)
    if wishes.model_url:
        model = tomlkit.table().add("use", "openai")
        model.add("base_url", wishes.model_url).add("model", wishes.model)
        if wishes.key:
            model.add("api_key", kept(wishes.key, "main-key"))
        document.add("models", tomlkit.table(is_super_table=True).add("main", model))
    channels = tomlkit.table(is_super_table=True)
    if wishes.telegram_token:
        token = kept(wishes.telegram_token, "tg-token")
        telegram = tomlkit.table().add("use", "telegram").add("token", token)
        telegram.add("access", "pairing")
        telegram["access"].comment(say("setup.file.access"))
        channels.add("tg", telegram)
    if wishes.irc_host:
        irc = tomlkit.table().add("use", "irc").add("host", wishes.irc_host)
        irc.add("nick", wishes.irc_nick).add("rooms", list(wishes.irc_rooms))
        channels.add("irc", irc)
    if wishes.telegram_token or wishes.irc_host:
        document.add("channels", channels)
    return tomlkit.dumps(document)


def _reference(variable: str) -> str:
    return f"env:{variable}" if variable else ""


def _resolved(key: str) -> str:
    return os.environ.get(key[4:], "") if key.startswith("env:") else key


def _is_near(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")
