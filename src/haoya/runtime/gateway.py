# SPDX-License-Identifier: AGPL-3.0-or-later
"""The gateway: what comes in is stored, judged, and wakes its conversation."""

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing

from haoya.core.errors import Drop
from haoya.core.event import (
    BEFORE,
    Admitted,
    Asked,
    CodeGiven,
    Entry,
    Event,
    Held,
    Paired,
    Received,
    Refused,
    Said,
    Sending,
    Unpaired,
    kind_of,
)
from haoya.core.message import Address, Inbound, Outbound, Part, Text, text_of
from haoya.core.phrases import Language, language_of, phrase
from haoya.core.ports import Connection, Stage
from haoya.journal import Journal, Owed
from haoya.policy.access import Admit, Gate, Refuse, approved_code, press_of
from haoya.policy.labels import label_of
from haoya.policy.principal import Principal
from haoya.policy.roster import CODE_LENGTH, CODE_LETTERS, CODE_SECONDS, Roster, Waiting
from haoya.runtime.granting import GRANT_DAYS, recall
from haoya.runtime.outbox import Outbox
from haoya.runtime.rulings import Rulings
from haoya.runtime.settings import DeliverySettings

log = logging.getLogger("haoya.runtime")

PEOPLE = Address(channel="haoya", room="people", kind="feed")
"""The conversation in which the house keeps its pairing lines."""

PAIRING_KINDS = frozenset(kind_of(kind) for kind in (CodeGiven, Paired, Unpaired))


