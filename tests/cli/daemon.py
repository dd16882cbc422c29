# SPDX-License-Identifier: AGPL-3.0-or-later
"""A daemon small enough to kill: the real local channel, a file for a journal, and an agent that
repeats what it is told. Usage: `python daemon.py HOME`; prints one line when its door is open.

What is said decides what it does: `die` ends the process the hard way once the message is
stored, `wait` is answered when the file `go` stands in the home, `pieces` in two pieces, `may I`
only after the house asked a question and somebody said `yes`; everything else comes back after
a few drafts.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx2

from haoya.channels.local import LocalConnection, LocalSettings, open_local
from haoya.core.errors import ConfigError
from haoya.core.message import Blob, Button, Outbound, Part, Text, text_of
from haoya.core.plugin import Context

NOW = 1_790_000_000.0
FINDING = {
    "id": "model-silent",
    "severity": "warning",
    "section": "models.main",
    "message": "the model server does not answer",
    "cure": "start it",
}
ANSWERS: dict[str, Any] = {
    "status": {
        "version": "0.1.0",
        "pid": 1,
        "home": "/h",
        "uptime_seconds": 3700,
        "state": "degraded",
        "storage": {"state": "open", "reason": ""},
        "channels": [
            {"name": "tg", "use": "telegram", "state": "open", "last_heard": NOW},
            {"name": "频道", "use": "irc", "state": "waiting", "reason": "refused", "owed": 2},
        ],
        "models": [{"name": "main", "use": "openai", "model": "qwen", "state": "open"}],
        "findings": [FINDING],
        "conversations": 3,
        "lines": 99,
        "owed": 2,
        "waiting": 1,
        "asks": 1,
        "api": {"url": "http://127.0.0.1:8642"},
        "rss_mb": 61.5,
        "a_field_of_tomorrow": True,
    },
    "pair_list": {
        "waiting": [{"code": "AB12CD", "person": "tg:7", "name": "小明", "expires": NOW}],
        "people": [{"person": "tg:1", "name": "Ann", "role": "owner", "by": "setup", "at": NOW}],
    },
    "asks": [
        {
            "number": 4,
            "conversation": "tg//7",
            "tool": "write_file",
            "question": "write a.txt?",
            "expires": NOW,
        }
    ],
    "channels_list": [{"name": "tg", "use": "telegram", "state": "open", "capabilities": {}}],
    "queue": {
        "lanes": [{"name": "main", "seats": 4, "running": 2, "waiting": 3, "frozen": True}],
        "people": [{"person": "tg:7", "urgency": "chat", "running": 1, "waiting": 3}],
        "budgets": [
            {"person": "tg:7", "span": "day", "used": 1200, "limit": 1000, "refilled": NOW},
            {"person": "tg:1", "span": "hour", "used": 5, "limit": None, "refilled": NOW},
        ],
    },
    "runs_list": [
        {
            "turn": 9,
            "conversation": "tg//7",
            "at": NOW,
            "asked": "hi\nthere " * 20,
            "answer": "hello",
            "state": "answered",
            "tools": ["clock"],
            "seconds": 1.5,
        }
    ],
    "why": {
        "message": 9,
        "state": "waiting",
        "summary": "it waits for the model",
        "steps": [{"at": NOW, "what": "received", "detail": ""}],
        "cure": "start the model server",
    },
    "replay": {"number": 12},
    "doctor": {"findings": [FINDING]},
    "link": {"url": "http://127.0.0.1:8642/?code=once"},
    "stop": {},
}


async def verbs(verb: str, arguments: Mapping[str, Any]) -> Any:
    if verb in ANSWERS:
        return ANSWERS[verb]
    if verb == "pair_approve" and arguments["code"] == "AB12CD":
        return {"person": "tg:7", "name": "小明", "role": arguments["role"]}
    if verb == "pair_remove":
        return {"person": arguments["person"]}
    if verb == "decide":
        return dict(arguments)
    if verb == "channels_test":
        ok = arguments["name"] == "tg"
        steps = [{"step": "token", "ok": ok, "detail": "asked the server"}]
        return {"name": arguments["name"], "ok": ok, "steps": steps}
    if verb == "runs_show":
        entry = {"number": 9, "at": NOW, "event": "received", "detail": "hi"}
        return {**ANSWERS["runs_list"][0], "turn": arguments["turn"], "entries": [entry]}
    raise ConfigError(f"nothing to {verb} with {dict(arguments)}", cure="haoya pair list")


class NoBlobs:
    async def put(self, data: bytes, *, mime: str = "", name: str = "") -> Blob:
        raise AssertionError

    async def get(self, sha256: str) -> bytes:
        raise KeyError(sha256)


class Agent:
    def __init__(self, home: Path, connection: LocalConnection) -> None:
        self.home = home
        self.connection = connection
        self.file = home / "journal.jsonl"
        self.known: dict[str, str] = {}

    def note(self, **line: str) -> None:
        with self.file.open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def unanswered(self) -> list[tuple[str, str, str]]:
        lines = [json.loads(x) for x in self.file.read_text().splitlines()]
        done = {line["out"] for line in lines if "out" in line}
        heard = [(x["in"], x["room"], x["text"]) for x in lines if "in" in x]
        self.known = {id: text for id, _, text in heard}
        return [one for one in heard if one[0] not in done]

    async def hear(self, group: asyncio.TaskGroup) -> None:
        if self.file.exists():
            for id, room, text in self.unanswered():
                group.create_task(self.answer(id, room, text))
        async with aclosing(self.connection.receive()) as batches:
            async for batch in batches:
                for inbound in batch:
                    if inbound.id in self.known:
                        continue
                    text = text_of(inbound.parts)
                    self.known[inbound.id] = text
                    self.note(**{"in": inbound.id, "room": inbound.address.room, "text": text})
                    group.create_task(self.answer(inbound.id, inbound.address.room, text))

    async def answer(self, id: str, room: str, text: str) -> None:
        if text == "die" and not (self.home / "died").exists():
            (self.home / "died").touch()
            os._exit(9)
        if text == "wait":
            await until((self.home / "go").exists)
        if text == "may I":
            question = (Text(text="may I write?"), Button(label="Yes", value="yes"))
            await self.say(f"ask-{id}", room, question, ())
            await until(lambda: "yes" in self.known.values())
        if text == "pieces":
            await self.say(f"re-{id}#0", room, (Text(text="one"),), (id,))
            await self.say(f"re-{id}#1", room, (Text(text="two"),), (id,))
        else:
            reply = f"you said: {text}"
            for end in range(3, len(reply), 5):
                draft = self.outbound(f"re-{id}", room, (Text(text=reply[:end]),), (id,), "draft")
                await self.connection.draft(draft)
                await asyncio.sleep(0.002)
            await self.say(f"re-{id}", room, (Text(text=reply),), (id,))
        self.note(out=id)

    async def say(
        self, id: str, room: str, parts: tuple[Part, ...], answers: tuple[str, ...]
    ) -> None:
        await self.connection.send(self.outbound(id, room, parts, answers, "final"))

    def outbound(
        self, id: str, room: str, parts: tuple[Part, ...], answers: tuple[str, ...], finality: Any
    ) -> Outbound:
        address = self.connection.address(room)
        return Outbound(id=id, address=address, parts=parts, answers=answers, finality=finality)


async def until(claim: Any) -> None:
    async with asyncio.timeout(60):
        while not claim():
            await asyncio.sleep(0.01)


async def main(home: Path) -> None:
    async with httpx2.AsyncClient() as http:
        context = Context(
            name="local",
            state=home,
            clock=time.time,
            http=http,
            secret=str,
            blobs=NoBlobs(),
            call=verbs,
        )
        async with (
            open_local(LocalSettings(home=home), context) as connection,
            asyncio.TaskGroup() as group,
        ):
            print("open", flush=True)
            await Agent(home, connection).hear(group)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
