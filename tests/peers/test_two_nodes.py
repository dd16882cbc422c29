# SPDX-License-Identifier: AGPL-3.0-or-later
"""A house that thinks on another machine: both are real daemons."""

from pathlib import Path

from tests.peers.nodes import nodes
from tests.runtime.waiting import run


def test_a_chat_is_answered_by_the_stronger_node(tmp_path: Path) -> None:
    async def body() -> None:
        async with nodes(tmp_path) as both:
            await both.start_strong('rules = [{ match = "(.*)", say = "大模型说：{1} 🎉" }]')
            await both.invite()
            await both.start_small()
            await both.small.becomes("big", "open")
            assert await both.small.ask("你好，世界 👋") == "大模型说：你好，世界 👋 🎉"

    run(body)
