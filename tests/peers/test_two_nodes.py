# SPDX-License-Identifier: AGPL-3.0-or-later
"""A house that thinks on another machine: both are real daemons."""

import json
from pathlib import Path
from typing import Any

from haoya.core.event import ModelAnswered
from haoya.journal import open_journal
from tests.peers.nodes import STRONG, Nodes, nodes
from tests.runtime.waiting import run, until

MARK = "蓝色的鲸鱼-whale-42"
SLOW = 'rules = [{{ match = "(.*)", say = "大模型慢慢地说：{}" }}]\ndelay = 0.02'
ENDLESS = SLOW.format("一 " * 2000)
"""Speaks for about a minute."""


def test_a_chat_is_answered_by_the_stronger_node(tmp_path: Path) -> None:
    async def body() -> None:
        async with nodes(tmp_path) as both:
            await both.start_strong('rules = [{ match = "(.*)", say = "大模型说：{1} 🎉" }]')
            await both.invite()
            await both.start_small()
            await both.small.becomes("big", "open")
            assert await both.small.ask("你好，世界 👋") == "大模型说：你好，世界 👋 🎉"
            (note,) = await noted(both)
            assert note.startswith(f"sent to 127.0.0.1:{both.port}: ") and "你好" not in note
            await both.small.stop()
            await both.strong.stop()

    run(body)


def test_what_is_asked_leaves_no_trace_on_the_stronger_node(tmp_path: Path) -> None:
    async def body() -> None:
        async with nodes(tmp_path) as both:
            await both.start_strong()
            await both.invite()
            await both.start_small()
            await both.small.becomes("big", "open")
            assert MARK in await both.small.ask(MARK)
            row = (await both.strong.call("peers_list"))["peers"][0]
            assert (row["name"], row["asked"], row["connections"]) == ("small", 1, 1)
            await both.strong.stop()
            files = [path for path in both.strong.home.rglob("*") if path.is_file()]
            assert files
            for path in [*files, both.strong.log]:
                held = path.read_bytes()
                for coded in (MARK, json.dumps(MARK)[1:-1]):
                    assert coded.encode() not in held, path
                assert both.invitation["token"].encode() not in held, path

    run(body)


def test_the_answer_grows_while_the_stronger_node_speaks(tmp_path: Path) -> None:
    async def body() -> None:
        async with nodes(tmp_path) as both:
            await both.start_strong(SLOW.format("一 " * 100))
            await both.invite()
            await both.start_small()
            await both.small.becomes("big", "open")
            async with both.small.line() as line:
                await line.write({"watch": {"room": "cli"}})
                await line.write({"say": {"text": "说吧", "room": "cli", "id": ""}})
                drafts = 0
                while True:
                    outbound = (await line.read()).get("outbound", {})
                    drafts += outbound.get("finality") == "draft"
                    if outbound and outbound.get("finality", "final") == "final":
                        break
            assert drafts > 1

    run(body)


def test_the_next_model_answers_when_the_stronger_node_is_killed(tmp_path: Path) -> None:
    async def body() -> None:
        async with nodes(tmp_path) as both:
            await both.start_strong(ENDLESS)
            await both.invite()
            await both.start_small()
            await both.small.becomes("big", "open")
            async with both.small.line() as line:
                await line.write({"watch": {"room": "cli"}})
                await line.write({"say": {"text": "还在吗", "room": "cli", "id": ""}})
                said = await heard(line, "draft")
                assert "慢慢地说" in said
                await both.strong.kill()
                said = await heard(line, "final")
            assert said == "the spare one says: 还在吗"
            row = await both.small.becomes("big", "waiting")
            assert f"127.0.0.1:{both.port}" in row["reason"]
            assert await both.small.ask("你呢") == "the spare one says: 你呢"
            both.strong.write(STRONG.format(port=both.port, tls="", script=""))
            await both.strong.start()
            await both.small.becomes("big", "open", seconds=30)
            assert await both.small.ask("回来了") == "回来了"

    run(body, seconds=120)


