# SPDX-License-Identifier: AGPL-3.0-or-later
"""From an update to what the house hears. Pure: files are named here, and fetched elsewhere."""

import re
from typing import Literal

import msgspec

from haoya.channels.telegram.updates import (
    CallbackQuery,
    Entity,
    Medium,
    Message,
    Update,
    User,
)
from haoya.core.message import (
    Address,
    Inbound,
    InboundType,
    Location,
    Mention,
    Part,
    Quote,
    RoomKind,
    Sender,
    Text,
)

MediumKind = Literal["image", "audio", "voice", "video", "file"]


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that belongs to a message and still lies at Telegram."""

    kind: MediumKind
    medium: Medium
    mime: str
    name: str
    caption: str


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """A message, what is still to be fetched for it, and the button press to be answered."""

    inbound: Inbound
    attachment: Attachment | None = None
    press: str = ""


def heard_of(update: Update, *, channel: str, me: User, now: float) -> Heard | None:
    """What an update says to us; None where it says nothing (service messages)."""
    if update.message:
        return _message(update.message, "message", update.update_id, channel, me)
    if update.edited_message:
        return _message(update.edited_message, "edit", update.update_id, channel, me)
    if update.callback_query:
        return _press(update.callback_query, update.update_id, channel, now)
    return None


def message_id(message: Message) -> str:
    """The house's id of a message: unique per bot, for message numbers count per chat."""
    return f"{message.chat.id}:{message.message_id}"


def _message(
    message: Message, type: InboundType, update: int, channel: str, me: User
) -> Heard | None:
    sender = _sender(message)
    if sender is None or sender.id == str(me.id):
        return None
    words = _Words(message, me)
    passed_on = _passed_on(message, words.text)
    own = "" if passed_on else words.text
    attachment = _attachment(message, own)
    said = _parts(message, "" if attachment else own)
    parts = (*_quoted(message), *passed_on, *said, *words.others)
    if not parts and not attachment:
        return None
    direct = message.chat.type == "private"
    replied = _replied(message)
    return Heard(
        inbound=Inbound(
            id=message_id(message) + (f":{update}" if type == "edit" else ""),
            address=_address(message, channel),
            sender=sender,
            type=type,
            parts=parts,
            at=float(message.date),
            direct=direct,
            called=direct or words.called or _is_ours(replied, me),
            reply_to=message_id(replied) if replied else "",
            cursor=str(update),
        ),
        attachment=attachment,
    )


def _press(query: CallbackQuery, update: int, channel: str, now: float) -> Heard | None:
    if query.message is None:
        return None
    return Heard(
        inbound=Inbound(
            id=f"{message_id(query.message)}:{query.id}",
            address=_address(query.message, channel),
            sender=_user(query.from_),
            type="action",
            parts=(Text(text=query.data),),
            at=now,
            direct=query.message.chat.type == "private",
            called=True,
            reply_to=message_id(query.message),
            cursor=str(update),
        ),
        press=query.id,
    )


def _address(message: Message, channel: str) -> Address:
    """Where it was said. A thread id without `is_topic_message` is a mere chain of replies."""
    topic = message.is_topic_message and message.message_thread_id
    kind: RoomKind = "dm" if message.chat.type == "private" else "group"
    return Address(
        channel=channel,
        room=str(message.chat.id),
        thread=str(message.message_thread_id) if topic else "",
        kind="topic" if topic else kind,
    )


def _sender(message: Message) -> Sender | None:
    """Who spoke; anonymous administrators and linked channels speak as a chat."""
    if chat := message.sender_chat:
        return Sender(id=str(chat.id), name=chat.title, proof="network")
    return _user(message.from_) if message.from_ else None


def _user(user: User) -> Sender:
    name = f"{user.first_name} {user.last_name}".strip() or user.username
    return Sender(id=str(user.id), name=name, proof="network", is_bot=user.is_bot)


def _replied(message: Message) -> Message | None:
    """The message this one replies to; in a topic a plain message seems to reply to its root."""
    replied = message.reply_to_message
    root = message.is_topic_message and replied and replied.message_id == message.message_thread_id
    return None if root else replied


