# SPDX-License-Identifier: AGPL-3.0-or-later
"""From one planned piece to a method of the Bot API and its parameters. Pure."""

from collections.abc import Sequence

from haoya.core.errors import Undeliverable
from haoya.core.message import (
    Address,
    Audio,
    Button,
    File,
    Image,
    Media,
    Outbound,
    Span,
    Style,
    Text,
    Video,
    text_of,
)

PHOTO_BYTES = 10 * 1024 * 1024
"""The most that sendPhoto takes; larger pictures go as documents."""
DATA_BYTES = 64
"""The most a button may carry (InlineKeyboardButton, callback_data)."""
ROW_LETTERS = 24
"""Short choices stand side by side, up to this many letters; longer ones one below the other."""

_ENTITIES: dict[Style, str] = {
    "bold": "bold",
    "italic": "italic",
    "strike": "strikethrough",
    "code": "code",
    "pre": "pre",
    "link": "text_link",
    "quote": "blockquote",
}
_LINKS = ("http://", "https://", "tg://")
_PHOTOS = ("image/jpeg", "image/png", "image/webp")
_VOICES = ("audio/ogg", "audio/mpeg", "audio/mp4")
_MUSIC = ("audio/mpeg", "audio/mp4")

Params = dict[str, object]


def medium_of(outbound: Outbound) -> Media | None:
    """The medium of a piece, which has at most one."""
    for part in outbound.parts:
        if isinstance(part, Image | Audio | Video | File):
            return part
    return None


def text_params(outbound: Outbound) -> Params:
    """`text` with its entities and buttons, for sendMessage and editMessageText.

    Previews of links are off: they would let a stranger's words make Telegram fetch addresses.
    """
    texts = [part for part in outbound.parts if isinstance(part, Text)]
    if len(texts) == 1:
        text, spans = texts[0].text, texts[0].spans
    else:
        words = tuple(part for part in outbound.parts if not isinstance(part, Button))
        text, spans = text_of(words), ()
    params: Params = {"text": text, "link_preview_options": {"is_disabled": True}}
    if entities := entities_of(text, spans):
        params["entities"] = entities
    buttons = [part for part in outbound.parts if isinstance(part, Button)]
    if buttons:
        params["reply_markup"] = {"inline_keyboard": _keyboard(buttons)}
    return params


def place_params(address: Address, reply_to: str) -> Params:
    """Where a message goes and what it replies to."""
    params: Params = {"chat_id": chat_of(address)}
    if address.thread:
        params["message_thread_id"] = int(address.thread)
    number = number_of(reply_to)
    if number:
        params["reply_parameters"] = {"message_id": number, "allow_sending_without_reply": True}
    return params


def chat_of(address: Address) -> int:
    """Telegram's number of the chat; `Undeliverable` where the room is none."""
    try:
        return int(address.room)
    except ValueError:
        raise Undeliverable(f"Telegram has no chat {address.room!r}; chats are numbers") from None


def number_of(id: str) -> int:
    """Telegram's number within the chat of a message that the house knows as `chat:number`.

    >>> number_of("-100200:7"), number_of("-100200:7:42"), number_of("")
    (7, 7, 0)
    """
    pieces = id.split(":")
    return int(pieces[1]) if len(pieces) > 1 and pieces[1].isdecimal() else 0


def entities_of(text: str, spans: Sequence[Span]) -> list[Params]:
    """MessageEntity of each span, counted in UTF-16 code units.

    >>> entities_of("😀 ok", [Span(start=2, length=2, style="bold")])
    [{'type': 'bold', 'offset': 3, 'length': 2}]
    """
    entities: list[Params] = []
    for span in spans:
        entity: Params = {
            "type": _ENTITIES[span.style],
            "offset": _units(text[: span.start]),
            "length": _units(text[span.start : span.start + span.length]),
        }
        if span.style == "link":
            if not span.value.startswith(_LINKS):
                continue
            entity["url"] = span.value
        elif span.style == "pre" and span.value:
            entity["language"] = span.value
        entities.append(entity)
    return entities


def upload_of(part: Media) -> tuple[str, str]:
    """The method for a medium and the name of its parameter, by what Telegram can show."""
    mime = part.blob.mime
    match part:
        case Image() if mime in _PHOTOS and part.blob.size <= PHOTO_BYTES:
            return "sendPhoto", "photo"
        case Audio(voice=True) if mime in _VOICES:
            return "sendVoice", "voice"
        case Audio() if mime in _MUSIC:
            return "sendAudio", "audio"
        case Video() if mime == "video/mp4":
            return "sendVideo", "video"
        case _:
            return "sendDocument", "document"


def _keyboard(buttons: list[Button]) -> list[list[Params]]:
    """Rows of buttons; a value too long for Telegram is said as its label."""
    keys: list[Params] = []
    for button in buttons:
        fits = len(button.value.encode()) <= DATA_BYTES
        data = button.value if fits else _clip(button.label)
        keys.append({"text": button.label, "callback_data": data or button.label})
    if sum(len(button.label) for button in buttons) <= ROW_LETTERS:
        return [keys]
    return [[key] for key in keys]


def _clip(text: str) -> str:
    return text.encode()[:DATA_BYTES].decode(errors="ignore")


def _units(text: str) -> int:
    if text.isascii():
        return len(text)
    return len(text) + sum(character > "\uffff" for character in text)
