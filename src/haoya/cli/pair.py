# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya pair`: who may speak."""

from typing import Annotated

from cyclopts import Parameter

from haoya.cli.answers import Pairs, Person
from haoya.cli.house import ask, ask_anyhow, shaped
from haoya.cli.lent import Lent
from haoya.cli.view import OK, clock, paint, table
from haoya.cli.words import say


def list_people(*, view: Lent) -> int:
    """Show who waits with a code and who is let in."""
    result = ask_anyhow(view, "pair_list")
    if view.json:
        view.document(result)
        return OK
    pairs = shaped(result, Pairs)
    if pairs.waiting:
        rows = [
            (paint(one.code, "bold"), one.name, one.person, say("until", time=clock(one.expires)))
            for one in pairs.waiting
        ]
        view.print(say("pair.waiting"), *table(rows), say("pair.next"))
    if pairs.people:
        rows = [(one.name, one.role, one.person, clock(one.at)) for one in pairs.people]
        view.print(say("pair.people"), *table(rows))
    if not pairs.waiting and not pairs.people:
        view.print(say("pair.nobody"))
    return OK


def approve(
    code: Annotated[str, Parameter(help=say("option.code"))],
    /,
    *,
    owner: Annotated[bool, Parameter(negative="", help=say("option.owner"))] = False,
    view: Lent,
) -> int:
    """Let in the person who holds a code."""
    result = ask_anyhow(view, "pair_approve", code=code, role="owner" if owner else "member")
    if view.json:
        view.document(result)
    else:
        one = shaped(result, Person)
        role = say("role.owner") if one.role == "owner" else say("role.member")
        view.print(say("pair.approved", name=one.name or one.person, role=role))
    return OK


def remove(person: Annotated[str, Parameter(help=say("option.person"))], /, *, view: Lent) -> int:
    """Send a person away again."""
    result = ask(view, "pair_remove", person=person)
    if view.json:
        view.document(result)
    else:
        view.print(say("pair.removed", person=person))
    return OK
