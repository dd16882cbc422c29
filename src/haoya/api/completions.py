# SPDX-License-Identifier: AGPL-3.0-or-later
"""The agent as a model: `/v1/models` and `/v1/chat/completions` for any OpenAI client.

Streaming can only add words, while an agent may speak, use a tool and then speak anew. What it
said before a tool ran stays in the stream; a blank line parts it from what follows. Without
streaming only the final answer is returned.
"""

import time
import uuid
from contextlib import aclosing
from typing import Literal
from urllib.parse import quote, unquote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from haoya.api.chat_body import MODEL, ChatBody, parts_of
from haoya.api.exchange import exchange, usage_of
from haoya.api.replies import Refusal, fault_of, parsed, reply
from haoya.api.stream import EventStream, Left, Write, attend
from haoya.api.window import Window, window_of
from haoya.core.errors import HaoyaError, Unready
from haoya.core.message import Address, Inbound, Outbound, Sender, text_of

NAME_CHARACTERS = 128
"""The longest name of a conversation and the longest Idempotency-Key."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """An understood request: the message it becomes and how to answer."""

    inbound: Inbound
    repeated: bool
    stream: bool
    usage: bool

    @property
    def headers(self) -> dict[str, str]:
        """Tells the client how the conversation is named, so that it can go on with it."""
        room = self.inbound.address.room
        return {"X-Conversation": quote(room.removeprefix("api:"), safe="@:/ ")}


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """`usage` of a completion."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class Delta(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a chunk adds, or a whole message."""

    role: str = ""
    content: str | None = None


class Choice(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The only choice of a completion: `delta` in a chunk, else `message`."""

    index: int
    delta: Delta | msgspec.UnsetType = msgspec.UNSET
    message: Delta | msgspec.UnsetType = msgspec.UNSET
    finish_reason: str | msgspec.UnsetType | None = msgspec.UNSET


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """A completion or one chunk of it."""

    id: str
    object: Literal["chat.completion", "chat.completion.chunk"]
    created: int
    model: str = MODEL
    choices: list[Choice]
    usage: Tokens | msgspec.UnsetType | None = msgspec.UNSET


async def models(request: Request) -> Response:
    """The list of models: the agent."""
    created = int(window_of(request).house.started)
    model = {"id": MODEL, "object": "model", "created": created, "owned_by": "haoya"}
    return reply({"object": "list", "data": [model]})


async def model(request: Request) -> Response:
    """One model by name."""
    name = request.path_params["name"]
    if name != MODEL:
        raise Refusal(404, f"The model `{name}` does not exist", code="model_not_found")
    created = int(window_of(request).house.started)
    return reply({"id": MODEL, "object": "model", "created": created, "owned_by": "haoya"})


async def complete(request: Request) -> Response | ASGIApp:
    """Hand the last message to the agent and return its answer, whole or as it grows."""
    window = window_of(request)
    body = await parsed(request, ChatBody)
    body.check()
    wanted = await _wanted(request, body, window)
    head = Completion(
        id=f"chatcmpl-{uuid.uuid4().hex}",
        object="chat.completion",
        created=int(time.time()),
        choices=[],
    )
    if wanted.stream:
        head = msgspec.structs.replace(head, object="chat.completion.chunk")

        async def play(write: Write) -> None:
            await _stream(window, wanted, head, write)

        return EventStream(window, play, _farewell, wanted.headers)
    try:
        outbound = await attend(window, request.receive, _answer(window, wanted))
    except Left:
        return Response(status_code=499)
    message = Delta(role="assistant", content=text_of(outbound.parts))
    choice = Choice(index=0, message=message, finish_reason="stop")
    usage = await _tokens(window, outbound)
    whole = msgspec.structs.replace(head, choices=[choice], usage=usage)
    return reply(whole, headers=wanted.headers)


async def _wanted(request: Request, body: ChatBody, window: Window) -> Wanted:
    """The message to hand in. A named conversation has a memory of its own; without a name the
    messages of the request are all there is."""
    key = request.headers.get("idempotency-key", "")
    name = unquote(request.headers.get("x-conversation", "")) or body.user or ""
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
        parts=await parts_of(body, house.blobs, history=not name),
        at=house.clock(),
        direct=True,
        called=True,
    )
    return Wanted(
        inbound=inbound,
        repeated=bool(key),
        stream=bool(body.stream),
        usage=bool(body.stream_options and body.stream_options.include_usage),
    )


async def _answer(window: Window, wanted: Wanted) -> Outbound:
    """The final answer."""
    said = exchange(window.house, wanted.inbound, repeated=wanted.repeated)
    async with aclosing(said) as heard:
        async for outbound in heard:
            if outbound and outbound.finality != "draft":
                return outbound
    raise Unready("the answer did not come")


async def _stream(window: Window, wanted: Wanted, head: Completion, write: Write) -> None:
    """Write the chunks of an answer as it grows."""
    written = Written()
    final: Outbound | None = None
    said = exchange(window.house, wanted.inbound, repeated=wanted.repeated)
    async with aclosing(said) as heard:
        async for outbound in heard:
            if not written.begun:
                written.begun = True
                await write(_chunk(head, Delta(role="assistant", content="")))
            if outbound is None:
                await write(b": working\n\n")
                continue
            if outbound.finality != "draft":
                final = outbound
            if more := written.more(text_of(outbound.parts), final=final is not None):
                await write(_chunk(head, Delta(content=more)))
    await write(_chunk(head, Delta(), "stop"))
    if wanted.usage and final:
        usage = await _tokens(window, final)
        await write(_data(msgspec.structs.replace(head, usage=usage)))
    await write(b"data: [DONE]\n\n")


class Written:
    """What a client has been sent of an answer."""

    def __init__(self) -> None:
        self.begun = False
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


async def _tokens(window: Window, outbound: Outbound) -> Tokens:
    used = await usage_of(window.house, outbound)
    return Tokens(
        prompt_tokens=used.prompt,
        completion_tokens=used.completion,
        total_tokens=used.prompt + used.completion,
    )


def _chunk(head: Completion, delta: Delta, reason: str | None = None) -> bytes:
    choice = Choice(index=0, delta=delta, finish_reason=reason)
    return _data(msgspec.structs.replace(head, choices=[choice]))


def _data(body: object) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def _farewell(error: HaoyaError) -> bytes:
    """An error after the stream has begun, as OpenAI's clients expect one."""
    return _data({"error": fault_of(error)[1]})
