# SPDX-License-Identifier: AGPL-3.0-or-later
"""Telegram's updates and our words, without a network. Updates have the shape of real ones."""

import msgspec
import pytest

from haoya.channels.telegram.api import Answer, Parameters, fault
from haoya.channels.telegram.hear import Heard, heard_of
from haoya.channels.telegram.say import entities_of, number_of, text_params, upload_of
from haoya.channels.telegram.updates import Update, User
from haoya.core.errors import HaoyaError, Rejected, Throttled, Undeliverable, Unready
from haoya.core.message import (
    Address,
    Audio,
    Blob,
    Button,
    File,
    Image,
    Location,
    Mention,
    Outbound,
    Quote,
    Span,
    Text,
    Video,
)

ME = User(id=42, is_bot=True, first_name="haoya", username="haoya_bot")
ANN = {"id": 7, "is_bot": False, "first_name": "Ann", "last_name": "Lee", "language_code": "en"}
PRIVATE = {"id": 7, "first_name": "Ann", "type": "private"}
GROUP = {"id": -100123, "title": "kitchen", "type": "supergroup"}
OURS = {"message_id": 5, "from": {"id": 42, "is_bot": True}, "chat": GROUP, "date": 9, "text": "x"}


def hear(kind: str = "message", **content: object) -> Heard | None:
    message = {"message_id": 9, "from": ANN, "chat": PRIVATE, "date": 1_790_000_000, **content}
    return hear_update({kind: message})


def hear_update(content: dict[str, object]) -> Heard | None:
    raw = msgspec.json.encode({"update_id": 1000, **content})
    update = msgspec.json.decode(raw, type=Update)
    return heard_of(update, channel="tg", me=ME, now=1_790_000_009.5)


def inbound(kind: str = "message", **content: object):
    heard = hear(kind, **content)
    assert heard
    return heard.inbound


def mark(text: str, part: str, kind: str, **more: object) -> dict[str, object]:
    """An entity over `part`, counted in UTF-16 units as Telegram does."""
    before = text[: text.index(part)]
    units = [len(piece.encode("utf-16-le")) // 2 for piece in (before, part)]
    return {"type": kind, "offset": units[0], "length": units[1], **more}


def test_private_words_are_ours_to_answer():
    message = inbound(text="hi 你好 😀")
    assert message.id == "7:9" and message.cursor == "1000" and message.at == 1_790_000_000
    assert message.address == Address(channel="tg", room="7", kind="dm")
    assert message.sender.id == "7" and message.sender.name == "Ann Lee"
    assert message.sender.proof == "network" and not message.sender.is_bot
    assert message.direct and message.called
    assert message.parts == (Text(text="hi 你好 😀"),)


def test_group_words_are_not_ours_unless_called():
    assert not inbound(chat=GROUP, text="hi all").called
    assert inbound(chat=GROUP, text="hi all").address.kind == "group"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("@haoya_bot what time?", "what time?"),
        ("@HAOYA_bot, what time?", "what time?"),
        ("@Haoya_Bot：几点了？", "几点了？"),
        ("😀 @haoya_bot what time?", "😀 @haoya_bot what time?"),
    ],
)
def test_named_in_a_group_and_only_the_leading_name_is_cut(text: str, left: str):
    name = next(word for word in text.replace("：", " ").replace(",", " ").split() if "@" in word)
    message = inbound(chat=GROUP, text=text, entities=[mark(text, name, "mention")])
    assert message.called and message.parts == (Text(text=left),)


def test_a_longer_name_is_somebody_else():
    text = "@haoya_bot2 hi"
    message = inbound(chat=GROUP, text=text, entities=[mark(text, "@haoya_bot2", "mention")])
    assert not message.called


def test_named_without_a_username():
    text = "👋 haoya and Bob Ray, hi"
    bob = {"id": 8, "is_bot": False, "first_name": "Bob"}
    me = {"id": 42, "is_bot": True, "first_name": "haoya"}
    entities = [
        mark(text, "haoya", "text_mention", user=me),
        mark(text, "Bob Ray", "text_mention", user=bob),
    ]
    message = inbound(chat=GROUP, text=text, entities=entities)
    assert message.called and message.parts == (Text(text=text), Mention(id="8", name="Bob Ray"))


@pytest.mark.parametrize(
    ("text", "called", "left"),
    [
        ("/time", True, "/time"),
        ("/time@haoya_bot now", True, "/time now"),
        ("/time@other_bot now", False, "/time@other_bot now"),
    ],
)
def test_commands_in_a_group(text: str, called: bool, left: str):
    entities = [mark(text, text.split(maxsplit=1)[0], "bot_command")]
    message = inbound(chat=GROUP, text=text, entities=entities)
    assert message.called is called and message.parts == (Text(text=left),)


