# SPDX-License-Identifier: AGPL-3.0-or-later
"""Paying what is owed: once, in order, with its receipt, whatever the network does."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from haoya.core.capabilities import Capabilities
from haoya.core.errors import HaoyaError, Throttled, Undeliverable, Unready
from haoya.core.event import Delivered, Drafted, Failed, Held, Said, Sending
from haoya.core.message import Address, Blob, Image, Inbound, Outbound, Receipt, Text, text_of
from haoya.journal import Journal, Owed, open_journal
from haoya.runtime import outbox as boxes
from haoya.runtime.outbox import MARK, Outbox
from haoya.runtime.settings import DeliverySettings
from tests.runtime.waiting import run, until

ONE = Address(channel="net", room="1")
TWO = Address(channel="net", room="2")


class Network:
    """A small true network: takes what it is given, or does first what `fates` say.

    A fate is an error raised instead of taking the message, or `swallow`: it takes the message
    and then the line breaks, so that we never hear of it.
    """

    def __init__(self, **capabilities: Any) -> None:
        self.capabilities = Capabilities(**{"max_length": 10, **capabilities})
        self.fates: list[HaoyaError | Literal["swallow", "hang"]] = []
        self.taken: list[str] = []
        self.ids: list[str] = []
        self.attempts = 0

    async def receive(self) -> AsyncGenerator[Sequence[Inbound], None]:
        await asyncio.Event().wait()
        yield ()

    async def send(self, outbound: Outbound) -> Receipt:
        self.attempts += 1
        fate = self.fates.pop(0) if self.fates else None
        if isinstance(fate, HaoyaError):
            raise fate
        if fate == "hang":
            await asyncio.Event().wait()
        self.taken.append(text_of(outbound.parts))
        self.ids.append(outbound.id)
        if fate == "swallow":
            raise Unready("the line broke")
        return Receipt(ids=(f"n{len(self.taken)}",))


class Editable(Network):
    """A network on which messages can be changed; `edits` by the network's id."""

    def __init__(self, **capabilities: Any) -> None:
        super().__init__(**capabilities)
        self.edits: dict[str, str] = {}
        self.frozen = False

    async def edit(self, id: str, outbound: Outbound) -> Receipt:
        if self.frozen:
            raise Undeliverable("message can't be edited")
        self.edits[id] = text_of(outbound.parts)
        return Receipt(ids=(id,))


class Box:
    """An outbox over a real journal, opened and closed at will."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.settings = DeliverySettings()
        self.now = 1000.0
        self.outbox = Outbox("net", journal, lambda: self.settings, lambda: self.now)

    async def owe(
        self, id: str, text: str = "", to: Address = ONE, *, drafted: str = "", **more: Any
    ) -> Said:
        parts = more.pop("parts", (Text(text=text or id),))
        said = Said(outbound=Outbound(id=id, address=to, parts=parts, **more))
        before = [Drafted(outbound=id, id=drafted)] if drafted else []
        (*_, entry) = await self.journal.append(to, *before, said)
        self.outbox.push(Owed(entry=entry, said=said, address=to, drafted=drafted))
        return said

    @asynccontextmanager
    async def open(self, network: Network) -> AsyncGenerator[None]:
        """Speak until left."""
        async with asyncio.TaskGroup() as tasks:
            speaking = tasks.create_task(self.outbox.speak(network))
            try:
                yield
            finally:
                speaking.cancel()

    async def open_until_gone(self, network: Network) -> HaoyaError:
        """Speak until the connection is gone; why it went."""
        try:
            async with asyncio.timeout(10):
                await self.outbox.speak(network)
        except* HaoyaError as group:
            error = group.exceptions[0]
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
        assert isinstance(error, HaoyaError)
        return error

    async def settled(self) -> None:
        async def nothing_owed() -> bool:
            return not await self.journal.owed("net")

        await until(nothing_owed)

    async def of(self, *kinds: type[Any], room: Address = ONE) -> list[Any]:
        entries = await self.journal.read(room.key)
        return [entry.event for entry in entries if isinstance(entry.event, kinds)]


def boxed(tmp_path: Path, body: Callable[[Box], Awaitable[None]]) -> None:
    async def opened() -> None:
        async with open_journal(tmp_path / "home") as journal:
            await body(Box(journal))

    run(opened)


def test_what_is_owed_goes_out_in_order_with_its_receipt(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        network = Network()
        await box.owe("a")
        await box.owe("b")
        async with box.open(network):
            await box.owe("c")
            await box.settled()
        assert network.taken == ["a", "b", "c"]
        delivered = await box.of(Delivered)
        assert [d.receipt.ids for d in delivered] == [("n1",), ("n2",), ("n3",)]
        assert all(d.last and not d.marked for d in delivered)
        assert not box.outbox.queues and not box.outbox.lanes and not box.outbox.known

    boxed(tmp_path, body)


def test_nothing_is_sent_twice_when_the_channel_opens_again(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        network = Network()
        await box.owe("a")
        for _ in range(3):
            async with box.open(network):
                await box.settled()
        assert network.taken == ["a"]

    boxed(tmp_path, body)


def test_what_is_said_while_the_old_debts_are_read_comes_once_and_behind_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of debts is as old as the moment the reading began, and what is pushed meanwhile
    may stand in it or not."""

    async def body(box: Box) -> None:
        read = box.journal.owed
        said = asyncio.Event()

        async def slowly(channel: str) -> list[Owed]:
            found = await read(channel)
            await said.wait()
            return found

        network = Network()
        await box.owe("a")
        b = await box.owe("b")
        known = (await read("net"))[1].entry
        monkeypatch.setattr(box.journal, "owed", slowly)
        async with box.open(network):
            await until(lambda: box.outbox.tasks is not None)
            box.outbox.push(Owed(entry=known, said=b, address=ONE))
            await box.owe("c")
            said.set()
            await until(lambda: "c" in network.taken)
        assert network.taken == ["a", "b", "c"]

    boxed(tmp_path, body)


