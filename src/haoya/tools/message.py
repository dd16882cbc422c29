# SPDX-License-Identifier: AGPL-3.0-or-later
"""Writing into another of the person's conversations."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
import pydantic
from msgspec import Meta

from haoya.core.label import Label
from haoya.core.message import Address, Outbound, Text
from haoya.core.plugin import Context, Plugin
from haoya.core.ports import Tool
from haoya.core.schema import schema_of
from haoya.core.tool import Scene, ToolResult, ToolSpec

MAX_SHOWN = 20


class MessageSettings(pydantic.BaseModel):
    """Nothing to choose."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Message(msgspec.Struct):
    """Whom to write to, and what."""

    to: Annotated[str, Meta(description="channel or chat key")]
    text: str


SPEC = ToolSpec(
    name="message",
    purpose="Send a message to another of the user's chats.",
    schema=schema_of(Message),
    effects=frozenset({"send"}),
    writes=frozenset({"chat"}),
    idempotent=True,
    authority={"to": "who"},
    author="owner",
    audience=frozenset({"to"}),
)
STRANGE = Label(author="untrusted", sources=frozenset({"names of chats"}))
"""Who writes to us has a hand in what a chat is called."""


def meant(to: str, addresses: Sequence[Address]) -> list[Address]:
    """The conversations `to` may mean: by key, else by room, else by channel.

    >>> home = Address(channel="tg", room="7"); room = Address(channel="irc", room="#kitchen")
    >>> [address.key for address in meant("#Kitchen", [home, room])]
    ['irc//#kitchen']
    """
    wished = to.strip().casefold()
    for name in ("key", "room", "channel"):
        found = [one for one in addresses if str(getattr(one, name)).casefold() == wished]
        if found:
            return found
    return []


@asynccontextmanager
async def _open(
    settings: MessageSettings, context: Context
) -> AsyncGenerator[tuple[Tool[Any], ...], None]:
    say, conversations = context.say, context.conversations
    if say is None or conversations is None:
        yield ()
        return

    async def run(asked: Message, scene: Scene) -> ToolResult:
        if not asked.text.strip():
            return ToolResult(text="the message is empty; write a text", ok=False)
        addresses = await conversations(scene.person)
        found = meant(asked.to, addresses)
        if [one.key for one in found] == [scene.address.key]:
            return ToolResult(text="that is this very chat; just answer", ok=False)
        if len(found) != 1:
            text = _unclear(asked.to, found or addresses, bool(found))
            return ToolResult(text=text, ok=False, label=STRANGE)
        outbound = Outbound(
            id=scene.key, address=found[0], parts=(Text(text=asked.text, markup="markdown"),)
        )
        # Only reachable addresses come this far, so "no" means: it is in the outbox already.
        fresh = await say(outbound)
        return ToolResult(text=f"{'on its way' if fresh else 'sent before'} to {found[0].key}")

    yield (Tool(spec=SPEC, arguments=Message, run=run),)


def _unclear(to: str, addresses: Sequence[Address], several: bool) -> str:
    fact = f"{to!r} may mean several" if several else f"no chat {to!r}"
    shown = ", ".join(one.key for one in addresses[:MAX_SHOWN]) or "none"
    return f"{fact}; there are: {shown}"


plugin = Plugin(
    kind="tools",
    name="message",
    settings=MessageSettings,
    open=_open,
    summary="Send to another of your conversations",
    summary_zh="把消息发到你的另一个会话",
)
