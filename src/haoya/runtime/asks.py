# SPDX-License-Identifier: AGPL-3.0-or-later
"""Questions to the owner: each bound to one exact effect, answered once, expiring."""

import json
from collections.abc import Callable

from haoya.agent.transcript import Standing
from haoya.agent.turn import AskOwner
from haoya.core.event import Admitted, Asked
from haoya.core.message import Address, Button, Outbound, Text, text_of
from haoya.core.phrases import Language, language_of, phrase
from haoya.core.tool import ToolCall, ToolSpec
from haoya.policy.judge import digest_of
from haoya.runtime.gateway import Gateway
from haoya.runtime.policy_settings import PolicySettings

DESK = "main"
"""The room of the owner's own door in which questions stand when no owner chat is known."""


class Asks:
    """Asks and times out; `Gateway.settle` takes the answers."""

    def __init__(self, gateway: Gateway, settings: Callable[[], PolicySettings]) -> None:
        self.gateway = gateway
        self.settings = settings

    async def ask(self, address: Address, state: Standing, wanted: AskOwner) -> None:
        """Put the question to the owner and write down that the turn waits for it.

        Where the question stands in the asking conversation, both lines are one step, so that it
        is open before anybody can read it. Elsewhere it is said first, under an id of its own:
        after a crash in between it is asked again, which says nothing twice.
        """
        last = [entry.event for entry in state.reads if isinstance(entry.event, Admitted)][-1]
        where = await self.owner_place(address, last.role)
        language = language_of(text_of(last.parts))
        question = phrase(
            "ask",
            language,
            effect=effect_of(wanted.spec, wanted.call),
            name=last.name or last.person,
            hours=f"{self.settings().ask_hours:g}",
        )
        id = f"ask:{address.key}:{state.turn}:{wanted.call.id}"
        yes, no = ("好", "不") if language == "zh" else ("Yes", "No")
        buttons = (Button(label=yes, value="yes"), Button(label=no, value="no"))
        outbound = Outbound(id=id, address=where, parts=(Text(text=question), *buttons))
        asked = Asked(
            turn=state.turn,
            call=wanted.call.id,
            where=where.key,
            digest=digest_of(wanted.call, last.person),
            question=question,
            tool=wanted.call.name,
            expires=self.gateway.clock() + self.settings().ask_hours * 3600,
        )
        here = where.key == address.key
        if not (await self.gateway.say(outbound, asked=asked if here else None) and here):
            for entry in await self.gateway.journal.append(address, asked):
                self.gateway.questions[entry.number] = entry
        if where.key != address.key:
            await self._tell_asker(address, f"asked:{id}", language)

    async def expire(self) -> None:
        """Answer no to every question nobody answered in time."""
        now = self.gateway.clock()
        for number, entry in list(self.gateway.questions.items()):
            if isinstance(entry.event, Asked) and entry.event.expires <= now:
                await self.gateway.settle(number, False, "")

    async def owner_place(self, address: Address, role: str) -> Address:
        """Where the owner is asked: here if the owner is asking, else in the owner's private
        chat used last, else at the owner's own door."""
        if role == "owner" and address.kind == "dm":
            return address
        owners = {
            key for key, person in self.gateway.roster.people.items() if person.role == "owner"
        }
        owners |= self.gateway.gate().owners
        for known in await self.gateway.journal.conversations(limit=200):
            spoke = await self.gateway.journal.read(known.address.key, last=1, kinds=_ADMITTED)
            by = spoke[0].event.person if spoke and isinstance(spoke[0].event, Admitted) else ""
            if known.address.kind == "dm" and by in owners:
                return known.address
        door = next(iter(sorted(self.gateway.gate().doors)), "local")
        return Address(channel=door, room=DESK)

    async def _tell_asker(self, address: Address, id: str, language: Language) -> None:
        await self.gateway.notice(address, id, phrase("asked", language))


_ADMITTED = frozenset({"admitted"})


def effect_of(spec: ToolSpec, call: ToolCall) -> str:
    """The exact effect in words: the tool and every argument, nothing shortened.

    >>> effect_of(ToolSpec(name="message", purpose="Send."), ToolCall(id="1", name="message",
    ...           arguments='{"to": "tg//1", "text": "hi"}'))
    'message (Send.)\\n  to: tg//1\\n  text: hi'
    """
    head = f"{call.name} ({spec.purpose})"
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return f"{head}\n  {call.arguments}"
    if not isinstance(arguments, dict):
        return f"{head}\n  {call.arguments}"
    shown = [f"  {name}: {_plain(value)}" for name, value in arguments.items()]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return "\n".join([head, *shown])


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
