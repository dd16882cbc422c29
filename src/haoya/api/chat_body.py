# SPDX-License-Identifier: AGPL-3.0-or-later
"""The body of a Chat Completions request, and the message it becomes.

Source: OpenAI API reference, "Create chat completion". Fields that steer a model (temperature,
tools, …) are accepted and change nothing: the agent has settings of its own.
"""

import base64
import binascii
import re
from typing import Literal

import pydantic

from haoya.api.replies import Refusal
from haoya.core.message import Image, Part, Quote, Text
from haoya.core.plugin import Blobs

MODEL = "haoya"
"""The only model: the agent itself."""

MOST_IMAGES = 10

_DATA_URL = re.compile(r"data:(image/[a-z0-9.+-]+);base64,", re.IGNORECASE)


class Tolerant(pydantic.BaseModel):
    """Unknown fields pass: clients send many that mean nothing here."""

    model_config = pydantic.ConfigDict(extra="ignore", frozen=True)


class ImageUrl(Tolerant):
    """Where a picture is; only `data:` addresses are read, nothing is fetched."""

    url: str


class ContentPart(Tolerant):
    """A piece of a message's content."""

    type: str
    text: str = ""
    image_url: ImageUrl | None = None


class ChatMessage(Tolerant):
    """One message of the list."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None

    def pieces(self) -> list[ContentPart]:
        """The content as a list of pieces, whatever form it came in."""
        if isinstance(self.content, str):
            return [ContentPart(type="text", text=self.content)]
        return self.content or []


class StreamOptions(Tolerant):
    """How to stream."""

    include_usage: bool | None = None


class ChatBody(Tolerant):
    """The request."""

    model: str
    messages: list[ChatMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
    n: int | None = None

    def check(self) -> None:
        """Refuse what cannot be done, in the words OpenAI's clients know."""
        if self.model != MODEL:
            text = f"The model `{self.model}` does not exist or you do not have access to it."
            raise Refusal(404, text, code="model_not_found", param="model")
        if (self.n or 1) != 1:
            raise Refusal(400, "n: haoya gives one answer", code="invalid_value", param="n")
        if not any(message.role == "user" for message in self.messages):
            text = "messages: there must be at least one message with the role 'user'"
            raise Refusal(400, text, code="invalid_value", param="messages")

    def last(self) -> int:
        """The index of the message to answer: the last one of the user."""
        roles = [message.role for message in self.messages]
        return len(roles) - 1 - roles[::-1].index("user")

    def earlier(self) -> str:
        """The messages before the last one, a line of `role: text` each."""
        before = self.messages[: self.last()]
        return "\n".join(f"{message.role}: {_words(message)}" for message in before)


async def parts_of(body: ChatBody, blobs: Blobs, *, history: bool) -> tuple[Part, ...]:
    """What is handed to the agent: the last words and pictures of the user and, with `history`,
    all that was said before, as a quote."""
    parts: list[Part] = []
    if history and (earlier := body.earlier()):
        parts.append(Quote(text=earlier))
    for piece in body.messages[body.last()].pieces():
        if piece.type == "text":
            parts += [Text(text=piece.text)] if piece.text.strip() else []
        elif piece.type == "image_url" and piece.image_url:
            parts.append(await _image(piece.image_url.url, blobs))
        else:
            text = f"content of type {piece.type!r} is not understood; there are: text, image_url"
            raise Refusal(400, text, code="invalid_value", param="messages")
    if not any(isinstance(part, Text | Image) for part in parts):
        text = "messages: the last message of the user is empty"
        raise Refusal(400, text, code="invalid_value", param="messages")
    if sum(isinstance(part, Image) for part in parts) > MOST_IMAGES:
        text = f"messages: there are more than {MOST_IMAGES} pictures"
        raise Refusal(400, text, code="invalid_value", param="messages")
    return tuple(parts)


async def _image(url: str, blobs: Blobs) -> Image:
    found = _DATA_URL.match(url)
    if not found:
        text = "a picture must be a data: URL of an image in base64; haoya fetches no addresses"
        raise Refusal(400, text, code="invalid_image_url", param="messages")
    try:
        data = base64.b64decode(url[found.end() :], validate=True)
    except binascii.Error as error:
        text = f"the picture is no base64: {error}"
        raise Refusal(400, text, code="invalid_image_url", param="messages") from error
    mime = found.group(1).lower()
    name = f"picture.{mime.partition('/')[2].partition('+')[0]}"
    return Image(blob=await blobs.put(data, mime=mime, name=name))


def _words(message: ChatMessage) -> str:
    shown = [p.text if p.type == "text" else f"[{p.type}]" for p in message.pieces()]
    return "\n".join(shown)
