# SPDX-License-Identifier: AGPL-3.0-or-later
"""Random lives of a journal, held against the plain meaning of its words."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from haoya.core.event import (
    Admitted,
    Asked,
    Decided,
    Delivered,
    Drafted,
    Entry,
    Event,
    Failed,
    Received,
    Refused,
    Said,
    Sending,
    Stopped,
)
from haoya.core.message import Address, Receipt
from haoya.journal import Owed, open_journal
from tests.journal.make import HOME, ROOM, admitted, inbound, said

PLACES = {address.key: address for address in (HOME, ROOM)}
places = st.sampled_from([HOME, ROOM])
ids = st.sampled_from("abcdefgh")
refs = st.integers(1, 30)
pieces = st.integers(0, 2)


class Model:
    """All entries, and the questions answered by looking through them from the beginning."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def of(self, *kinds: type[Event]) -> list[Entry]:
        return [entry for entry in self.entries if isinstance(entry.event, kinds)]

    def open(self, kind: type[Event], *closing: type[Event]) -> list[Entry]:
        found = []
        for entry in self.of(kind):
            closed = [
                end
                for end in self.of(*closing)
                if end.event.of == entry.number and end.number > entry.number
            ]
            if not closed:
                found.append(entry)
        return found

    def waiting(self) -> list[Address]:
        newest: dict[str, int] = {}
        for entry in self.of(Admitted):
            ends = [
                end
                for end in self.of(Said, Stopped)
                if end.number > entry.number
                and end.conversation == entry.conversation
                and end.event.turn >= entry.number
            ]
            if entry.event.wakes and not ends:
                newest[entry.conversation] = entry.number
        return [PLACES[key] for key, _ in sorted(newest.items(), key=lambda item: item[1])]

    def owed(self, channel: str) -> list[Owed]:
        found: list[Owed] = []
        for entry in self.of(Said):
            assert isinstance(entry.event, Said)
            later = [e for e in self.entries if e.number > entry.number]
            mine = [e.event for e in later if getattr(e.event, "of", 0) == entry.number]
            paid = any(isinstance(e, Failed) or (isinstance(e, Delivered) and e.last) for e in mine)
            if paid or entry.event.outbound.address.channel != channel:
                continue
            piece = max([e.piece + 1 for e in mine if isinstance(e, Delivered)], default=0)
            sent = [e.piece for e in mine if isinstance(e, Sending)]
            drafted = [
                e.event.id
                for e in self.of(Drafted)
                if isinstance(e.event, Drafted) and e.event.outbound == entry.event.outbound.id
            ]
            found.append(
                Owed(
                    entry=entry,
                    said=entry.event,
                    address=entry.event.outbound.address,
                    piece=piece,
                    drafted=drafted[-1] if drafted else "",
                    sending=bool(sent) and sent[-1] == piece,
                )
            )
        return found


class Life(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.model = Model()
        self.start()

    def start(self) -> None:
        self.opened = open_journal(self.folder)
        self.journal = self.runner.run(self.opened.__aenter__())

    def stop(self) -> None:
        self.runner.run(self.opened.__aexit__(None, None, None))

    def teardown(self) -> None:
        assert self.runner.run(self.journal.check()) == []
        self.stop()
        self.runner.close()
        shutil.rmtree(self.folder)

    def append(self, address: Address, *events: Event) -> None:
        known = {e.event.outbound.id for e in self.model.of(Said) if isinstance(e.event, Said)}
        again = any(isinstance(e, Said) and e.outbound.id in known for e in events)
        written = self.runner.run(self.journal.append(address, *events))
        assert [entry.event for entry in written] == ([] if again else list(events))
        self.model.entries += written

    @rule(address=places, some=st.lists(ids, min_size=1, max_size=3))
    def receive(self, address: Address, some: list[str]) -> None:
        known = {
            (e.event.inbound.address.channel, e.event.inbound.id)
            for e in self.model.of(Received)
            if isinstance(e.event, Received)
        }
        heard = [inbound(id, address) for id in some]
        written = self.runner.run(self.journal.receive(heard))
        fresh = [id for id in dict.fromkeys(some) if (address.channel, id) not in known]
        assert [e.event.inbound.id for e in written if isinstance(e.event, Received)] == fresh
        self.model.entries += written

    @rule(address=places, of=refs, wakes=st.booleans())
    def admit(self, address: Address, of: int, wakes: bool) -> None:
        self.append(address, admitted(of, wakes=wakes))

    @rule(address=places, of=refs)
    def refuse(self, address: Address, of: int) -> None:
        self.append(address, Refused(of=of, reason="r"))

    @rule(address=places, to=places, id=ids, turn=st.integers(0, 30), also=refs)
    def say(self, address: Address, to: Address, id: str, turn: int, also: int) -> None:
        turn = min(turn, len(self.model.entries))
        self.append(address, Refused(of=also, reason="r"), said(id, to, turn=turn))

    @rule(address=places, back=st.integers(0, 5))
    def end(self, address: Address, back: int) -> None:
        self.append(address, Stopped(turn=max(0, len(self.model.entries) - back), reason="r"))

    @rule(address=places, of=refs, piece=pieces, last=st.booleans())
    def deliver(self, address: Address, of: int, piece: int, last: bool) -> None:
        self.append(address, Delivered(of=of, piece=piece, last=last, receipt=Receipt()))

    @rule(address=places, of=refs, piece=pieces)
    def send(self, address: Address, of: int, piece: int) -> None:
        self.append(address, Sending(of=of, piece=piece))

    @rule(address=places, of=refs)
    def fail(self, address: Address, of: int) -> None:
        self.append(address, Failed(of=of, error="e"))

    @rule(address=places, outbound=ids, id=ids)
    def draft(self, address: Address, outbound: str, id: str) -> None:
        self.append(address, Drafted(outbound=outbound, id=id))

    @rule(address=places)
    def ask(self, address: Address) -> None:
        question = Asked(turn=1, call="c", where="w", digest="d", question="q", expires=1)
        self.append(address, question)

    @rule(address=places, of=refs)
    def decide(self, address: Address, of: int) -> None:
        self.append(address, Decided(of=of, call="c", yes=True))

    @rule()
    def reopen(self) -> None:
        self.stop()
        self.start()

    @invariant()
    def the_open_state_is_what_the_words_mean(self) -> None:
        self.runner.run(self.compare())

    async def compare(self) -> None:
        model, journal = self.model, self.journal
        assert await journal.undecided() == model.open(Received, Admitted, Refused)
        assert await journal.asked() == model.open(Asked, Decided)
        assert await journal.waiting() == model.waiting()
        for channel in ("tg", "irc"):
            assert await journal.owed(channel) == model.owed(channel)
        assert journal.figures().lines == len(model.entries)


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
