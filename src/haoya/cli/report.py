# SPDX-License-Identifier: AGPL-3.0-or-later
"""The daemon as it is now, for people and for monitors; imports no parser of arguments."""

from haoya.cli.answers import ChannelState, Finding, ModelState, Status
from haoya.cli.house import ask, shaped
from haoya.cli.view import OK, Colour, View, ago, clock, duration, paint, table
from haoya.cli.wall import guarded
from haoya.cli.words import say
from haoya.runtime.home import home_folder

STATES: dict[str, Colour] = {
    "open": "green",
    "ok": "green",
    "opening": "yellow",
    "waiting": "yellow",
    "degraded": "yellow",
    "parked": "red",
}
SEVERITIES: dict[str, Colour] = {"error": "red", "warning": "yellow", "info": "dim"}


def report(view: View) -> int:
    """Show how the daemon, its channels and its models are."""
    result = ask(view, "status", seconds=10)
    if view.json:
        view.document(result)
    else:
        view.print(*_lines(shaped(result, Status)))
    return OK


def bare(*, json: bool) -> int:
    """`haoya status` in the home of the environment, as `haoya.cli.main` calls it."""
    view = View(home=home_folder(None), json=json)
    return guarded(view, lambda: report(view))


def state(name: str) -> str:
    """The word for a state, coloured by how good it is."""
    colour = STATES.get(name)
    word = say(f"state.{name}") if name in STATES else name
    return paint(word, colour) if colour else word


def findings(found: list[Finding]) -> list[str]:
    """Findings as lines, each followed by its cure."""
    lines: list[str] = []
    for one in found:
        mark = paint(say(f"severity.{one.severity}"), SEVERITIES[one.severity])
        where = f"[{one.section}] " if one.section else ""
        lines.append(f"  {mark}  {where}{one.message}")
        if one.cure:
            lines.append(f"      → {one.cure}")
    return lines


def _lines(now: Status) -> list[str]:
    about = [
        f"haoya {now.version}",
        state(now.state),
        say("status.up", t=duration(now.uptime_seconds)),
    ]
    if now.api and now.api.url:
        about.append(now.api.url)
    about.append(f"{now.rss_mb:.0f} MB")
    lines = [" · ".join(about)]
    if now.storage.state not in ("open", "ok"):
        lines.append(
            say("status.storage", state=state(now.storage.state), reason=now.storage.reason)
        )
    if now.channels:
        lines += [
            paint(say("status.channels"), "bold"),
            *table([_channel(one) for one in now.channels]),
        ]
    if now.models:
        rows = [_model(one) for one in now.models]
        lines += [paint(say("status.models"), "bold"), *table(rows)]
    if now.findings:
        lines += [paint(say("status.findings"), "bold"), *findings(now.findings)]
    lines.append(
        say("status.counts", conversations=now.conversations, lines=now.lines, owed=now.owed)
    )
    if now.waiting:
        lines.append(say("status.waiting", count=now.waiting))
    if now.asks:
        lines.append(say("status.asks", count=now.asks))
    return lines


def _model(one: ModelState) -> tuple[str, ...]:
    notes = [one.reason] if one.reason else []
    if one.rests_until < 0:
        notes.append(say("status.refused"))
    elif one.rests_until:
        notes.append(say("status.rests", at=clock(one.rests_until), trouble=one.trouble))
    if one.spent_month:
        notes.append(say("status.spent", sum=f"{one.spent_month:.2f}"))
    return one.name, one.model or one.use, state(one.state), " · ".join(notes)


def _channel(one: ChannelState) -> tuple[str, ...]:
    notes = [one.reason] if one.reason else []
    if one.last_heard:
        notes.append(say("status.heard", ago=ago(one.last_heard)))
    if one.owed:
        notes.append(say("status.owed", count=one.owed))
    return one.name, one.use, state(one.state), " · ".join(notes)
