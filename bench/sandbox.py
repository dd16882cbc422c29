# SPDX-License-Identifier: AGPL-3.0-or-later
"""What gets out of the sandbox, and what it costs: `python bench/sandbox.py [--json] [--runs 50]`.

Every try of tests/sandbox/escapes.py is made three times: as any child process of this one, to
prove that it can succeed at all; at the default level; with Landlock and seccomp alone. Then the
time of `true`, warm, from asking to its end, at both levels and as a plain child. As root some
tries succeed outside that are refused to others anyway; run it as root to see them fail inside.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from haoya.core.errors import Unready
from haoya.core.sandbox import Level, Program, Sandbox
from haoya.sandbox.room import open_sandbox

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.sandbox.baits import Baits, Found, inside, laid, outside

PROGRAM = Program(argv=("true",))
WARM = 5


async def cost(sandbox: Sandbox, runs: int) -> float:
    """Milliseconds of one command, the median; then all of them are over."""
    taken: list[float] = []
    for _ in range(runs + WARM):
        began = time.perf_counter()
        async with sandbox.start(PROGRAM) as process:
            await process.wait()
        taken.append(time.perf_counter() - began)
    return round(statistics.median(taken[WARM:]) * 1000, 2)


async def at(level: Level, baits: Baits, runs: int) -> tuple[Found, float]:
    """What gets out at a level and what it costs; nothing where this machine lacks it."""
    try:
        async with open_sandbox((level,)) as sandbox:
            return await inside(baits, sandbox), await cost(sandbox, runs)
    except Unready as error:
        print(error, file=sys.stderr)
        return {}, 0.0


def plain(runs: int) -> float:
    """The same as any child process."""
    taken: list[float] = []
    for _ in range(runs + WARM):
        began = time.perf_counter()
        subprocess.run(["true"], check=True)
        taken.append(time.perf_counter() - began)
    return round(statistics.median(taken[WARM:]) * 1000, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--json", action="store_true", help="one line of figures at the end")
    parser.add_argument("--runs", type=int, default=50)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, laid(Path(folder)) as baits:
        free = outside(baits)
        kept, ms = asyncio.run(at("namespaces", baits, chosen.runs))
        weaker, weaker_ms = asyncio.run(at("landlock", baits, chosen.runs))
    figures = {
        "open_probes": sum(said == "open" for said in kept.values()),
        "probes": len(kept),
        "proven_outside": sum(said == "open" for said in free.values()),
        "open_names": [name for name, said in kept.items() if said == "open"],
        "ms_per_command": ms,
        "landlock_open_probes": sum(said == "open" for said in weaker.values()),
        "landlock_open_names": [name for name, said in weaker.items() if said == "open"],
        "landlock_ms_per_command": weaker_ms,
        "plain_ms_per_command": plain(chosen.runs),
        "root": os.geteuid() == 0,
    }
    print(f"{'try':42}{'outside':28}{'namespaces':28}landlock alone")
    for name, said in free.items():
        columns = (said, kept.get(name, "–"), weaker.get(name, "–"))
        print(f"{name.replace('_', ' '):42}" + "".join(f"{text[:26]:28}" for text in columns))
    for name, value in figures.items():
        print(f"{name}: {value}")
    if chosen.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