def test_a_node_is_removed_and_invited_by_the_command_line(tmp_path: Path) -> None:
    async def body() -> None:
        async with nodes(tmp_path) as both:
            await both.start_strong(tls=True)
            status, words = await both.strong.cli("peers", "invite", "small", "nothing")
            assert status == 1 and "there are: main" in words
            status, words = await both.strong.cli("peers", "invite", "small", "main")
            assert status == 0
            assert f'address = "https://127.0.0.1:{both.port}"' in words
            both.invitation = pasted(words)
            await both.start_small()
            await both.small.becomes("big", "open")
            assert await both.small.ask("over TLS") == "over TLS"
            status, words = await both.strong.cli("peers", "list")
            assert status == 0 and "small" in words and "connected" in words
            assert both.invitation["fingerprint"] in words
            status, words = await both.strong.cli("peers", "remove", "small")
            assert status == 0
            row = await both.small.becomes("big", "parked", seconds=30)
            assert "does not know our token" in row["reason"]
            status, words = await both.strong.cli("peers", "remove", "small")
            assert status == 1 and "no node is named 'small'" in words
            status, words = await both.strong.cli("peers", "invite", "small", "main", "--json")
            both.keep(json.loads(words)["token"])
            await both.small.becomes("big", "open", seconds=30)

    run(body, seconds=120)


def test_nodes_are_invited_while_no_daemon_runs(tmp_path: Path) -> None:
    async def body() -> None:
        async with nodes(tmp_path) as both:
            both.strong.write('[models.main]\nuse = "script"\n')
            status, words = await both.strong.cli("peers", "invite", "small", "main")
            assert status == 0 and "does not listen for others yet" in words
            status, words = await both.strong.cli("peers", "list", "--json")
            rows = json.loads(words)["peers"]
            assert [(row["name"], row["models"]) for row in rows] == [("small", ["main"])]

    run(body)


def test_the_listener_follows_the_settings(tmp_path: Path) -> None:
    async def body() -> None:
        async with nodes(tmp_path) as both:
            await both.start_strong()
            await both.invite()
            shut = '[models.main]\nuse = "script"\n'
            both.strong.write(shut)
            await until(lambda: opened(both, False))
            both.strong.write(shut + f'[peers]\nlisten = "127.0.0.1:{both.port}"\n')
            await until(lambda: opened(both, True))
            lost = 'cert = "no.pem"\nkey = "no.pem"\n'
            both.strong.write(shut + f'[peers]\nlisten = "127.0.0.1:{both.port}"\n{lost}')

            async def parked() -> bool:
                return "cannot be used" in (await both.strong.call("peers_list"))["reason"]

            await until(parked)

    run(body)


async def opened(both: Nodes, wanted: bool) -> bool:
    return (await both.strong.call("peers_list"))["open"] is wanted


async def heard(line: Any, finality: str) -> str:
    """The words of the next draft or final."""
    while True:
        outbound = (await line.read()).get("outbound", {})
        if outbound and outbound.get("finality", "final") == finality:
            text = "".join(part.get("text", "") for part in outbound["parts"])
            if text:
                return text


async def noted(both: Nodes) -> list[str]:
    """What the small node has written down about its answers."""
    async with open_journal(both.small.home, read_only=True) as journal:
        entries = await journal.read("local//cli", kinds=frozenset({"model-answered"}))
    events = [entry.event for entry in entries]
    return [note for event in events if isinstance(event, ModelAnswered) for note in event.notes]


def pasted(words: str) -> dict[str, Any]:
    """What a person takes from the printed invitation."""
    lines = [line.strip() for line in words.splitlines()]
    token = lines[lines.index("haoya secrets set big-token") + 1]
    values = dict(line.split(" = ", 1) for line in lines if " = " in line)
    shown = {key: value.strip('"') for key, value in values.items()}
    return {"token": token, "address": shown["address"], "fingerprint": shown["fingerprint"]}
