# SPDX-License-Identifier: AGPL-3.0-or-later
"""The chat page's wire: `/api/events` for all that happens in a room, `/api/say` to speak,
`/api/call/VERB` for the house's own verbs."""

import asyncio
import uuid
from contextlib import aclosing
from typing import Any

import msgspec
import pydantic
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from haoya.api.exchange import hand_in
from haoya.api.history import address_of, question_id, shown_of
from haoya.api.replies import Refusal, parsed, reply
from haoya.api.stream import BEAT_SECONDS, EventStream, Write, event
from haoya.api.window import Window, window_of
from haoya.core.errors import Unready
from haoya.core.event import (
    Asked,
    Decided,
    Entry,
    ModelAsked,
    ModelFailed,
    Stopped,
    ToolAsked,
    ToolReturned,
)
from haoya.core.message import Inbound, Outbound, Sender, Text, text_of

CALL_SECONDS = 120.0
"""The longest a verb may take (a backup of a large home does)."""

PAUSE_SECONDS = 0.5
"""Between two looks whether what was shut is open again."""


class Say(pydantic.BaseModel):
    """Words of the owner; `id` makes a second sending of the same words harmless."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    room: str = "main"
    text: str = pydantic.Field(min_length=1, max_length=200_000)
    id: str = pydantic.Field("", max_length=128)


class Arguments(pydantic.RootModel[dict[str, Any]]):
    """A verb's arguments: a JSON object."""


async def say(request: Request) -> Response:
    """Hand a message in; the reply comes once it is stored."""
    window = window_of(request)
    body = await parsed(request, Say)
    if not body.text.strip() or not body.id.isprintable():
        raise Refusal(400, "text: a message needs words", code="invalid_value", param="text")
    inbound = Inbound(
        id=body.id or uuid.uuid4().hex,
        address=address_of(window, body.room),
        sender=Sender(id="owner", name=window.owner, proof="network"),
        parts=(Text(text=body.text),),
        at=window.house.clock(),
        direct=True,
        called=True,
    )
    await hand_in(window.house, inbound)
    return reply({"id": inbound.id})


async def call(request: Request) -> Response:
    """One of the house's verbs with its arguments; the result as the verb gives it."""
    window = window_of(request)
    arguments = await parsed(request, Arguments)
    verbs = window.house.call
    if verbs is None:
        raise Unready("haoya is still starting")
    try:
        async with asyncio.timeout(CALL_SECONDS):
            result = await verbs(request.path_params["verb"], arguments.root)
    except TimeoutError as error:
        raise Unready(f"no result within {CALL_SECONDS:.0f} s") from error
    return reply(result)


async def events(request: Request) -> ASGIApp:
    """All that happens in a room from line `after` on, as server-sent events, without end.

    `message`, `busy`, `idle`, `asked` and `decided` are facts; a client that was away gives the
    last id it has seen as `after` (or `Last-Event-ID`) and misses none. `state` tells whether
    the journal is open, `draft` is an answer as it grows; they have no id and may be lost.
    """
    window = window_of(request)
    room = request.query_params.get("room", "main")
    address = address_of(window, room)
    after = request.headers.get("last-event-id") or request.query_params.get("after", "0")
    if not after.isdecimal():
        raise Refusal(400, f"after: {after!r} is no number", code="invalid_value", param="after")

    async def play(write: Write) -> None:
        place = Place(int(after))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_facts(window, address.key, place, write))
            tasks.create_task(_drafts(window, room, write))
            tasks.create_task(_beats(place, write))

    return EventStream(window, play, lambda _: _state(ready=False, reason="closing"))


class News(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The data of the events `busy`, `idle`, `asked` and `decided`."""

    tool: str = ""
    id: str = ""
    number: int = 0
    yes: bool | None = None
    expires: float = 0


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """The data of `draft`: the whole answer so far, or, with `more`, what is new of it."""

    id: str
    text: str
    more: bool


class Place:
    """How far a watcher has followed the journal."""

    def __init__(self, after: int) -> None:
        self.after = after


async def _facts(window: Window, key: str, place: Place, write: Write) -> None:
    """Tell the lines of the journal that concern one conversation, however often it shuts."""
    house = window.house
    while True:
        await house.ready.wait()
        gateway = house.gateway
        if gateway is not None:
            await write(_state(ready=True))
            try:
                async with aclosing(gateway.journal.follow(place.after)) as entries:
                    async for entry in entries:
                        if told := told_of(entry, key):
                            await write(told)
                        place.after = entry.number
            except Unready:
                pass  # The journal shut; the line below says so.
            await write(_state(ready=False, reason=house.trouble()))
        await asyncio.sleep(PAUSE_SECONDS)


def told_of(entry: Entry, key: str) -> bytes:
    """The event a line of the journal makes for who watches the conversation `key`; b"" for
    none. Questions about other conversations are told where they are asked."""
    named: tuple[str, News] | None = None
    match entry.event:
        case Asked(where=where) as asked if where == key:
            question = News(id=question_id(entry), number=entry.number, expires=asked.expires)
            named = "asked", question
        case Decided(of=of, yes=yes):
            named = "decided", News(number=of, yes=yes)
        case _ if entry.conversation != key:
            return b""
        case ModelAsked() | ToolReturned():
            named = "busy", News()
        case ToolAsked(call=tool):
            named = "busy", News(tool=tool.name)
        case Stopped() | ModelFailed():
            named = "idle", News()
        case _:
            shown = shown_of(entry, {})
            return event("message", msgspec.json.encode(shown), entry.number) if shown else b""
    return event(named[0], msgspec.json.encode(named[1]), entry.number)


async def _drafts(window: Window, room: str, write: Write) -> None:
    """Tell what grows, in as few bytes as may be."""
    shown = Draft(id="", text="", more=False)
    while True:
        try:
            async with window.house.desk().watch(room) as heard:
                async for outbound in heard:
                    if outbound.finality == "draft":
                        shown = await _draft(outbound, shown, write)
        except Unready:
            await asyncio.sleep(PAUSE_SECONDS)


async def _draft(outbound: Outbound, shown: Draft, write: Write) -> Draft:
    text = text_of(outbound.parts)
    more = outbound.id == shown.id and text.startswith(shown.text)
    new = text[len(shown.text) :] if more else text
    if new:
        await write(event("draft", msgspec.json.encode(Draft(id=outbound.id, text=new, more=more))))
    return Draft(id=outbound.id, text=text, more=False)


async def _beats(place: Place, write: Write) -> None:
    """Signs of life. Each tells how far the watcher has come, so that one who returns to a quiet
    room of a busy house need not read all of it again."""
    while True:
        await write(b"id: %d\n\n" % place.after)
        await asyncio.sleep(BEAT_SECONDS)


def _state(*, ready: bool, reason: str = "") -> bytes:
    return event("state", msgspec.json.encode({"ready": ready, "reason": reason}))
