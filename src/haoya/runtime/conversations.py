# SPDX-License-Identifier: AGPL-3.0-or-later
"""One worker for each conversation that has something to answer."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing

import msgspec

from haoya.agent.budget import Group
from haoya.agent.lent import Answer, AskOwner, Lent, Retracted, Step
from haoya.agent.prompt import system_prompt
from haoya.agent.transcript import (
    KINDS,
    OpenCall,
    Standing,
    approved_calls,
    calls_of,
    groups_of,
    open_calls,
    past_of,
    standing,
    steps_taken,
)
from haoya.agent.turn import turn
from haoya.core.errors import Unready
from haoya.core.event import (
    Admitted,
    Drafted,
    Entry,
    Event,
    ModelAnswered,
    ModelAsked,
    kind_of,
)
from haoya.core.label import Label
from haoya.core.message import Address, Outbound, Text, text_of
from haoya.core.phrases import Language, language_of, phrase
from haoya.core.tool import Scene, TextDelta, ToolCall, ToolSpec
from haoya.policy.principal import Role
from haoya.runtime.asks import Asks
from haoya.runtime.broker import Broker
from haoya.runtime.budgets import Budgets
from haoya.runtime.gateway import Gateway
from haoya.runtime.lending import wish_of
from haoya.runtime.routing import Routing
from haoya.runtime.settings import AgentSettings
from haoya.runtime.sharing import Turns
from haoya.runtime.streaming import Stream

log = logging.getLogger("haoya.runtime")

TURNS_AT_ONCE = 24
"""Turns that may run at the same time; further conversations wait. Each holds some 0.1 MB (an HTTP
connection, its stream); local servers serve ten at once, and 24 streams of ten seconds are 144
answers a minute."""

REMEMBERED = 4096
"""Conversations whose prompt's beginning is kept in memory (some 150 bytes each)."""

WAIT_AFTER_TROUBLE = 2.0
"""Seconds until a conversation tries again whose journal could not be written."""

_ORDER: dict[str, int] = {"guest": 0, "member": 1, "owner": 2}
_BEGUN = frozenset({kind_of(ModelAsked)})
_ADMITTED = frozenset({kind_of(Admitted)})
_ANSWERED = frozenset({kind_of(ModelAnswered)})
_READ = KINDS | {kind_of(Drafted)}


class Mind(msgspec.Struct, kw_only=True):
    """What the agent thinks with at this moment; parts come and go while turns run."""

    settings: AgentSettings
    broker: Broker
    routing: Routing
    plans: bool = False
    """Whether runs plan first."""
    trouble: str = ""
    """Why models that should be there are not."""

    def specs(self) -> dict[str, ToolSpec]:
        """The tools the agent has, by name."""
        return self.broker.specs(self.settings.tools)


class _Work(msgspec.Struct, frozen=True, kw_only=True):
    """A turn to be run: what the model reads and whose words that are, the label of what it read
    before that, the calls left open, those an owner approved, the lines about all of them, the
    steps taken before, and the network's id of a draft that still stands."""

    state: Standing
    groups: Sequence[Group]
    past: Label
    people: frozenset[str]
    pending: Sequence[OpenCall]
    approved: Sequence[ToolCall]
    calls: Sequence[Entry]
    taken: int
    drafted: str


