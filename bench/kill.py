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
import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import rig
from haoya.core.event import (
    Delivered,
    Entry,
    Held,
    Received,
    Said,
    Sending,
    ToolAsked,
    ToolReturned,
    kind_of,
)
from haoya.core.message import text_of
from haoya.journal import open_journal
from haoya.runtime.outbox import MARK
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
KINDS = frozenset(map(kind_of, (Received, Said, Sending, Held, Delivered, ToolAsked, ToolReturned)))


@dataclass
class Asked:
    """What somebody wrote: its tag comes back in the answer, and stands in the file of a tool."""

    tag: str
    chat: int
    text: str
    tool: bool = False
    stream: bool = False

    @property
    def message(self) -> Json:
        return {"person": rig.person(self.chat), "text": self.text}


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


def tags_of(said: Json) -> list[str]:
    """The tags in a message of the bot, as it stands now."""
    words = said["message"].get("text", "").split()
    return [word for word in words if word.startswith("#")]


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


async def journal_of(home: Path) -> tuple[list[Entry], list[str]]:
    """What the journal holds about all this, and what is wrong with it."""
    async with open_journal(home, read_only=True) as journal:
        entries = await journal.recent(KINDS, limit=10**9)
        return entries[::-1], await journal.check()


@dataclass
class Count:
    """What came of it."""

    lost: list[str]
    doubled_replies: dict[str, int]
    doubled_unmarked: list[str]
    doubled_effects: list[str]
    lost_effects: list[str]
    out_of_order: int
    streamed: int
    stream_doubled: list[str]
    orphan_drafts: int
    unknown: int
    unexplained: int
    marked: int
    tool_unknown: int
    journal: list[str]

    @property
    def faults(self) -> int:
        lists = (
            self.lost,
            self.doubled_unmarked,
            self.doubled_effects,
            self.lost_effects,
            self.stream_doubled,
            self.journal,
        )
        return sum(map(len, lists)) + self.unexplained + self.out_of_order


def count(run: Run, sent: list[Json], home: Path) -> Count:
    """Look at the network, the files and the journal."""
    entries, wrong = asyncio.run(journal_of(home))
    replies: dict[str, list[Json]] = {asked.tag: [] for asked in run.asked}
    untagged = [said for said in sent if not any(tag in replies for tag in tags_of(said))]
    for said in sent:
        for tag in tags_of(said):
            replies[tag].append(said)
    kept = (home / "workspace" / "kept").glob("*.txt")
    effects = Counter(line for file in kept for line in file.read_text().splitlines())
    repeats, unexplained = repeated(entries, run.deaths)
    plain = [asked for asked in run.asked if not asked.stream]
    streamed = [asked for asked in run.asked if asked.stream]
    unsure = unknown_calls(entries)
    return Count(
        lost=[asked.tag for asked in run.asked if not replies[asked.tag]],
        doubled_replies={t: len(r) - 1 for t, r in replies.items() if len(r) > 1},
        doubled_unmarked=[
            asked.tag for asked in plain if excess(replies[asked.tag], repeats[asked.tag])
        ],
        doubled_effects=[tag for tag, times in effects.items() if times > 1],
        lost_effects=[
            asked.tag
            for asked in plain
            if asked.tool and not effects[asked.tag] and asked.tag not in unsure
        ],
        out_of_order=disorder(run.asked, replies),
        streamed=len(streamed),
        stream_doubled=[
            asked.tag for asked in streamed if excess(replies[asked.tag], repeats[asked.tag])
        ],
        orphan_drafts=len(untagged),
        unknown=sum(repeats.values()),
        unexplained=unexplained,
        marked=sum(isinstance(e.event, Delivered) and e.event.marked for e in entries),
        tool_unknown=len(unsure),
        journal=wrong,
    )


def excess(replies: list[Json], repeats: int) -> int:
    """Replies beyond the first that no gap explains: without the mark, or more than were sent."""
    unmarked = sum(not said["message"]["text"].endswith(MARK) for said in replies)
    return max(0, unmarked - 1) + max(0, len(replies) - 1 - repeats)


def repeated(entries: list[Entry], deaths: list[float]) -> tuple[Counter[str], int]:
    """By tag, how often a piece was sent again because nobody knew whether it had arrived: a
    `Sending` that follows a `Sending` with nothing about its fate in between. And how many of
    these no death of the daemon explains."""
    tags: dict[int, str] = {}
    on_its_way: dict[tuple[int, int], float] = {}
    times: Counter[str] = Counter()
    unexplained = 0
    for entry in entries:
        match entry.event:
            case Said(outbound=outbound):
                words = text_of(outbound.parts).split()
                tags[entry.number] = next((w for w in words if w.startswith("#")), "")
            case Sending(of=of, piece=piece):
                if before := on_its_way.get((of, piece)):
                    times[tags[of]] += 1
                    unexplained += not any(before <= death <= entry.at for death in deaths)
                on_its_way[of, piece] = entry.at
            case Delivered(of=of, piece=piece) | Held(of=of, piece=piece):
                on_its_way.pop((of, piece), None)
            case _:
                pass
    return times, unexplained


def unknown_calls(entries: list[Entry]) -> set[str]:
    """Tags of the calls of which nobody knows whether they took effect."""
    calls: dict[str, str] = {}
    unsure: set[str] = set()
    for entry in entries:
        match entry.event:
            case ToolAsked(call=call):
                calls[call.id] = json.loads(call.arguments)["text"].strip()
            case ToolReturned(known=False, call=id):
                unsure.add(calls[id])
            case _:
                pass
    return unsure


def disorder(asked: list[Asked], replies: dict[str, list[Json]]) -> int:
    """How many first answers came before the answer to an earlier message of the same chat."""
    wrong = 0
    newest: dict[int, int] = {}
    for one in asked:
        if replies[one.tag]:
            first = min(said["message"]["message_id"] for said in replies[one.tag])
            wrong += first < newest.get(one.chat, 0)
            newest[one.chat] = max(first, newest.get(one.chat, 0))
    return wrong


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
    counted = count(run, sent, home)
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
