# SPDX-License-Identifier: Apache-2.0
"""The words for what people say to each other: addresses, senders, parts, messages."""

from functools import lru_cache
from typing import Literal
from urllib.parse import quote, unquote

import msgspec

RoomKind = Literal["dm", "group", "thread", "feed", "topic"]
Style = Literal["bold", "italic", "strike", "code", "pre", "link", "quote"]


class Word(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Common form of all stored words: frozen, named fields, defaults left out when encoded."""


class Address(Word, frozen=True, kw_only=True):
    """Where a conversation is; it *is* the conversation's identity.

    `channel` is the name the owner gave the channel in the settings. `space`, `room` and
    `thread` are the network's own immutable ids (a team, a chat, a forum topic), empty where
    the network has none. `kind` describes and does not identify.

    >>> Address(channel="tg", room="-100/7", kind="group").key
    'tg//-100%2F7'
    """

    channel: str
    space: str = ""
    room: str
    thread: str = ""
    kind: RoomKind = "dm"

    @property
    def key(self) -> str:
        """The identity as one string: `channel/space/room[/thread]`, each part percent-encoded."""
        return _key(self.channel, self.space, self.room, self.thread)

    @classmethod
    def parse(cls, key: str, kind: RoomKind = "dm") -> "Address":
        """The address behind a `key`; ValueError where it is none.

        >>> Address.parse("irc//%23kitchen".replace("%23", "#")).room
        '#kitchen'
        """
        pieces = [unquote(piece) for piece in key.split("/")]
        if len(pieces) not in (3, 4) or not pieces[0] or not pieces[2]:
            raise ValueError(
                f"not a conversation: {key!r}; the form is channel/space/room[/thread]"
            )
        thread = pieces[3] if len(pieces) == 4 else ""
        return cls(channel=pieces[0], space=pieces[1], room=pieces[2], thread=thread, kind=kind)


@lru_cache(maxsize=4096)
def _key(channel: str, space: str, room: str, thread: str) -> str:
    """Kept because a turn asks for its conversation's key some ten times."""
    pieces = [channel, space, room, thread] if thread else [channel, space, room]
    return "/".join(quote(piece, safe="@#:+!") for piece in pieces)


class Sender(Word, frozen=True, kw_only=True):
    """Who spoke. Compare `id`, show `name`.

    `proof` says how surely the network vouches for `id`: `network` when the network itself
    authenticated the account, `none` when anybody could have taken the name.
    """

    id: str
    name: str = ""
    proof: Literal["none", "network"] = "none"
    is_bot: bool = False


class Blob(Word, frozen=True, kw_only=True):
    """Bytes that lie in the blob store under their SHA-256 (hex); `size` in bytes."""

    sha256: str
    size: int
    mime: str = "application/octet-stream"
    name: str = ""


class Span(Word, frozen=True, kw_only=True):
    """A styled stretch of a text: `start` and `length` in code points of that text."""

    start: int
    length: int
    style: Style
    value: str = ""
    """The address of a link, or the language of a `pre` block."""


class Text(Word, frozen=True, kw_only=True, tag="text"):
    """Words. `markup` is how `text` is written; `spans` are filled in by `plan`."""

    text: str
    markup: Literal["plain", "markdown"] = "plain"
    spans: tuple[Span, ...] = ()


class Mention(Word, frozen=True, kw_only=True, tag="mention"):
    """A person named by the immutable id of the network."""

    id: str
    name: str = ""


class Image(Word, frozen=True, kw_only=True, tag="image"):
    """A picture."""

    blob: Blob
    caption: str = ""


class Audio(Word, frozen=True, kw_only=True, tag="audio"):
    """Sound; `voice` where it was spoken into the chat. `seconds` is its length, 0 if unknown."""

    blob: Blob
    caption: str = ""
    voice: bool = False
    seconds: float = 0


class Video(Word, frozen=True, kw_only=True, tag="video"):
    """A film."""

    blob: Blob
    caption: str = ""


class File(Word, frozen=True, kw_only=True, tag="file"):
    """Any other document."""

    blob: Blob
    caption: str = ""


class Location(Word, frozen=True, kw_only=True, tag="location"):
    """A point on the earth, degrees in WGS 84."""

    latitude: float
    longitude: float
    name: str = ""


class Quote(Word, frozen=True, kw_only=True, tag="quote"):
    """Earlier words that are shown again, with their author where known."""

    text: str
    author: str = ""


class Link(Word, frozen=True, kw_only=True, tag="link"):
    """An address on the web with the words to show for it."""

    url: str
    title: str = ""


class Button(Word, frozen=True, kw_only=True, tag="button"):
    """A choice; pressing it says `value`."""

    label: str
    value: str


class Card(Word, frozen=True, kw_only=True, tag="card"):
    """A titled block of facts, each a (name, value) pair."""

    title: str
    text: str = ""
    facts: tuple[tuple[str, str], ...] = ()


class Code(Word, frozen=True, kw_only=True, tag="code"):
    """Program text, shown with fixed width."""

    text: str
    language: str = ""


class Reading(Word, frozen=True, kw_only=True, tag="reading"):
    """A value from a device; `quality` as the bus states it."""

    value: float
    unit: str = ""
    quality: str = "good"


class Native(Word, frozen=True, kw_only=True, tag="native"):
    """What no other part can say, in the network's own JSON (a string, kept as it came)."""

    network: str
    json: str


Media = Image | Audio | Video | File
Part = (
    Text
    | Mention
    | Image
    | Audio
    | Video
    | File
    | Location
    | Quote
    | Link
    | Button
    | Card
    | Code
    | Reading
    | Native
)
InboundType = Literal["message", "edit", "delete", "reaction", "action", "reading"]


class Inbound(Word, frozen=True, kw_only=True):
    """What a channel heard. Facts only; judgement is policy's.

    (`address.channel`, `id`) is unique, so a replay by the network is dropped. `at` is when the
    network says it was said, Unix seconds. `called` is whether we were named or answered, and is
    always true where `direct`. `cursor` is the channel's own position after this message
    (Telegram: update_id): the last stored one is lent back when the channel opens again.
    """

    id: str
    address: Address
    sender: Sender
    type: InboundType = "message"
    parts: tuple[Part, ...] = ()
    at: float
    direct: bool = False
    called: bool = False
    reply_to: str = ""
    cursor: str = ""


class Outbound(Word, frozen=True, kw_only=True):
    """What we say. `id` is ours and is the idempotency key; `ttl` in seconds, 0 for ever.

    `reply_to` is the network's id of the message it is shown as a reply to; `answers` are the
    ids of all the messages it answers.
    """

    id: str
    address: Address
    parts: tuple[Part, ...]
    reply_to: str = ""
    answers: tuple[str, ...] = ()
    finality: Literal["draft", "final", "amend"] = "final"
    ttl: float = 0
    priority: int = 0


class Receipt(Word, frozen=True, kw_only=True):
    """Evidence of a delivery: `ids` are the network's own ids of what we sent."""

    status: Literal["sent", "partial", "dead", "unknown"] = "sent"
    ids: tuple[str, ...] = ()
    error: str = ""


def text_of(parts: tuple[Part, ...]) -> str:
    """The words of a message, each part in the plainest form a reader understands.

    >>> text_of((Text(text="look"), Image(blob=Blob(sha256="00", size=1, name="cat.jpg"))))
    'look\\n[image: cat.jpg]'
    """
    return "\n".join(line for line in (_plain(part) for part in parts) if line)


def _plain(part: Part) -> str:
    match part:
        case Text(text=text) | Code(text=text):
            return text
        case Mention():
            return f"@{part.name or part.id}"
        case Image() | Audio() | Video() | File():
            kind = type(part).__struct_config__.tag
            label = f"[{kind}: {part.blob.name or part.blob.mime}]"
            return f"{label} {part.caption}" if part.caption else label
        case Location():
            return f"[location: {part.name} {part.latitude:.5f},{part.longitude:.5f}]"
        case Quote():
            lines = part.text.splitlines() or [""]
            return "\n".join([f"> {part.author}:"] * bool(part.author) + [f"> {x}" for x in lines])
        case Link():
            return f"{part.title} {part.url}".strip()
        case Button():
            return f"[{part.label}]"
        case Card():
            facts = [f"{name}: {value}" for name, value in part.facts]
            return "\n".join(x for x in [part.title, part.text, *facts] if x)
        case Reading():
            return f"{part.value:g} {part.unit}".strip()
        case Native():
            return f"[{part.network}]"
