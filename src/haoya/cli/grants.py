# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya grants`: what the agent may do again without asking, because the owner said `always`."""

from typing import Annotated, Literal

from cyclopts import Parameter

from haoya.cli.answers import Leave
from haoya.cli.house import ask, ask_anyhow, shaped
from haoya.cli.lent import Lent
from haoya.cli.view import OK, clock, paint
from haoya.cli.words import say
from haoya.core.errors import ConfigError


def grants(
    action: Annotated[Literal["list", "revoke"], Parameter(help=say("option.grants"))] = "list",
    number: Annotated[int | None, Parameter(help=say("option.grant"))] = None,
    /,
    *,
    view: Lent,
) -> int:
    """List the standing leaves, or take one back."""
    if action == "list":
        result = ask_anyhow(view, "grants_list")
        if view.json:
            view.document(result)
        else:
            view.print(*_lines(shaped(result, list[Leave])) or [say("grants.none")])
        return OK
    if number is None:
        raise ConfigError(say("grants.which"), cure="haoya grants revoke N")
    result = ask(view, "grants_revoke", number=number)
    if view.json:
        view.document(result)
    else:
        view.print(say("grants.revoked", number=number, tool=shaped(result, Leave).tool))
    return OK


def _lines(leaves: list[Leave]) -> list[str]:
    lines: list[str] = []
    for one in leaves:
        until = say("until", time=clock(one.expires)) if one.expires else say("grants.ever")
        used = say("grants.used", used=one.used, limit=one.limit) if one.limit else ""
        facts = [one.tool, one.person, one.conversation, until, used]
        lines.append(f"{paint(str(one.number), 'bold')}  {' · '.join(x for x in facts if x)}")
        lines += [f"   {name}: {value}" for name, value in one.arguments.items()]
    if lines:
        lines.append(say("grants.next", number=leaves[0].number))
    return lines
