# SPDX-License-Identifier: AGPL-3.0-or-later
"""The Telegram channel beyond the conformance suite, against the stand-in's process."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from haoya.channels.telegram import plugin
from haoya.channels.telegram.connection import Telegram
from haoya.core.errors import ConfigError, Undeliverable, Unready
from haoya.core.message import Audio, Button, File, Inbound, Outbound, Receipt, Text
from haoya.core.plan import plan
from tests.conformance.counterpart import until
from tests.conformance.counterparts.telegram import Telegram as Counterpart
from tests.conformance.house import House, words

Play = Callable[[Counterpart, House], Awaitable[None]]


@asynccontextmanager
async def network() -> AsyncIterator[Counterpart]:
    far = Counterpart()
    await far.start()
    try:
        async with asyncio.timeout(60):
            yield far
    finally:
        await far.stop()


def with_channel(folder: Path, play: Play) -> None:
    """Run `play` with the stand-in and a house whose channel is open."""

    async def run() -> None:
        async with network() as far:
            house = House(plugin, far.settings(), folder, name="tg")
            async with house.living():
                await house.ready()
                await play(far, house)

    asyncio.run(run())


async def greeted(far: Counterpart, house: House, **spec: object) -> Inbound:
    await far.control("say", 0, messages=[{"text": "hello?"} | spec])
    return await house.hears("hello?")


async def sent(far: Counterpart) -> list[dict[str, Any]]:
    """The bot's messages as the network has them."""
    return (await far.control("sent", 0))["sent"]


async def send(house: House, inbound: Inbound, *parts: Any) -> Receipt:
    connection = await house.ready()
    outbound = Outbound(id="o", address=inbound.address, parts=parts)
    (piece,) = plan(outbound, connection.capabilities).pieces
    return await connection.send(piece)


def test_two_programs_on_one_token_are_told_what_to_do(tmp_path: Path):
    async def play(far: Counterpart, house: House) -> None:
        other = House(plugin, far.settings(), tmp_path / "other")
        async with other.living():
            await until(lambda: house.faults, why="no conflict")
            assert "terminated by other getUpdates request" in str(house.faults[0])
            assert "stop the other one" in str(house.faults[0])

    with_channel(tmp_path, play)


def test_what_is_no_token_is_the_owners_to_correct(tmp_path: Path):
    async def run() -> None:
        house = House(plugin, {"token": "secret words"}, tmp_path)
        with pytest.raises(ConfigError) as caught:
            async with plugin.open(house.settings, house._context(None)):  # pyright: ignore
                pass
        assert "BotFather" in caught.value.cure and "secret words" not in str(caught.value)

    asyncio.run(run())


def test_a_webhook_is_put_out_of_the_way(tmp_path: Path):
    async def run() -> None:
        async with network() as far:
            await far.control("webhook", 0, url="https://example.org/hook")
            house = House(plugin, far.settings(), tmp_path)
            async with house.living():
                await greeted(far, house)
                assert not house.faults

    asyncio.run(run())


def test_an_answer_lost_after_sending_may_have_reached_people(tmp_path: Path):
    async def play(far: Counterpart, house: House) -> None:
        inbound = await greeted(far, house)
        await far.control("drop", 0, n=1)
        with pytest.raises(Unready) as caught:
            await send(house, inbound, Text(text="did it arrive?"))
        assert caught.value.reached
        assert len(await sent(far)) == 1

    with_channel(tmp_path, play)


def test_a_request_that_never_left_stays_owed(tmp_path: Path):
    async def play(far: Counterpart, house: House) -> None:
        inbound = await greeted(far, house)
        connection = await house.ready()
        await far.kill()
        outbound = Outbound(id="o", address=inbound.address, parts=(Text(text="x"),))
        with pytest.raises(Unready) as caught:
            await connection.send(outbound)
        assert not caught.value.reached

    with_channel(tmp_path, play)


def test_a_failure_that_telegram_admits_stays_owed(tmp_path: Path):
    async def play(far: Counterpart, house: House) -> None:
        inbound = await greeted(far, house)
        words = "Internal Server Error: restart"
        await far.control("fail", 0, n=1, status=500, description=words)
        with pytest.raises(Unready, match=words) as caught:
            await send(house, inbound, Text(text="x"))
        assert not caught.value.reached

    with_channel(tmp_path, play)


def test_blocked_and_unknown_people_are_undeliverable(tmp_path: Path):
    async def play(far: Counterpart, house: House) -> None:
        inbound = await greeted(far, house)
        await far.control("block", 0, chat_id=int(inbound.address.room))
        with pytest.raises(Undeliverable, match="bot was blocked by the user"):
            await send(house, inbound, Text(text="x"))
        for room, why in (("12", "chat not found"), ("#kitchen", "chats are numbers")):
            elsewhere = Inbound(
                id="1",
                address=type(inbound.address)(channel="tg", room=room),
                sender=inbound.sender,
                at=0,
            )
            with pytest.raises(Undeliverable, match=why):
                await send(house, elsewhere, Text(text="x"))

    with_channel(tmp_path, play)


