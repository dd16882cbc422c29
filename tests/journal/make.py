# SPDX-License-Identifier: AGPL-3.0-or-later
"""Words to write into journals under test."""

from haoya.core.event import Admitted, Received, Said
from haoya.core.message import Address, Inbound, Outbound, Sender, Text

HOME = Address(channel="tg", room="1")
ROOM = Address(channel="irc", room="#kitchen", kind="group")
ADA = Sender(id="42", name="Ada", proof="network")


def inbound(id: str, address: Address = HOME, *, text: str = "hello", cursor: str = "") -> Inbound:
    return Inbound(
        id=id, address=address, sender=ADA, parts=(Text(text=text),), at=1.0, cursor=cursor
    )


def received(id: str, address: Address = HOME, *, text: str = "hello") -> Received:
    return Received(inbound=inbound(id, address, text=text))


def admitted(of: int, *, wakes: bool = True) -> Admitted:
    return Admitted(of=of, person="tg:42", role="owner", parts=(), wakes=wakes)


def said(id: str, address: Address = HOME, *, turn: int = 0) -> Said:
    return Said(outbound=Outbound(id=id, address=address, parts=(Text(text="hi"),)), turn=turn)
