# SPDX-License-Identifier: AGPL-3.0-or-later
"""Small true servers that stand in for the networks, each as a process of its own."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 20


@contextmanager
def running(name: str, *arguments: str) -> Iterator[int]:
    """Run `python -m tests.servers.<name> --port 0 ...` and lend its port; killed on leaving.

    Another port is taken where `arguments` name one: a server can come back where it was.
    """
    port = [] if "--port" in arguments else ["--port", "0"]
    process = subprocess.Popen(
        [sys.executable, "-m", f"tests.servers.{name}", *port, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield int(json.loads(_first_line(process))["port"])
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout
    deadline = time.monotonic() + START_SECONDS
    ready, _, _ = select.select([process.stdout], [], [], deadline - time.monotonic())
    line = process.stdout.readline() if ready else b""
    if not line:
        raise RuntimeError(f"the stand-in did not start; exit code {process.poll()}")
    return line
