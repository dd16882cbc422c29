# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether a greedy client or work in the background spoils a local model for others.

    python bench/fairness.py [--model FILE | --shape 0.5b] [--messages 20] [--tokens 48]
                             [--sessions 4] [--embedder FILE] [--json]

A real `haoya up` with a local engine. First a polite person on Telegram (a stand-in) writes again
and again, alone; then once more while a client of the HTTP API keeps 20 requests in flight, each
in a conversation of its own: `polite_p95_ratio` is the polite one's p95 then over p95 before.
Then a client streams answers one after the other without and with endless embedding in the
background by an engine of its own: `background_first_token_ratio` is the p95 of the time to the
first words with over without. Without --model or --shape a tiny model is made, which shows that
everything runs; its figures say little, for haoya itself then takes much of the time.
"""

import argparse
import http.client
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import check_output

sys.path.append(str(Path(__file__).parents[1]))
from tests.servers.tiny import Shape, make_embedder, make_model

import rig
import shapes
from rig import Daemon, Telegram

POLITE = 3001
GREEDY = 20
WARM = 3
SECONDS = 900

Rows = dict[str, object]


class Api:
    """The daemon's HTTP API as a client of the owner's sees it."""

    def __init__(self, home: Path) -> None:
        status = check_output([str(rig.HAOYA), "status", "--json", "--home", str(home)])
        url = json.loads(status)["api"]["url"].removeprefix("http://").rstrip("/")
        self.place = url
        token = (home / "state" / "api-token").read_text().strip()
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def ask(self, conversation: str, text: str) -> tuple[float, float]:
        """Seconds to the first words of an answer and to its end."""
        line = http.client.HTTPConnection(self.place, timeout=SECONDS)
        try:
            words = {"role": "user", "content": text}
            body = json.dumps({"model": "haoya", "stream": True, "messages": [words]})
            began, first = time.perf_counter(), 0.0
            headers = self.headers | {"X-Conversation": conversation}
            line.request("POST", "/v1/chat/completions", body, headers)
            answer = line.getresponse()
            if answer.status != 200:
                raise rig.Trouble(f"HTTP {answer.status} {answer.read()[:300]!r}")
            for row in answer:
                if not first and b'"content":"' in row and b'"content":""' not in row:
                    first = time.perf_counter() - began
            return first, time.perf_counter() - began
        finally:
            line.close()


class Greedy:
    """A client that keeps so many requests in flight."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.answered = 0
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,)) for n in range(GREEDY)]

    def run(self, number: int) -> None:
        while not self.stopping.is_set():
            try:
                self.api.ask(f"greedy-{number}", f"write a long story number {self.answered}")
            except (OSError, http.client.HTTPException, rig.Trouble):
                if not self.stopping.is_set():
                    time.sleep(0.1)
            self.answered += 1

    @contextmanager
    def at_work(self) -> Iterator["Greedy"]:
        for thread in self.threads:
            thread.start()
        end = time.monotonic() + SECONDS
        while not self.answered and time.monotonic() < end:
            time.sleep(0.02)
        try:
            yield self
        finally:
            self.stopping.set()
            for thread in self.threads:
                thread.join(SECONDS)


def furnish(home: Path, telegram: Telegram, model: Path, embedder: Path, given: Rows) -> None:
    """Settings as an owner would write them, and the indexer as a package beside haoya."""
    home.mkdir(mode=0o700)
    (home / "settings.toml").write_text(
        f"""\
[agent]
model = "main"
tools = ["clock"]
[models.main]
use = "local"
model = "{model}"
engine = "{given["engine"]}"
sessions = {given["sessions"]}
max_tokens = {given["tokens"]}
context_tokens = 4096
temperature = 0
[models.index]
use = "indexer"
model = "{embedder}"
flag = "{home.parent}/go"
count = "{home.parent}/count"
[channels.tg]
use = "telegram"
token = "secret:tg-token"
api_root = "http://127.0.0.1:{telegram.port}"
access = ["{POLITE}"]
[queue]
deadline = 3600
"""
    )
    secrets = home / "secrets.toml"
    secrets.write_text(f'tg-token = "{rig.TOKEN}"\n')
    secrets.chmod(0o600)
    package = home.parent / "packages" / "indexer-1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: indexer\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[haoya.plugins]\nmodel.indexer = indexer:plugin\n")
    folders = [str(package.parent), str(rig.ROOT / "bench")]
    os.environ["PYTHONPATH"] = os.pathsep.join(folders)


