# SPDX-License-Identifier: AGPL-3.0-or-later
"""What was said in a conversation, read from the journal, as the chat page shows it."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from haoya.api.replies import Refusal, reply
from haoya.api.window import Window, window_of
from haoya.core.errors import Unready
from haoya.core.event import Asked, Entry, Received, Said, kind_of
from haoya.core.message import Address, Button, Text, text_of
from haoya.runtime.gateway import Gateway

PAGE = 50
"""How many messages are shown at once."""

ROOM_CHARACTERS = 200

_SHOWN = frozenset({kind_of(Received), kind_of(Said)})


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A button of a message."""

    label: str
    value: str


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One message. `number` is its line in the journal, `at` Unix seconds, `answers` the ids of
    the messages it answers; `ask` is the number of the open question its buttons decide, 0 where
    it is decided or none. Only `markdown` may be dressed up: a question shows its effect as it is,
    and what people typed stays what they typed."""

    id: str
    number: int
    who: str
    name: str = ""
    text: str
    at: float
    answers: tuple[str, ...] = ()
    buttons: tuple[Choice, ...] = ()
    ask: int = 0
    markdown: bool = False


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a conversation, oldest first. `after` is where to follow on; `more` says that
    there are older messages; `busy` that the agent is at work here."""

    messages: list[Shown]
    after: int
    more: bool
    busy: bool


async def history(request: Request) -> Response:
    """The last messages of a conversation, or those before line `before`."""
    window = window_of(request)
    address = address_of(window, request.query_params.get("room", "main"))
    before = request.query_params.get("before", "")
    if before and not before.isdecimal():
        raise Refusal(400, f"before: {before!r} is no number", code="invalid_value", param="before")
    gateway = gateway_of(window)
    after = gateway.journal.figures().lines
    entries = await gateway.journal.read(
        address.key, before=int(before) if before else None, last=PAGE + 1, kinds=_SHOWN
    )
    asks = {question_id(entry): entry.number for entry in gateway.questions.values()}
    shown = [shown_of(entry, asks) for entry in entries[-PAGE:]]
    page = Page(
        messages=[one for one in shown if one],
        after=after,
        more=len(entries) > PAGE,
        busy=_busy(window, address.key),
    )
    return reply(page)


def shown_of(entry: Entry, asks: dict[str, int]) -> Shown | None:
    """A line of the journal as a message; None for what is none (a reaction, an empty line)."""
    match entry.event:
        case Received(inbound=inbound) if inbound.type in ("message", "action"):
            return Shown(
                id=inbound.id,
                number=entry.number,
                who="me",
                name=inbound.sender.name,
                text=text_of(inbound.parts),
                at=entry.at,
            )
        case Said(outbound=outbound):
            words = tuple(part for part in outbound.parts if not isinstance(part, Button))
            buttons = [part for part in outbound.parts if isinstance(part, Button)]
            return Shown(
                id=outbound.id,
                number=entry.number,
                who="haoya",
                text=text_of(words),
                at=entry.at,
                answers=outbound.answers,
                buttons=tuple(Choice(label=b.label, value=b.value) for b in buttons),
                ask=asks.get(outbound.id, 0),
                markdown=any(isinstance(p, Text) and p.markup == "markdown" for p in words),
            )
        case _:
            return None


def question_id(entry: Entry) -> str:
    """The id of the message that put an `Asked` line's question to the owner."""
    assert isinstance(entry.event, Asked)
    return f"ask:{entry.conversation}:{entry.event.turn}:{entry.event.call}"


def address_of(window: Window, room: str) -> Address:
    """A conversation of the owner's own door by the name of its room."""
    if not room or len(room) > ROOM_CHARACTERS or not room.isprintable():
        text = f"room: a name has 1 to {ROOM_CHARACTERS} printable characters"
        raise Refusal(400, text, code="invalid_value", param="room")
    return Address(channel=window.channel, room=room)


def gateway_of(window: Window) -> Gateway:
    """The house's gateway; `Unready` while the journal is shut."""
    if window.house.gateway is None:
        raise Unready(f"the journal is shut: {window.house.trouble()}")
    return window.house.gateway


def _busy(window: Window, key: str) -> bool:
    conversations = window.house.conversations
    return conversations is not None and key in conversations.awake