def test_a_group_that_moved_is_followed(tmp_path: Path):
    async def play(far: Counterpart, house: House) -> None:
        inbound = await greeted(far, house, chat=-55, chat_type="group")
        await far.control("migrate", 0, chat_id=-55, to=-10055)
        for text in ("one", "two"):
            await send(house, inbound, Text(text=text))
        assert [item["message"]["chat"]["id"] for item in await sent(far)] == [-10055, -10055]
        assert (await far.control("stats", 0))["calls"]["sendMessage"] == 3

    with_channel(tmp_path, play)


def test_styles_arrive_as_entities(tmp_path: Path):
    async def play(far: Counterpart, house: House) -> None:
        inbound = await greeted(far, house)
        await send(
            house, inbound, Text(text="😀 **bold** `code` [x](https://a.b)", markup="markdown")
        )
        (item,) = await sent(far)
        assert item["message"]["text"] == "😀 bold code x"
        kinds = [(e["type"], e["offset"], e["length"]) for e in item["message"]["entities"]]
        assert kinds == [("bold", 3, 4), ("code", 8, 4), ("text_link", 13, 1)]

    with_channel(tmp_path, play)


def test_styles_telegram_refuses_do_not_cost_the_words(tmp_path: Path):
    async def play(far: Counterpart, house: House) -> None:
        inbound = await greeted(far, house)
        await far.control("fail", 0, n=1, status=400, description="Bad Request: wrong entity")
        await send(house, inbound, Text(text="**bold**", markup="markdown"))
        (item,) = await sent(far)
        assert item["message"]["text"] == "bold" and "entities" not in item["message"]

    with_channel(tmp_path, play)


def test_a_button_is_pressed_and_acknowledged(tmp_path: Path):
    async def play(far: Counterpart, house: House) -> None:
        inbound = await greeted(far, house)
        yes, no = Button(label="Yes", value="yes:1"), Button(label="No", value="no:1")
        receipt = await send(house, inbound, Text(text="sure?"), yes, no)
        number = int(receipt.ids[0].partition(":")[2])
        await far.control("say", 0, messages=[{"press": {"message_id": number, "data": "yes:1"}}])
        pressed = await house.hears("yes:1")
        assert pressed.type == "action" and pressed.reply_to == receipt.ids[0]
        assert pressed.address == inbound.address
        for _ in range(500):
            if (await far.control("stats", 0))["calls"].get("answerCallbackQuery"):
                return
            await asyncio.sleep(0.01)
        raise AssertionError("the press was never acknowledged")

    with_channel(tmp_path, play)


def test_a_topic_is_answered_in_the_topic(tmp_path: Path):
    async def play(far: Counterpart, house: House) -> None:
        inbound = await greeted(far, house, chat=-77, thread=4)
        await send(house, inbound, Text(text="here"))
        (item,) = await sent(far)
        assert item["message"]["message_thread_id"] == 4
        connection = await house.ready()
        assert isinstance(connection, Telegram)
        await connection.typing(inbound.address)
        assert (await far.control("stats", 0))["typing"] == [{"chat_id": -77, "action": "typing"}]

    with_channel(tmp_path, play)


def test_voice_and_files_are_fetched(tmp_path: Path):
    async def play(far: Counterpart, house: House) -> None:
        voice = {"data": base64.b64encode(b"ogg").decode(), "mime": "audio/ogg", "duration": 2}
        table = {"data": base64.b64encode(b"a,b").decode(), "mime": "text/csv", "name": "t.csv"}
        await far.control("say", 0, messages=[{"voice": voice}, {"document": table}])
        await until(lambda: len(house.heard) == 2)
        (spoken,), (file,) = (message.parts for message in house.heard)
        assert isinstance(spoken, Audio) and spoken.voice and spoken.seconds == 2
        assert await house.blobs.get(spoken.blob.sha256) == b"ogg"
        assert isinstance(file, File) and (file.blob.name, file.blob.mime) == ("t.csv", "text/csv")
        await send(house, house.heard[1], File(blob=file.blob, caption="back"))
        (item,) = await sent(far)
        assert item["method"] == "sendDocument"
        assert item["message"]["document"]["file_name"] == "t.csv"

    with_channel(tmp_path, play)


def test_a_file_that_cannot_be_had_becomes_words(tmp_path: Path):
    async def play(far: Counterpart, house: House) -> None:
        big = {"document": {"file_id": "F9", "file_size": 21 * 1024 * 1024, "file_name": "big"}}
        lost = {"document": {"file_id": "F8", "file_name": "lost"}}
        await far.control("say", 0, messages=[{"raw": big, "caption": "see"}, {"raw": lost}])
        await until(lambda: len(house.heard) == 2)
        assert "at most 20 MB" in words(house.heard[0]) and words(house.heard[0]).endswith("see")
        assert "temporarily unavailable" in words(house.heard[1])

    with_channel(tmp_path, play)


