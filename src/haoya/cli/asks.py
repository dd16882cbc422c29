# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya asks`: what the agent wants to do and may not without the owner's word."""

from typing import Annotated, Literal

from cyclopts import Parameter

from haoya.cli.answers import Ask
from haoya.cli.house import ask, shaped
from haoya.cli.lent import Lent
from haoya.cli.view import OK, clock, paint
from haoya.cli.words import say
from haoya.core.errors import ConfigError


def asks(
    answer: Annotated[
        Literal["list", "yes", "no", "always"], Parameter(help=say("option.answer"))
    ] = "list",
    number: Annotated[int | None, Parameter(help=say("option.number"))] = None,
    /,
    *,
    view: Lent,
) -> int:
    """List the open questions, or answer one."""
    if answer == "list":
        result = ask(view, "asks")
        if view.json:
            view.document(result)
        else:
            view.print(*_lines(shaped(result, list[Ask])) or [say("asks.none")])
        return OK
    if number is None:
        raise ConfigError(say("asks.which"), cure=f"haoya asks {answer} N")
    always = answer == "always"
    result = ask(view, "decide", number=number, yes=answer != "no", always=always)
    if view.json:
        view.document(result)
    else:
        agreed = say("asks.always", number=number) if always else say("asks.yes", number=number)
        view.print(say("asks.no", number=number) if answer == "no" else agreed)
    return OK


def _lines(questions: list[Ask]) -> list[str]:
    lines: list[str] = []
    for one in questions:
        until = say("until", time=clock(one.expires))
        lines.append(f"{paint(str(one.number), 'bold')}  {one.tool} · {one.conversation} · {until}")
        lines += [f"   {line}" for line in one.question.splitlines()]
    if lines:
        lines.append(say("asks.next", number=questions[0].number))
    return lines
