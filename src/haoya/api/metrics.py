# SPDX-License-Identifier: AGPL-3.0-or-later
"""`/metrics` in Prometheus' text format 0.0.4, written by hand."""

import os
import resource
import sys
from collections.abc import Iterable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

import haoya
from haoya.api.health import unready_reason
from haoya.api.tally import Tally
from haoya.api.window import Window, window_of

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STATES = ("opening", "open", "waiting", "parked")

Labels = tuple[tuple[str, str], ...]
Sample = tuple[Labels, float]


async def metrics(request: Request) -> Response:
    """How the house is, in numbers."""
    window = window_of(request)
    lines = [*_process(window), *_parts(window), *_counts(window.tally), *await _journal(window)]
    return Response("\n".join(lines) + "\n", media_type=CONTENT_TYPE)


def family(name: str, kind: str, about: str, samples: Iterable[Sample]) -> list[str]:
    r"""The lines of one metric.

    >>> family("haoya_up", "gauge", "Alive.", [((("part", 'a"b'),), 1)])
    ['# HELP haoya_up Alive.', '# TYPE haoya_up gauge', 'haoya_up{part="a\\"b"} 1']
    """
    lines = [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
        lines.append(f"{name}{{{shown}}} {value:.10g}" if shown else f"{name} {value:.10g}")
    return lines


def one(name: str, kind: str, about: str, value: float) -> list[str]:
    """The lines of a metric without labels."""
    return family(name, kind, about, [((), value)])


def _process(window: Window) -> list[str]:
    house = window.house
    dog = house.watchdog
    times = os.times()
    info: Labels = (("version", haoya.__version__),)
    ready = not unready_reason(house)
    up = house.clock() - house.started
    return [
        *family("haoya_up", "gauge", "Alive; the label tells the version.", [(info, 1)]),
        *one("haoya_ready", "gauge", "Whether messages can be taken.", ready),
        *one("haoya_uptime_seconds", "gauge", "Time since the start.", up),
        *one("haoya_resident_bytes", "gauge", "Memory in use.", resident_bytes()),
        *one("haoya_cpu_seconds_total", "counter", "Processor time.", times.user + times.system),
        *one("haoya_loop_lag_seconds", "gauge", "Lateness of the loop.", dog.late if dog else 0),
        *one(
            "haoya_loop_stall_max_seconds",
            "gauge",
            "Longest standstill of the event loop seen lately.",
            dog.worst if dog else 0,
        ),
        *one(
            "haoya_loop_stalls_total",
            "counter",
            "Times the event loop stood still.",
            dog.stalls if dog else 0,
        ),
        *one("haoya_sessions", "gauge", "Browsers signed in.", len(window.sessions.expiries)),
    ]


def _parts(window: Window) -> list[str]:
    health = window.house.board.health
    channels = {k.partition(".")[2]: h for k, h in health.items() if k.startswith("channels.")}
    states = [
        ((("part", key), ("state", state)), part.state == state)
        for key, part in health.items()
        for state in STATES
    ]
    now = window.house.clock()
    heard = [
        ((("channel", name),), now - part.last_heard)
        for name, part in channels.items()
        if part.last_heard
    ]
    opened = [((("part", key),), part.opened) for key, part in health.items()]
    findings = window.house.board.all_findings()
    by = [((("severity", s),), sum(f.severity == s for f in findings)) for s in _SEVERITIES]
    return [
        *family("haoya_part_state", "gauge", "1 for the state each part is in.", states),
        *family("haoya_part_opened_total", "counter", "Times a part was opened.", opened),
        *family("haoya_last_heard_seconds", "gauge", "Since a channel last gave a sign.", heard),
        *family("haoya_findings", "gauge", "What the owner should look at.", by),
    ]


_SEVERITIES = ("error", "warning", "info")


def _counts(tally: Tally) -> list[str]:
    events = [((("kind", kind),), count) for kind, count in sorted(tally.events.items())]
    tokens = [((("model", m), ("kind", k)), n) for (m, k), n in sorted(tally.tokens.items())]
    tools = [((("result", result),), tally.tools[result]) for result in ("ok", "failed")]
    count = tally.events
    return [
        *one("haoya_messages_received_total", "counter", "Heard.", count["received"]),
        *one("haoya_messages_refused_total", "counter", "Not let in.", count["refused"]),
        *one("haoya_messages_answered_total", "counter", "Turns with an answer.", tally.answers),
        *one("haoya_messages_failed_total", "counter", "Never delivered.", count["failed"]),
        *family("haoya_events_total", "counter", "Lines written to the journal.", events),
        *family("haoya_model_tokens_total", "counter", "Tokens as models count them.", tokens),
        *one("haoya_model_seconds_total", "counter", "Time models took.", tally.model_seconds),
        *family("haoya_tool_calls_total", "counter", "Tools that have run.", tools),
    ]


async def _journal(window: Window) -> list[str]:
    gateway = window.house.gateway
    conversations = window.house.conversations
    if gateway is None or conversations is None:
        return []
    figures = gateway.journal.figures()
    channels = sorted(window.house.connections)
    owed = [((("channel", c),), len(await gateway.journal.owed(c))) for c in channels]
    waiting = len(await gateway.journal.waiting())
    return [
        *one("haoya_journal_entries", "gauge", "Lines in the journal.", figures.lines),
        *one("haoya_journal_bytes", "gauge", "Size of the journal.", figures.bytes),
        *one("haoya_commit_seconds", "gauge", "Time of the last commit.", figures.commit_seconds),
        *one("haoya_journal_unreadable", "gauge", "Lines left out.", figures.unreadable),
        *family("haoya_owed", "gauge", "Messages not yet delivered.", owed),
        *one("haoya_waiting", "gauge", "Conversations that wait for an answer.", waiting),
        *one("haoya_questions", "gauge", "Open questions.", len(gateway.questions)),
        *one("haoya_turns_running", "gauge", "Conversations at work.", len(conversations.awake)),
        *one("haoya_turns_total", "counter", "Turns run.", conversations.turns),
    ]


def resident_bytes() -> int:
    """Memory in use: now on Linux (proc(5), statm), the peak elsewhere."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
