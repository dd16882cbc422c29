# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya queue`: who uses this machine's models, who waits, and what each has used today."""

from haoya.cli.answers import LaneState, Queue, Used
from haoya.cli.house import ask, shaped
from haoya.cli.lent import Lent
from haoya.cli.view import OK, clock, paint, table
from haoya.cli.words import say


def queue(*, view: Lent) -> int:
    """Show the lanes of this machine's models, the people in them, and their budgets."""
    result = ask(view, "queue")
    if view.json:
        view.document(result)
        return OK
    shown = shaped(result, Queue)
    view.print(*table([_lane(lane) for lane in shown.lanes]) or [say("queue.none")])
    people = [
        (x.person or "—", x.urgency, say("queue.counts", running=x.running, waiting=x.waiting))
        for x in shown.people
    ]
    if people:
        view.print("", say("queue.people"), *table(people))
    if shown.budgets:
        view.print("", say("queue.budgets"), *table([_used(use) for use in shown.budgets]))
    return OK


def _lane(lane: LaneState) -> tuple[str, ...]:
    counts = say("queue.counts", running=f"{lane.running}/{lane.seats}", waiting=lane.waiting)
    behind = say("queue.background", running=lane.background, waiting=lane.background_waiting)
    return (paint(lane.name, "bold"), counts, behind, say("queue.frozen") if lane.frozen else "")


def _used(use: Used) -> tuple[str, ...]:
    limit = "" if use.limit is None else f" / {use.limit:,}"
    colour = "red" if use.spent else "dim"
    again = say("queue.refilled", time=clock(use.refilled)) if use.limit is not None else ""
    span = say("queue.hour") if use.span == "hour" else say("queue.day")
    return (use.person or "—", span, paint(f"{use.used:,}{limit}", colour), again)
