# SPDX-License-Identifier: AGPL-3.0-or-later
import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench" / "journal.py"


def test_the_benchmark_prints_its_figures_as_json_and_cleans_up(tmp_path: Path) -> None:
    small = ["--rows", "2000", "--seconds", "0.05", "--dir", str(tmp_path), "--json"]
    run = subprocess.run([sys.executable, BENCH, *small], capture_output=True, check=True)
    figures = json.loads(run.stdout.splitlines()[-1])
    assert figures["rows"] == 2000
    wanted = {"appends_per_s", "append_p99_ms", "mixed_qps", "read_p99_ms", "mixed_cores"}
    assert wanted <= figures.keys()
    assert list(tmp_path.iterdir()) == []
