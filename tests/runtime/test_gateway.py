# SPDX-License-Identifier: AGPL-3.0-or-later
"""What comes in is stored, judged and woken, also after a death between any two of these."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from haoya.core.capabilities import Capabilities
from haoya.core.errors import Drop, Unready
from haoya.core.event import (
    Admitted,
    Asked,
    CodeGiven,
    Decided,
    Event,
    Held,
    Paired,
    Received,
    Refused,
    Said,
    Sending,
)
from haoya.core.message import Address, Inbound, Outbound, Receipt, Sender, Text, text_of
from haoya.journal import Journal, open_journal
from haoya.policy.access import Access, Gate
from haoya.policy.roster import CODE_LENGTH, CODE_LETTERS, CODE_SECONDS
from haoya.runtime.gateway import PEOPLE, Gateway
from haoya.runtime.settings import DeliverySettings
from tests.runtime.waiting import run, until

GATE = Gate(rules={"tg": Access()}, doors=frozenset({"local"}), owners=frozenset({"tg:1"}))
OWNER = Address(channel="tg", room="1")
ANN = Address(channel="tg", room="2")


def said_by(who: str, text: str, *, id: str = "", room: str = "", direct: bool = True) -> Inbound:
    return Inbound(
        id=id or f"{who}:{text}",
        address=Address(channel="tg", room=room or who, kind="dm" if direct else "group"),
        sender=Sender(id=who, name=f"N{who}"),
        parts=(Text(text=text),) if text else (),
        at=0,
        direct=direct,
        called=direct,
    )


class Script:
    """A connection that hears what it is given, batch by batch, then stays open."""

    capabilities = Capabilities()

    def __init__(self, *batches: Sequence[Inbound]) -> None:
        self.batches = batches
        self.taken = 0

    async def receive(self) -> AsyncGenerator[Sequence[Inbound], None]:
        for batch in self.batches:
            yield batch
            self.taken += 1
        await asyncio.Event().wait()

    async def send(self, outbound: Outbound) -> Receipt:
        return Receipt()


class Desk:
    """A gateway over a real journal; `woken` are the conversations it woke."""

    def __init__(self, journal: Journal, now: float = 1000.0) -> None:
        self.journal = journal
        self.now = now
        self.woken: list[str] = []
        self.gateway = self.fresh()

    def fresh(self) -> Gateway:
        """The gateway of the next life of the process."""
        self.gateway = Gateway(
            self.journal, gate=lambda: GATE, delivery=DeliverySettings, clock=lambda: self.now
        )
        self.gateway.wake = lambda address: self.woken.append(address.key)
        return self.gateway

    async def hear(self, *batches: Sequence[Inbound]) -> None:
        """Hear all this over one connection."""
        connection = Script(*batches)
        async with asyncio.TaskGroup() as tasks:
            hearing = tasks.create_task(self.gateway.hear("tg", connection))
            await until(lambda: connection.taken == len(batches))
            hearing.cancel()

    async def of(self, *kinds: type[Any], room: Address = OWNER) -> list[Any]:
        entries = await self.journal.read(room.key)
        return [entry.event for entry in entries if isinstance(entry.event, kinds)]

    async def told(self, room: Address) -> list[str]:
        return [text_of(said.outbound.parts) for said in await self.of(Said, room=room)]


def at_desk(tmp_path: Path, body: Callable[[Desk], Awaitable[None]]) -> None:
    async def opened() -> None:
        async with open_journal(tmp_path / "home") as journal:
            await body(Desk(journal))

    run(opened)


def test_what_is_heard_is_stored_judged_and_woken(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await desk.hear([said_by("1", "hi")], [said_by("1", "ho"), said_by("2", "hm")])
        assert [type(e) for e in await desk.of(Received, Admitted)] == [Received, Admitted] * 2
        assert desk.woken == [OWNER.key] * 2
        assert not await desk.journal.undecided()

    at_desk(tmp_path, body)


def test_what_the_network_repeats_is_dropped(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await desk.hear([said_by("1", "hi")], [said_by("1", "hi")])
        assert len(await desk.of(Received)) == len(await desk.of(Admitted)) == 1
        assert desk.woken == [OWNER.key]

    at_desk(tmp_path, body)


def test_a_message_stored_but_not_judged_is_judged_at_the_next_start(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await desk.journal.receive([said_by("1", "hi"), said_by("2", "hello")])
        await desk.gateway.recover()
        assert not await desk.journal.undecided()
        assert desk.woken == [OWNER.key, OWNER.key]
        assert len(await desk.told(ANN)) == 1

    at_desk(tmp_path, body)


def test_a_message_stored_but_not_judged_is_judged_when_the_channel_opens_again(
    tmp_path: Path,
) -> None:
    """The disk was full right after the message was stored; the network's repetition is a
    duplicate and judges nothing."""

    async def body(desk: Desk) -> None:
        await desk.journal.receive([said_by("1", "hi")])
        await desk.hear([said_by("1", "hi")])
        assert len(await desk.of(Admitted)) == 1 and desk.woken == [OWNER.key]

    at_desk(tmp_path, body)


def test_a_stranger_gets_one_code_and_the_model_nothing(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await desk.hear([said_by("2", "hello")], [said_by("2", "hello again")])
        (words,) = await desk.told(ANN)
        (given,) = await desk.of(CodeGiven, room=PEOPLE)
        assert given.code in words and len(given.code) == CODE_LENGTH
        assert set(given.code) <= set(CODE_LETTERS)
        assert not await desk.of(Admitted, room=ANN) and not desk.woken
        desk.now += CODE_SECONDS
        await desk.hear([said_by("2", "hello once more")])
        assert len(await desk.told(ANN)) == 2

    at_desk(tmp_path, body)


def test_a_stranger_is_answered_in_their_language(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await desk.hear([said_by("2", "你好")])
        assert "配对码" in (await desk.told(ANN))[0]

    at_desk(tmp_path, body)


def test_a_code_written_down_but_not_said_is_said_later(tmp_path: Path) -> None:
    """The process died between writing the code down and saying it."""

    async def body(desk: Desk) -> None:
        await desk.journal.receive([said_by("2", "hello")])
        given = CodeGiven(
            person="tg:2", name="N2", code="K7M2QX", where=ANN.key, expires=desk.now + 100
        )
        await desk.journal.append(PEOPLE, given)
        await desk.gateway.recover()
        (words,) = await desk.told(ANN)
        assert "K7M2QX" in words
        assert not await desk.journal.undecided()
        await desk.hear([said_by("2", "hello?")])
        assert len(await desk.told(ANN)) == 1

    at_desk(tmp_path, body)


def test_a_code_lets_in_once(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await desk.hear([said_by("2", "hello")])
        (given,) = await desk.of(CodeGiven, room=PEOPLE)
        assert await desk.gateway.approve(given.code.lower(), "member", "local:owner")
        assert await desk.gateway.approve(given.code, "owner", "local:owner") is None
        assert len(await desk.told(ANN)) == 2
        await desk.hear([said_by("2", "may I?")])
        assert len(await desk.of(Admitted, room=ANN)) == 1
        assert await desk.gateway.unpair("tg:2", "local:owner")
        assert not await desk.gateway.unpair("tg:2", "local:owner")
        await desk.hear([said_by("2", "and now?")])
        assert len(await desk.of(Admitted, room=ANN)) == 1

    at_desk(tmp_path, body)


def test_people_are_still_known_after_a_restart(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        paired = Paired(person="tg:2", name="N2", role="member", by="local:owner")
        await desk.journal.append(PEOPLE, paired)
        await desk.fresh().recover()
        await desk.hear([said_by("2", "hi")])
        assert len(await desk.of(Admitted, room=ANN)) == 1

    at_desk(tmp_path, body)


def test_an_owner_approves_in_a_chat_and_nobody_else(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await desk.hear([said_by("2", "hello")], [said_by("3", "hello")])
        codes = {given.person: given.code for given in await desk.of(CodeGiven, room=PEOPLE)}
        await desk.hear([said_by("3", f"approve {codes['tg:3']}")])
        assert not desk.gateway.roster.people
        await desk.hear([said_by("1", f"批准 {codes['tg:2']}")])
        assert set(desk.gateway.roster.people) == {"tg:2"}
        assert await desk.told(OWNER) == ["N2 现在可以和我说话了。"]
        assert not desk.woken
        await desk.hear([said_by("1", "approve XXXXXX")])
        assert "no waiting code XXXXXX" in (await desk.told(OWNER))[1]

    at_desk(tmp_path, body)


async def ask(desk: Desk, where: Address, conversation: Address = ANN) -> int:
    """An open question of a turn in `conversation`, shown in `where`."""
    asked = Asked(turn=1, call="1.1.0", where=where.key, digest="", question="?", expires=9e9)
    (entry,) = await desk.journal.append(conversation, asked)
    desk.gateway.questions[entry.number] = entry
    return entry.number


def test_yes_and_no_answer_the_question_that_stands_there(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await ask(desk, OWNER)
        await desk.hear([said_by("1", "what is this about?")])
        assert desk.gateway.questions and len(await desk.of(Admitted)) == 1
        await desk.hear([said_by("1", "好的")])
        (decided,) = await desk.of(Decided, room=ANN)
        assert (decided.yes, decided.by) == (True, "tg:1")
        assert not desk.gateway.questions and desk.woken[-1] == ANN.key
        assert await desk.told(OWNER) == ["好的，继续。"]
        assert len(await desk.of(Admitted)) == 1
        await desk.hear([said_by("1", "yes")])
        assert len(await desk.of(Decided, room=ANN)) == 1

    at_desk(tmp_path, body)


def test_other_words_in_the_same_conversation_mean_no_and_are_heard(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await ask(desk, OWNER, OWNER)
        await desk.hear([said_by("1", "never mind, what time is it?")])
        (decided,) = await desk.of(Decided)
        assert decided.yes is False
        assert len(await desk.of(Admitted)) == 1

    at_desk(tmp_path, body)


def test_only_an_owner_answers_questions(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        paired = Paired(person="tg:2", name="N2", role="member", by="local:owner")
        await desk.journal.append(PEOPLE, paired)
        await desk.gateway.recover()
        await ask(desk, ANN)
        await desk.hear([said_by("2", "yes")])
        assert desk.gateway.questions and not await desk.of(Decided, room=ANN)

    at_desk(tmp_path, body)


def test_an_open_question_is_known_after_a_restart(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        await ask(desk, OWNER)
        await desk.fresh().recover()
        await desk.hear([said_by("1", "no")])
        (decided,) = await desk.of(Decided, room=ANN)
        assert decided.yes is False

    at_desk(tmp_path, body)


def test_an_answer_the_disk_refused_can_be_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(desk: Desk) -> None:
        number = await ask(desk, OWNER)
        append = desk.journal.append

        async def full(address: Address, *events: Event) -> Any:
            raise Unready("journal: the disk is full")

        monkeypatch.setattr(desk.journal, "append", full)
        with pytest.raises(Unready):
            await desk.gateway.settle(number, True, "local:owner")
        monkeypatch.setattr(desk.journal, "append", append)
        assert await desk.gateway.settle(number, True, "local:owner")
        assert not await desk.gateway.settle(number, False, "local:owner")

    at_desk(tmp_path, body)


def test_two_answers_at_once_are_one_decision(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        number = await ask(desk, OWNER)
        done = await asyncio.gather(
            desk.gateway.settle(number, True, "a"), desk.gateway.settle(number, False, "b")
        )
        assert sorted(done) == [False, True]
        assert len(await desk.of(Decided, room=ANN)) == 1

    at_desk(tmp_path, body)


def test_a_stage_may_change_or_drop_what_came(tmp_path: Path) -> None:
    async def shout(inbound: Inbound) -> Inbound:
        if "spam" in text_of(inbound.parts):
            raise Drop("spam")
        return said_by("1", text_of(inbound.parts).upper(), id=inbound.id)

    async def body(desk: Desk) -> None:
        desk.gateway.stages = [shout]
        await desk.hear([said_by("1", "hi")], [said_by("1", "spam")])
        (admitted,) = await desk.of(Admitted)
        assert text_of(admitted.parts) == "HI"
        assert [refused.reason for refused in await desk.of(Refused)] == ["a stage dropped it"]

    at_desk(tmp_path, body)


def test_the_same_message_is_owed_once(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        outbound = Outbound(id="x", address=OWNER, parts=(Text(text="hi"),))
        assert await desk.gateway.say(outbound)
        assert not await desk.gateway.say(outbound)
        assert await desk.told(OWNER) == ["hi"]

    at_desk(tmp_path, body)


class Cautious:
    """A network that drops no second sending and holds on to what it is given until let go."""

    capabilities = Capabilities(idempotent_send="none")

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.let_go = asyncio.Event()

    async def receive(self) -> AsyncGenerator[Sequence[Inbound], None]:
        await asyncio.Event().wait()
        yield ()

    async def send(self, outbound: Outbound) -> Receipt:
        self.sent.append(text_of(outbound.parts))
        await self.let_go.wait()
        return Receipt()


def said_to(room: Address, id: str) -> Outbound:
    return Outbound(id=id, address=room, parts=(Text(text=id),))


def test_what_goes_out_at_once_is_written_as_going_in_the_same_step(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        network, outbox = Cautious(), desk.gateway.outbox("tg")
        async with asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(outbox.speak(network))
            await until(lambda: outbox.begins(ANN.key))
            await desk.gateway.say(said_to(ANN, "first"))
            assert [type(e) for e in await desk.of(Said, Sending, room=ANN)] == [Said, Sending]
            await until(lambda: network.sent == ["first"])
            await desk.gateway.say(said_to(ANN, "second"))
            lines = await desk.of(Said, Sending, room=ANN)
            assert [type(line) for line in lines] == [Said, Sending, Said]
            network.let_go.set()
            await until(lambda: network.sent == ["first", "second"])
            await until(lambda: ANN.key not in outbox.lanes)
            speaking.cancel()
        assert len(await desk.of(Sending, room=ANN)) == 2
        assert not await desk.journal.owed("tg")

    at_desk(tmp_path, body)


def test_a_channel_that_closes_between_step_and_sending_leaves_no_doubt(tmp_path: Path) -> None:
    async def body(desk: Desk) -> None:
        network, outbox = Cautious(), desk.gateway.outbox("tg")
        async with asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(outbox.speak(network))
            await until(lambda: outbox.begins(ANN.key))
            saying = tasks.create_task(desk.gateway.say(said_to(ANN, "words")))
            await asyncio.sleep(0)  # the step is on its way to the disk
            speaking.cancel()
            await saying
        (owed,) = await desk.journal.owed("tg")
        assert network.sent == [] and not owed.sending
        assert len(await desk.of(Held, room=ANN)) == 1

    at_desk(tmp_path, body)
