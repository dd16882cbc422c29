# SPDX-License-Identifier: AGPL-3.0-or-later
"""What getUpdates sends, as far as we use it (Bot API, "Available types").

Unknown fields are ignored; every field that Telegram calls optional has a default here.
"""

import msgspec


class User(msgspec.Struct, frozen=True):
    """A person or a bot."""

    id: int
    is_bot: bool = False
    first_name: str = ""
    last_name: str = ""
    username: str = ""


class Chat(msgspec.Struct, frozen=True):
    """A private chat, a group or a channel."""

    id: int
    type: str = "private"
    title: str = ""


class Entity(msgspec.Struct, frozen=True):
    """MessageEntity: a marked stretch, `offset` and `length` in UTF-16 code units."""

    type: str
    offset: int
    length: int
    user: User | None = None


class Medium(msgspec.Struct, frozen=True):
    """What PhotoSize, Document, Voice, Audio, Video, VideoNote and Animation have in common."""

    file_id: str
    file_size: int = 0
    file_name: str = ""
    mime_type: str = ""
    duration: float = 0


class Sticker(msgspec.Struct, frozen=True):
    """A sticker, of which we read the emoji it stands for."""

    emoji: str = ""


class Point(msgspec.Struct, frozen=True):
    """Location: degrees."""

    latitude: float
    longitude: float


class Venue(msgspec.Struct, frozen=True):
    """A place with a name."""

    location: Point
    title: str = ""


class TextQuote(msgspec.Struct, frozen=True):
    """The part of a message that a reply quotes."""

    text: str


class Origin(msgspec.Struct, frozen=True):
    """MessageOrigin: who first said what is forwarded."""

    type: str
    sender_user: User | None = None
    sender_user_name: str = ""
    sender_chat: Chat | None = None
    chat: Chat | None = None


class Message(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """A message; also the reduced form of one that is no longer accessible."""

    message_id: int
    chat: Chat
    date: int = 0
    from_: User | None = None
    sender_chat: Chat | None = None
    message_thread_id: int = 0
    is_topic_message: bool = False
    reply_to_message: "Message | None" = None
    quote: TextQuote | None = None
    forward_origin: Origin | None = None
    text: str = ""
    entities: tuple[Entity, ...] = ()
    caption: str = ""
    caption_entities: tuple[Entity, ...] = ()
    photo: tuple[Medium, ...] = ()
    document: Medium | None = None
    voice: Medium | None = None
    audio: Medium | None = None
    video: Medium | None = None
    video_note: Medium | None = None
    animation: Medium | None = None
    sticker: Sticker | None = None
    location: Point | None = None
    venue: Venue | None = None


class CallbackQuery(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """Somebody pressed a button under one of our messages."""

    id: str
    from_: User
    message: Message | None = None
    data: str = ""


class Update(msgspec.Struct, frozen=True):
    """One thing that happened; at most one of the fields is there."""

    update_id: int
    message: Message | None = None
    edited_message: Message | None = None
    callback_query: CallbackQuery | None = None


class UpdateNumber(msgspec.Struct, frozen=True):
    """The number alone, of an update whose rest we cannot read."""

    update_id: int


class RemoteFile(msgspec.Struct, frozen=True):
    """File: where getFile says the bytes are."""

    file_id: str
    file_size: int = 0
    file_path: str = ""


class WebhookInfo(msgspec.Struct, frozen=True):
    """Whether updates go to a webhook, and how many wait."""

    url: str = ""
    pending_update_count: int = 0


ALLOWED = ("message", "edited_message", "callback_query")
"""The `allowed_updates` we ask for."""
