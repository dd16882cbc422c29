# SPDX-License-Identifier: AGPL-3.0-or-later
"""What haoya itself costs per message, with a model that takes no time.

    python bench/message.py [--messages 300] [--growth 5000] [--json]

A real `haoya up` talks to stand-ins of Telegram and of a model server, each in a process of its
own. Time is taken inside the stand-in of Telegram: from the moment an update is there to the
moment the bot's answer is accepted. CPU and memory are the daemon's alone, as the kernel counts
them. Then the same stand-ins are driven by a bare loop without any journal (bench/bare.py), so
that a slow machine or a busy moment shows.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rig
from haoya.core.event import ModelAnswered, ModelAsked, kind_of
from haoya.journal import open_journal
from rig import Daemon, Model, Telegram

PEOPLE = list(range(2001, 2051))
FEW = PEOPLE[:8]
IDLE_SECONDS = 3.0
STARTS = 3

Rows = dict[str, object]


def cold_start(telegram: Telegram, daemon: Daemon) -> float:
    """Seconds from starting the process to the first answer, its question waiting already."""
    before = len(telegram.sent())
    telegram.say({"person": rig.person(PEOPLE[-1]), "text": "are you there?"})
    began = daemon.start()
    sent = telegram.sent(before, wait=rig.START_SECONDS)
    if not sent:
        raise rig.Trouble(f"no answer within {rig.START_SECONDS} s; see {daemon.output}")
    return sent[0]["at"] - began


async def prompt_of_hi(home: Path) -> tuple[int, int]:
    """The prompt of the first message, as the model server counts it and as haoya estimates."""
    kinds = frozenset({kind_of(ModelAsked), kind_of(ModelAnswered)})
    async with open_journal(home, read_only=True) as journal:
        events = [entry.event for entry in await journal.read(f"tg//{PEOPLE[0]}", kinds=kinds)]
    estimates = [event.prompt_tokens for event in events if isinstance(event, ModelAsked)]
    counts = [event.usage.prompt for event in events if isinstance(event, ModelAnswered)]
    return counts[0], estimates[0]


def drive(telegram: Telegram, pid: int, **wish: object) -> dict[str, float]:
    """Send messages and have them answered; times, the process's CPU and the stand-in's."""
    messages = int(str(wish["messages"]))
    cpu, own = rig.cpu_seconds(pid), rig.cpu_seconds(telegram.pid)
    result = telegram.control("drive", **wish)
    time.sleep(0.2)
    used, driver = rig.cpu_seconds(pid) - cpu, rig.cpu_seconds(telegram.pid) - own
    return {
        "p50_ms": statistics.median(result["ms"]),
        "p99_ms": rig.share(result["ms"], 0.99),
        "per_s": messages / result["seconds"],
        "cpu_ms": used * 1000 / messages,
        "driver_max_per_s": messages / max(driver, 0.01),
    }


def measure(home: Path, messages: int, growth: int) -> Rows:
    """The daemon's figures."""
    telegram, model = Telegram("people"), Model()
    daemon = Daemon(home)
    try:
        rig.furnish(home, telegram, model, PEOPLE)
        first = cold_start(telegram, daemon)
        daemon.stop()
        starts = [first]
        for _ in range(STARTS - 1):
            starts.append(cold_start(telegram, daemon))
            daemon.stop()
        daemon.start()
        rig.await_poll(telegram, daemon)
        time.sleep(IDLE_SECONDS)
        idle = rig.rss_mb(daemon.pid)
        drive(telegram, daemon.pid, people=PEOPLE[:1], messages=1, text="hi")
        drive(telegram, daemon.pid, people=PEOPLE, messages=100, at_once=4)
        warm = rig.rss_mb(daemon.pid)
        alone = drive(telegram, daemon.pid, people=FEW, messages=messages)
        spaced = drive(telegram, daemon.pid, people=FEW, messages=min(messages, 100), rest=0.03)
        chat = drive(telegram, daemon.pid, people=PEOPLE[9:10], messages=messages)
        crowd = drive(telegram, daemon.pid, people=PEOPLE, messages=messages * 3, at_once=50)
        mid = rig.rss_mb(daemon.pid)
        sofar = 2 * messages + min(messages, 100) + messages * 3 + 101
        rest = max(1, growth - sofar)
        long = drive(telegram, daemon.pid, people=PEOPLE, messages=rest, at_once=50)
        grown = rig.rss_mb(daemon.pid)
        stop = daemon.stop()
        counted, estimated = asyncio.run(prompt_of_hi(home))
        bare = baseline(telegram, model, messages)
    finally:
        if daemon.alive():
            daemon.kill()
        telegram.close()
        model.close()
    return {
        "p50_ms": alone["p50_ms"],
        "p99_ms": alone["p99_ms"],
        "cpu_ms": alone["cpu_ms"],
        "per_s": crowd["per_s"],
        "idle_rss_mb": idle,
        "growth_mb": grown - idle,
        "cold_start_s": statistics.median(starts),
        "prompt_tokens": max(counted, estimated),
        "prompt_tokens_counted": counted,
        "prompt_tokens_estimated": estimated,
        "p50_spaced_ms": spaced["p50_ms"],
        "p99_spaced_ms": spaced["p99_ms"],
        "p50_one_chat_ms": chat["p50_ms"],
        "p99_one_chat_ms": chat["p99_ms"],
        "cpu_one_chat_ms": chat["cpu_ms"],
        "p50_crowd_ms": crowd["p50_ms"],
        "p99_crowd_ms": crowd["p99_ms"],
        "cpu_crowd_ms": crowd["cpu_ms"],
        "driver_max_per_s": crowd["driver_max_per_s"],
        "per_s_long": long["per_s"],
        "cpu_long_ms": long["cpu_ms"],
        "growth_messages": sofar + rest,
        "rss_mb": [round(mb, 1) for mb in (idle, warm, mid, grown)],
        "cold_starts_s": [round(seconds, 3) for seconds in starts],
        "stop_s": stop,
        **bare,
        "ratio": alone["p50_ms"] / float(str(bare["baseline_p50_ms"])),
        "cpu_ratio": alone["cpu_ms"] / float(str(bare["baseline_cpu_ms"])),
    }


def baseline(telegram: Telegram, model: Model, messages: int) -> Rows:
    """The same messages, answered by the bare loop."""
    command = [sys.executable, str(rig.ROOT / "bench" / "bare.py")]
    process = subprocess.Popen([*command, str(telegram.port), str(model.port), rig.TOKEN])
    try:
        drive(telegram, process.pid, people=FEW, messages=20)
        alone = drive(telegram, process.pid, people=FEW, messages=messages)
        crowd = drive(telegram, process.pid, people=PEOPLE, messages=messages * 3, at_once=50)
    finally:
        process.kill()
        process.wait()
    return {
        "baseline_p50_ms": alone["p50_ms"],
        "baseline_p99_ms": alone["p99_ms"],
        "baseline_cpu_ms": alone["cpu_ms"],
        "baseline_per_s": crowd["per_s"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=300)
    parser.add_argument("--growth", type=int, default=5000, help="messages until memory is read")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="haoya-message-"))
    load = os.getloadavg()[0]
    try:
        rows = measure(folder / "home", given.messages, given.growth)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows |= {"load_before": load, "cores": os.cpu_count() or 0}
    rounded = {
        name: round(value, 3) if isinstance(value, float) else value for name, value in rows.items()
    }
    rig.show("what haoya costs per message", rounded, as_json=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
