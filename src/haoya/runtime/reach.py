# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where people can be reached: the owner with a question, everybody by their own agent."""

from collections.abc import Callable

from haoya.core.event import Admitted, kind_of
from haoya.core.message import Address
from haoya.policy.principal import Principal
from haoya.runtime.gateway import Gateway

DESK = "main"
"""The room of the owner's own door in which questions stand when no owner chat is known."""

MOST = 200
"""Conversations that are looked at, the one with the newest line first."""

RECENT = 50
"""Messages of a room among which a person's own must be for the room to count as theirs."""

_ADMITTED = frozenset({kind_of(Admitted)})


async def owner_chat(gateway: Gateway) -> Address:
    """The owner's private chat used last, else the owner's own door."""
    doors = gateway.gate().doors
    found = await _last_chat(
        gateway, lambda key: _platform(key) not in doors and gateway.is_owner(key)
    )
    door = next(iter(sorted(doors)), "local")
    return found or Address(channel=door, room=DESK)


async def reachable(gateway: Gateway, person: str) -> list[Address]:
    """The conversations a person's agent may name: all for an owner; for a member the own private
    chats, the rooms the member speaks in, and the owner's private chat. Whether anything is sent
    there is judged all the same."""
    known = await gateway.journal.conversations(limit=MOST)
    open_ = [one.address for one in known if one.address.channel in gateway.connections]
    if gateway.is_owner(person):
        return open_
    if not all(person.partition(":")):
        return []
    if gateway.gate().role_of(Principal.parse(person), gateway.roster) != "member":
        return []
    own = [one for one in open_ if await _speaks(gateway, one, person)]
    chat = await owner_chat(gateway)
    return own if chat in own or chat.channel not in gateway.connections else [*own, chat]


def _platform(person: str) -> str:
    return person.partition(":")[0]


async def _last_chat(gateway: Gateway, wanted: Callable[[str], bool]) -> Address | None:
    for known in await gateway.journal.conversations(limit=MOST):
        if known.address.kind != "dm":
            continue
        spoke = await gateway.journal.read(known.address.key, last=1, kinds=_ADMITTED)
        if any(isinstance(e.event, Admitted) and wanted(e.event.person) for e in spoke):
            return known.address
    return None


async def _speaks(gateway: Gateway, address: Address, person: str) -> bool:
    last = 1 if address.kind == "dm" else RECENT
    spoke = await gateway.journal.read(address.key, last=last, kinds=_ADMITTED)
    return any(isinstance(e.event, Admitted) and e.event.person == person for e in spoke)
