# SPDX-License-Identifier: AGPL-3.0-or-later
"""The owner's door over a real socket: words in, words out, and what happens at its edges."""

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from haoya.channels.local import LocalConnection, LocalSettings, open_local, plugin
from haoya.channels.local.connection import WAITING_FINALS
from haoya.channels.local.peer import LINE_BYTES
from haoya.core.errors import ConfigError, Unready
from haoya.core.message import Address, Blob, Inbound, Outbound, Sender, Text, text_of
from haoya.core.place import SOCKET_PATH_BYTES, check_private, socket_path
from haoya.core.plugin import Call, Context
from haoya.core.ports import Connection, Desk, Drafts

SECONDS = 10


class NoBlobs:
    async def put(self, data: bytes, *, mime: str = "", name: str = "") -> Blob:
        raise AssertionError("the local channel stores no blobs")

    async def get(self, sha256: str) -> bytes:
        raise KeyError(sha256)


class House:
    """Takes every batch of `receive`, and stores it once `open` is set."""

    def __init__(self, connection: LocalConnection) -> None:
        self.connection = connection
        self.heard: list[Inbound] = []
        self.batches: list[int] = []
        self.open = asyncio.Event()
        self.open.set()

    async def hear(self) -> None:
        async with aclosing(self.connection.receive()) as batches:
            async for batch in batches:
                await self.open.wait()
                self.heard += batch
                self.batches.append(len(batch))


@asynccontextmanager
async def house(home: Path, call: Call | None = None) -> AsyncGenerator[House, None]:
    async with httpx2.AsyncClient() as http:
        context = Context(
            name="local",
            state=home,
            clock=time.time,
            http=http,
            secret=lambda value: value,
            blobs=NoBlobs(),
            call=call,
        )
        async with open_local(LocalSettings(home=home), context) as connection:
            one = House(connection)
            async with asyncio.TaskGroup() as group:
                hearing = group.create_task(one.hear())
                yield one
                hearing.cancel()