def test_answering_us_calls_us():
    message = inbound(chat=GROUP, text="why?", reply_to_message=OURS)
    assert message.called and message.reply_to == "-100123:5"
    theirs = OURS | {"from": ANN}
    assert not inbound(chat=GROUP, text="why?", reply_to_message=theirs).called


def test_a_quoted_part_comes_along():
    message = inbound(
        chat=GROUP, text="why?", reply_to_message=OURS, quote={"text": "because", "position": 0}
    )
    assert message.parts[0] == Quote(text="because")


def test_a_topic_is_a_conversation_and_its_root_is_no_reply():
    topic = {"message_thread_id": 5, "is_topic_message": True, "reply_to_message": OURS}
    message = inbound(chat=GROUP, text="hi", **topic)
    assert message.address == Address(channel="tg", room="-100123", thread="5", kind="topic")
    assert not message.called and not message.reply_to


def test_a_chain_of_replies_is_no_topic():
    message = inbound(chat=GROUP, text="hi", message_thread_id=5, reply_to_message=OURS)
    assert message.address.thread == "" and message.called


def test_an_anonymous_administrator_speaks_as_the_group():
    anonymous = {"id": 1087968824, "is_bot": True, "first_name": "Group"}
    message = inbound(chat=GROUP, text="hi", sender_chat=GROUP, **{"from": anonymous})
    assert message.sender.id == "-100123" and message.sender.name == "kitchen"


def test_two_edits_in_one_second_are_two():
    message = inbound("edited_message", text="better", edit_date=1_790_000_005)
    assert message.type == "edit" and message.id == "7:9:1000"


def test_a_pressed_button_says_its_value():
    query = {"id": "77", "from": ANN, "message": OURS, "data": "yes:12", "chat_instance": "1"}
    heard = hear_update({"callback_query": query})
    assert heard and heard.press == "77"
    message = heard.inbound
    assert message.type == "action" and message.parts == (Text(text="yes:12"),)
    assert message.called and message.sender.id == "7" and message.reply_to == "-100123:5"
    assert message.at == 1_790_000_009.5 and message.cursor == "1000"


def test_service_messages_and_unknown_updates_say_nothing():
    assert hear(new_chat_members=[ANN]) is None
    assert hear_update({"poll": {"id": "1"}}) is None
    assert hear(text="ours", **{"from": {"id": 42, "is_bot": True}}) is None


def test_places_and_stickers_are_parts():
    where = {"latitude": 39.9, "longitude": 116.4}
    assert inbound(location=where).parts == (Location(latitude=39.9, longitude=116.4),)
    venue = {"location": where, "title": "Tea", "address": "1 Road"}
    named = Location(latitude=39.9, longitude=116.4, name="Tea")
    assert inbound(location=where, venue=venue).parts == (named,)
    sticker = {"file_id": "s", "emoji": "🥟", "width": 1, "height": 1}
    assert inbound(sticker=sticker).parts == (Text(text="🥟"),)


@pytest.mark.parametrize(
    ("content", "kind", "file"),
    [
        ({"photo": [{"file_id": "s"}, {"file_id": "l", "file_size": 9}]}, "image", "l"),
        ({"voice": {"file_id": "v", "duration": 3}}, "voice", "v"),
        ({"audio": {"file_id": "a", "duration": 3, "file_name": "x.mp3"}}, "audio", "a"),
        ({"video": {"file_id": "f", "duration": 3}}, "video", "f"),
        ({"video_note": {"file_id": "n", "duration": 3, "length": 240}}, "video", "n"),
        ({"document": {"file_id": "d", "mime_type": "text/csv"}}, "file", "d"),
        ({"document": {"file_id": "d", "mime_type": "image/png"}}, "image", "d"),
        (
            {
                "animation": {"file_id": "g", "mime_type": "video/mp4"},
                "document": {"file_id": "g", "mime_type": "video/mp4"},
            },
            "video",
            "g",
        ),
    ],
)
def test_media_are_named_with_their_caption(content: dict[str, object], kind: str, file: str):
    heard = hear(caption="look", **content)
    assert heard and heard.attachment and heard.inbound.parts == ()
    assert (heard.attachment.kind, heard.attachment.medium.file_id) == (kind, file)
    assert heard.attachment.caption == "look"


