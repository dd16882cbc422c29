# SPDX-License-Identifier: AGPL-3.0-or-later
"""How fast the journal is on this disk: `python bench/journal.py [--json] [--rows 1000000]`.

Durable appends through the public API with 1, 10 and 100 producers, beside the same appends with a
commit each; then reads and writes at once in a journal of a million lines, 2,000 a second and as
many as go. Works in a folder of its own below --dir, which is removed afterwards.
"""

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from haoya.core.event import Admitted, Delivered, Entry, Received, Said
from haoya.core.message import Address, Inbound, Outbound, Receipt, Sender, Text
from haoya.journal import Journal, open_journal
from haoya.journal.codec import pack
from haoya.journal.ledger import Ledger, Step
from haoya.journal.schema import connect

CONVERSATIONS = 1000
TEXT = "Could you look up tomorrow's train to Hangzhou, and remind me an hour before? 谢谢你！"
PEOPLE = [Sender(id=str(1000 + n), name=f"Person {n}", proof="network") for n in range(50)]
PLACES = [Address(channel="tg", room=str(n), kind="group") for n in range(1, CONVERSATIONS + 1)]
Numbers = dict[str, float]


def inbound(id: str, address: Address) -> Inbound:
    return Inbound(
        id=id,
        address=address,
        sender=random.choice(PEOPLE),
        parts=(Text(text=f"{TEXT} {id}"),),
        at=1795000000.25,
        called=True,
        cursor=id,
    )


