# SPDX-License-Identifier: AGPL-3.0-or-later
import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench" / "sandbox.py"


def test_the_benchmark_prints_its_figures_as_json() -> None:
    small = ["--runs", "2", "--json"]
    run = subprocess.run([sys.executable, BENCH, *small], capture_output=True, check=True)
    figures = json.loads(run.stdout.splitlines()[-1])
    assert figures["open_probes"] == 0
    wanted = {"probes", "ms_per_command", "landlock_open_probes", "landlock_ms_per_command"}
    assert wanted <= figures.keys()