def test_an_update_of_unknown_shape_hides_no_other(tmp_path: Path):
    async def play(far: Counterpart, house: House) -> None:
        strange = {"raw": {"photo": "not a list"}}
        await far.control("say", 0, messages=[{"text": "before"}, strange, {"text": "after"}])
        await house.hears("after")
        assert [words(message) for message in house.heard] == ["before", "after"]
        await greeted(far, house)
        assert (await far.control("stats", 0))["waiting"] <= 1 and not house.faults

    with_channel(tmp_path, play)


def test_edits_by_people_are_heard(tmp_path: Path):
    async def play(far: Counterpart, house: House) -> None:
        inbound = await greeted(far, house)
        number = int(inbound.id.partition(":")[2])
        await far.control("say", 0, messages=[{"text": "goodbye", "edit": number}])
        edited = await house.hears("goodbye")
        assert edited.type == "edit" and edited.id.startswith(inbound.id)

    with_channel(tmp_path, play)


def test_what_the_cursor_covers_is_not_heard_again(tmp_path: Path):
    """As after a kill between our commit and the next poll."""

    async def run() -> None:
        async with network() as far:
            await far.control("say", 0, messages=[{"text": "stored"}, {"text": "new"}])
            house = House(plugin, far.settings(), tmp_path)
            house.cursor = str((await _updates(far))[0]["update_id"])
            async with house.living():
                await house.hears("new")
            assert house.arrivals == 1

    asyncio.run(run())


def test_a_number_drawn_anew_after_a_quiet_week_loses_nothing(tmp_path: Path):
    """Telegram may go on with a lower update_id; our old offset would confirm it unseen."""

    async def run() -> None:
        now = [1_790_000_000.0]
        async with network() as far:
            house = House(plugin, far.settings(), tmp_path, clock=lambda: now[0])
            async with house.living():
                await greeted(far, house)
                now[0] += 7 * 86_400
                polls = (await far.control("stats", 0))["calls"]["getUpdates"]
                await _polled(far, polls + 2)
                await far.control("renumber", 0, to=5_000)
                await far.person_says("after a week")
                await house.hears("after a week")
            await far.control("renumber", 0, to=1_000)
            await far.person_says("while we were away")
            async with house.living():
                await house.hears("while we were away")
            assert not house.faults

    asyncio.run(run())


def test_the_stand_in_keeps_what_is_not_confirmed_and_survives_a_kill(tmp_path: Path):
    async def run() -> None:
        async with network() as far:
            await far.person_says("one")
            await far.person_says("two")
            first = await _updates(far)
            assert [update["message"]["text"] for update in first] == ["one", "two"]
            assert await _updates(far) == first
            await far.kill()
            await far.back()
            assert await _updates(far) == first
            assert await _updates(far, offset=first[1]["update_id"]) == first[1:]
            await far.kill()
            await far.back()
            assert await _updates(far) == first[1:]
            assert await _updates(far, offset=first[1]["update_id"] + 1) == []

    asyncio.run(run())


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"text": "😀" * 2048 + "x"}, "message is too long"),
        ({"text": " "}, "message text is empty"),
        ({"text": "x", "chat_id": 5}, "chat not found"),
        ({"text": "😀", "entities": [{"type": "bold", "offset": 0, "length": 3}]}, "ends after"),
        ({"text": "😀", "entities": [{"type": "bold", "offset": 0, "length": 1}]}, "in a middle"),
        ({"text": "x", "reply_parameters": {"message_id": 99}}, "message to be replied not found"),
        ({"text": "x", "message_thread_id": 99}, "message thread not found"),
        (
            {
                "text": "x",
                "reply_markup": {"inline_keyboard": [[{"text": "a", "callback_data": "x" * 65}]]},
            },
            "BUTTON_DATA_INVALID",
        ),
    ],
)
def test_the_stand_in_refuses_as_telegram_does(params: dict[str, object], words: str):
    async def run() -> None:
        async with network() as far:
            await far.person_says("hello?")
            (update,) = await _updates(far)
            body = {"chat_id": update["message"]["chat"]["id"]} | params
            answer = await far.call("sendMessage", **body)
            assert answer["error_code"] == 400 and words in answer["description"]
            assert not await sent(far)

    asyncio.run(run())


async def _polled(far: Counterpart, times: int) -> None:
    """Wait until the bot has asked for updates so often."""
    for _ in range(1500):
        if (await far.control("stats", 0))["calls"]["getUpdates"] >= times:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the bot does not poll")


async def _updates(far: Counterpart, **params: object) -> list[dict[str, Any]]:
    return (await far.call("getUpdates", **params))["result"]