def spread(seconds: list[float]) -> tuple[float, float]:
    """Median and 99th percentile in milliseconds."""
    ordered = sorted(seconds)
    return (
        round(ordered[len(ordered) // 2] * 1000, 3),
        round(ordered[int(len(ordered) * 0.99)] * 1000, 3),
    )


def fsyncs(folder: Path, seconds: float) -> Numbers:
    """What the disk can do at best: 4 KiB written and synced, one after the other."""
    taken: list[float] = []
    end = time.perf_counter() + seconds
    with (folder / "raw").open("wb", buffering=0) as file:
        while (began := time.perf_counter()) < end:
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    p50, p99 = spread(taken)
    return {"per_s": round(len(taken) / seconds), "p50_ms": p50, "p99_ms": p99}


async def race(
    producers: int, seconds: float, append: Callable[[Inbound], Awaitable[object]]
) -> Numbers:
    """All producers append one message after the other until the time is over."""
    taken: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()

    async def produce(producer: int) -> None:
        count = 0
        while (start := time.perf_counter()) < began + seconds:
            id = f"{began}-{producer}-{count}"
            await append(inbound(id, PLACES[(producer + count) % CONVERSATIONS]))
            taken.append(time.perf_counter() - start)
            count += 1

    await asyncio.gather(*(produce(producer) for producer in range(producers)))
    elapsed = time.perf_counter() - began
    p50, p99 = spread(taken)
    return {
        "per_s": round(len(taken) / elapsed),
        "p50_ms": p50,
        "p99_ms": p99,
        "cpu_us": round((time.process_time() - cpu) / len(taken) * 1e6, 1),
    }


async def grouped(folder: Path, seconds: float) -> dict[int, Numbers]:
    async def append(message: Inbound) -> list[Entry]:
        return await journal.receive([message])

    async with open_journal(folder) as journal:
        return {producers: await race(producers, seconds, append) for producers in (1, 10, 100)}


async def naive(folder: Path, seconds: float) -> dict[int, Numbers]:
    """The same lines to the same tables in the same kind of thread, a commit for each."""
    ledger = Ledger(connect(folder / "naive.db"))
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as thread:

        async def append(message: Inbound) -> object:
            item = pack(Received(inbound=message), time.time())
            step = Step((item,), whole=False, cursors=(("tg", message.cursor),))
            return await loop.run_in_executor(thread, ledger.write, [step])

        found = {producers: await race(producers, seconds, append) for producers in (1, 10, 100)}
    ledger.close()
    return found


async def seed(folder: Path, rows: int, places: list[Address]) -> Numbers:
    """Fill a journal with whole exchanges of four lines, spread over all conversations."""
    began = time.perf_counter()

    async def exchange(index: int, number: int) -> None:
        address = random.choice(places)
        heard = inbound(f"seed-{index}", address)
        outbound = Outbound(id=f"seed-{index}", address=address, parts=(Text(text=TEXT * 3),))
        await journal.append(
            address,
            Received(inbound=heard),
            Admitted(of=number, person="tg:1000", role="owner", parts=heard.parts),
            Said(outbound=outbound, turn=number + 1),
            Delivered(of=number + 2, piece=0, receipt=Receipt(ids=(str(index),))),
        )

    async with open_journal(folder, synchronous="normal") as journal:
        for start in range(0, rows // 4, 500):
            # Steps of one batch are numbered in the order in which they were handed in.
            await asyncio.gather(*(exchange(n, 4 * n + 1) for n in range(start, start + 500)))
        figures = journal.figures()
    seconds = time.perf_counter() - began
    return {
        "rows": figures.lines,
        "seconds": round(seconds, 1),
        "per_s": round(figures.lines / seconds),
        "mb": round(figures.bytes / 1e6),
    }


async def mixed(
    journal: Journal,
    places: list[Address],
    seconds: float,
    *,
    workers: int,
    per_s: float | None,
    name: str,
) -> Numbers:
    """Half reads of the last 50 lines of a random conversation, half durable appends."""
    reads: list[float] = []
    writes: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    pause = workers / per_s if per_s else 0.0

    async def work(worker: int) -> None:
        turn = 0
        while (turn * pause if pause else time.perf_counter() - began) < seconds:
            due = began + (turn + worker / workers) * pause
            await asyncio.sleep(max(0.0, due - time.perf_counter()) if pause else 0)
            place = random.choice(places)
            start = time.perf_counter()
            if turn % 2:
                assert await journal.read(place.key, last=50)
                reads.append(time.perf_counter() - start)
            else:
                await journal.receive([inbound(f"{name}-{worker}-{turn}", place)])
                writes.append(time.perf_counter() - start)
            turn += 1

    await asyncio.gather(*(work(worker) for worker in range(workers)))
    elapsed = time.perf_counter() - began
    read_p50, read_p99 = spread(reads)
    write_p50, write_p99 = spread(writes)
    return {
        "qps": round((len(reads) + len(writes)) / elapsed),
        "cores": round((time.process_time() - cpu) / elapsed, 3),
        "read_p50_ms": read_p50,
        "read_p99_ms": read_p99,
        "write_p50_ms": write_p50,
        "write_p99_ms": write_p99,
    }


async def both(folder: Path, seconds: float, places: list[Address]) -> tuple[Numbers, Numbers]:
    async with open_journal(folder) as journal:
        calm = await mixed(journal, places, seconds * 4, workers=40, per_s=2000, name="calm")
        return calm, await mixed(journal, places, seconds, workers=40, per_s=None, name="free")


def row(name: str, numbers: Numbers) -> str:
    return f"{name:<34}" + "  ".join(f"{key} {value:>9,g}" for key, value in numbers.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--rows", type=int, default=1_000_000, help="lines in the large journal")
    parser.add_argument("--seconds", type=float, default=2.5, help="length of each race")
    parser.add_argument("--dir", type=Path, default=Path(), help="where to work: on a real disk")
    wanted = parser.parse_args()
    random.seed(1)
    with tempfile.TemporaryDirectory(prefix="bench-journal-", dir=wanted.dir) as name:
        folder = Path(name)
        disk = fsyncs(folder, min(1.0, wanted.seconds))
        print(row("raw fdatasync of 4 KiB", disk))
        plain = asyncio.run(naive(folder, wanted.seconds))
        group = asyncio.run(grouped(folder / "group", wanted.seconds))
        for producers in (1, 10, 100):
            print(row(f"a commit each, {producers} producers", plain[producers]))
            print(row(f"group commit,  {producers} producers", group[producers]))
        places = PLACES[: max(1, wanted.rows // 1000)]
        seeded = asyncio.run(seed(folder / "large", wanted.rows, places))
        print(row("seeding", seeded))
        calm, free = asyncio.run(both(folder / "large", wanted.seconds, places))
        print(row("reads + appends, 2,000/s", calm))
        print(row("reads + appends, as many as go", free))
    if wanted.json:
        found = {
            "appends_per_s": group[100]["per_s"],
            "append_p99_ms": group[100]["p99_ms"],
            "group_commit_ratio": round(group[100]["per_s"] / plain[100]["per_s"], 2),
            "mixed_qps": calm["qps"],
            "mixed_cores": calm["cores"],
            "read_p50_ms": calm["read_p50_ms"],
            "read_p99_ms": calm["read_p99_ms"],
            "mixed_append_p99_ms": calm["write_p99_ms"],
            "mixed_unthrottled_qps": free["qps"],
            "rows": seeded["rows"],
            "disk_mb": seeded["mb"],
            "fsyncs_per_s": disk["per_s"],
            "producers": {str(count): numbers for count, numbers in group.items()},
            "naive": {str(count): numbers for count, numbers in plain.items()},
        }
        print(json.dumps(found))


if __name__ == "__main__":
    main()