def _is_ours(message: Message | None, me: User) -> bool:
    return bool(message and message.from_ and message.from_.id == me.id)


def _quoted(message: Message) -> tuple[Part, ...]:
    return (Quote(text=message.quote.text),) if message.quote else ()


def _passed_on(message: Message, text: str) -> tuple[Part, ...]:
    """What is forwarded is somebody else's words, and a quote here."""
    origin = message.forward_origin
    if origin is None or not text:
        return ()
    chat = origin.sender_chat or origin.chat
    user = _user(origin.sender_user).name if origin.sender_user else origin.sender_user_name
    return (Quote(text=text, author=user or (chat.title if chat else "")),)


def _parts(message: Message, text: str) -> list[Part]:
    """All parts that need no file."""
    parts: list[Part] = [Text(text=text)] if text else []
    if message.sticker:
        parts.append(Text(text=message.sticker.emoji or "[sticker]"))
    if message.venue:
        parts.append(
            _location(
                message.venue.location.latitude,
                message.venue.location.longitude,
                message.venue.title,
            )
        )
    elif message.location:
        parts.append(_location(message.location.latitude, message.location.longitude, ""))
    return parts


def _location(latitude: float, longitude: float, name: str) -> Location:
    return Location(latitude=latitude, longitude=longitude, name=name)


def _attachment(message: Message, caption: str) -> Attachment | None:
    """The one file a message can have; the largest size of a photo comes last."""
    found: tuple[MediumKind, Medium, str, str] | None = None
    if message.photo:
        found = ("image", message.photo[-1], "image/jpeg", "photo.jpg")
    elif message.voice:
        found = ("voice", message.voice, "audio/ogg", "voice.ogg")
    elif message.audio:
        found = ("audio", message.audio, "audio/mpeg", "audio.mp3")
    elif message.video or message.video_note:
        film = message.video or message.video_note
        found = ("video", film, "video/mp4", "video.mp4") if film else None
    elif message.animation:
        found = ("video", message.animation, "video/mp4", "animation.mp4")
    elif message.document:
        image = message.document.mime_type.startswith("image/")
        kind: MediumKind = "image" if image else "file"
        found = (kind, message.document, "application/octet-stream", "file")
    if found is None:
        return None
    kind, medium, mime, name = found
    return Attachment(
        kind=kind,
        medium=medium,
        mime=medium.mime_type or mime,
        name=medium.file_name or name,
        caption=caption,
    )


class _Words:
    """The text or caption of a message without the mention of ourselves at its beginning;
    `called` is whether it names us, `others` are the people it names by their id."""

    def __init__(self, message: Message, me: User) -> None:
        self.text = message.text or message.caption
        self.called = False
        self.others: list[Mention] = []
        mine = f"@{me.username}".lower()
        entities = message.entities if message.text else message.caption_entities
        for entity in sorted(entities, key=lambda entity: -entity.offset):
            start, end = _points(self.text, entity)
            words = self.text[start:end]
            match entity.type:
                case "mention" if words.lower() == mine:
                    self._call(start, end)
                case "text_mention" if entity.user and entity.user.id == me.id:
                    self._call(start, end)
                case "text_mention" if entity.user:
                    self.others.insert(0, Mention(id=str(entity.user.id), name=words))
                case "bot_command":
                    command, at, name = words.partition("@")
                    if not at or f"@{name}".lower() == mine:
                        self.called = True
                        self.text = self.text[:start] + command + self.text[end:]
                case _:
                    pass

    def _call(self, start: int, end: int) -> None:
        self.called = True
        if not self.text[:start].strip():
            self.text = re.sub(r"^[\s,:，：]+", "", self.text[end:])


def _points(text: str, entity: Entity) -> tuple[int, int]:
    """The stretch of an entity in code points; Telegram counts in UTF-16 code units."""
    start, end = entity.offset, entity.offset + entity.length
    if text.isascii():
        return start, end
    units = text.encode("utf-16-le", "surrogatepass")
    before = len(units[: start * 2].decode("utf-16-le", "replace"))
    inside = len(units[start * 2 : end * 2].decode("utf-16-le", "replace"))
    return before, before + inside
