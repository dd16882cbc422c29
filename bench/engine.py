# SPDX-License-Identifier: AGPL-3.0-or-later
"""A local model through haoya against llama.cpp's own server alone, on one file in one run.

    python bench/engine.py [--model FILE | --shape 1.5b --quant q4_0] [--server PROGRAM]
                           [--sessions 1,3,5,10] [--tokens 96] [--rounds 3] [--json]

Both sides run the same program, `llama-server` (the native build of `haoya models engine build`,
else the one on the PATH, else --server), with as many slots, threads and tokens of context; the
bare one with its own best defaults otherwise, haoya as it comes. They are asked in turns, over
HTTP with streaming, by one client that reads and does not look: decode is N answers at the same
time to short prompts, prompt is one long prompt nobody has seen. `ratio` is haoya over native, by
sessions. `wheel` is the same haoya with the engine that `./start` installs. `cpu_ms_per_token` is
the daemon's own processor time; `bandwidth_share` how much of the memory's read bandwidth (a loop
in C over the same number of threads, else numpy) one native stream uses to read its weights.
"""

import argparse
import asyncio
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

import bandwidth
import rig
import shapes
from haoya.inference.engine import Launch, engines, usable_cores
from haoya.inference.gguf import read
from rig import Daemon

CONTEXT = 2048
LONG = 700
"""Words of a long prompt, two to three tokens each in a vocabulary of our own making."""

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nConnection: close\r\n"


class Side(msgspec.Struct):
    """One of the two: where it listens, how it names the model, its token, its daemon's pid."""

    name: str
    port: int
    model: str
    token: str = ""
    pid: int = 0


class Asked(msgspec.Struct):
    """What asking has given: tokens in and out, seconds, the first answer's tokens a second."""

    prompt: int
    completion: int
    seconds: float
    rate: float


async def answer(side: Side, text: str, tokens: int, user: str) -> tuple[int, int, float]:
    """One streamed answer; its prompt's and its own tokens as the server counts them, and its
    tokens a second without the prompt where the server tells (else 0)."""
    body = json.dumps(
        {
            "model": side.model,
            "messages": [{"role": "user", "content": text}],
            "max_tokens": tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            "user": user,
        }
    ).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", side.port)
    head = HEAD + b"Host: 127.0.0.1:%d\r\n" % side.port
    head += b"Authorization: Bearer %s\r\n" % side.token.encode()
    head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    writer.write(head + body)
    heard = bytearray()
    while piece := await reader.read(65536):
        heard += piece
    writer.close()
    at = heard.rfind(b'"usage":{')
    if at < 0:
        raise rig.Trouble(f"{side.name}: {bytes(heard[:600])!r}")
    counts = json.JSONDecoder().raw_decode(heard[at + 8 :].decode("utf-8", "replace"))[0]
    rate = re.search(rb'"predicted_per_second":([\d.]+)', heard)
    return counts["prompt_tokens"], counts["completion_tokens"], float(rate[1]) if rate else 0.0


def ask(side: Side, texts: Sequence[str], tokens: int) -> Asked:
    """All of these at the same time."""

    async def all_() -> Asked:
        began = time.perf_counter()
        asked = [answer(side, text, tokens, f"user-{i}") for i, text in enumerate(texts)]
        counts = await asyncio.gather(*asked)
        seconds = time.perf_counter() - began
        prompt, completion = (sum(count[i] for count in counts) for i in (0, 1))
        return Asked(prompt, completion, seconds, counts[0][2])

    return asyncio.run(all_())


def words(count: int) -> str:
    """A text nobody has asked before."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return " ".join("".join(random.choices(letters, k=4)) for _ in range(count))


@contextmanager
def native(server: str, model: Path, sessions: int, folder: Path) -> Iterator[Side]:
    """llama.cpp's server as a user starts it, with its own defaults for all but the slots."""
    port = rig.free_port()
    cores = str(usable_cores())
    with (folder / "native.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(server, "-m", str(model), "--host", "127.0.0.1", "--port", str(port)),
                *("-np", str(sessions), "-c", str(CONTEXT * sessions), "--jinja", "--no-ui"),
                *("-t", cores, "--cache-ram", "0"),
            ],
            stdout=log,
            stderr=log,
        )
        try:
            side = Side("native", port, "m")
            rig.await_port(port, process, folder / "native.log")
            yield side
        finally:
            process.kill()
            process.wait()


@contextmanager
def through_haoya(
    engine: str, server: str, model: Path, sessions: int, folder: Path
) -> Iterator[Side]:
    """The daemon with this model, its engine warm."""
    home = folder / f"home-{engine}"
    home.mkdir(mode=0o700)
    (home / "settings.toml").write_text(
        f'[agent]\nmodel = "main"\n[models.main]\nuse = "local"\nmodel = "{model}"\n'
        f'engine = "{engine}"\nsessions = {sessions}\ncontext_tokens = {CONTEXT}\n'
        "repack = true\nprewarm = false\n"
    )
    path = f"{Path(server).parent}{os.pathsep}{os.environ['PATH']}"
    daemon = Daemon(home, environment={"PATH": path})
    daemon.start()
    try:
        url, token = rig.api_of(home, daemon)
        yield Side(engine, int(url.rpartition(":")[2]), "local/main", token, daemon.pid)
    finally:
        daemon.stop()


