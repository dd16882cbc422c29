# SPDX-License-Identifier: AGPL-3.0-or-later
import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench" / "router.py"


def test_the_benchmark_prints_its_figures_as_json() -> None:
    small = ["--seeds", "2", "--real", "12", "--json"]
    run = subprocess.run([sys.executable, BENCH, *small], capture_output=True, check=True)
    figures = json.loads(run.stdout.splitlines()[-1])
    assert figures["regret"] <= 0.05
    assert figures["adapt_steps"] <= 100
    assert figures["violations"] == figures["real_violations"] == 0
    assert {"real_best_share", "real_adapt_steps"} <= figures.keys()
