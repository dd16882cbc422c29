# SPDX-License-Identifier: AGPL-3.0-or-later
"""The queue on a real event loop, before a stand-in of an engine that is a process of its own."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haoya.core.errors import Unready
from haoya.core.ports import Lane, Queue
from haoya.core.tool import Prompt, Urgency
from haoya.inference.memory import read_memory
from haoya.inference.queue import FairQueue
from haoya.inference.seating import Terms
from tests.runtime.waiting import run, until
from tests.servers.process import Child


def free() -> FairQueue:
    return FairQueue(memory=lambda: None)


def prompt(person: str, room: str = "", urgency: Urgency = "chat") -> Prompt:
    return Prompt(lines=(), person=person, conversation=room or person, urgency=urgency)


@asynccontextmanager
async def engine(*arguments: str) -> AsyncGenerator[Child]:
    child = Child("tests.servers.slots", *arguments)
    await child.start()
    try:
        yield child
    finally:
        await child.kill()


async def think(lane: Lane, child: Child, asked: Prompt, tokens: int = 8) -> tuple[str, ...]:
    """One request as a model makes it; the notes of its seat."""
    async with lane.enter(asked, tokens) as seat:
        reader, writer = await asyncio.open_connection("127.0.0.1", child.port)
        try:
            writer.write(b'{"prompt": 0, "tokens": %d}\n' % tokens)
            said = 0
            while (await reader.readline()) == b"token\n":
                said += 1
                seat.spent(said)
        finally:
            writer.close()
        return seat.notes


async def most(child: Child) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", child.port)
    writer.write(b'{"most": 0}\n')
    line = await reader.readline()
    writer.close()
    return int(line.split(b":")[1].strip(b" }\n"))


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_it_is_the_queue_that_plugins_are_lent() -> None:
    assert isinstance(free(), Queue)


def test_twenty_requests_and_a_polite_one_share_an_engine() -> None:
    async def body() -> None:
        async with engine("--slots", "4", "--speed", "2000") as child:
            order: list[str] = []
            with free().lane("main", 2) as lane:

                async def ask(person: str, room: str) -> None:
                    await think(lane, child, prompt(person, room))
                    order.append(person)

                async with asyncio.TaskGroup() as tasks:
                    for number in range(20):
                        tasks.create_task(ask("greedy", f"room {number}"))
                    await until(lambda: order)
                    tasks.create_task(ask("polite", "polite"))
                    await until(lambda: "polite" in order)
                    assert lane.load > 1
                assert lane.load == 0
            assert order.count("greedy") == 20
            assert order.index("polite") <= 5
            assert await most(child) == 2

    run(body)


def test_a_request_that_waited_tells_how_long_and_behind_what() -> None:
    async def body() -> None:
        async with engine("--speed", "100") as child:
            with free().lane("main", 1) as lane:
                first, second = await asyncio.gather(
                    think(lane, child, prompt("ann")), think(lane, child, prompt("bob"))
                )
            assert first == ()
            assert second[0].startswith("waited 0.") and "behind 1 other" in second[0]

    run(body)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_real_process_in_the_background_is_frozen_while_a_chat_runs() -> None:
    async def body() -> None:
        async with engine("--speed", "500") as chatting, engine("--speed", "500") as indexing:
            pid = indexing._process.pid

            def freeze(still: bool) -> None:
                os.kill(pid, signal.SIGSTOP if still else signal.SIGCONT)

            queue = free()
            with queue.lane("main", 2) as main, queue.lane("index", 1, pause=freeze) as index:
                job = asyncio.create_task(
                    think(index, indexing, prompt("", "job", "background"), 300)
                )
                await until(lambda: queue.lanes()[1].background)
                async with main.enter(prompt("ann"), 10):
                    assert queue.lanes()[1].frozen
                    await until(lambda: state(pid) == "T")
                    assert not job.done()
                await until(lambda: state(pid) != "T")
                await think(main, chatting, prompt("ann"))
                notes = await job
            assert any("stood still" in note for note in notes) or not notes
            assert state(pid) != "T"

    run(body)


def test_a_lane_that_is_closed_lets_its_process_go_and_turns_away_who_waits() -> None:
    async def body() -> None:
        queue, calls = free(), []
        with queue.lane("other", 1) as other, Closing(queue, calls) as lane:
            job = asyncio.create_task(hold(lane, prompt("", "job", "background")))
            await until(lambda: queue.lanes()[1].background)
            async with other.enter(prompt("ann"), 10):
                waiting = asyncio.create_task(hold(lane, prompt("", "more", "background")))
                await until(lambda: queue.lanes()[1].background_waiting)
                assert calls == [True]
                lane.close()
                with pytest.raises(Unready, match="closed"):
                    await waiting
                assert calls == [True, False]
                with pytest.raises(Unready, match="closed"):
                    await hold(lane, prompt("ann"))
            job.cancel()
            await asyncio.wait([job])
        assert not queue.people()

    run(body)


class Closing:
    """A lane that can be closed in the middle of a block."""

    def __init__(self, queue: FairQueue, calls: list[bool]) -> None:
        self.context = queue.lane("index", 1, pause=calls.append)

    def __enter__(self) -> "Closing":
        self.lane = self.context.__enter__()
        self.enter = self.lane.enter
        return self

    def close(self) -> None:
        if self.context is not None:
            self.context.__exit__(None, None, None)
            self.context = None

    def __exit__(self, *_: object) -> None:
        self.close()


async def hold(lane: Lane, asked: Prompt) -> None:
    async with lane.enter(asked, 10):
        await asyncio.Event().wait()


def test_who_cannot_begin_in_time_hears_when_to_come_back() -> None:
    async def body() -> None:
        queue = FairQueue(lambda: Terms(deadline=0.05), memory=lambda: None)
        with queue.lane("main", 1) as lane:
            async with lane.enter(prompt("ann"), 10):
                with pytest.raises(Unready, match="main is too busy") as caught:
                    await hold(lane, prompt("bob"))
                assert caught.value.trouble == "overloaded"
                assert caught.value.retry_after and caught.value.retry_after >= 1
        assert not queue.people()

    run(body)


def test_a_seat_given_to_somebody_who_left_at_that_moment_goes_to_the_next() -> None:
    async def body() -> None:
        queue = free()
        with queue.lane("main", 1) as lane:
            leave = asyncio.Event()

            async def sit() -> None:
                async with lane.enter(prompt("ann"), 10):
                    await leave.wait()

            sitting = asyncio.create_task(sit())
            await until(lambda: queue.lanes()[0].running)
            second = asyncio.create_task(hold(lane, prompt("bob")))
            third = asyncio.create_task(hold(lane, prompt("cid")))
            await until(lambda: queue.lanes()[0].waiting == 2)
            leave.set()
            await sitting  # the seat is bob's now, who has not run yet
            second.cancel()
            await asyncio.wait([second])
            assert [row.person for row in queue.people() if row.running] == ["cid"]
            third.cancel()
            await asyncio.wait([third])
        assert not queue.people()

    run(body)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), seats=st.integers(1, 3), beside=st.integers(0, 2))
def test_cancelling_anybody_at_any_time_leaves_no_seat_behind(
    seed: int, seats: int, beside: int
) -> None:
    chance = random.Random(seed)

    async def body() -> None:
        queue = FairQueue(lambda: Terms(beside=beside, background_wait=0.0), memory=lambda: None)
        frozen: list[bool] = []
        with (
            queue.lane("a", seats) as first,
            queue.lane("b", 1, pause=frozen.append) as second,
        ):
            inside = {"a": 0, "b": 0}

            async def one(name: str, lane: Lane, asked: Prompt) -> None:
                async with lane.enter(asked, chance.randint(1, 99)) as seat:
                    if asked.urgency == "chat":
                        inside[name] += 1
                        assert inside[name] <= (seats if name == "a" else 1)
                    try:
                        for _ in range(chance.randint(0, 6)):
                            await asyncio.sleep(0)
                        seat.spent(chance.randint(0, 400))
                    finally:
                        inside[name] -= asked.urgency == "chat"

            running: list[asyncio.Task[None]] = []
            for _ in range(40):
                name, lane = chance.choice([("a", first), ("b", second)])
                asked = prompt(
                    chance.choice("xyz"), chance.choice("12"), chance.choice(["chat", "background"])
                )
                running.append(asyncio.create_task(one(name, lane, asked)))
                for _ in range(chance.randint(0, 3)):
                    await asyncio.sleep(0)
                if chance.random() < 0.4:
                    chance.choice(running).cancel()
            results = await asyncio.gather(*running, return_exceptions=True)
            assert all(r is None or isinstance(r, asyncio.CancelledError) for r in results), results
            assert not queue.people()
            assert all(not row.running and not row.waiting for row in queue.lanes())
        assert frozen.count(True) == frozen.count(False)

    run(body)


def test_the_memory_of_this_machine_is_read(tmp_path: Path) -> None:
    (tmp_path / "proc/pressure").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(
        "MemTotal: 8000 kB\nMemFree:  1 kB\nMemAvailable: 500 kB"
    )
    (tmp_path / "proc/pressure/memory").write_text(
        "some avg10=9.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=2.50 avg60=0 avg300=0 total=0\n"
    )
    memory = read_memory(tmp_path)
    assert memory and (memory.total, memory.available) == (8000 * 1024, 500 * 1024)
    assert memory.stalled == 2.5
    assert read_memory(tmp_path / "nowhere") is None