class Terminal:
    """The other end: a program that writes and reads lines."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def write(self, *lines: object) -> None:
        for line in lines:
            self.writer.write(json.dumps(line).encode() + b"\n")

    async def read(self) -> dict[str, Any]:
        async with asyncio.timeout(SECONDS):
            return json.loads(await self.reader.readline())

    async def ended(self) -> bool:
        async with asyncio.timeout(SECONDS):
            return await self.reader.read() == b""


@asynccontextmanager
async def terminal(home: Path, limit: int = 4_000_000) -> AsyncGenerator[Terminal, None]:
    reader, writer = await asyncio.open_unix_connection(socket_path(home), limit=limit)
    try:
        yield Terminal(reader, writer)
    finally:
        writer.close()


async def until(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not claim():
            await asyncio.sleep(0.005)


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await body()

    asyncio.run(bounded())


def said(id: str, text: str = "", *, room: str = "main", **more: Any) -> Outbound:
    address = Address(channel="local", room=room)
    return Outbound(id=id, address=address, parts=(Text(text=text or id),), **more)


def shown(line: dict[str, Any]) -> str:
    return str(line["outbound"]["parts"][0]["text"])


def test_it_is_a_connection_a_desk_and_shows_drafts(tmp_path: Path) -> None:
    async def body() -> None:
        async with house(tmp_path) as here:
            door: Connection = here.connection
            assert isinstance(door, Desk)
            assert isinstance(door, Drafts)
            assert door.capabilities.ack == "after_commit"
            assert "image" in door.capabilities.says

    run(body)
    assert (plugin.kind, plugin.name) == ("channel", "local")


def test_words_reach_the_house_and_are_acknowledged_once_stored(tmp_path: Path) -> None:
    async def body() -> None:
        async with house(tmp_path) as here, terminal(tmp_path) as us:
            here.open.clear()
            us.write({"say": {"text": "你好", "id": "m1"}, "id": 7}, {"watch": {"room": "main"}})
            assert await us.read() == {"watching": {"room": "main"}}  # and not yet stored
            here.open.set()
            assert await us.read() == {"stored": {"id": "m1"}, "id": 7}
        (inbound,) = here.heard
        assert inbound.id == "m1"
        assert text_of(inbound.parts) == "你好"
        assert inbound.address == Address(channel="local", room="main", kind="dm")
        assert (inbound.sender.id, inbound.sender.proof) == ("owner", "network")
        assert inbound.sender.name
        assert inbound.direct
        assert inbound.called

    run(body)


def test_messages_keep_the_order_of_their_lines_and_share_commits(tmp_path: Path) -> None:
    async def body() -> None:
        async with house(tmp_path) as here, terminal(tmp_path) as us:
            here.open.clear()
            us.write(*({"say": {"text": str(n), "id": str(n)}} for n in range(40)))
            await us.writer.drain()
            here.open.set()
            ids = [(await us.read())["stored"]["id"] for _ in range(40)]
        assert ids == [str(n) for n in range(40)]
        assert [inbound.id for inbound in here.heard] == ids
        assert len(here.batches) < 40

    run(body)


def test_a_message_without_an_id_gets_one(tmp_path: Path) -> None:
    async def body() -> None:
        async with house(tmp_path) as here, terminal(tmp_path) as us:
            us.write({"say": {"text": "a"}}, {"say": {"text": "b"}})
            ids = [(await us.read())["stored"]["id"] for _ in range(2)]
        assert len(set(ids)) == 2
        assert [inbound.id for inbound in here.heard] == ids

    run(body)


def test_watchers_see_only_their_room(tmp_path: Path) -> None:
    async def body() -> None:
        async with house(tmp_path) as here, terminal(tmp_path) as us, terminal(tmp_path) as other:
            us.write({"watch": {"room": "main"}})
            other.write({"watch": {"room": "work"}})
            await us.read()
            await other.read()
            receipt = await here.connection.send(said("1", "for work", room="work"))
            await here.connection.draft(said("2", "thin", finality="draft"))
            await until(lambda: not next(iter(here.connection._watchers["main"]))._draft)
            await here.connection.send(said("2", "thinking done", answers=("m1",)))
            assert receipt.status == "sent"
            assert shown(await other.read()) == "for work"
            draft, final = await us.read(), await us.read()
            assert (shown(draft), draft["outbound"]["finality"]) == ("thin", "draft")
            assert shown(final) == "thinking done"
            assert final["outbound"]["answers"] == ["m1"]

    run(body)


def test_a_second_sending_of_one_id_shows_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        async with house(tmp_path) as here, terminal(tmp_path) as us:
            us.write({"watch": {}})
            await us.read()
            for id in ("1", "1", "2"):
                assert (await here.connection.send(said(id))).status == "sent"
            assert [shown(await us.read()), shown(await us.read())] == ["1", "2"]

    run(body)


def test_an_answer_said_while_nobody_watched_comes_to_who_awaits_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with house(tmp_path) as here, terminal(tmp_path) as us:
            await here.connection.send(said("1", "missed", answers=("m1",)))
            await here.connection.send(said("2", "not ours", answers=("m2",)))
            us.write({"watch": {"awaiting": ["m1"]}})
            lines = [await us.read(), await us.read()]
            assert [shown(line) for line in lines if "outbound" in line] == ["missed"]

    run(body)


def test_a_watcher_that_does_not_read_loses_drafts_and_no_finals(tmp_path: Path) -> None:
    async def body() -> None:
        async with house(tmp_path) as here, here.connection.watch("main") as lines:
            for n in range(500):
                await here.connection.draft(said("a", f"draft {n}", finality="draft"))
            await here.connection.send(said("a", "first"))
            await here.connection.send(said("b", "second"))
            for n in range(500):
                await here.connection.draft(said("c", f"more {n}", finality="draft"))
            seen = [text_of((await anext(lines)).parts) for _ in range(3)]
            assert seen == ["first", "second", "more 499"]

    run(body)


def test_a_sending_returns_once_the_watchers_have_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with house(tmp_path) as here, here.connection.watch("main") as lines:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(here.connection.send(said("a")))
                assert (await anext(lines)).id == "a"
                await asyncio.sleep(0)
                assert not sending.done()  # taken, and not yet dealt with
                await here.connection.draft(said("b", finality="draft"))
                assert (await anext(lines)).id == "b"
            assert (await sending).status == "sent"

    run(body)


def test_a_slow_terminal_gets_every_final_in_order(tmp_path: Path) -> None:
    async def body() -> None:
        async with house(tmp_path) as here, terminal(tmp_path) as us:
            us.write({"watch": {}})
            await us.read()
            finals = 200
            for n in range(finals):
                await here.connection.draft(said(f"{n}", "x" * 20_000, finality="draft"))
                await here.connection.send(said(f"{n}", f"{n} " + "y" * 20_000))
            seen: list[str] = []
            while len(seen) < finals:
                line = (await us.read())["outbound"]
                if line.get("finality") != "draft":
                    seen.append(line["id"])
            assert seen == [str(n) for n in range(finals)]

    run(body)


def test_a_terminal_that_never_reads_is_sent_away_not_cheated(tmp_path: Path) -> None:
    async def body() -> None:
        async with house(tmp_path) as here, terminal(tmp_path, limit=1000) as us:
            us.write({"watch": {}})
            await us.read()
            for n in range(WAITING_FINALS + 200):
                await here.connection.send(said(str(n), "z" * 6_000))
            watcher = next(iter(here.connection._watchers["main"]))
            assert watcher._gone
            async with asyncio.timeout(SECONDS):
                *lines, _cut_off = (await us.reader.read()).split(b"\n")
            ids = [int(json.loads(line)["outbound"]["id"]) for line in lines]
            assert ids == list(range(len(ids)))  # no hole before the end
            await until(lambda: not here.connection.peers)

    run(body)


def test_verbs_are_called_and_their_faults_told(tmp_path: Path) -> None:
    async def verbs(verb: str, arguments: Mapping[str, Any]) -> Any:
        if verb == "status":
            return {"state": "open", "echo": dict(arguments)}
        if verb == "late":
            raise Unready("the journal sleeps")
        raise ConfigError(f"no verb {verb!r}", cure="ask for status")

    async def body() -> None:
        async with house(tmp_path, verbs), terminal(tmp_path) as us:
            us.write({"call": {"verb": "status", "arguments": {"a": [1]}}, "id": 1})
            assert await us.read() == {"result": {"state": "open", "echo": {"a": [1]}}, "id": 1}
            us.write({"call": {"verb": "nope"}, "id": "x"})
            fault = {"message": "no verb 'nope'", "cure": "ask for status", "kind": "ConfigError"}
            assert await us.read() == {"error": fault, "id": "x"}
            us.write({"call": {"verb": "late"}, "id": 3})
            assert (await us.read())["error"]["kind"] == "Unready"

    run(body)


def test_without_verbs_a_call_is_an_error_and_a_slow_call_blocks_nobody(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def verbs(verb: str, arguments: Mapping[str, Any]) -> Any:
        await release.wait()
        return verb

    async def body() -> None:
        async with house(tmp_path), terminal(tmp_path) as us:
            us.write({"call": {"verb": "status"}, "id": 1})
            assert "no verbs" in (await us.read())["error"]["message"]
        async with house(tmp_path, verbs), terminal(tmp_path) as us:
            us.write({"call": {"verb": "slow"}, "id": 1}, {"say": {"text": "hi", "id": "m"}})
            assert await us.read() == {"stored": {"id": "m"}}
            release.set()
            assert await us.read() == {"result": "slow", "id": 1}

    run(body)


def test_bad_lines_are_answered_and_the_line_stays_open(tmp_path: Path) -> None:
    async def body() -> None:
        async with house(tmp_path), terminal(tmp_path) as us:
            bad = [b"nonsense", b"[]", b"\xff\xfe", b"{}", b'{"say":{}}', b'{"say":{"text":" "}}']
            bad += [b'{"say":{"text":"a"},"watch":{}}', b'{"say":{"text":"a","color":1}}']
            for line in bad:
                us.writer.write(line + b"\n")
                fault = (await us.read())["error"]
                assert fault["kind"] == "ConfigError", line
                assert fault["cure"].startswith("write {"), line
            us.writer.write(b'{"say":{"text":"' + b"a" * (LINE_BYTES * 3) + b'"}}\n')
            assert "longer than" in (await us.read())["error"]["message"]
            us.write({"say": {"text": "still here", "id": "ok"}})
            assert await us.read() == {"stored": {"id": "ok"}}

    run(body)


def test_a_program_that_hangs_up_at_once_still_gets_its_answers(tmp_path: Path) -> None:
    async def verbs(verb: str, arguments: Mapping[str, Any]) -> Any:
        return verb

    async def body() -> None:
        async with house(tmp_path, verbs) as here, terminal(tmp_path) as us:
            us.write({"watch": {}}, {"say": {"text": "hi", "id": "m"}})
            us.writer.write(b'{"call":{"verb":"status"},"id":1}')  # no newline at the end
            us.writer.write_eof()
            async with asyncio.timeout(SECONDS):
                lines = [json.loads(line) for line in (await us.reader.read()).splitlines()]
            assert {"stored": {"id": "m"}} in lines
            assert {"result": "status", "id": 1} in lines
            await until(lambda: not here.connection.peers and not here.connection._watchers)

    run(body)


def test_the_desk_hands_in_and_learns_of_a_house_that_cannot_store(tmp_path: Path) -> None:
    async def body() -> None:
        async with house(tmp_path) as here:
            inbound = Inbound(
                id="w1",
                address=Address(channel="local", room="web"),
                sender=Sender(id="owner", proof="network"),
                parts=(Text(text="from the window"),),
                at=1.0,
            )
            await here.connection.hand_in(inbound)
            assert here.heard == [inbound]
            connection = here.connection
        with pytest.raises(Unready):
            await connection.hand_in(inbound)
        with pytest.raises(Unready):
            await connection.send(said("1"))
        with pytest.raises(Unready):
            async with connection.watch("main"):
                pass

    run(body)


def test_closing_tells_all_who_wait(tmp_path: Path) -> None:
    async def verbs(verb: str, arguments: Mapping[str, Any]) -> Any:
        await asyncio.Event().wait()

    async def body() -> None:
        async with terminal_after(tmp_path, verbs) as (us, here):
            here.open.clear()
            us.write({"watch": {}}, {"call": {"verb": "never"}}, {"say": {"text": "a", "id": "m"}})
            assert await us.read() == {"watching": {"room": "main"}}
            await until(here.connection._heard.empty)
        lines = [json.loads(line) for line in (await us.reader.read()).splitlines()]
        assert {"stored": {"id": "m"}} not in lines
        assert not here.connection.peers
        assert not socket_path(tmp_path).exists()

    run(body)


@asynccontextmanager
async def terminal_after(home: Path, call: Call) -> AsyncGenerator[tuple[Terminal, House], None]:
    """A terminal that outlives the house."""
    async with house(home, call) as here:
        reader, writer = await asyncio.open_unix_connection(socket_path(home))
        yield Terminal(reader, writer), here
    assert await asyncio.wait_for(reader.read(0), SECONDS) == b""
    writer.close()


def test_the_socket_is_private_and_gone_afterwards(tmp_path: Path) -> None:
    path = socket_path(tmp_path)

    async def body() -> None:
        async with house(tmp_path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert not path.exists()

    run(body)


def test_a_dead_socket_is_replaced_and_a_living_one_respected(tmp_path: Path) -> None:
    path = socket_path(tmp_path)
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def body() -> None:
        async with house(tmp_path):
            with pytest.raises(ConfigError, match=r"another daemon listens on .*local\.sock"):
                async with house(tmp_path):
                    pass
            async with terminal(tmp_path) as us:  # the first one still answers
                us.write({"say": {"text": "hi", "id": "m"}})
                assert await us.read() == {"stored": {"id": "m"}}
        path.write_text("not a socket")
        with pytest.raises(ConfigError, match="in the way"):
            async with house(tmp_path):
                pass

    run(body)


def test_a_daemon_killed_leaves_nothing_that_stops_the_next(tmp_path: Path) -> None:
    script = (
        "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]);"
        "s.listen(); print('up', flush=True); time.sleep(600)"
    )
    path = socket_path(tmp_path)
    path.parent.mkdir(mode=0o700)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.kill()

    async def body() -> None:
        async with house(tmp_path), terminal(tmp_path) as us:
            us.write({"say": {"text": "hi", "id": "m"}})
            assert await us.read() == {"stored": {"id": "m"}}

    run(body)


def test_a_home_too_deep_for_a_socket_gets_one_elsewhere(tmp_path: Path) -> None:
    deep = tmp_path / ("深" * 40)
    deep.mkdir()
    path = socket_path(deep)
    assert len(os.fsencode(path)) <= SOCKET_PATH_BYTES
    assert path == socket_path(deep)
    assert path != socket_path(tmp_path / ("浅" * 40))

    async def body() -> None:
        async with house(deep), terminal(deep) as us:
            us.write({"say": {"text": "hi", "id": "m"}})
            assert await us.read() == {"stored": {"id": "m"}}

    run(body)
    path.parent.rmdir()


def test_a_folder_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    open_folder = tmp_path / "open"
    open_folder.mkdir(mode=0o755)
    open_folder.chmod(0o755)
    with pytest.raises(ConfigError, match="open to other users"):
        check_private(open_folder, os.getuid())
    link = tmp_path / "link"
    link.symlink_to(open_folder)
    with pytest.raises(ConfigError, match="not a folder"):
        check_private(link, os.getuid())
    if os.getuid() == 0:
        os.chown(open_folder, 12345, 12345)
        open_folder.chmod(0o700)
        with pytest.raises(ConfigError, match="belongs to user 12345"):
            check_private(open_folder, 0)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can speak as another user")
def test_another_user_is_refused_by_the_systems_own_word(tmp_path: Path) -> None:
    script = (
        "import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "print(s.recv(9999).decode())"
    )
    path = socket_path(tmp_path)

    async def body() -> None:
        async with house(tmp_path):
            for folder in [path.parent, *list(path.parents)[:4]]:
                if folder.is_relative_to(tmp_path.parent.parent):
                    folder.chmod(0o755)
            path.chmod(0o666)  # as if the modes had failed us
            process = await asyncio.create_subprocess_exec(
                "/usr/bin/env", "python3", "-c", script, str(path),
                stdout=subprocess.PIPE, user=65534, group=65534,
            )  # fmt: skip
            async with asyncio.timeout(SECONDS):
                out, _ = await process.communicate()
            if process.returncode == 0:
                assert "user 65534 may not speak here" in out.decode()

    run(body)
