# SPDX-License-Identifier: AGPL-3.0-or-later
"""Kill the daemon over and over; then count, from the outside, what was lost or doubled.

    python bench/kill.py [--messages N] [--kills K] [--streams S] [--seed X] [--keep] [--json]

A real `haoya up` talks to a stand-in of Telegram and to one of a model server, which live on
while it is killed with SIGKILL and started again at once: at any moment of its life, and
within 30 ms after a message came in. Half of the messages make the model append a line to a file,
which would stand there twice if the call ran twice. Then the daemon is killed while answers
grow by edits. At the end every message must have its answer.

A network that takes no idempotency key and cannot be asked leaves one gap: between its accepting a
message and our writing that down. A kill in there is counted as `unknown`; the second sending
bears the mark ↻. Whatever else is there twice is a fault, and the exit status is 1.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import rig
from counting import Asked, Count, count, tags_of
from rig import Daemon, Json, Model, Telegram

PEOPLE = range(1001, 1009)
AFTER_INJECTION_SECONDS = 0.03
LIFE_SECONDS = 2.5
"""The longest life before a kill at any moment; a start takes about one second of it."""
TARGETED = 0.6
"""This part of the kills comes right after a message; the others at any moment."""
WORDS, CHUNK_SECONDS = 40, 0.15
"""A streamed answer: 20 chunks of two words, so about three seconds."""
STILL_SECONDS = 60.0
"""Without an answer for so long, what is not answered yet is lost."""


@dataclass
class Run:
    """One house under fire."""

    telegram: Telegram
    model: Model
    daemon: Daemon
    dice: random.Random
    asked: list[Asked] = field(default_factory=list[Asked])
    deaths: list[float] = field(default_factory=list[float])
    kills: int = 0
    targeted: int = 0
    stream_kills: int = 0

    def say(self, some: list[Asked]) -> None:
        """People write; Telegram has it from here on."""
        if some:
            self.telegram.say(*(asked.message for asked in some))
            self.asked += some

    def kill(self) -> None:
        self.daemon.kill()
        self.deaths.append(time.time())

    def strike(self, some: list[Asked]) -> None:
        """One life of the daemon, in which these messages come: start it, kill it."""
        began = time.monotonic()
        self.daemon.start()
        if self.dice.random() < TARGETED:
            self.targeted += 1
            half = self.dice.randint(0, len(some) - 1) if some else 0
            self.say(some[:half])
            rig.await_poll(self.telegram, self.daemon)
            self.say(some[half:])
            time.sleep(self.dice.uniform(0, AFTER_INJECTION_SECONDS))
        else:
            life = self.dice.uniform(0, LIFE_SECONDS)
            for asked in some:
                _sleep_until(began + self.dice.uniform(0, life))
                self.say([asked])
            _sleep_until(began + life)
        self.kill()
        self.kills += 1

    def strike_stream(self, some: list[Asked]) -> None:
        """One life in which answers grow by edits when the end comes."""
        self.daemon.start()
        rig.await_poll(self.telegram, self.daemon)
        self.say(some)
        time.sleep(self.dice.uniform(1.5, WORDS / 2 * CHUNK_SECONDS + 0.8))
        self.kill()
        self.stream_kills += 1

    def drain(self) -> list[Json]:
        """Let it live until all is answered or nothing comes any more; what the bot has said."""
        self.daemon.start()
        open_tags = {asked.tag for asked in self.asked}
        sent: list[Json] = []
        still = time.monotonic()
        while open_tags and time.monotonic() < still + STILL_SECONDS:
            fresh = self.telegram.sent(len(sent), wait=0.5)
            sent += fresh
            if not fresh:
                sent = self.telegram.sent()
            answered = {tag for said in sent for tag in tags_of(said)}
            if open_tags & answered:
                open_tags -= answered
                still = time.monotonic()
        rig.await_poll(self.telegram, self.daemon)
        time.sleep(0.5)
        return self.telegram.sent()


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def invent(count: int, dice: random.Random) -> list[Asked]:
    """Messages of several people, half of them for a tool."""
    some: list[Asked] = []
    for number in range(count):
        tag, chat, tool = f"#m{number:05}", dice.choice(PEOPLE), dice.random() < 0.5
        text = f"{tag} hello"
        if tool:
            call = {"path": f"kept/{chat}.txt", "text": f"{tag}\n", "mode": "append"}
            text = f"{tag} tool write_file {json.dumps(call)}"
        some.append(Asked(tag=tag, chat=chat, text=text, tool=tool))
    return some


def fire(run: Run, messages: int, kills: int, streams: int) -> list[Json]:
    """All lives and deaths, and the quiet afterwards; what the bot has said by then."""
    waiting = invent(messages, run.dice)
    for life in range(kills):
        run.strike(waiting[life * messages // kills : (life + 1) * messages // kills])
    run.model.control(chunk_delay=CHUNK_SECONDS, chunk_words=2)
    for life in range(streams):
        chats = run.dice.sample(PEOPLE, 4)
        tags = [f"#s{life:03}{index}" for index in range(len(chats))]
        texts = [f"{tag} long {WORDS}" for tag in tags]
        run.strike_stream(
            [
                Asked(tag=tag, chat=chat, text=text, stream=True)
                for tag, chat, text in zip(tags, chats, texts, strict=True)
            ]
        )
    run.model.control(reset=True)
    return run.drain()


def doctor(home: Path) -> list[str]:
    """Errors that `haoya doctor` finds with the daemon stopped."""
    asked = [str(rig.HAOYA), "doctor", "--home", str(home), "--json"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=120)
    findings = json.loads(said.stdout.splitlines()[-1] if said.stdout else "{}").get("findings")
    if findings is None:
        return [f"haoya doctor: exit status {said.returncode}: {said.stderr[-300:]}"]
    return [f"{f['id']}: {f['message']}" for f in findings if f["severity"] == "error"]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=600)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--streams", type=int, default=10, help="kills of growing answers")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", action="store_true", help="leave the home and the log")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.randrange(10**6)
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="haoya-kill-"))
    home = folder / "home"
    telegram, model = Telegram(), Model()
    daemon = Daemon(home)
    run = Run(telegram, model, daemon, random.Random(seed))
    try:
        rig.furnish(home, telegram, model, PEOPLE)
        sent = fire(run, given.messages, given.kills, given.streams)
        unconfirmed = telegram.control("stats")["waiting"]
        stop_seconds = daemon.stop()
    finally:
        if daemon.alive():
            daemon.kill()
        telegram.close()
        model.close()
    counted = count(run.asked, run.deaths, sent, home)
    more: Json = {
        "unconfirmed": unconfirmed,
        "doctor_errors": len(found := doctor(home)),
        "stop_seconds": round(stop_seconds, 2),
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
    }
    if given.keep:
        print(f"home and log are in {folder}")
    else:
        shutil.rmtree(folder)
    rows = rows_of(run, counted) | more
    bad = bool(counted.faults or found or unconfirmed)
    if bad:
        print("faults:", json.dumps(asdict(counted), indent=1), *found, sep="\n")
    rig.show("kill -9 at any moment", rows, as_json=given.json)
    return 1 if bad else 0


def rows_of(run: Run, counted: Count) -> Json:
    """What was done and what came of it, for the table."""
    plain = sum(not asked.stream for asked in run.asked)
    return {
        "messages": plain,
        "kills": run.kills,
        "kills_after_a_message": run.targeted,
        "tool_messages": sum(asked.tool for asked in run.asked),
        "lost": len(counted.lost),
        "doubled_effects": len(counted.doubled_effects),
        "lost_effects": len(counted.lost_effects),
        "doubled_replies": sum(counted.doubled_replies.values()),
        "doubled_unmarked": len(counted.doubled_unmarked),
        "unknown": counted.unknown,
        "unexplained": counted.unexplained,
        "marked": counted.marked,
        "tool_unknown": counted.tool_unknown,
        "out_of_order": counted.out_of_order,
        "stream_messages": counted.streamed,
        "stream_kills": run.stream_kills,
        "stream_doubled": len(counted.stream_doubled),
        "stream_orphan_drafts": counted.orphan_drafts,
        "journal_faults": len(counted.journal),
    }


if __name__ == "__main__":
    sys.exit(main())
