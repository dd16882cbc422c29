# SPDX-License-Identifier: AGPL-3.0-or-later
"""What encryption at rest costs: `python bench/at_rest.py [--json] [--rows 100000]`.

The journal's own tables, written in steps of a thousand messages and read back line by line at
random, plain and under each cipher, in the same run and on the same disk; then durable commits of
one message each. Needs the package apsw-sqlite3mc in the place of apsw. Works in a folder below
--dir that is removed.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import apsw

from haoya.core.event import Received
from haoya.core.message import Address, Inbound, Sender, Text
from haoya.journal import database, query
from haoya.journal.codec import pack
from haoya.journal.ledger import Ledger, Step
from haoya.journal.schema import connect

CIPHERS = ("", "aegis", "chacha20", "sqlcipher")
"""SQLite3 Multiple Ciphers' names; "" is plain."""
STEPS = 1000
COMMITS = 200
ADDRESS = Address(channel="tg", room="1", kind="group")
TEXT = "Could you look up tomorrow's train to Hangzhou, and remind me an hour before? 谢谢你！"
Numbers = dict[str, float]


def steps(first: int, count: int) -> list[Step]:
    """Messages heard, one step each."""
    items = [
        pack(
            Received(
                inbound=Inbound(
                    id=str(number),
                    address=ADDRESS,
                    sender=Sender(id="7", name="Ann"),
                    parts=(Text(text=f"{TEXT} {number}"),),
                    at=1795000000.0,
                )
            ),
            1795000000.0,
        )
        for number in range(first, first + count)
    ]
    return [Step((item,)) for item in items]


def measure(folder: Path, cipher: str, rows: int, reads: int) -> Numbers:
    """One cipher: rows written and lines read a second, commits a second, the size of the file."""
    database.CIPHER = cipher
    key = os.urandom(32).hex() if cipher else ""
    path = folder / f"{cipher or 'plain'}.db"
    ledger = Ledger(connect(path, key=key))
    batches = [steps(first, STEPS) for first in range(0, rows, STEPS)]
    began = time.perf_counter()
    for batch in batches:
        ledger.write(batch)
    written = rows / (time.perf_counter() - began)
    singles = steps(rows, COMMITS)
    began = time.perf_counter()
    for single in singles:
        ledger.write([single])
    commits = COMMITS / (time.perf_counter() - began)
    ledger.close()
    began = time.perf_counter()
    db = connect(path, read_only=True, key=key)
    opened = time.perf_counter() - began
    wanted = [random.randrange(1, rows + 1) for _ in range(reads)]
    began = time.perf_counter()
    for number in wanted:
        query.entry(db, number)
    read = reads / (time.perf_counter() - began)
    db.close()
    return {
        "rows_per_s": round(written),
        "reads_per_s": round(read),
        "commits_per_s": round(commits),
        "open_ms": round(opened * 1000, 2),
        "mb": round(path.stat().st_size / 1e6, 1),
    }


def main() -> int:
    """Each cipher `--rounds` times in turn; medians, and the ratio to plain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--reads", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", type=Path, default=None)
    given = parser.parse_args()
    if not hasattr(apsw, "mc_version"):
        print("this build of SQLite cannot encrypt: install apsw-sqlite3mc", file=sys.stderr)
        return 2
    taken: dict[str, list[Numbers]] = {cipher: [] for cipher in CIPHERS}
    for _ in range(given.rounds):
        for cipher in CIPHERS:
            with tempfile.TemporaryDirectory(dir=given.dir, prefix="at-rest-") as folder:
                taken[cipher].append(measure(Path(folder), cipher, given.rows, given.reads))
    found = {
        cipher or "plain": {name: statistics.median(one[name] for one in runs) for name in runs[0]}
        for cipher, runs in taken.items()
    }
    for numbers in found.values():
        for name in ("rows", "reads", "commits"):
            plain = found["plain"][f"{name}_per_s"]
            numbers[f"{name}_ratio"] = round(numbers[f"{name}_per_s"] / plain, 2)
    result = {"rows": given.rows, "rounds": given.rounds, "ciphers": found}
    if given.json:
        print(json.dumps(result))
        return 0
    for cipher, numbers in found.items():
        print(f"{cipher:10}", "  ".join(f"{name} {value:,}" for name, value in numbers.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
