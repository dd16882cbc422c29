# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya up` and `haoya down`: the daemon begins and ends."""

import importlib
from typing import Annotated, cast

from cyclopts import Parameter

from haoya.cli.house import ask, room
from haoya.cli.lent import Lent
from haoya.cli.view import View
from haoya.cli.words import say


def up(
    *,
    port: Annotated[int | None, Parameter(help=say("option.port"))] = None,
    view: Lent,
) -> int:
    """Run the daemon in this terminal until it is told to stop."""
    run = room(view, "haoya.runtime.main", "run")
    if _first_time(view):
        importlib.import_module("haoya.cli.setup").interview(view)
    return cast("int", run(view.home, port))


def down(*, view: Lent) -> int:
    """Ask the running daemon to stop."""
    result = ask(view, "stop")
    if view.json:
        view.document(result)
    else:
        view.print(say("down.done"))
    return 0


def _first_time(view: View) -> bool:
    return view.interactive and not (view.home / "settings.toml").exists()