def polite(telegram: Telegram, messages: int) -> list[float]:
    """Milliseconds for each message of somebody who waits for the answer, then writes again."""
    wish = {"people": [POLITE], "messages": messages, "text": "hello {n}", "rest": 0.2}
    return telegram.control("drive", **wish)["ms"]


def sharing(telegram: Telegram, api: Api, messages: int) -> Rows:
    """The polite one alone and beside the greedy one."""
    polite(telegram, WARM)
    alone = polite(telegram, messages)
    with Greedy(api).at_work() as greedy:
        began = time.monotonic()
        before = greedy.answered
        beside = polite(telegram, messages)
        rate = (greedy.answered - before) / (time.monotonic() - began)
    return {
        "polite_alone_p50_ms": rig.share(alone, 0.5),
        "polite_alone_p95_ms": rig.share(alone, 0.95),
        "polite_beside_p50_ms": rig.share(beside, 0.5),
        "polite_beside_p95_ms": rig.share(beside, 0.95),
        "greedy_answers_per_s": rate,
        "polite_p95_ratio": rig.share(beside, 0.95) / rig.share(alone, 0.95),
    }


def yielding(folder: Path, api: Api, messages: int) -> Rows:
    """First words without and with work in the background, in turns, so that a busy moment of
    the machine falls on both."""
    flag, count = folder / "go", folder / "count"
    firsts: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(WARM):
        api.ask("reader", "hello")
    for number in range(messages * 2):
        working = number % 4 in (1, 2)
        if working and not flag.exists():
            done = batches(count)
            flag.touch()
            end = time.monotonic() + SECONDS
            while batches(count) == done and time.monotonic() < end:
                time.sleep(0.02)
        elif not working:
            flag.unlink(missing_ok=True)
        time.sleep(0.3)  # a reader; it is then that the background works
        firsts[working].append(api.ask("reader", f"question {number}")[0] * 1000)
    flag.unlink(missing_ok=True)
    return {
        "first_token_p95_ms": rig.share(firsts[False], 0.95),
        "first_token_background_p95_ms": rig.share(firsts[True], 0.95),
        "background_batches": batches(count),
        "background_first_token_ratio": rig.share(firsts[True], 0.95)
        / rig.share(firsts[False], 0.95),
    }


def batches(count: Path) -> int:
    return int(count.read_text() or 0) if count.exists() else 0


def measure(folder: Path, given: argparse.Namespace) -> Rows:
    """All of it in one life of a daemon."""
    if given.shape:
        model = shapes.make(given.shape, given.quant, given.folder or folder)
    else:
        model = given.model or make_model(folder / "tiny.gguf", Shape(ends=False))
    embedder = given.embedder or make_embedder(folder / "embedder.gguf")
    telegram = Telegram("people")
    home = folder / "home"
    daemon = Daemon(home)
    try:
        furnish(home, telegram, model, embedder, vars(given))
        daemon.start()
        rig.await_poll(telegram, daemon)
        api = Api(home)
        rows = sharing(telegram, api, given.messages)
        return {"model": model.name, **rows, **yielding(folder, api, given.messages)}
    finally:
        daemon.stop()
        telegram.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="a .gguf file")
    parser.add_argument("--shape", help="make a model of that shape (bench/shapes.py)")
    parser.add_argument("--quant", default="q4_0")
    parser.add_argument("--folder", type=Path, help="where shapes are kept")
    parser.add_argument("--embedder", type=Path, help="a .gguf file for the background")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--messages", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=48, help="of each answer")
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="haoya-fairness-"))
    load = os.getloadavg()[0]
    try:
        rows = measure(folder, given)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows |= {"load_before": load, "cores": os.cpu_count() or 0}
    rounded = {
        name: round(value, 3) if isinstance(value, float) else value for name, value in rows.items()
    }
    rig.show("how a local model is shared", rounded, as_json=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
