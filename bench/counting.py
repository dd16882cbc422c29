# SPDX-License-Identifier: AGPL-3.0-or-later
"""After the kills: what was lost, doubled or left unknown, from what can be seen.

The network knows what the bot said, the files of the workspace what its tools did, the journal what
the house believed at each moment.
"""

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
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
from rig import Json

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


def tags_of(said: Json) -> list[str]:
    """The tags in a message of the bot, as it stands now."""
    words = said["message"].get("text", "").split()
    return [word for word in words if word.startswith("#")]


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


def count(asked_all: list[Asked], deaths: list[float], sent: list[Json], home: Path) -> Count:
    """Look at the network, the files and the journal."""
    entries, wrong = asyncio.run(journal_of(home))
    replies: dict[str, list[Json]] = {asked.tag: [] for asked in asked_all}
    untagged = [said for said in sent if not any(tag in replies for tag in tags_of(said))]
    for said in sent:
        for tag in tags_of(said):
            replies[tag].append(said)
    kept = (home / "workspace" / "kept").glob("*.txt")
    effects = Counter(line for file in kept for line in file.read_text().splitlines())
    repeats, unexplained = repeated(entries, deaths)
    plain = [asked for asked in asked_all if not asked.stream]
    streamed = [asked for asked in asked_all if asked.stream]
    unsure = unknown_calls(entries)
    return Count(
        lost=[asked.tag for asked in asked_all if not replies[asked.tag]],
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
        out_of_order=disorder(asked_all, replies),
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
