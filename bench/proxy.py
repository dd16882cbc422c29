# SPDX-License-Identifier: AGPL-3.0-or-later
"""What haoya adds as a gateway between a client and a model server that answers in no time.

    python bench/proxy.py [--requests 2000] [--at-once 16] [--json]

A real `haoya up` passes Chat Completions on to bench/zero.py, driven by bench/load.py; each is a
process of its own on the same machine. The same load goes straight to the server in the same run,
so that a busy moment shows. CPU and memory are the daemon's alone, as the kernel counts them.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import rig
from rig import Daemon, StandIn

Rows = dict[str, object]
BENCH = Path(__file__).parent


def furnish(home: Path, port: int) -> None:
    """One model and nothing else."""
    home.mkdir(mode=0o700)
    (home / "settings.toml").write_text(
        f'[agent]\nmodel = "zero"\n[models.zero]\nuse = "openai"\n'
        f'base_url = "http://127.0.0.1:{port}/v1"\nmodel = "zero"\n'
    )


def window(daemon: Daemon) -> int:
    """The port of the window once the model can be asked."""
    end = time.monotonic() + rig.START_SECONDS
    port = 0
    while time.monotonic() < end:
        if not daemon.alive():
            raise rig.Trouble(f"the daemon ended by itself; see {daemon.output}")
        said = daemon.output.read_text() if daemon.output.exists() else ""
        if found := re.search(r"http://127\.0\.0\.1:(\d+)", said):
            port = int(found[1])
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz") as reply:
                    if reply.status == 200:
                        return port
            except urllib.error.URLError:
                pass
        time.sleep(0.02)
    raise rig.Trouble(f"the window did not open in time; see {daemon.output}")


def load(port: int, token: str, at_once: int, requests: int, *, stream: bool) -> dict[str, float]:
    """One run of the load generator."""
    command = [sys.executable, str(BENCH / "load.py")]
    command += ["--at-once", str(at_once), "--requests", str(requests)]
    command += ["--stream"] * stream
    command += ["--", str(port), token, "zero"]  # a token may begin with a dash
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise rig.Trouble(done.stderr.strip().splitlines()[-1])
    said = json.loads(done.stdout)
    return {
        "p50_ms": statistics.median(said["ms"]),
        "p99_ms": rig.share(said["ms"], 0.99),
        "per_s": requests / said["seconds"],
        "load_cpu_ms": said["cpu"] * 1000 / requests,
    }


def measure(home: Path, requests: int, at_once: int) -> Rows:
    """The figures of one run."""
    upstream = StandIn("zero")
    daemon = Daemon(home)
    rows: Rows = {}
    try:
        furnish(home, upstream.port)
        daemon.start()
        port = window(daemon)
        token = (home / "state" / "api-token").read_text().strip()
        ways = [("", port, token), ("direct_", upstream.port, "none")]
        load(port, token, at_once, 200, stream=False)
        for kind, stream in (("", False), ("stream_", True)):
            for way, at, key in ways:
                before = rig.cpu_seconds(daemon.pid)
                alone = load(at, key, 1, requests, stream=stream)
                crowd = load(at, key, at_once, requests * 2, stream=stream)
                used = (rig.cpu_seconds(daemon.pid) - before) * 1000 / (requests * 3)
                rows |= {f"{way}{kind}{name}": alone[name] for name in ("p50_ms", "p99_ms")}
                rows |= {f"{way}{kind}per_s": crowd["per_s"]}
                rows |= {f"{way}{kind}crowd_p50_ms": crowd["p50_ms"]}
                if not way:
                    rows |= {f"{kind}cpu_ms": used}
        rows["rss_mb"] = rig.rss_mb(daemon.pid)
        daemon.stop()
    finally:
        if daemon.alive():
            daemon.kill()
        upstream.close()
    rows["added_p50_ms"] = float(str(rows["p50_ms"])) - float(str(rows["direct_p50_ms"]))
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="haoya-proxy-"))
    before = os.getloadavg()[0]
    try:
        rows = measure(folder / "home", given.requests, given.at_once)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rounded: Rows = {
        name: round(value, 3) if isinstance(value, float) else value for name, value in rows.items()
    }
    rounded |= {
        "at_once": given.at_once,
        "load_generator": "bench/load.py",
        "load_before": round(before, 2),
        "cores": os.cpu_count() or 0,
    }
    rig.show("what haoya adds as a gateway", rounded, as_json=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