class Gateway:
    """Stores, judges and hands on. One per open journal."""

    def __init__(
        self,
        journal: Journal,
        *,
        gate: Callable[[], Gate],
        delivery: Callable[[], DeliverySettings],
        clock: Callable[[], float],
        stages: Sequence[Stage] = (),
        grant_days: Callable[[], float] = lambda: GRANT_DAYS,
    ) -> None:
        self.journal = journal
        self.gate = gate
        self.delivery = delivery
        self.clock = clock
        self.stages = stages
        self.roster = Roster()
        self.rulings = Rulings(
            journal,
            clock,
            notice=self.notice,
            wake=self._woken,
            grant_days=grant_days,
        )
        self.questions = self.rulings.open
        self.knows = False
        self.outboxes: dict[str, Outbox] = {}
        self.deciding: set[int] = set()
        self.closed = asyncio.Event()
        self.connections: Mapping[str, Connection] = {}
        self.wake: Callable[[Address], None] = lambda address: None

    async def recall(self) -> None:
        """Learn what the last run knew: people, questions, leaves. Before that nobody may ask."""
        for entry in await self.journal.read(PEOPLE.key, kinds=PAIRING_KINDS):
            self.roster.note(entry)
        for entry in await self.journal.asked():
            self.questions[entry.number] = entry
        self.rulings.grants = await recall(self.journal, self.is_owner)
        self.knows = True

    async def recover(self) -> None:
        """Take up what the last run left, messages nobody judged among it."""
        if not self.knows:
            await self.recall()
        for entry in await self.journal.undecided():
            await self.decide(entry)
        for address in await self.journal.waiting():
            self.wake(address)

    async def hear(self, channel: str, connection: Connection) -> None:
        """Take everything a channel hears; what was yielded before is durable when it goes on.

        First comes what was stored when the channel was open last, and not judged because the
        disk was full: the network's repetition of it is a duplicate.
        """
        for entry in await self.journal.undecided():
            if isinstance(entry.event, Received) and entry.event.inbound.address.channel == channel:
                await self.decide(entry)
        async with aclosing(connection.receive()) as batches:
            async for batch in batches:
                await self.take(batch)

    async def take(self, batch: Sequence[Inbound]) -> None:
        """Store a batch in one commit, then judge it. Messages heard before are dropped."""
        if len(batch) == 1:
            await self._take(batch[0])
            return
        async with asyncio.TaskGroup() as tasks:
            for inbound in batch:
                tasks.create_task(self._take(inbound))

    async def _take(self, inbound: Inbound) -> None:
        """Store a message together with its judgement where looking at it is enough for one."""
        judged = self._at_once(inbound)
        if judged is None:
            for entry in await self.journal.receive([inbound]):
                await self.decide(entry)
            return
        stored = await self.journal.append(inbound.address, Received(inbound=inbound), judged)
        if stored and isinstance(judged, Admitted) and judged.wakes:
            self.wake(inbound.address)

    def _at_once(self, inbound: Inbound) -> Admitted | Refused | None:
        """The judgement of a message; None where something is to be done for it first (a stage to
        run, an owner's word to the house, a code to give)."""
        if self.stages:
            return None
        match self.gate().admit(inbound, self.roster, self.clock()):
            case Admit() as admit:
                words = text_of(inbound.parts)
                about_us = approved_code(words) or press_of(words)
                if admit.role == "owner" and (
                    about_us or self.rulings.standing_in(inbound.address)
                ):
                    return None
                return _admitted(BEFORE, inbound, admit)
            case Refuse() as refuse:
                holds = refuse.person.key in self.roster.waiting
                return None if refuse.offer or holds else Refused(of=BEFORE, reason=refuse.reason)

    async def decide(self, entry: Entry) -> None:
        """Let a stored message in, or not, and write down which."""
        if entry.number in self.deciding:
            return
        self.deciding.add(entry.number)
        try:
            await self._decide(entry)
        finally:
            self.deciding.discard(entry.number)

    async def _decide(self, entry: Entry) -> None:
        assert isinstance(entry.event, Received)
        inbound = entry.event.inbound
        try:
            for stage in self.stages:
                inbound = await stage(inbound)
        except Drop:
            await self.journal.append(
                inbound.address, Refused(of=entry.number, reason="a stage dropped it")
            )
            return
        match self.gate().admit(inbound, self.roster, self.clock()):
            case Admit() as admit:
                await self._admit(entry.number, inbound, admit)
            case Refuse() as refuse:
                await self._refuse(entry.number, inbound, refuse)

    async def say(
        self,
        outbound: Outbound,
        *before: Event,
        turn: int = 0,
        drafted: str = "",
        asked: Asked | None = None,
    ) -> bool:
        """Owe the network a message, together with the events that lead to it.

        `asked` is the question it puts, open before anybody can read it. `drafted` is the
        network's id of a draft it replaces. False, and nothing written, where a message with this
        id is owed or said already.
        """
        said = Said(outbound=outbound, turn=turn)
        address, outbox = outbound.address, self.outbox(outbound.address.channel)
        begun = not drafted and outbox.begins(address.key)
        going = (Sending(of=BEFORE, piece=0),) if begun else ()
        asks = (asked,) if asked else ()
        entries = await self.journal.append(address, *before, said, *going, *asks)
        if not entries:
            return False
        if asked:
            self.questions[entries[-1].number] = entries[-1]
        entry = entries[len(before)]
        owed = Owed(entry=entry, said=said, address=address, drafted=drafted)
        if not outbox.push(owed, begun=begun) and begun:
            held = Held(of=entry.number, piece=0, reason="the channel closed just then")
            await self.journal.append(address, held)
        return True

    async def notice(self, address: Address, id: str, text: str, *more: Part) -> bool:
        """Say something of the house's own; `id` makes sure that it is said once."""
        return await self.say(Outbound(id=id, address=address, parts=(Text(text=text), *more)))

    def outbox(self, channel: str) -> Outbox:
        """The outbox of a channel, whether it is open or not."""
        if channel not in self.outboxes:
            self.outboxes[channel] = Outbox(channel, self.journal, self.delivery, self.clock)
        return self.outboxes[channel]

    async def approve(self, code: str, role: str, by: str) -> Waiting | None:
        """Let the holder of a code in; None where nobody holds it any more."""
        holder = self.roster.holder(code, self.clock())
        if holder is None:
            return None
        paired = Paired(person=holder.key, name=holder.name, role=role, by=by)
        await self._note(paired)
        where = await self.journal_address(holder.where)
        language = language_of(holder.name)
        await self.notice(where, f"paired:{holder.key}:{holder.code}", phrase("paired", language))
        return holder

    async def unpair(self, person: str, by: str) -> bool:
        """Send a person away; whether the person was in."""
        if person not in self.roster.people:
            return False
        await self._note(Unpaired(person=person, by=by))
        return True

    async def settle(self, number: int, yes: bool, by: str, *, always: bool = False) -> bool:
        """Decide an open question; see `Rulings.settle`."""
        return await self.rulings.settle(number, yes, by, always=always)

    def _woken(self, address: Address) -> None:
        self.wake(address)

    def is_owner(self, person: str) -> bool:
        """Whether a principal's key is an owner's now."""
        if not all(person.partition(":")):
            return False
        return self.gate().role_of(Principal.parse(person), self.roster) == "owner"

    async def journal_address(self, key: str) -> Address:
        """The full address of a conversation the journal knows."""
        return await self.rulings.address(key)

    async def _note(self, event: Event) -> None:
        for entry in await self.journal.append(PEOPLE, event):
            self.roster.note(entry)

    async def _admit(self, number: int, inbound: Inbound, admit: Admit) -> None:
        words = text_of(inbound.parts)
        if admit.role == "owner" and await self._ruled(number, inbound, admit.person, words):
            return
        await self.journal.append(inbound.address, _admitted(number, inbound, admit))
        if admit.wakes:
            self.wake(inbound.address)

    async def _ruled(self, number: int, inbound: Inbound, person: Principal, words: str) -> bool:
        """Whether an owner's words were for the house itself: a code approved, a question
        answered. Other words in the conversation a question stands in mean no."""
        address = inbound.address
        if code := approved_code(words):
            await self._approve_here(address, code, person, language_of(words), inbound.id)
            await self.journal.append(address, Refused(of=number, reason=f"approved code {code}"))
            return True
        return await self.rulings.hear(number, inbound, person.key, words)

    async def _approve_here(
        self, address: Address, code: str, person: Principal, language: Language, id: str
    ) -> None:
        holder = await self.approve(code, "member", person.key)
        if holder:
            text = phrase("pair-done", language, name=holder.name or holder.key)
        else:
            text = phrase("pair-unknown", language, code=code)
        await self.notice(address, f"approve:{address.key}:{id}", text)

    async def _refuse(self, number: int, inbound: Inbound, refuse: Refuse) -> None:
        refused = Refused(of=number, reason=refuse.reason)
        code = await self._code(inbound, refuse)
        if code:
            minutes = int(CODE_SECONDS // 60)
            text = phrase(
                "pairing", language_of(text_of(inbound.parts)), code=code, minutes=minutes
            )
            said = Outbound(id=f"code:{code}", address=inbound.address, parts=(Text(text=text),))
            if await self.say(said, refused):
                return
        await self.journal.append(inbound.address, refused)

    async def _code(self, inbound: Inbound, refuse: Refuse) -> str:
        """A fresh code for a stranger who may have one. One that is held already comes back, for
        the last run may have died before it was said."""
        key = refuse.person.key
        held = self.roster.waiting.get(key)
        if not refuse.offer:
            living = held and held.expires > self.clock() and held.where == inbound.address.key
            return held.code if held and living else ""
        code = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_LENGTH))
        given = CodeGiven(
            person=key,
            name=inbound.sender.name,
            code=code,
            where=inbound.address.key,
            expires=self.clock() + CODE_SECONDS,
        )
        await self._note(given)
        return code


def _admitted(of: int, inbound: Inbound, admit: Admit) -> Admitted:
    return Admitted(
        of=of,
        person=admit.person.key,
        role=admit.role,
        parts=inbound.parts,
        id=inbound.id,
        name=inbound.sender.name,
        wakes=admit.wakes,
        label=label_of(admit.person.key, admit.role),
    )
