# SPDX-License-Identifier: AGPL-3.0-or-later
import json
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

BENCH = Path(__file__).parents[2] / "bench" / "at_rest.py"


@pytest.mark.skipif(
    not hasattr(apsw, "mc_version"), reason="apsw-sqlite3mc is not installed: nothing to compare"
)
def test_the_benchmark_compares_every_cipher_with_plain_and_cleans_up(tmp_path: Path) -> None:
    small = ["--rows", "1000", "--reads", "50", "--rounds", "1", "--dir", str(tmp_path), "--json"]
    done = subprocess.run([sys.executable, BENCH, *small], capture_output=True, check=True)
    ciphers = json.loads(done.stdout)["ciphers"]
    assert set(ciphers) == {"plain", "aegis", "chacha20", "sqlcipher"}
    for numbers in ciphers.values():
        assert {"rows_ratio", "reads_ratio", "commits_ratio", "rows_per_s"} <= numbers.keys()
    assert list(tmp_path.iterdir()) == []
