# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya channels`: where people reach the agent."""

from typing import Annotated

from cyclopts import Parameter

from haoya.cli.answers import Channel, ChannelTest
from haoya.cli.house import ask, ask_anyhow, shaped
from haoya.cli.lent import Lent
from haoya.cli.report import state
from haoya.cli.view import ERROR, OK, paint, table
from haoya.cli.words import say

TEST_SECONDS = 120.0


def list_channels(*, view: Lent) -> int:
    """Show the channels of the running daemon."""
    result = ask(view, "channels_list")
    if view.json:
        view.document(result)
        return OK
    rows = [(x.name, x.use, state(x.state), x.reason) for x in shaped(result, list[Channel])]
    view.print(*table(rows) or [say("channels.none")])
    return OK


def test(name: Annotated[str, Parameter(help=say("option.channel"))], /, *, view: Lent) -> int:
    """Try a channel step by step: its settings, its server, its credentials."""
    result = ask_anyhow(view, "channels_test", seconds=TEST_SECONDS, name=name)
    tested = shaped(result, ChannelTest)
    if view.json:
        view.document(result)
    else:
        rows = [(_mark(step.ok), step.step, step.detail) for step in tested.steps]
        view.print(*table(rows))
        view.print(say("channels.well" if tested.ok else "channels.ill", name=name))
    return OK if tested.ok else ERROR


def _mark(ok: bool) -> str:
    return paint("✓", "green") if ok else paint("✗", "red")
