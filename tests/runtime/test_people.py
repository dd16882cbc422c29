# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who gets an answer: strangers, members, groups, duplicates. The real daemon, Telegram's stand-in
and a model server's stand-in that tells us what it was shown."""

import asyncio
import re
from pathlib import Path

from tests.runtime.daemon import BOT, person_id, stage
from tests.runtime.waiting import run, until

SECRET = "my stolen words"
GROUP = -100200


def code_in(text: str) -> str:
    found = re.search(r"\b([2-9A-HJ-NP-Z]{6})\b", text)
    assert found, text
    return found[1]


def test_a_stranger_is_paired_from_the_terminal(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start(access='"pairing"')
            ann = person_id("ann")
            await world.telegram.say("ann", SECRET)
            code = code_in((await world.telegram.hears("pair approve"))["text"])
            await world.telegram.say("ann", f"{SECRET} again", f"{SECRET} and again")

            status, output = await world.daemon.cli("pair", "list")
            assert status == 0 and code in output and f"tg:{ann}" in output
            status, output = await world.daemon.cli("pair", "approve", "222222")
            assert status == 1 and "222222" in output
            status, output = await world.daemon.cli("pair", "approve", code.lower())
            assert status == 0 and "Ann" in output
            await world.telegram.hears("You are in")

            await world.telegram.say("ann", "hello")
            await world.telegram.hears("heard: hello")
            assert len(await world.telegram.texts()) == 3, "one code, one welcome, one answer"
            assert SECRET not in await world.thinker.read()
            status, _ = await world.daemon.cli("pair", "approve", code)
            assert status == 1, "a code works once"

            await world.daemon.call("pair_remove", person=f"tg:{ann}")
            await world.telegram.say("ann", "still there?")
            await world.telegram.hears("pair approve", count=2)
            assert "still there" not in await world.thinker.read()

    run(body)


def test_an_owner_approves_in_a_chat_in_chinese(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            world.make_owner("boss")
            await world.start(access='"pairing"')
            await world.telegram.say("xiaoming", "你好")
            code = code_in((await world.telegram.hears("配对码"))["text"])
            await world.telegram.say("boss", f"批准 {code}")
            await world.telegram.hears("现在可以和我说话了")
            await world.telegram.say("xiaoming", "在吗")
            await world.telegram.hears("heard: 在吗")
            assert code not in await world.thinker.read()

    run(body)


def test_a_list_lets_in_ids_and_never_names(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start(access=f'["{person_id("ann")}"]')
            thief = {"id": 666, "first_name": "Ann", "username": "ann_name"}
            await world.telegram.say(thief, SECRET)  # type: ignore[arg-type]
            await world.telegram.say("ann", "hello")
            await world.telegram.hears("heard: hello")
            assert SECRET not in await world.thinker.read()
            assert len(await world.telegram.texts()) == 1

    run(body)


def test_in_a_group_it_speaks_only_when_called_and_knows_who_said_what(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start(access=f'["{person_id("ann")}", "{person_id("bob")}"]')
            await world.telegram.say("ann", "the tea is green", chat=GROUP)
            await world.telegram.say("mallory", SECRET, chat=GROUP)
            await world.telegram.say("mallory", f"@{BOT} {SECRET}", chat=GROUP)
            await world.telegram.say("bob", f"@{BOT} what tea?", chat=GROUP)
            answer = await world.telegram.hears("what tea?")
            assert answer["chat"]["id"] == GROUP and answer["reply_to_message"]
            assert len(await world.telegram.texts()) == 1
            shown = await world.thinker.read()
            assert "Ann: the tea is green" in shown and "Bob:" in shown
            assert SECRET not in shown

    run(body)


def test_bots_are_not_answered(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start()
            bot = {"id": 777, "first_name": "Other", "is_bot": True}
            await world.telegram.say(bot, "ping?")  # type: ignore[arg-type]
            await world.telegram.say("ann", "hello")
            await world.telegram.hears("heard: hello")
            assert len(await world.telegram.texts()) == 1

    run(body)


def test_two_messages_at_once_are_answered_in_order_one_by_one(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start()
            await world.telegram.say("ann", "first", "second", "third")
            await world.telegram.hears("heard: third")
            assert await world.telegram.texts() == ["heard: first", "heard: second", "heard: third"]

    run(body)


def test_what_the_network_delivers_again_is_not_answered_again(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start()
            await world.telegram.say("ann", "first")
            await world.telegram.hears("heard: first")
            await world.telegram.control("redeliver")
            await world.telegram.say("ann", "second")
            await world.telegram.hears("heard: second")
            assert await world.telegram.texts() == ["heard: first", "heard: second"]

    run(body)


def test_a_message_heard_in_the_last_moment_is_answered_by_the_next_life(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start()
            await world.thinker.control(hang=30)
            await world.telegram.say("ann", "are you there?")
            await until(world.thinker.asked)
            await world.daemon.kill()
            await world.daemon.start()
            await world.telegram.hears("heard: are you there?")
            await world.telegram.say("ann", "thanks")
            await world.telegram.hears("heard: thanks")
            assert len(await world.telegram.texts()) == 2

    run(body)


def test_ten_people_at_once_all_get_their_answer(tmp_path: Path) -> None:
    async def body() -> None:
        async with stage(tmp_path) as world:
            await world.start()
            people = [f"person{i}" for i in range(10)]
            await asyncio.gather(*(world.telegram.say(name, f"I am {name}.") for name in people))
            for name in people:
                answer = await world.telegram.hears(f"heard: I am {name}.")
                assert answer["chat"]["id"] == person_id(name)
            assert len(await world.telegram.texts()) == 10

    run(body)