def measure(side: Side, sessions: Sequence[int], tokens: int) -> dict[str, float]:
    """Tokens a second by what is done; `cpu` is the daemon's milliseconds a token."""
    found: dict[str, float] = {}
    began = rig.cpu_seconds(side.pid) if side.pid else 0.0
    made = 0
    for count in sessions:
        asked = ask(side, [words(6) for _ in range(count)], tokens)
        found[f"decode_{count}"] = asked.completion / asked.seconds
        made += asked.completion
        if count == 1:
            found["stream"] = asked.rate
    if side.pid:
        found["cpu"] = (rig.cpu_seconds(side.pid) - began) / made * 1000
    asked = ask(side, [words(LONG)], 1)
    found["prompt"] = asked.prompt / asked.seconds
    return found


def middle(rounds: Sequence[dict[str, float]], key: str) -> float:
    return statistics.median(found[key] for found in rounds)


def compare(
    given: argparse.Namespace, model: Path, server: str, folder: Path
) -> tuple[rig.Rows, float]:
    """Ask all sides in turns and compare them round by round; the best rate of one native stream
    without its prompt, as the server counts it, comes along."""
    sessions: list[int] = [int(count) for count in given.sessions.split(",")]
    with ExitStack() as stack:
        most = max(sessions)
        sides = [stack.enter_context(native(server, model, most, folder))]
        for engine in ("server", "wheel") if given.wheel else ("server",):
            opened = through_haoya(engine, server, model, most, folder)
            sides.append(stack.enter_context(opened))
        rounds: dict[str, list[dict[str, float]]] = {side.name: [] for side in sides}
        for side in sides:
            ask(side, [words(6) for _ in range(most)], 4)  # all slots touched once
        for _ in range(given.rounds):
            for side in sides:
                rounds[side.name].append(measure(side, sessions, given.tokens))
    rows: rig.Rows = {"model": model.name, "native": server}
    for key in [f"decode_{count}" for count in sessions] + ["prompt"]:
        rows[f"native_{key}_per_s"] = round(middle(rounds["native"], key), 1)
        for side in list(rounds)[1:]:
            pairs = zip(rounds[side], rounds["native"], strict=True)
            ratios = [ours[key] / theirs[key] for ours, theirs in pairs]
            rows[f"{'ratio' if side == 'server' else side}_{key}"] = round(
                statistics.median(ratios), 3
            )
    rows["cpu_ms_per_token"] = round(middle(rounds["server"], "cpu"), 3)
    return rows, max(found.get("stream", 0.0) for found in rounds["native"])


def bandwidth_rows(rate: float, model: Path) -> rig.Rows:
    """What one stream reads, and what the memory gives."""
    tensors = {tensor.name: tensor.bytes for tensor in read(model).tensors}
    weights = sum(tensors.values())
    if "output.weight" in tensors:  # else the embeddings are the output as well, and read whole
        weights -= tensors["token_embd.weight"]
    measured, how = bandwidth.read_gb_per_s(usable_cores())
    reads = weights * rate / 1e9
    return {
        "stream_gb_per_s": round(reads, 1),
        "memory_gb_per_s": round(measured, 1),
        "memory_measured_by": how,
        "bandwidth_share": round(reads / measured, 3),
    }


def server_of(given: str) -> str:
    """The program to compare with; `Trouble` where there is none."""
    built = [e for e in engines(Path.home() / ".haoya" / "models") if e.name == "native"]
    found = given or (built and built[0].command(Launch(model="", socket=""))[0])
    found = found or shutil.which("llama-server")
    if not found:
        raise rig.Trouble("no llama-server: haoya models engine build, or --server PROGRAM")
    return str(Path(found).resolve())


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--shape", default="1.5b", choices=list(shapes.SHAPES))
    parser.add_argument("--quant", default="q4_0", choices=list(shapes.FILE_TYPES))
    parser.add_argument("--shapes", type=Path, default=Path(tempfile.gettempdir()) / "shapes")
    parser.add_argument("--server", default="")
    parser.add_argument("--sessions", default="1,3,5,10")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--wheel", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    model = given.model or shapes.make(given.shape, given.quant, given.shapes)
    with tempfile.TemporaryDirectory() as folder:
        rows, rate = compare(given, model, server_of(given.server), Path(folder))
    rows |= bandwidth_rows(rate, model)
    rig.show(f"{model.name}, {usable_cores()} cores", rows, as_json=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
