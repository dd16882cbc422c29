# SPDX-License-Identifier: AGPL-3.0-or-later
"""bench/kill.py in short, as ./test runs it; SOAK=1 runs more of it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILL = Path(__file__).parents[2] / "bench" / "kill.py"
NOTHING = ("lost", "doubled_effects", "lost_effects", "doubled_unmarked", "stream_doubled")


def killed(*options: str) -> dict[str, float]:
    """What bench/kill.py counted; fails with all it printed where it found a fault."""
    command = [sys.executable, str(KILL), "--json", *options]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert run.returncode == 0, run.stdout + run.stderr
    counted: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return counted


def test_eight_kills_lose_nothing_and_double_nothing_unmarked() -> None:
    counted = killed("--messages", "40", "--kills", "8", "--streams", "1", "--seed", "20")
    assert (counted["messages"], counted["kills"], counted["stream_kills"]) == (40, 8, 1)
    assert not any(counted[name] for name in NOTHING)
    assert counted["doubled_replies"] <= counted["unknown"]


@pytest.mark.soak
@pytest.mark.skipif(not os.environ.get("SOAK"), reason="minutes; SOAK=1 runs it")
def test_a_hundred_kills_lose_nothing_and_double_nothing_unmarked() -> None:
    counted = killed("--messages", "600", "--kills", "100", "--streams", "10")
    assert counted["kills"] == 100
    assert not any(counted[name] for name in NOTHING)
