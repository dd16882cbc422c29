# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the programs of bench/ share: stand-ins and the daemon as processes of their own.

Everything is started as a user would start it and is spoken to from the outside alone.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HAOYA = Path(sys.executable).with_name("haoya")
TOKEN = "9:bench"
START_SECONDS = 30
TICK = os.sysconf("SC_CLK_TCK")

Json = dict[str, Any]
Rows = dict[str, object]


class Trouble(Exception):
    """The bench itself could not go on; says what stood in its way."""


class StandIn:
    """`python -m module …`, which prints a line of JSON with its port when it listens."""

    def __init__(self, module: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "bench")])},
        )
        assert self.process.stdout
        self.port = int(json.loads(self.process.stdout.readline())["port"])
        self.line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)

    def post(self, path: str, body: Mapping[str, object]) -> Json:
        """Ask something of it that is no part of the network it stands for."""
        self.line.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = self.line.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise Trouble(f"{path}: HTTP {answer.status} {said[:200]!r}")
        return json.loads(said)

    @property
    def pid(self) -> int:
        return self.process.pid

    def close(self) -> None:
        self.line.close()
        self.process.kill()
        self.process.wait()


class Telegram(StandIn):
    """The Bot API with people who write to one bot."""

    def __init__(self, module: str = "tests.servers.telegram") -> None:
        super().__init__(module, "--bot", f"{TOKEN}=haoya_bot")

    def control(self, verb: str, **params: object) -> Json:
        return self.post(f"/control/{verb}", {"token": TOKEN, **params})

    def say(self, *messages: Json) -> list[int]:
        """People write; the numbers of their messages."""
        return self.control("say", messages=messages)["ids"]

    def sent(self, after: int = 0, wait: float = 0) -> list[Json]:
        """What the bot has said, edits applied; with `wait`, once there is more than `after`."""
        return self.control("sent", after=after, wait=wait)["sent"]

    def polled(self) -> bool:
        """Whether a bot waits for updates at this moment."""
        return self.control("stats")["polling"]


class Model(StandIn):
    """A model server that thinks by rote and without delay."""

    def __init__(self) -> None:
        super().__init__("tests.servers.openai")

    def control(self, **changes: object) -> None:
        self.post("/control", changes)


class Daemon:
    """`haoya up --home HOME --port 0`, with all it prints appended to one file."""

    def __init__(
        self,
        home: Path,
        command: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self.environment = dict(environment or {})
        self.output = home.parent / f"{home.name}.log"
        self.command = [*(command or [str(HAOYA)]), "up", "--home", str(home), "--port", "0"]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> float:
        """Start it; the Unix time of that moment."""
        with self.output.open("ab") as output:
            at = time.time()
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                env={**os.environ, **self.environment},
            )
        return at

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """As `kill -9` does."""
        assert self.process
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> float:
        """As Ctrl-C does; the seconds until it was gone."""
        began = time.monotonic()
        if self.process and self.alive():
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(START_SECONDS)
        return time.monotonic() - began


def furnish(home: Path, telegram: Telegram, model: Model, people: Sequence[int]) -> None:
    """Settings as an owner would write them: one bot, one model, these people let in."""
    home.mkdir(mode=0o700)
    settings = home / "settings.toml"
    settings.write_text(
        f"""\
[agent]
model = "main"
[models.main]
use = "openai"
base_url = "http://127.0.0.1:{model.port}/v1"
model = "stand-in"
[channels.tg]
use = "telegram"
token = "secret:tg-token"
api_root = "http://127.0.0.1:{telegram.port}"
access = {json.dumps([str(id) for id in people])}
"""
    )
    secrets = home / "secrets.toml"
    secrets.write_text(f'tg-token = "{TOKEN}"\n')
    secrets.chmod(0o600)


def person(id: int) -> Json:
    """Somebody on Telegram; the chat with them has the same number."""
    return {"id": id, "first_name": f"Ann {id}", "username": f"ann_{id}"}


def await_poll(telegram: Telegram, daemon: Daemon, seconds: float = START_SECONDS) -> None:
    """Wait until the daemon asks Telegram for updates."""
    end = time.monotonic() + seconds
    while not telegram.polled():
        if not daemon.alive():
            raise Trouble(f"the daemon ended by itself; see {daemon.output}")
        if time.monotonic() > end:
            raise Trouble(f"no getUpdates within {seconds:g} s; see {daemon.output}")
        time.sleep(0.005)


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def await_port(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until an HTTP server answers /health with 200."""
    end = time.monotonic() + START_SECONDS * 4
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Trouble(f"it ended by itself: {log.read_text('utf-8', 'replace')[-600:]}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            line.request("GET", "/health")
            if line.getresponse().status == 200:
                return
        time.sleep(0.02)
    raise Trouble(f"nothing answers at port {port}; see {log}")


def api_of(home: Path, daemon: Daemon) -> tuple[str, str]:
    """The address of a daemon's HTTP API and its token, once its models have been opened."""
    end = time.monotonic() + START_SECONDS * 4
    while time.monotonic() < end:
        if not daemon.alive():
            raise Trouble(f"the daemon ended by itself; see {daemon.output}")
        asked = subprocess.run(
            [str(HAOYA), "status", "--json", "--home", str(home)], capture_output=True, check=False
        )
        if asked.returncode == 0:
            url = str(json.loads(asked.stdout)["api"]["url"]).rstrip("/")
            if url:
                return url, (home / "state" / "api-token").read_text().strip()
        time.sleep(0.05)
    raise Trouble(f"no API; see {daemon.output}")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads (proc(5), in ticks of 10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss_mb(pid: int) -> float:
    """Resident memory in MB (10⁶ bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def share(values: Sequence[float], part: float) -> float:
    """The value below which `part` of all lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def show(title: str, rows: Mapping[str, object], *, as_json: bool) -> None:
    """A table for people and, where asked for, one JSON object as the last line."""
    width = max(map(len, rows))
    print(f"\n{title}")
    for name, value in rows.items():
        print(f"  {name:<{width}}  {_shown(value)}")
    if as_json:
        print(json.dumps(dict(rows)), flush=True)


def _shown(value: object) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else f"{value}"
