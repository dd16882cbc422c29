# SPDX-License-Identifier: AGPL-3.0-or-later
"""The agent as a model: the last words of a request handed in, what it says as deltas.

Streaming can only add words, while an agent may speak, use a tool and then speak anew. What it
said before a tool ran stays in the stream; a blank line parts it from what follows. Without
streaming only the final answer is returned.
"""

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from urllib.parse import quote, unquote

import msgspec
from starlette.datastructures import Headers

from haoya.api.exchange import exchange, usage_of
from haoya.api.replies import Refusal
from haoya.api.window import Window
from haoya.api.wires.words import Ask, Picture
from haoya.core.errors import Unready
from haoya.core.message import Address, Image, Inbound, Outbound, Part, Quote, Sender, Text, text_of
from haoya.core.plugin import Blobs
from haoya.core.tool import Delta, Finish, Line, TextDelta

NAME_CHARACTERS = 128
"""The longest name of a conversation and the longest Idempotency-Key."""

MOST_IMAGES = 10


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A message for the agent, and whether the client may have sent it before."""

    inbound: Inbound
    repeated: bool

    @property
    def name(self) -> str:
        """How the conversation is named, so that the client can go on with it."""
        return self.inbound.address.room.removeprefix("api:")

    @property
    def headers(self) -> dict[str, str]:
        """Tells the client the name."""
        return {"X-Conversation": quote(self.name, safe="@:/ ")}


async def wanted_of(window: Window, headers: Headers, ask: Ask) -> Wanted:
    """The message to hand in. A named conversation has a memory of its own; without a name the
    messages of the request are all there is."""
    key = headers.get("idempotency-key", "")
    name = unquote(headers.get("x-conversation", "")) or ask.name
    for value, what in ((key, "Idempotency-Key"), (name, "the name of the conversation")):
        if len(value) > NAME_CHARACTERS or not value.isprintable():
            text = f"{what} must be at most {NAME_CHARACTERS} printable characters"
            raise Refusal(400, text, code="invalid_value")
    id = key or uuid.uuid4().hex
    house = window.house
    inbound = Inbound(
        id=id,
        address=Address(channel=window.channel, room=f"api:{name or id}"),
        sender=Sender(id="owner", name=window.owner, proof="network"),
        parts=await _parts(ask, house.blobs, history=not name),
        at=house.clock(),
        direct=True,
        called=True,
    )
    return Wanted(inbound=inbound, repeated=bool(key))


async def spoken(
    window: Window, wanted: Wanted, *, growing: bool
) -> AsyncGenerator[Delta | None, None]:
    """What the agent says: `growing`, or its final answer alone. None shows that it is at work."""
    written = Written()
    final: Outbound | None = None
    said = exchange(window.house, wanted.inbound, repeated=wanted.repeated)
    async with aclosing(said) as heard:
        async for outbound in heard:
            if outbound is None:
                yield None
                continue
            if outbound.finality != "draft":
                final = outbound
            if not (growing or final):
                continue
            if more := written.more(text_of(outbound.parts), final=final is not None):
                yield TextDelta(text=more)
    if final is None:
        raise Unready("the answer did not come")
    yield Finish(usage=await usage_of(window.house, final))


class Written:
    """What a client has been sent of an answer."""

    def __init__(self) -> None:
        self.text = ""

    def more(self, text: str, *, final: bool = False) -> str:
        r"""The words to add so that the stream ends with `text`, blank edges aside.

        >>> written = Written()
        >>> [written.more(text) for text in ("Let me", "Let me look.", "It is", "It is five.")]
        ['Let me', ' look.', '\n\nIt is', ' five.']
        >>> written.more("It is five. ", final=True)
        ' '
        """
        before = self.text
        if not text or (final and text.strip() == before.strip() and len(text) <= len(before)):
            return ""
        self.text = text
        if text.startswith(before):
            return text[len(before) :]
        return f"\n\n{text}"


async def _parts(ask: Ask, blobs: Blobs, *, history: bool) -> tuple[Part, ...]:
    """The last words and pictures of the user and, with `history`, all that was said before, as
    a quote."""
    lines = ask.prompt.lines
    last = max((i for i, line in enumerate(lines) if line.role == "user"), default=-1)
    if last < 0:
        text = "messages: there must be at least one message with the role 'user'"
        raise Refusal(400, text, code="invalid_value", param="messages")
    parts: list[Part] = []
    if history and last:
        parts.append(Quote(text="\n".join(_shown(line) for line in lines[:last])))
    words, images = lines[last].text, lines[last].images
    if not words.strip() and not images:
        text = "messages: the last message of the user is empty"
        raise Refusal(400, text, code="invalid_value", param="messages")
    if len(images) > MOST_IMAGES:
        text = f"messages: there are more than {MOST_IMAGES} pictures"
        raise Refusal(400, text, code="invalid_value", param="messages")
    if words.strip():
        parts.append(Text(text=words))
    found: dict[str, Picture] = {picture[0].sha256: picture for picture in ask.pictures}
    for image in images:
        blob, data = found[image.sha256]
        parts.append(Image(blob=await blobs.put(data, mime=blob.mime, name=blob.name)))
    return tuple(parts)


def _shown(line: Line) -> str:
    pieces = [line.text] if line.text else []
    pieces += ["[image]" for _ in line.images]
    pieces += [f"[{call.name} {call.arguments}]" for call in line.calls]
    return f"{line.role}: " + "\n".join(pieces)
