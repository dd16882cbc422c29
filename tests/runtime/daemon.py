# SPDX-License-Identifier: AGPL-3.0-or-later
"""The real `haoya up` with real sockets around it: Telegram's stand-in, a model server's stand-in,
the owner at the local socket.

    async with stage(tmp_path) as world:
        await world.start()
        await world.telegram.say("ann", "hello")
        await world.telegram.hears("heard: hello")
"""

import asyncio
import json
import os
import signal
import sys
import time
import zlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from haoya.core.errors import ConfigError, HaoyaError, Unready
from haoya.core.place import socket_path
from tests.runtime.waiting import SECONDS, until
from tests.servers.process import Child

TOKEN = "1001:first"
BOT = "haoya_bot"
HAOYA = (sys.executable, "-c", "from haoya.cli import main; raise SystemExit(main())")
Json = dict[str, Any]


class Line:
    """One line to the local socket, as a script of the owner's has."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def write(self, request: Json) -> None:
        self._writer.write(json.dumps(request).encode() + b"\n")
        await self._writer.drain()

    async def read(self) -> Json:
        raw = await self._reader.readline()
        if not raw:
            raise Unready("the daemon hung up")
        return json.loads(raw)


class Daemon:
    """One `haoya up` in a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.log = home.parent / f"{home.name}.log"
        self.process: asyncio.subprocess.Process | None = None

    def write(self, settings: str) -> None:
        """Write the settings file, as an editor does: at once."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.home / ".settings.new"
        new.write_text(settings, "utf-8")
        new.replace(self.home / "settings.toml")

    async def start(self, *, ready: bool = True) -> None:
        """Start it; with `ready`, return when it takes messages."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(*HAOYA, "up", "--home", str(self.home), "--port", "0"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "LANG": "en_US.UTF-8", "HOME": str(self.home.parent)},
            )
        if ready:
            await until(self.answers, self.words)

    async def answers(self) -> bool:
        """Whether it takes messages now."""
        assert self.alive, self.words()
        try:
            status = await self.call("status")
        except (OSError, HaoyaError):
            return False
        return bool(
            status["ready"]
            and status["storage"]["state"] == "open"
            and status["channels"][0]["state"] == "open"
        )

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def words(self) -> str:
        """What it has logged."""
        return self.log.read_text("utf-8")[-4000:] if self.log.exists() else ""

    async def stop(self) -> float:
        """End it as the system does; how many seconds that took. It must leave with 0."""
        assert self.process
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(SECONDS):
            code = await self.process.wait()
        assert code == 0, self.words()
        return time.monotonic() - began

    async def kill(self) -> None:
        """As `kill -9`; also where it is dead already."""
        if self.process and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    @asynccontextmanager
    async def line(self) -> AsyncGenerator[Line]:
        reader, writer = await asyncio.open_unix_connection(socket_path(self.home), limit=8_000_000)
        try:
            yield Line(reader, writer)
        finally:
            writer.close()

    async def call(self, verb: str, **arguments: Any) -> Any:
        """One of the house's verbs; raises what the house raised."""
        async with asyncio.timeout(SECONDS), self.line() as line:
            await line.write({"call": {"verb": verb, "arguments": arguments}, "id": 1})
            reply = await line.read()
        if "error" in reply:
            error = reply["error"]
            kind = Unready if error["kind"] == "Unready" else ConfigError
            raise kind(error["message"])
        return reply["result"]

    async def part(self, name: str) -> Json:
        """How one channel or model is."""
        status = await self.call("status")
        rows = [row for row in [*status["channels"], *status["models"]] if row["name"] == name]
        return rows[0] if rows else {"state": "", "reason": ""}

    async def becomes(self, name: str, state: str, *, seconds: float = SECONDS) -> Json:
        """Wait until a channel or model is in that state."""

        async def found() -> Json | None:
            row = await self.part(name)
            return row if row["state"] == state else None

        return await until(found, self.words, seconds=seconds)

    async def ask(self, text: str, *, room: str = "cli", id: str = "") -> str:
        """Say something at the owner's door and wait for the answer."""
        async with asyncio.timeout(SECONDS), self.line() as line:
            await line.write({"watch": {"room": room}})
            await line.write({"say": {"text": text, "room": room, "id": id}})
            stored = ""
            while True:
                reply = await line.read()
                assert "error" not in reply, reply
                stored = reply.get("stored", {}).get("id", stored)
                outbound = reply.get("outbound", {})
                if outbound.get("finality", "final") == "draft" or not outbound:
                    continue
                if stored in outbound.get("answers", ()):
                    return _text(outbound)

    async def cli(self, *arguments: str) -> tuple[int, str]:
        """A command line in this home: its status and all it said."""
        process = await asyncio.create_subprocess_exec(
            *(*HAOYA, *arguments, "--home", str(self.home)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "LANG": "en_US.UTF-8", "HAOYA_LANG": "en"},
        )
        async with asyncio.timeout(SECONDS * 2):
            output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()


