# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya ask`: one question, one answer, made for pipes."""

import sys
import time
from typing import Annotated

from cyclopts import Parameter

from haoya.cli.answers import Why
from haoya.cli.client import reach
from haoya.cli.growing import Growing
from haoya.cli.house import leave_not_running, shaped
from haoya.cli.lent import Lent
from haoya.cli.talk import DOOR, PIECE_SECONDS, Talk, in_pieces, words_of
from haoya.cli.view import ERROR, OK, View
from haoya.cli.words import say
from haoya.core.errors import ConfigError, Unready
from haoya.core.message import Outbound


def ask(
    *question: Annotated[str, Parameter(help=say("option.question"))],
    room: Annotated[str, Parameter(help=say("option.room"))] = "main",
    timeout: Annotated[float, Parameter(help=say("option.timeout"))] = 300.0,
    view: Lent,
) -> int:
    """Ask the agent and print its answer; what comes on standard input is asked along."""
    talk = Talk(view.home, room)
    if not talk.connect():
        leave_not_running(view)
    text = _text(" ".join(question))
    asked = time.monotonic()
    id = talk.say(text)
    try:
        answer = _await(talk, id, asked + timeout, view)
    except Unready:
        stored = id not in talk.unstored
        view.complain(
            say("ask.gone.stored" if stored else "ask.gone.lost"),
            say("ask.gone.cure", id=f"{DOOR}:{id}") if stored else say("down.cure"),
            kind="gone",
        )
        return ERROR
    finally:
        talk.close()
    if answer is None:
        view.complain(say("ask.late", seconds=round(timeout)), _reason(view, id), kind="late")
        return ERROR
    if view.json:
        seconds = round(time.monotonic() - asked, 3)
        view.document({"id": id, "answer": answer, "seconds": seconds})
    return OK


def _text(question: str) -> str:
    """The question and what was piped in, the latter below the former."""
    piped = "" if sys.stdin is None or sys.stdin.isatty() else sys.stdin.read()
    text = "\n\n".join(part for part in (question.strip(), piped.strip()) if part)
    if not text:
        raise ConfigError(say("ask.empty"), cure='haoya ask "…"')
    return text


def _await(talk: Talk, id: str, deadline: float, view: View) -> str | None:
    """The whole answer, printed as it grows where a person watches; None where it is late."""
    growing = Growing(sys.stdout)
    streams = sys.stdout.isatty() and not view.json
    pieces: list[str] = []
    while True:
        left = deadline - time.monotonic()
        outbound = talk.hear(min(left, PIECE_SECONDS) if pieces else left)
        if outbound is None:
            break
        if outbound.finality == "draft":
            if streams and not pieces:
                growing.grow(words_of(outbound))
        elif id in outbound.answers:
            pieces.append(words_of(outbound))
            if not view.json:
                growing.finish(pieces[-1])
            if not in_pieces(outbound):
                break
        elif not outbound.answers:
            _notice(outbound, growing)
    return "\n".join(pieces) if pieces else None


def _notice(outbound: Outbound, growing: Growing) -> None:
    """What the house itself says meanwhile (a question for the owner) is not the answer."""
    growing.interrupt()
    print(words_of(outbound), file=sys.stderr, flush=True)


def _reason(view: View, id: str) -> str:
    """What the journal knows of a message that has no answer yet."""
    try:
        if client := reach(view.home):
            with client:
                return shaped(client.call("why", {"message": f"{DOOR}:{id}"}, 5), Why).summary
    except (ConfigError, Unready):
        pass
    return f"haoya why {DOOR}:{id}"
