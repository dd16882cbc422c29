# SPDX-License-Identifier: AGPL-3.0-or-later
"""What two nodes of one owner say to each other: words in JSON, each behind its length.

One question is one HTTP/2 stream: `POST /peer/ask` with a request word and the bytes of the
pictures it names; the answer is words until a `Finish`, `Vectors`, `Warmed` or `Fault`. What there
is to ask is told by `GET /peer/models`, a list of `Offer`s.
"""

from typing import TypeVar

import msgspec

from haoya.core.errors import HaoyaError, Rejected, Trouble, Unready
from haoya.core.message import Word
from haoya.core.ports import Embedding
from haoya.core.tool import CallDelta, Finish, Prompt, TextDelta, ThoughtDelta, Urgency

ASK = "/peer/ask"
MODELS = "/peer/models"

LENGTH_BYTES = 4
"""A frame is its length in this many bytes, most significant first, and that many bytes."""

MAX_FRAME_BYTES = 16 * 1024 * 1024
"""The longest single word or picture."""

MAX_ASK_BYTES = 32 * 1024 * 1024
"""The longest question with all its pictures."""


class Ask(Word, frozen=True, kw_only=True, tag="ask"):
    """Continue this prompt with the model that the other node's owner calls `model`."""

    model: str
    prompt: Prompt


class EmbedAsk(Word, frozen=True, kw_only=True, tag="embed"):
    """Place these texts in the model's space of meaning."""

    model: str
    texts: tuple[str, ...]
    urgency: Urgency = "chat"


class WarmAsk(Word, frozen=True, kw_only=True, tag="warm"):
    """Be ready for prompts that begin like these."""

    model: str
    prompts: tuple[Prompt, ...] = ()


Request = Ask | EmbedAsk | WarmAsk


class Vectors(Word, frozen=True, kw_only=True, tag="vectors"):
    """The answer to `EmbedAsk`."""

    embedding: Embedding


class Warmed(Word, frozen=True, kw_only=True, tag="warmed"):
    """The answer to `WarmAsk`."""


class Fault(Word, frozen=True, kw_only=True, tag="fault"):
    """There is no answer, or no more of it; the fields of `Unready`, or of `Rejected`."""

    message: str
    rejected: bool = False
    trouble: Trouble = "broken"
    retry_after: float | None = None
    again: bool = False


Reply = TextDelta | ThoughtDelta | CallDelta | Finish | Vectors | Warmed | Fault


class Offer(Word, frozen=True, kw_only=True):
    """A model that may be asked: the owner's `name` for it, the server's, and what it can do.

    `trouble` says in words why it cannot be asked now; the rest is then not known.
    """

    name: str
    model: str = ""
    context_tokens: int = 0
    sees: bool = False
    embeds: bool = False
    warms: bool = False
    trouble: str = ""


Decoded = TypeVar("Decoded")

_REQUEST = msgspec.json.Decoder[Request](Request)
_REPLY = msgspec.json.Decoder[Reply](Reply)
_OFFERS = msgspec.json.Decoder(list[Offer])
_ENCODER = msgspec.json.Encoder()


def framed(word: Request | Reply | bytes) -> bytes:
    r"""A word, or a picture's bytes, as it goes over the wire.

    >>> framed(b"ab")
    b'\x00\x00\x00\x02ab'
    """
    data = word if isinstance(word, bytes) else _ENCODER.encode(word)
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


def request_of(data: bytes) -> Request:
    """The request in a frame; ValueError where there is none."""
    return _decoded(_REQUEST, data)


def reply_of(data: bytes) -> Reply:
    """The reply in a frame; ValueError where there is none."""
    return _decoded(_REPLY, data)


def offers_of(data: bytes) -> list[Offer]:
    """The answer to `GET /peer/models`; ValueError where it is none."""
    return _decoded(_OFFERS, data)


def fault_of(error: HaoyaError) -> Fault:
    """An error as it is told to the other node."""
    if isinstance(error, Unready):
        return Fault(
            message=str(error),
            trouble=error.trouble,
            retry_after=error.retry_after,
            again=error.again,
        )
    return Fault(message=str(error), rejected=True)


def error_of(fault: Fault, node: str) -> Rejected | Unready:
    """The error behind a fault that `node` told."""
    text = f"{node}: {fault.message}"
    if fault.rejected:
        return Rejected(text)
    return Unready(text, retry_after=fault.retry_after, trouble=fault.trouble, again=fault.again)


class Frames:
    r"""Puts frames together again, wherever the bytes were cut.

    >>> frames = Frames()
    >>> [frames.feed(piece) for piece in (b"\0\0", b"\0\2a", b"b\0\0\0\0")]
    [[], [], [b'ab', b'']]
    """

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self._limit = limit
        self._buffer = bytearray()

    @property
    def broken_off(self) -> bool:
        """Whether the bytes so far end inside of a frame."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The frames these bytes complete; ValueError for one that is too long."""
        self._buffer += data
        found: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= LENGTH_BYTES:
            body = start + LENGTH_BYTES
            end = body + int.from_bytes(self._buffer[start:body], "big")
            if end - body > self._limit:
                raise ValueError(f"a frame of {end - body} bytes; at most {self._limit} may be")
            if len(self._buffer) < end:
                break
            found.append(bytes(self._buffer[body:end]))
            start = end
        del self._buffer[:start]
        return found


def _decoded(decoder: "msgspec.json.Decoder[Decoded]", data: bytes) -> Decoded:
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not a word two nodes say: {error}") from None
