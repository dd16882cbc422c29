# SPDX-License-Identifier: AGPL-3.0-or-later
"""Permission: a tool that sends is asked about with its exact effect, runs once on yes and never
otherwise, across restarts. The real daemon and its tools."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.runtime.daemon import World, person_id, stage
from tests.runtime.waiting import run, until

ANN = person_id("ann")


def send(text: str, *, to: int = ANN) -> str:
    """The words that make the stand-in of a model call the tool `message`."""
    return "tool message " + json.dumps({"to": f"tg//{to}", "text": text}, ensure_ascii=False)


ASK = 'verdicts = { "owner.send" = "ask" }\n'
"""Without this line in the settings, what the owner asks for in so many words needs no question."""


async def two_chats(world: World, *, policy: str = "", **settings: Any) -> None:
    """The owner `boss` and a friend `ann`, both known to the daemon."""
    world.make_owner("boss")
    await world.start(policy=f"{ASK}{policy}", **settings)
    await world.telegram.say("ann", "hello")
    await world.telegram.hears("heard: hello")


async def asked(world: World, *, count: int = 1) -> str:
    """The question as the owner reads it."""
    message = await world.telegram.hears("message (", count=count)
    assert message["chat"]["id"] == person_id("boss")
    return str(message["text"])


async def unmarked(world: World, chat: int = 0) -> list[str]:
    """What was sent, but for what a kill in mid-sending made go out once more with its mark."""
    return [text for text in await world.telegram.texts(chat) if not text.endswith("↻")]


async def kill_after_the_deed(world: World, words: str) -> None:
    """Say yes, and kill the daemon when the message is out and the model has its result."""
    asked = len(await world.thinker.asked())
    await world.thinker.control(hang=30)
    await world.telegram.say("boss", "yes")
    await world.telegram.hears(words, count=2)

    async def told() -> bool:
        return len(await world.thinker.asked()) > asked

    await until(told)
    await world.daemon.kill()


def test_yes_in_the_owners_chat_runs_it_once_with_the_exact_effect(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await two_chats(world)
            await world.telegram.say("boss", send("dinner at\n eight"))
            question = await asked(world)
            assert f"to: tg//{ANN}" in question and "dinner at\n    │  eight" in question
            assert await world.telegram.texts(ANN) == ["heard: hello"]
            await world.telegram.say("boss", "yes")
            await world.telegram.hears("done: ")
            assert await world.telegram.texts(ANN) == ["heard: hello", "dinner at\n eight"]
            assert '"yes"' not in await world.thinker.read()

    run(body)


def test_the_question_outlives_the_daemon(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await two_chats(world)
            await world.telegram.say("boss", send("dinner"))
            await asked(world)
            await world.daemon.kill()
            await world.daemon.start()
            (waiting,) = await world.daemon.call("asks")
            assert "dinner" in waiting["question"]
            await world.telegram.say("boss", "好")
            await world.telegram.hears("done: ")
            assert await unmarked(world, ANN) == ["heard: hello", "dinner"]
            assert len([t for t in await unmarked(world) if "message (" in t]) == 1

    run(body)


def test_no_leaves_it(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await two_chats(world)
            await world.telegram.say("boss", send("dinner"))
            await asked(world)
            await world.telegram.say("boss", "不行。")
            await world.telegram.hears("done: ")
            assert await world.telegram.texts(ANN) == ["heard: hello"]
            assert "owner said no" in await world.thinker.read()

    run(body)


def test_other_words_mean_no_and_are_answered(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await two_chats(world)
            await world.telegram.say("boss", send("dinner"))
            await asked(world)
            await world.telegram.say("boss", "what time is it?")
            await world.telegram.hears("heard: what time is it?")
            await until(lambda: _none(world))
            assert await world.telegram.texts(ANN) == ["heard: hello"]

    run(body)


async def _none(world: World) -> bool:
    return not await world.daemon.call("asks")


def test_a_friends_wish_is_asked_of_the_owner_and_the_friend_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await two_chats(world, access=f'["{ANN}"]')
            await world.telegram.say("boss", "hi")
            await world.telegram.hears("heard: hi")
            await world.telegram.say("ann", send("let me in", to=person_id("boss")))
            question = await asked(world)
            assert "Ann" in question
            await world.telegram.hears("need my owner's permission")
            await world.telegram.say("ann", "yes")
            assert len(await world.daemon.call("asks")) == 1, "a friend decides nothing"
            await world.telegram.say("boss", "no")
            await until(lambda: _none(world))
            await world.telegram.hears("All right, I leave it")
            await world.telegram.hears("heard: yes")
            assert "let me in" not in await world.telegram.texts(person_id("boss"))

    run(body)


def test_a_guest_may_have_nothing_sent_and_nobody_is_asked(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await two_chats(world)
            await world.telegram.say("ann", send("hi", to=person_id("boss")))
            answer = await world.telegram.hears("done: ")
            assert "Not allowed" in answer["text"]
            assert await _none(world)

    run(body)


def test_two_sendings_in_one_turn_are_two_questions_and_two_messages(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await two_chats(world)
            first, second = (send(text).removeprefix("tool ") for text in ("one", "two"))
            second = second.removeprefix("message ")
            await world.telegram.say("boss", f"tools {first} ; message {second}")
            await asked(world)
            await world.telegram.say("boss", "yes")
            assert "two" in await asked(world, count=2)
            await world.telegram.say("boss", "yes")
            await world.telegram.hears("done: ")
            assert await world.telegram.texts(ANN) == ["heard: hello", "one", "two"]

    run(body)


def test_the_terminal_answers_too_and_one_answer_counts(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await two_chats(world)
            await world.telegram.say("boss", send("dinner"))
            await asked(world)
            (waiting,) = await world.daemon.call("asks")
            answers = await asyncio.gather(
                *(world.daemon.call("decide", number=waiting["number"], yes=True) for _ in "ab"),
                return_exceptions=True,
            )
            assert sum(isinstance(answer, Exception) for answer in answers) == 1
            await world.telegram.hears("done: ")
            assert await world.telegram.texts(ANN) == ["heard: hello", "dinner"]

    run(body)


def test_a_question_nobody_answers_is_a_no(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await two_chats(world, policy="ask_hours = 0.0001\n")
            await world.telegram.say("boss", send("dinner"))
            await asked(world)
            await world.telegram.hears("done: ")
            assert await _none(world)
            await world.telegram.say("boss", "yes")
            await world.telegram.hears("heard: yes")
            assert await world.telegram.texts(ANN) == ["heard: hello"]

    run(body)


def test_killed_right_after_yes_it_is_still_sent_once(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await two_chats(world)
            await world.telegram.say("boss", send("dinner"))
            await asked(world)
            await kill_after_the_deed(world, "dinner")
            await world.daemon.start()
            await world.telegram.hears("done: ")
            assert await unmarked(world, ANN) == ["heard: hello", "dinner"]

    run(body)


def test_without_an_owners_chat_the_question_stands_at_the_door(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start(access=f'["{ANN}"]')
            await world.daemon.ask("hello", room="main")
            await world.telegram.say("ann", send("let me in", to=ANN))
            await world.telegram.hears("need my owner's permission")
            status, output = await world.daemon.cli("asks", "--json")
            assert status == 0 and "let me in" in output
            assert await world.daemon.ask("yes", room="other") == "heard: yes"
            assert not await _none(world), "an answer counts where the question stands"
            async with world.daemon.line() as line:
                await line.write({"say": {"text": "no", "room": "main"}})
            await until(lambda: _none(world))
            await world.telegram.hears("done: ")

    run(body)