class Conversations:
    """Wakes and runs the workers; each conversation has at most one."""

    def __init__(
        self,
        gateway: Gateway,
        mind: Callable[[], Mind],
        asks: Asks,
        tasks: asyncio.TaskGroup,
        budgets: Budgets | None = None,
    ) -> None:
        self.gateway = gateway
        self.mind = mind
        self.asks = asks
        self.tasks = tasks
        self.budgets = budgets
        self.awake: dict[str, bool] = {}
        self.slots = Turns(TURNS_AT_ONCE)
        self.turns = 0
        self.since: dict[str, int] = {}

    def wake(self, address: Address) -> None:
        """There may be something to do in this conversation."""
        key = address.key
        if key in self.awake:
            self.awake[key] = True
            return
        self.awake[key] = True
        self.tasks.create_task(self._work(address))

    async def _work(self, address: Address) -> None:
        """Answer until nothing is left. Between the last look and leaving there is no await."""
        key = address.key
        while self.awake[key]:
            self.awake[key] = False
            try:
                person = await self._person(address) if self.slots.full else ""
                async with self.slots.take(key, person):
                    while await self._turn(address):
                        pass
            except Unready as error:
                log.warning("a conversation waits: %s", error)
                await asyncio.sleep(WAIT_AFTER_TROUBLE)
                self.awake[key] = True
        del self.awake[key]

    async def _person(self, address: Address) -> str:
        """Who spoke last in a conversation, for a fair order of those who wait."""
        last = await self.gateway.journal.read(address.key, last=1, kinds=_ADMITTED)
        return last[0].event.person if last and isinstance(last[0].event, Admitted) else ""

    async def _turn(self, address: Address) -> bool:
        """Run one turn to its end or pause; whether another one waits behind it. What comes
        later wakes the conversation anew."""
        work = await self._look(address)
        if work is None:
            return False
        state = work.state
        reads = [entry.event for entry in state.reads if isinstance(entry.event, Admitted)]
        language = language_of(text_of(reads[-1].parts))
        id = f"{address.key}:{state.turn}"
        number = state.turn

        async def drafted(network_id: str) -> None:
            await self.gateway.journal.append(address, Drafted(outbound=id, id=network_id))

        connection = self.gateway.connections.get(address.channel)
        stream = Stream(connection, address, id, drafted, work.drafted)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(stream.run())
                try:
                    return await self._run(address, work, stream, language)
                finally:
                    await stream.end()
        except* Unready as group:
            raise Unready(str(group.exceptions[0])) from group
        except* Exception as group:  # the turn wall
            error = group.exceptions[0]
            log.error("turn %d broke", number, exc_info=group)
            text = phrase("broken", language, reason=type(error).__name__, number=number)
            await self._say(address, state, text)
        return state.more

    async def _look(self, address: Address) -> _Work | None:
        """What is to be done in a conversation. The lines it follows from are let go here: while
        models think, a crowd of them would be most of what the house remembers."""
        entries = await self._entries(address)
        state = standing(entries, gather=self.mind().settings.gather)
        if not state.turn or state.paused:
            return None
        past = await self._past(address, entries)
        return _Work(
            state=state,
            groups=groups_of(entries, state.turn, address, past),
            past=past,
            people=frozenset(e.event.person for e in entries if isinstance(e.event, Admitted)),
            pending=open_calls(entries, state.turn),
            approved=approved_calls(entries, state.turn),
            calls=calls_of(entries, state.turn),
            taken=steps_taken(entries, state.turn),
            drafted=_drafted_before(entries, f"{address.key}:{state.turn}"),
        )

    async def _run(self, address: Address, work: _Work, stream: Stream, language: Language) -> bool:
        """Drive the turn: write each step before asking for the next. Whether more waits."""
        self.turns += 1
        state = work.state
        if not work.taken and (text := await self._spent(state, language)):
            await self._say(address, state, text)
            return state.more
        lent = self._lent(address, work, language)
        thinking = turn(
            state.turn, work.groups, work.pending, lent, taken=work.taken, past=work.past
        )
        async with aclosing(thinking) as steps:
            async for step in steps:
                match step:
                    case TextDelta():
                        stream.add(step.text)
                    case Retracted():
                        stream.clear()
                    case _:
                        stream.clear()
                        if not await self._write(address, state, step, stream):
                            return False
        return state.more

    async def _spent(self, state: Standing, language: Language) -> str:
        """What to say instead of thinking where a budget is used up; else nothing."""
        if self.budgets is None:
            return ""
        reads = [entry.event for entry in state.reads if isinstance(entry.event, Admitted)]
        role = least([read.role for read in reads])
        return await self.budgets.refusal(reads[-1].person, role, language)

    async def _write(self, address: Address, state: Standing, step: Step, stream: Stream) -> bool:
        """Put a step into the journal; false when the turn pauses for the owner."""
        events: list[Event] = []
        routing = self.mind().routing
        for item in step:
            if isinstance(item, Answer):
                await stream.end()
                await self._say(address, state, item.text, *events, drafted=stream.network_id)
                return True
            if isinstance(item, AskOwner):
                await self._put(address, events)
                await self.asks.ask(address, state, item)
                return False
            if isinstance(item, ModelAsked):
                self._remember(address.key, item.since)
            routing.note(address.key, item, self.gateway.clock())
            events.append(item)
        await self._put(address, events)
        return True

    async def _put(self, address: Address, events: Sequence[Event]) -> None:
        for entry in await self.gateway.journal.append(address, *events):
            self.gateway.rulings.grants.note(entry)

    async def _say(
        self, address: Address, state: Standing, text: str, *before: Event, drafted: str = ""
    ) -> None:
        reads = [entry.event for entry in state.reads if isinstance(entry.event, Admitted)]
        outbound = Outbound(
            id=f"{address.key}:{state.turn}",
            address=address,
            parts=(Text(text=text, markup="markdown"),),
            reply_to=reads[-1].id if address.kind != "dm" else "",
            answers=tuple(read.id for read in reads),
        )
        await self.gateway.say(outbound, *before, turn=state.turn, drafted=drafted)

    async def _entries(self, address: Address) -> list[Entry]:
        """The conversation's lines from where the last prompt began."""
        journal = self.gateway.journal
        since = self.since.get(address.key)
        if since is None:
            last = await journal.read(address.key, last=1, kinds=_BEGUN)
            since = last[0].event.since if last and isinstance(last[0].event, ModelAsked) else 0
        return await journal.read(address.key, after=max(0, since - 1), kinds=_READ)

    async def _past(self, address: Address, entries: Sequence[Entry]) -> Label:
        """The label of what the conversation read before these lines. The first answer among them
        has it in its own label, so that it is looked up only where there is none."""
        labels = [e.event.label for e in entries if isinstance(e.event, ModelAnswered)]
        if found := next((label for label in labels if label), None):
            return found
        before = entries[0].number if entries else None
        read = self.gateway.journal.read
        return past_of(await read(address.key, before=before, last=1, kinds=_ANSWERED))

    def _remember(self, key: str, since: int) -> None:
        """Where the last prompt of a conversation began, for the most recent conversations."""
        self.since.pop(key, None)
        self.since[key] = since
        if len(self.since) > REMEMBERED:
            del self.since[next(iter(self.since))]

    def _lent(self, address: Address, work: _Work, language: Language) -> Lent:
        """What this turn may use: as much as the least trusted of those it answers."""
        mind = self.mind()
        state = work.state
        reads = [entry.event for entry in state.reads if isinstance(entry.event, Admitted)]
        role = least([read.role for read in reads])
        person = reads[-1].person

        scene = Scene(address=address, person=person, turn=state.turn, call="")
        parts = mind.settings.tools
        lease = mind.broker.chat(scene, role, parts, approved=work.approved, plans=mind.plans)
        if lease.plans:
            lease.plans.recall(work.calls, state.turn)
        system = system_prompt(mind.settings.name, mind.settings.prompt)
        wish = wish_of(
            address, work.people, work.groups, lease.specs, system=system, language=language
        )
        lending = mind.routing.lend(wish, mind.trouble)
        return Lent(
            models=lending.models,
            why=lending.why,
            broker=lease,
            system=system,
            scene=scene,
            language=language,
            max_steps=mind.settings.max_steps,
            trouble=lending.trouble or mind.trouble,
        )


def _drafted_before(entries: Sequence[Entry], id: str) -> str:
    """The network's id of the draft a crashed run of this turn has left standing."""
    drafts = [entry.event for entry in entries if isinstance(entry.event, Drafted)]
    return next((draft.id for draft in reversed(drafts) if draft.outbound == id), "")


def least(roles: Sequence[str]) -> Role:
    """The role with the fewest rights among those given; a guest where there is none.

    >>> least(["owner", "member"])
    'member'
    """
    lowest = min(roles, key=lambda role: _ORDER.get(role, 0), default="guest")
    return "owner" if lowest == "owner" else "member" if lowest == "member" else "guest"