class Telegram:
    """The stand-in of the Bot API and the people who use it."""

    def __init__(self, http: httpx2.AsyncClient, state: Path) -> None:
        self.http = http
        self.child = Child(
            "tests.servers.telegram", "--bot", f"{TOKEN}={BOT}", "--state", str(state)
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.child.port}"

    async def control(self, verb: str, **arguments: Any) -> Any:
        reply = await self.http.post(
            f"{self.url}/control/{verb}", json={"token": TOKEN, **arguments}
        )
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def say(self, person: str, *texts: str, **more: Any) -> list[int]:
        """A person writes; `chat` for a group. All in one go."""
        messages = [{"person": person, "text": text, **more} for text in texts]
        return (await self.control("say", messages=messages))["ids"]

    async def sent(self) -> list[Json]:
        """All messages the bot sent, oldest first, as they stand after their edits."""
        return [one["message"] for one in (await self.control("sent"))["sent"]]

    async def texts(self, chat: int = 0) -> list[str]:
        return [m["text"] for m in await self.sent() if not chat or m["chat"]["id"] == chat]

    async def hears(self, words: str, *, count: int = 1) -> Json:
        """The last of `count` messages of the bot that hold these words, now or soon."""

        async def found() -> Json | None:
            all_ = [m for m in await self.sent() if words in m.get("text", "")]
            return all_[-1] if len(all_) >= count else None

        seen: list[str] = []
        try:
            return await until(found, lambda: f"{words!r} in {seen}")
        except AssertionError:
            seen = await self.texts()
            raise AssertionError(f"never heard {words!r}; heard {seen}") from None


class Thinker:
    """The stand-in of a model server."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http
        self.child = Child("tests.servers.openai")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.child.port}"

    async def control(self, **changes: Any) -> None:
        await self.http.post(f"{self.url}/control", json=changes)

    async def asked(self) -> list[Json]:
        """What it was asked, oldest first."""
        return (await self.http.get(f"{self.url}/control/requests")).json()["requests"]

    async def read(self) -> str:
        """Everything it was ever shown, as one text."""
        return json.dumps([body["messages"] for body in await self.asked()], ensure_ascii=False)


class World:
    """A daemon with its network and its model."""

    def __init__(self, folder: Path, http: httpx2.AsyncClient) -> None:
        self.folder = folder
        self.http = http
        self.daemon = Daemon(folder / "home")
        self.telegram = Telegram(http, folder / "telegram.state")
        self.thinker = Thinker(http)
        self.owner = 0

    def settings(
        self,
        *more: str,
        agent: str = "",
        policy: str = "",
        access: str = '"open"',
        telegram: bool = True,
        model: bool = True,
    ) -> str:
        """A settings file for this world; `more` are further sections."""
        owners = f'owners = ["tg:{self.owner}"]\n' if self.owner else ""
        sections = [f"[agent]\n{agent}", f"[policy]\n{owners}{policy}"]
        if model:
            server = f'base_url = "{self.thinker.url}/v1"\nmodel = "stand-in"\n'
            sections.append(f'[models.main]\nuse = "openai"\n{server}')
        if telegram:
            where = f'token = "{TOKEN}"\napi_root = "{self.telegram.url}"\n'
            sections.append(f'[channels.tg]\nuse = "telegram"\naccess = {access}\n{where}')
        return "\n".join([*sections, *more])

    async def start(self, *more: str, **settings: Any) -> None:
        """Write the settings and start the daemon; returns when everything is open."""
        self.daemon.write(self.settings(*more, **settings))
        await self.daemon.start()
        if settings.get("telegram", True):
            await self.daemon.becomes("tg", "open")

    def make_owner(self, name: str) -> None:
        """Let a person of Telegram's be an owner from the next start on."""
        self.owner = person_id(name)


def person_id(name: str) -> int:
    """The id the stand-in gives a person of that name."""
    return 10_000_000 + zlib.crc32(name.encode()) % 1_000_000_000


def _text(outbound: Json) -> str:
    return "\n".join(part.get("text", "") for part in outbound["parts"])


@asynccontextmanager
async def stage(
    folder: Path, *, telegram: bool = True, model: bool = True
) -> AsyncGenerator[World]:
    """A world whose stand-ins run; all that was started is ended."""
    async with httpx2.AsyncClient(timeout=SECONDS) as http:
        world = World(folder, http)
        children: Sequence[Child] = [
            *([world.telegram.child] if telegram else []),
            *([world.thinker.child] if model else []),
        ]
        try:
            await asyncio.gather(*(child.start() for child in children))
            yield world
        finally:
            await world.daemon.kill()
            await asyncio.gather(*(child.kill() for child in children))
