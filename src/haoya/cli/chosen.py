# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which model the settings name: changed in the owner's file, whose comments stay, and taken back
where the daemon cannot use it."""

import re
import time
import tomllib
from collections.abc import Container
from pathlib import Path
from typing import cast

import msgspec
import tomlkit

from haoya.cli.answers import Findings, Status
from haoya.cli.client import Client, reach
from haoya.cli.files import write_private
from haoya.cli.house import shaped
from haoya.cli.words import say
from haoya.core.errors import ConfigError, HaoyaError

SETTLE_SECONDS = 20.0
"""How long the daemon has to open the model or to say why it cannot."""


def choose(home: Path, model: str, section: str) -> tuple[str, bool]:
    """Let `[models.SECTION]` be the local model of that name.

    A section that spoke of another kind of model is kept under that kind's name; returned is
    that name ("" for none), and whether a running daemon uses the new model. Raises `ConfigError`
    with the daemon's reason where it does not; the settings are then as they were.
    """
    path = home / "settings.toml"
    before = path.read_text("utf-8-sig") if path.exists() else None
    text, moved = changed(before or "", model, section)
    write_private(path, text)
    client = reach(home)
    if client is None:
        return moved, False
    with client:
        reason = _refusal(client, home, section)
        if reason:
            if before is None:
                path.unlink()
            else:
                write_private(path, before)
            _reload(home)
            raise ConfigError(say("use.refused", reason=reason), cure=say("use.refused.cure"))
    return moved, True


def changed(text: str, model: str, section: str) -> tuple[str, str]:
    """The settings with `[models.SECTION]` naming a local model, and what a section that was
    there for another kind of model is called now.

    >>> print(changed("# mine\\n", "tiny", "main")[0])
    # mine
    <BLANKLINE>
    [models.main]
    use = "local"
    model = "tiny"
    <BLANKLINE>
    """
    table = _parsed(text)
    old = table.models.get(section)
    if old and old.use == "local":
        document = cast("dict[str, dict[str, dict[str, str]]]", tomlkit.parse(text))
        document["models"][section]["model"] = model
        return tomlkit.dumps(cast("tomlkit.TOMLDocument", document)), ""
    moved = ""
    if old:
        moved = _free(table.models, old.use or "other")
        head = re.compile(
            rf"(?m)^([ \t]*\[[ \t]*models[ \t]*\.[ \t]*){re.escape(section)}(?=[ \t]*[.\]])"
        )
        text = head.sub(rf"\g<1>{moved}", text)
    lines = tomlkit.dumps({"models": {section: {"use": "local", "model": model}}})
    text = f"{text.rstrip()}\n\n{lines}".lstrip()
    try:
        _parsed(text)
    except ConfigError:  # the old one stands in a line of another table
        raise ConfigError(say("use.inline", section=section), cure=f"[models.{section}]") from None
    return text, moved


class _Part(msgspec.Struct):
    use: str = ""


class _Settings(msgspec.Struct):
    models: dict[str, _Part] = {}


def _parsed(text: str) -> _Settings:
    try:
        return msgspec.convert(tomllib.loads(text), _Settings)
    except (tomllib.TOMLDecodeError, RecursionError, msgspec.ValidationError) as error:
        raise ConfigError(say("use.broken", error=error), cure="haoya config check") from None


def _free(taken: Container[str], name: str) -> str:
    """A section's name that is not taken."""
    number, free = 1, name
    while free in taken or free == "local":
        number += 1
        free = f"{name}{number}"
    return free


def _reload(home: Path) -> None:
    if client := reach(home):
        with client:
            client.call("reload", {})


def _refusal(client: Client, home: Path, section: str) -> str:
    """Why the daemon does not use the section's model; empty where it does."""
    try:
        findings = shaped(client.call("reload", {}), Findings).findings
    except HaoyaError as error:
        return str(error)
    for finding in findings:
        if finding.section == f"models.{section}" and finding.severity == "error":
            return f"{finding.message} — {finding.cure}"
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        state, reason = _state(home, section)
        if state == "parked":
            return reason
        if state not in ("opening", "waiting", ""):
            break
        time.sleep(0.1)
    return ""


def _state(home: Path, section: str) -> tuple[str, str]:
    client = reach(home)
    if client is None:
        return "gone", ""
    with client:
        status = shaped(client.call("status", {}), Status)
    for model in status.models:
        if model.name == section:
            return model.state, model.reason
    return "", ""
