# SPDX-License-Identifier: AGPL-3.0-or-later
"""A real haoya and a real model server as child processes, and clients that talk to them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

ROOT = Path(__file__).parents[2]
SECONDS = 20
_UP = "import sys; from haoya.cli import main; sys.exit(main())"

MODEL = """
[models.main]
use = "openai"
base_url = "http://127.0.0.1:{port}/v1"
model = "stand-in"
"""


class ModelServer:
    """The stand-in of an OpenAI-compatible server."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.servers.openai", "--port", "0"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.port = int(json.loads(self.process.stdout.readline())["port"])

    def control(self, **changes: Any) -> None:
        """Change how it behaves; `reset=True` undoes all."""
        httpx2.post(f"http://127.0.0.1:{self.port}/control", json=changes).raise_for_status()

    def requests(self) -> list[dict[str, Any]]:
        """The bodies it was sent, the newest last."""
        reply = httpx2.get(f"http://127.0.0.1:{self.port}/control/requests").json()
        return list(reply["requests"])

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Daemon:
    """`haoya up` in a home of its own."""

    def __init__(self, home: Path, settings: str, port: int = 0) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        (home / "settings.toml").write_text(settings, "utf-8")
        self.port = port
        self.start()

    def start(self) -> None:
        """Start, on the same port as before; returns once the window is open."""
        command = [sys.executable, "-c", _UP, "up", "--home", str(self.home)]
        self.log = (self.home / "log").open("ab")
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "LC_ALL": "C.UTF-8"},
        )
        assert self.process.stdout
        for line in self.process.stdout:
            if found := re.search(r"http://\S+", line):
                self.link = found[0]
                break
        else:
            raise AssertionError((self.home / "log").read_text("utf-8"))
        self.url = self.link.partition("/#")[0]
        self.port = int(self.url.rpartition(":")[2])

    @property
    def token(self) -> str:
        return (self.home / "state" / "api-token").read_text("ascii").strip()

    @contextmanager
    def client(self, **headers: str) -> Iterator[httpx2.Client]:
        """A client with nothing but these headers."""
        with httpx2.Client(base_url=self.url, headers=headers, timeout=SECONDS) as client:
            yield client

    @contextmanager
    def owner(self) -> Iterator[httpx2.Client]:
        """A client that bears the token."""
        with self.client(Authorization=f"Bearer {self.token}") as client:
            yield client

    def new_link(self) -> str:
        """A fresh one-time code."""
        with self.owner() as owner:
            url = owner.post("/api/call/link", json={}).json()["url"]
        return str(url).partition("#k=")[2]

    def ready(self) -> "Daemon":
        """Wait until it takes messages."""
        with self.client() as client:
            until(lambda: client.get("/readyz").status_code == 200)
        return self

    def stop(self, number: int = signal.SIGTERM) -> float:
        """End it; returns how many seconds that took."""
        began = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(SECONDS)
        if self.process.stdout:
            self.process.stdout.close()
        self.log.close()
        return time.monotonic() - began


def until(true: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """The first true result; AssertionError where there is none in time."""
    deadline = time.monotonic() + seconds
    while not (result := true()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
    return result


def ask(words: object, **more: Any) -> dict[str, Any]:
    """The body of a Chat Completions request with one message."""
    return {"model": "haoya", "messages": [{"role": "user", "content": words}], **more}


def answer(reply: httpx2.Response) -> str:
    """The words of a completion."""
    assert reply.status_code == 200, reply.text
    return str(reply.json()["choices"][0]["message"]["content"])
