# SPDX-License-Identifier: AGPL-3.0-or-later
"""The verbs behind the owner's door take any arguments without harm to the house."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from haoya.core.errors import ConfigError
from tests.runtime.daemon import stage
from tests.runtime.waiting import run

HUGE = 10**30
NASTY: list[tuple[str, dict[str, Any]]] = [
    ("no_such_verb", {}),
    ("decide", {}),
    ("decide", {"number": 1, "yes": "no"}),
    ("decide", {"number": HUGE, "yes": True}),
    ("decide", {"number": [1], "yes": True}),
    ("why", {"message": "9" * 30}),
    ("why", {"message": "²"}),
    ("why", {"message": ""}),
    ("why", {"message": ":"}),
    ("why", {"message": "local:none"}),
    ("why", {}),
    ("replay", {"message": "0"}),
    ("replay", {"message": None}),
    ("runs_list", {"limit": "x"}),
    ("runs_list", {"limit": HUGE}),
    ("runs_show", {"turn": HUGE}),
    ("runs_show", {"turn": -5}),
    ("runs_show", {"turn": None}),
    ("pair_approve", {"code": None}),
    ("pair_approve", {"code": "\0" * 100}),
    ("pair_approve", {"code": "222222", "role": "emperor"}),
    ("pair_remove", {"person": "x"}),
    ("pair_remove", {"person": "tg:none"}),
    ("channels_test", {"name": "none"}),
]
TOY = '[models.main]\nuse = "script"\n'


def test_bad_arguments_are_a_fault_of_the_asker_with_its_reason(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path, telegram=False, model=False) as world:
            await world.start(TOY, telegram=False, model=False)
            for verb, arguments in NASTY:
                with pytest.raises(ConfigError) as caught:
                    await world.daemon.call(verb, **arguments)
                assert str(caught.value), (verb, arguments)
            assert "Traceback" not in world.daemon.words()

    run(body)


def test_any_words_and_rooms_are_answered(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path, telegram=False, model=False) as world:
            await world.start(TOY, telegram=False, model=False)
            texts = ["a\0b", "\u202e", "x" * 500_000, "😀" * 500, "```", "**", "/start", "yes"]
            for text in texts:
                assert await world.daemon.ask(text) == text
            rooms = ["a/b", "\n", "😀" * 50, "../..", "%2F", "local", "main"]
            answers = await asyncio.gather(*(world.daemon.ask("hi", room=room) for room in rooms))
            assert answers == ["hi"] * len(rooms)
            status = await world.daemon.call("status")
            assert status["conversations"] == 1 + len(rooms)
            assert "Traceback" not in world.daemon.words()

    run(body)


def test_a_room_is_a_conversation_of_its_own_and_replay_asks_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path, telegram=False) as world:
            await world.start(telegram=False)
            await world.daemon.ask("one", room="a")
            await world.daemon.ask("two", room="b")
            last = (await world.thinker.asked())[-1]["messages"]
            assert "one" not in str(last)
            again = await world.daemon.call("replay", message="last")
            why = await world.daemon.call("why", message=str(again["number"]))
            assert why["conversation"] == "local//b"
            rows = await world.daemon.call("runs_list", limit=10)
            assert {row["conversation"] for row in rows} == {"local//a", "local//b"}
            shown = await world.daemon.call("runs_show", turn=rows[0]["turn"])
            assert shown["entries"], shown

    run(body)
