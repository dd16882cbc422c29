# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya runs`, `why`, `replay`: what happened, read from the journal."""

from typing import Annotated

from cyclopts import Parameter

from haoya.cli.answers import Replayed, Run, Why
from haoya.cli.house import ask, ask_anyhow, shaped
from haoya.cli.lent import Lent
from haoya.cli.view import OK, clock, duration, paint, table
from haoya.cli.words import say

SHOWN = 40
"""Characters of a question or an answer in a list."""


def list_runs(
    *, limit: Annotated[int, Parameter(help=say("option.limit"))] = 20, view: Lent
) -> int:
    """Show the last turns, the newest first."""
    result = ask_anyhow(view, "runs_list", limit=limit)
    if view.json:
        view.document(result)
        return OK
    rows = [
        (
            paint(str(x.turn), "bold"),
            clock(x.at),
            x.state,
            duration(x.seconds),
            _short(x.asked),
            _short(x.answer),
        )
        for x in shaped(result, list[Run])
    ]
    view.print(*table(rows) or [say("runs.none")])
    return OK


def show(turn: Annotated[int, Parameter(help=say("option.turn"))], /, *, view: Lent) -> int:
    """Show one turn line by line."""
    result = ask_anyhow(view, "runs_show", turn=turn)
    if view.json:
        view.document(result)
        return OK
    run = shaped(result, Run)
    view.print(f"{run.conversation} · {run.state} · {run.model} · {duration(run.seconds)}")
    view.print(
        *table([(str(x.number), clock(x.at), x.event, _flat(x.detail)) for x in run.entries])
    )
    return OK


def why(
    message: Annotated[str, Parameter(help=say("option.message"))],
    /,
    *,
    show_masked: Annotated[bool, Parameter(negative="", help=say("option.masked"))] = False,
    view: Lent,
) -> int:
    """Tell what happened to a message."""
    wish = {"show_masked": True} if show_masked else {}
    result = ask_anyhow(view, "why", message=message, **wish)
    if view.json:
        view.document(result)
        return OK
    story = shaped(result, Why)
    view.print(paint(story.summary or story.state, "bold"))
    view.print(*table([(clock(x.at), x.what, _flat(x.detail)) for x in story.steps]))
    if story.masked:
        view.print("", say("why.masked"))
        view.print(*table([(pair.placeholder, pair.value) for pair in story.masked]))
    elif story.masked is not None:
        view.print("", say("why.unmasked"))
    if story.cure:
        view.print(f"→ {story.cure}")
    return OK


def replay(message: Annotated[str, Parameter(help=say("option.message"))], /, *, view: Lent) -> int:
    """Have a message answered once more."""
    result = ask(view, "replay", message=message)
    if view.json:
        view.document(result)
    else:
        view.print(say("replay.done", number=shaped(result, Replayed).number))
    return OK


def _flat(text: str) -> str:
    return " ".join(text.split())


def _short(text: str) -> str:
    flat = _flat(text)
    return flat if len(flat) <= SHOWN else flat[: SHOWN - 1] + "…"