def test_a_caption_can_call_us():
    caption = "@haoya_bot what is this?"
    entities = [mark(caption, "@haoya_bot", "mention")]
    heard = hear(chat=GROUP, photo=[{"file_id": "p"}], caption=caption, caption_entities=entities)
    assert heard and heard.inbound.called and heard.attachment
    assert heard.attachment.caption == "what is this?"


def outbound(*parts: object) -> Outbound:
    return Outbound(id="1", address=Address(channel="tg", room="7"), parts=parts)  # pyright: ignore


def test_styles_are_counted_in_utf16():
    spans = (
        Span(start=2, length=1, style="bold"),
        Span(start=0, length=3, style="quote"),
        Span(start=0, length=1, style="pre", value="py"),
        Span(start=1, length=1, style="link", value="https://example.org"),
    )
    assert entities_of("😀好😀", spans) == [
        {"type": "bold", "offset": 3, "length": 2},
        {"type": "blockquote", "offset": 0, "length": 5},
        {"type": "pre", "offset": 0, "length": 2, "language": "py"},
        {"type": "text_link", "offset": 2, "length": 1, "url": "https://example.org"},
    ]


def test_links_telegram_cannot_open_are_left_as_words():
    assert entities_of("x", (Span(start=0, length=1, style="link", value="/local"),)) == []


def test_short_choices_stand_side_by_side():
    params = text_params(
        outbound(Text(text="?"), Button(label="Yes", value="y"), Button(label="No", value="n"))
    )
    keys = [{"text": "Yes", "callback_data": "y"}, {"text": "No", "callback_data": "n"}]
    assert params["reply_markup"] == {"inline_keyboard": [keys]}
    long = [Button(label=f"a rather long choice {i}", value=str(i)) for i in range(2)]
    markup = text_params(outbound(Text(text="?"), *long))["reply_markup"]
    assert [len(row) for row in markup["inline_keyboard"]] == [1, 1]  # pyright: ignore


def test_a_value_too_long_for_a_button_is_said_as_its_label():
    button = Button(label="好" * 40, value="v" * 65)
    markup = text_params(outbound(Text(text="?"), button))["reply_markup"]
    data = markup["inline_keyboard"][0][0]["callback_data"]  # pyright: ignore
    assert data == "好" * 21


@pytest.mark.parametrize(
    ("part", "mime", "size", "method"),
    [
        (Image, "image/png", 9, "sendPhoto"),
        (Image, "image/png", 11 * 1024 * 1024, "sendDocument"),
        (Image, "image/svg+xml", 9, "sendDocument"),
        (Audio, "audio/mpeg", 9, "sendAudio"),
        (Audio, "audio/flac", 9, "sendDocument"),
        (Video, "video/mp4", 9, "sendVideo"),
        (Video, "video/x-matroska", 9, "sendDocument"),
        (File, "image/png", 9, "sendDocument"),
    ],
)
def test_media_go_by_what_telegram_can_show(part: type[Image], mime: str, size: int, method: str):
    assert upload_of(part(blob=Blob(sha256="0", size=size, mime=mime)))[0] == method


def test_spoken_words_go_as_voice():
    blob = Blob(sha256="0", size=9, mime="audio/ogg")
    assert upload_of(Audio(blob=blob, voice=True)) == ("sendVoice", "voice")


def test_ids_of_elsewhere_are_no_reply():
    assert number_of("elsewhere") == number_of("a:b") == 0


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (400, Undeliverable),
        (401, Rejected),
        (403, Undeliverable),
        (404, Rejected),
        (409, Unready),
        (429, Throttled),
        (500, Unready),
        (502, Unready),
    ],
)
def test_each_refusal_means_one_thing(code: int, error: type[HaoyaError]):
    answer = Answer(ok=False, error_code=code, description="its words")
    assert type(fault(answer)) is error and "its words" in str(fault(answer))


def test_the_asked_pause_is_kept():
    parameters = Parameters(retry_after=17)
    answer = Answer(ok=False, error_code=429, description="slow", parameters=parameters)
    pause = fault(answer)
    assert isinstance(pause, Throttled) and pause.retry_after == 17


@pytest.mark.parametrize(
    ("code", "own", "reached"),
    [
        (500, True, False),
        (502, True, False),
        (502, False, True),
        (504, False, True),
        (503, False, False),
    ],
)
def test_a_gateway_does_not_know_what_became_of_it(code: int, own: bool, reached: bool):
    error = fault(Answer(ok=False, error_code=code, description="x", own=own))
    assert isinstance(error, Unready) and error.reached is reached