def test_a_slow_conversation_holds_up_no_other(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        network = Network()
        network.fates = ["hang"]
        async with box.open(network):
            await box.owe("a", to=ONE)
            await until(lambda: network.attempts)
            await box.owe("b", to=TWO)
            await until(lambda: network.taken == ["b"])

    boxed(tmp_path, body)


def test_throttled_waits_and_goes_out_unmarked(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        network = Network()
        network.fates = [Throttled("slow down", retry_after=0.01)] * 2
        await box.owe("a")
        async with box.open(network):
            await box.settled()
        assert network.taken == ["a"] and network.attempts == 3
        kinds = [type(event) for event in await box.of(Sending, Held, Delivered)]
        assert kinds == [Sending, Held, Sending, Held, Sending, Delivered]

    boxed(tmp_path, body)


def test_what_surely_did_not_leave_is_sent_again_unmarked(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        network = Network()
        network.fates = [Unready("no route", reached=False)]
        await box.owe("a")
        assert str(await box.open_until_gone(network)) == "no route"
        assert (await box.journal.owed("net"))[0].sending is False
        async with box.open(network):
            await box.settled()
        assert network.taken == ["a"]
        assert not (await box.of(Delivered))[0].marked

    boxed(tmp_path, body)


def test_what_may_have_arrived_is_marked(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        network = Network()
        network.fates = ["swallow"]
        await box.owe("a")
        await box.open_until_gone(network)
        async with box.open(network):
            await box.settled()
        assert network.taken == ["a", f"a{MARK}"]
        assert (await box.of(Delivered))[0].marked

    boxed(tmp_path, body)


def test_a_mark_that_does_not_fit_is_left_away_but_written_down(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        network = Network()
        network.fates = ["swallow"]
        await box.owe("a", "ten-lettrs")
        await box.open_until_gone(network)
        async with box.open(network):
            await box.settled()
        assert network.taken == ["ten-lettrs"] * 2
        assert (await box.of(Delivered))[0].marked

    boxed(tmp_path, body)


def test_the_owner_may_choose_never_to_send_twice(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        box.settings = DeliverySettings(repeat="never")
        network = Network()
        network.fates = ["swallow"]
        await box.owe("a")
        await box.owe("b")
        await box.open_until_gone(network)
        async with box.open(network):
            await box.settled()
        assert network.taken == ["a", "b"]
        (failed,) = await box.of(Failed)
        assert "not sent again" in failed.error

    boxed(tmp_path, body)


@pytest.mark.parametrize("how", ["native", "query"])
def test_a_network_that_drops_seconds_gets_the_same_id_and_no_mark(
    tmp_path: Path, how: str
) -> None:
    async def body(box: Box) -> None:
        network = Network(idempotent_send=how)
        network.fates = ["swallow"]
        await box.owe("a")
        await box.open_until_gone(network)
        async with box.open(network):
            await box.settled()
        assert network.taken == ["a", "a"] and network.ids == ["a", "a"]
        assert not await box.of(Sending, Held)

    boxed(tmp_path, body)


def test_after_a_break_the_next_piece_goes_on(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        network = Network()
        text = "one two\nthree four\nfive"
        await box.owe("a", text)
        network.fates = [None, Unready("gone", reached=False)]  # type: ignore[list-item]
        await box.open_until_gone(network)
        assert network.taken == ["one two"]
        async with box.open(network):
            await box.settled()
        assert network.taken == ["one two", "three four", "five"]
        assert network.ids == ["a#0", "a#1", "a#2"]
        assert [(d.piece, d.last) for d in await box.of(Delivered)] == [
            (0, False),
            (1, False),
            (2, True),
        ]

    boxed(tmp_path, body)


def test_of_several_pieces_only_the_doubtful_one_is_marked(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        network = Network()
        await box.owe("a", "one two\nthree\nfive")
        network.fates = [None, "swallow"]  # type: ignore[list-item]
        await box.open_until_gone(network)
        async with box.open(network):
            await box.settled()
        assert network.taken == ["one two", "three\nfive", "three\nfive"]
        assert [d.marked for d in await box.of(Delivered)] == [False, True]

    boxed(tmp_path, body)


def test_a_message_that_can_never_arrive_fails_and_the_next_goes_out(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        network = Network()
        network.fates = [Undeliverable("bot was blocked by the user")]
        await box.owe("a", "one two\nthree four")
        await box.owe("b")
        async with box.open(network):
            await box.settled()
        assert network.taken == ["b"]
        assert [f.error for f in await box.of(Failed)] == ["bot was blocked by the user"]

    boxed(tmp_path, body)


def test_what_is_too_old_is_not_sent(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        network = Network()
        box.now = time.time() + 100
        await box.owe("a", ttl=5.0)
        await box.owe("b", ttl=500.0)
        async with box.open(network):
            await box.settled()
        assert network.taken == ["b"]
        assert [f.error for f in await box.of(Failed)] == ["too old to send"]

    boxed(tmp_path, body)


def test_a_message_with_nothing_to_say_is_paid_without_sending(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        network = Network()
        await box.owe("a", " \n")
        async with box.open(network):
            await box.settled()
        assert not network.attempts and len(await box.of(Delivered)) == 1

    boxed(tmp_path, body)


def test_a_draft_becomes_the_answer_by_an_edit(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        network = Editable(edit_seconds=100)
        async with box.open(network):
            await box.owe("a", "the answer, long", drafted="n7")
            await box.settled()
        assert network.edits == {"n7": "the"} and network.taken == ["answer,", "long"]
        assert not [s for s in await box.of(Sending) if s.piece == 0]

    boxed(tmp_path, body)


def test_a_draft_left_by_a_dead_process_is_edited_not_repeated(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        network = Editable(edit_seconds=100)
        await box.owe("a", "answer", drafted="n7")
        async with box.open(network):
            await box.settled()
        assert network.edits == {"n7": "answer"} and not network.taken

    boxed(tmp_path, body)


def test_a_draft_that_cannot_be_edited_any_more_is_sent_anew(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        network = Editable(edit_seconds=100)
        network.frozen = True
        await box.owe("a", "answer", drafted="n7")
        async with box.open(network):
            await box.settled()
        assert network.taken == ["answer"]
        assert [type(e) for e in await box.of(Sending, Delivered)] == [Sending, Delivered]

    boxed(tmp_path, body)


def test_a_network_that_never_answers_counts_as_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boxes, "SEND_SECONDS", 0.02)

    async def body(box: Box) -> None:
        network = Network()
        network.fates = ["hang"]
        await box.owe("a")
        error = await box.open_until_gone(network)
        assert isinstance(error, Unready) and "no answer" in str(error)
        assert (await box.journal.owed("net"))[0].sending is True

    boxed(tmp_path, body)


def test_what_the_network_could_not_carry_is_written_down(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        network = Network(max_length=100)
        image = Image(blob=Blob(sha256="00", size=1, name="cat.jpg"))
        await box.owe("a", parts=(Text(text="look"), image))
        async with box.open(network):
            await box.settled()
        assert network.taken == ["look\n[image: cat.jpg]"]
        assert (await box.of(Delivered))[0].lost == ("image",)

    boxed(tmp_path, body)


def test_a_hundred_conversations_are_all_served(tmp_path: Path) -> None:
    async def body(box: Box) -> None:
        network = Network()
        rooms = [msgspec.structs.replace(ONE, room=str(i)) for i in range(100)]
        for room in rooms:
            await box.owe(f"a{room.room}", to=room)
            await box.owe(f"b{room.room}", to=room)
        async with box.open(network):
            await box.settled()
        assert sorted(network.taken) == sorted(f"{kind}{i}" for i in range(100) for kind in "ab")
        assert all(network.taken.index(f"a{i}") < network.taken.index(f"b{i}") for i in range(100))

    boxed(tmp_path, body)
