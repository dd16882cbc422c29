# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which commands there are. Each is named by an import string and loaded when it runs."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from haoya import __version__
from haoya.cli.view import OK, USAGE, View
from haoya.cli.wall import guarded
from haoya.cli.words import say
from haoya.runtime.home import home_folder

COMMANDS = {
    "up": "haoya.cli.up:up",
    "down": "haoya.cli.up:down",
    "status": "haoya.cli.status:status",
    "setup": "haoya.cli.setup:setup",
    "chat": "haoya.cli.chat:chat",
    "ask": "haoya.cli.ask:ask",
    "open": "haoya.cli.link:open_panel",
    "asks": "haoya.cli.asks:asks",
    "grants": "haoya.cli.grants:grants",
    "pair list": "haoya.cli.pair:list_people",
    "pair approve": "haoya.cli.pair:approve",
    "pair remove": "haoya.cli.pair:remove",
    "channels list": "haoya.cli.channels:list_channels",
    "channels test": "haoya.cli.channels:test",
    "models list": "haoya.cli.models:list_models",
    "models pull": "haoya.cli.bringing:pull",
    "models add": "haoya.cli.models:add",
    "models rm": "haoya.cli.models:remove",
    "models info": "haoya.cli.models:info",
    "models use": "haoya.cli.models:use",
    "models fit": "haoya.cli.models:fit",
    "models quantize": "haoya.cli.bringing:quantize",
    "models convert": "haoya.cli.bringing:convert",
    "devices list": "haoya.cli.devices:list_devices",
    "devices add": "haoya.cli.devices:add",
    "devices remove": "haoya.cli.devices:remove",
    "peers list": "haoya.cli.peers:list_peers",
    "peers invite": "haoya.cli.peers:invite",
    "peers remove": "haoya.cli.peers:remove",
    "models bench": "haoya.cli.models_bench:bench",
    "models engine build": "haoya.cli.engine:build",
    "models engine status": "haoya.cli.engine:status",
    "models engine use": "haoya.cli.engine:use",
    "models engine cancel": "haoya.cli.engine:cancel",
    "runs list": "haoya.cli.runs:list_runs",
    "runs show": "haoya.cli.runs:show",
    "queue": "haoya.cli.queue:queue",
    "why": "haoya.cli.runs:why",
    "replay": "haoya.cli.runs:replay",
    "doctor": "haoya.cli.doctor:doctor",
    "config check": "haoya.cli.config:check",
    "config schema": "haoya.cli.config:schema",
    "config path": "haoya.cli.config:path",
    "secrets set": "haoya.cli.secrets:set_secret",
    "secrets list": "haoya.cli.secrets:list_secrets",
    "secrets rm": "haoya.cli.secrets:remove_secret",
    "secrets bind": "haoya.cli.secrets:bind_secret",
    "secrets rotate": "haoya.cli.secrets_keys:rotate",
    "secrets recovery": "haoya.cli.secrets_keys:recovery",
    "secrets recover": "haoya.cli.secrets_keys:recover",
    "secrets export": "haoya.cli.secrets_keys:export",
    "secrets import": "haoya.cli.secrets_keys:import_secrets",
    "backup create": "haoya.cli.backup:create",
    "backup verify": "haoya.cli.backup:verify",
    "backup restore": "haoya.cli.backup:restore",
}
"""Every command line's first words and the function that serves it."""

Tokens = Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]


def run(arguments: Sequence[str]) -> int:
    """Run one command line; every error leaves as words and a status."""
    view = View(home=home_folder(None), json="--json" in arguments)

    def command() -> int:
        try:
            return _launcher()(arguments) or OK
        except CycloptsError as error:
            cure = say("usage.cure", command=_asked(arguments))
            view.complain(str(error).strip(), cure, kind="usage")
            return USAGE

    return guarded(view, command)


def build() -> App:
    """The commands with their help, none of them loaded."""
    app = _group("haoya", say("help.haoya"))
    groups = {"": app}
    for place, (words, target) in enumerate(COMMANDS.items()):
        *outer, name = words.split()
        for depth in range(1, len(outer) + 1):
            group = " ".join(outer[:depth])
            if group not in groups:
                groups[group] = _group(outer[depth - 1], say(_help(group)), place)
                groups[" ".join(outer[: depth - 1])].command(groups[group])
        groups[" ".join(outer)].command(target, name=name, help=say(_help(words)), sort_key=place)
    return app


def _help(words: str) -> str:
    return f"help.{words.replace(' ', '.')}"


def _group(name: str, help: str, place: int | None = None) -> App:
    return App(
        name=name,
        help=help,
        sort_key=place,
        version=__version__,
        version_flags=(),
        help_formatter="plain",
        print_error=False,
        exit_on_error=False,
        result_action="return_value",
    )


def _launcher() -> App:
    """The app with the options that go with every command, wherever they stand."""
    app = build()

    def launch(
        *tokens: Tokens,
        json: Annotated[bool, Parameter(negative="", help=say("option.json"))] = False,
        home: Annotated[str | None, Parameter(help=say("option.home"))] = None,
    ) -> int:
        command, bound, ignored = app.parse_args(tokens)
        lent = {"view": View(home=home_folder(home), json=json)} if "view" in ignored else {}
        return command(*bound.args, **bound.kwargs, **lent)

    app.meta.default(launch)
    return app.meta


def _asked(arguments: Sequence[str]) -> str:
    """The command the arguments named, as far as there is one, for pointing at its help."""
    words = [word for word in arguments if not word.startswith("-")]
    for known in (" ".join(words[:count]) for count in (3, 2, 1)):
        if any(f"{command} ".startswith(f"{known} ") for command in COMMANDS):
            return f"haoya {known}".strip()
    return "haoya"
