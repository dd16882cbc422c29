# SPDX-License-Identifier: AGPL-3.0-or-later
"""How long the first token takes on a long shared beginning: cold, cached, after a restart.

    python bench/prefix.py [--model FILE | --shape 0.5b --quant q4_0] [--server PROGRAM]
                           [--tokens 3000] [--asks 60] [--conversations 5] [--json]

A real `haoya up` with a local engine, asked over its HTTP API (`local/main`, streaming) with a
system prompt of so many tokens. `cold_ms` is the first time anybody asks. Then so many
conversations take turns, each with its own growing history and a new short message: `cached_p50_ms`
and `cached_p99_ms`, and `repaid_tokens`, the most tokens of a prompt that had to be read again.
Then the daemon is stopped and started: `after_restart_ms` is the first answer to somebody new on
the same beginning, `resumed_ms` to a conversation from before; with a `kill -9` in between,
`after_kill_ms`. `start_ms` is the start of the daemon until its API answers, for comparison.
"""

import argparse
import contextlib
import http.client
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import rig
import shapes
from rig import Daemon

SECONDS = 900
ROOM = 1600
"""Tokens beyond the beginning that a conversation may grow by."""


class Asking:
    """A client of the daemon's API that keeps its conversations."""

    def __init__(self, system: str) -> None:
        self.system = {"role": "system", "content": system}
        self.said: dict[str, list[rig.Json]] = {}
        self.place = ("", "")
        self.repaid = 0

    def at(self, home: Path, daemon: Daemon) -> None:
        self.place = rig.api_of(home, daemon)

    def ask(self, name: str, tokens: int = 8) -> tuple[float, int]:
        """Milliseconds to the first words, and the prompt's tokens that were not cached."""
        url, token = self.place
        said = self.said.setdefault(name, [self.system])
        said.append({"role": "user", "content": f"{name} asks {words(5)}"})
        body = {"model": "local/main", "messages": said, "max_tokens": tokens, "stream": True}
        body |= {"temperature": 0, "user": name, "stream_options": {"include_usage": True}}
        line = http.client.HTTPConnection(url.removeprefix("http://"), timeout=SECONDS)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        began, first, text, usage = time.perf_counter(), 0.0, "", {}
        with contextlib.closing(line):
            line.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            answer = line.getresponse()
            if answer.status != 200:
                raise rig.Trouble(f"HTTP {answer.status} {answer.read()[:300]!r}")
            for row in answer:
                if row[:6] != b"data: " or row.startswith(b"data: [DONE]"):
                    continue
                chunk = json.loads(row[6:])
                usage = chunk.get("usage") or usage
                for choice in chunk["choices"]:
                    more = choice["delta"].get("content") or ""
                    if more and not first:
                        first = time.perf_counter() - began
                    text += more
        said.append({"role": "assistant", "content": text})
        read = usage["prompt_tokens"] - usage["prompt_tokens_details"]["cached_tokens"]
        return first * 1000, read


def words(count: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return " ".join("".join(random.choices(letters, k=4)) for _ in range(count))


def furnish(home: Path, model: Path, engine: str, sessions: int, context: int) -> None:
    home.mkdir(mode=0o700)
    (home / "settings.toml").write_text(
        f'[agent]\nmodel = "main"\n[models.main]\nuse = "local"\nmodel = "{model}"\n'
        f'engine = "{engine}"\nsessions = {sessions}\ncontext_tokens = {context}\n'
        "prewarm = false\n"
    )


def started(daemon: Daemon, home: Path, asking: Asking) -> float:
    began = time.perf_counter()
    daemon.start()
    asking.at(home, daemon)
    return (time.perf_counter() - began) * 1000


def measure(folder: Path, given: argparse.Namespace, model: Path) -> rig.Rows:
    home = folder / "home"
    engine = "server" if given.server else "auto"
    furnish(home, model, engine, given.sessions, given.tokens + ROOM)
    path = f"{Path(given.server).parent}{os.pathsep}{os.environ['PATH']}"
    daemon = Daemon(home, environment={"PATH": path})
    # Four letters of chance are two to three tokens in a vocabulary of our own making.
    asking = Asking(f"Be brief. {words(int(given.tokens / given.tokens_per_word))}")
    try:
        start = started(daemon, home, asking)
        cold, read = asking.ask("first")
        names = [f"friend-{i}" for i in range(given.conversations)]
        for name in names:  # each comes in once on the shared beginning
            asking.ask(name)
        asked = [asking.ask(names[i % len(names)]) for i in range(given.asks)]
        daemon.stop()
        started(daemon, home, asking)
        restarted, _ = asking.ask("newcomer")
        resumed, resumed_read = asking.ask(names[0])
        daemon.kill()
        started(daemon, home, asking)
        killed, _ = asking.ask("another")
        engine_ms = min(asking.ask("nobody-else")[0] for _ in range(1))
    finally:
        daemon.stop()
    times = [ms for ms, _ in asked]
    return {
        "model": model.name,
        "engine": given.server or "auto",
        "beginning_tokens": read,
        "start_ms": round(start),
        "cold_ms": round(cold),
        "cached_p50_ms": round(rig.share(times, 0.5)),
        "cached_p99_ms": round(rig.share(times, 0.99)),
        "cached_share_of_cold": round(rig.share(times, 0.99) / cold, 4),
        "repaid_tokens": max(read for _, read in asked),
        "after_restart_ms": round(restarted),
        "resumed_ms": round(resumed),
        "resumed_repaid_tokens": resumed_read,
        "after_kill_ms": round(killed),
        "newcomer_ms": round(engine_ms),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--shape", default="0.5b", choices=list(shapes.SHAPES))
    parser.add_argument("--quant", default="q4_0", choices=list(shapes.FILE_TYPES))
    parser.add_argument("--shapes", type=Path, default=Path(tempfile.gettempdir()) / "shapes")
    parser.add_argument("--server", default=shutil.which("llama-server") or "")
    parser.add_argument("--tokens", type=int, default=3000)
    parser.add_argument("--tokens-per-word", type=float, default=2.3)
    parser.add_argument("--asks", type=int, default=60)
    parser.add_argument("--conversations", type=int, default=5)
    parser.add_argument("--sessions", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    model = given.model or shapes.make(given.shape, given.quant, given.shapes)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), given, model)
    rig.show(f"{model.name}: the first token", rows, as_json=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
