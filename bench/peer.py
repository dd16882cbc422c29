# SPDX-License-Identifier: AGPL-3.0-or-later
"""What another node in between costs: the same model asked in this process and over HTTP/2.

`python bench/peer.py [--rounds N] [--tokens N] [--tls] [--json]`

A real daemon lends its `script` model, which answers at once; this process asks it as
`[models.NAME] use = "peer"` does, and asks a model of the same kind of its own. The difference
is the overhead: of a whole short answer, of its first word, and of each word of a long one.
"""

import argparse
import asyncio
import json
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from haoya.core.plugin import Context, Plugin
from haoya.core.ports import Model
from haoya.core.tool import Finish, Line, Prompt
from haoya.journal import BlobStore
from haoya.models.peer import plugin as peer
from haoya.models.script import plugin as script
from haoya.runtime.egress import open_client
from rig import HAOYA, START_SECONDS, Daemon, Json, Trouble, cpu_seconds, rss_mb, share, show

WARM_ROUNDS = 20
HISTORY = "The quick brown fox jumps over the lazy dog. " * 60
"""About 600 tokens before the question, as a short conversation has."""


def main() -> int:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--rounds", type=int, default=500)
    given.add_argument("--tokens", type=int, default=2000)
    given.add_argument("--tls", action="store_true")
    given.add_argument("--json", action="store_true")
    options = given.parse_args()
    with tempfile.TemporaryDirectory(prefix="haoya-bench-") as folder:
        try:
            rows = asyncio.run(_measure(Path(folder), options))
        except Trouble as trouble:
            print(trouble, file=sys.stderr)
            return 1
    show("A model of another node, on loopback", rows, as_json=options.json)
    return 0


async def _measure(folder: Path, options: argparse.Namespace) -> Json:
    strong = _furnished(folder / "strong", tls=options.tls)
    strong.start()
    try:
        invitation = _invited(strong)
        settings = {key: invitation[key] for key in ("address", "token", "fingerprint")}
        async with (
            _opened(folder / "far", peer, settings) as far,
            _opened(folder / "near", script, {}) as near,
        ):
            return await _compared(near, far, strong, options)
    finally:
        strong.stop()


async def _compared(near: Model, far: Model, strong: Daemon, options: argparse.Namespace) -> Json:
    short, long = _prompt("Hello."), _prompt("word " * options.tokens)
    for model in (near, far):
        for _ in range(WARM_ROUNDS):
            await _asked(model, short)
    here = [await _asked(near, short) for _ in range(options.rounds)]
    there = [await _asked(far, short) for _ in range(options.rounds)]
    base, first = share([one[1] for one in here], 0.5), share([one[0] for one in here], 0.5)
    own, other = await _cpu(near, long, strong), await _cpu(far, long, strong)
    tokens = max(1, options.tokens)
    return {
        "rounds": options.rounds,
        "in_process_ms": 1000 * base,
        "overhead_ms_p50": 1000 * (share([one[1] for one in there], 0.5) - base),
        "overhead_ms_p99": 1000 * (share([one[1] for one in there], 0.99) - base),
        "first_token_ms_p50": 1000 * (share([one[0] for one in there], 0.5) - first),
        "first_token_ms_p99": 1000 * (share([one[0] for one in there], 0.99) - first),
        "cpu_ms_per_token_asking": 1000 * (other[0] - own[0]) / tokens,
        "cpu_ms_per_token_lending": 1000 * (other[1] - own[0]) / tokens,
        "lender_rss_mb": rss_mb(strong.pid),
        "target_ms": 5,
    }


async def _asked(model: Model, prompt: Prompt) -> tuple[float, float]:
    """Seconds to the first delta and to the end."""
    began, first = time.perf_counter(), 0.0
    async for delta in model.stream(prompt):
        first = first or time.perf_counter() - began
        if isinstance(delta, Finish):
            break
    return first, time.perf_counter() - began


async def _cpu(model: Model, prompt: Prompt, strong: Daemon) -> tuple[float, float]:
    """CPU seconds of this process and of the lending one for one answer."""
    used, theirs = _own_cpu(), cpu_seconds(strong.pid)
    await _asked(model, prompt)
    return _own_cpu() - used, cpu_seconds(strong.pid) - theirs


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _prompt(text: str) -> Prompt:
    lines = (Line(role="system", text=HISTORY), Line(role="user", text=text))
    return Prompt(lines=lines, conversation="tg//1", person="tg:1")


@asynccontextmanager
async def _opened(folder: Path, plugin: Plugin, settings: Json) -> AsyncGenerator[Model, None]:
    async with open_client(*(str(value) for value in settings.values())) as http:
        lent = _lent(folder, http)
        async with plugin.open(plugin.settings.model_validate(settings), lent) as model:
            yield model


def _lent(folder: Path, http: httpx2.AsyncClient) -> Context:
    folder.mkdir()
    return Context(
        name=folder.name,
        state=folder,
        clock=time.time,
        http=http,
        secret=lambda value: value,
        blobs=BlobStore(folder / "blobs"),
    )


def _furnished(home: Path, *, tls: bool) -> Daemon:
    home.mkdir(mode=0o700)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    files = ""
    if tls:
        names = ["-keyout", str(home / "key.pem"), "-out", str(home / "cert.pem")]
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        command = ["openssl", "req", "-x509", *kind, *names, "-subj", "/CN=haoya"]
        subprocess.run(command, check=True, capture_output=True)
        files = 'cert = "cert.pem"\nkey = "key.pem"\n'
    (home / "settings.toml").write_text(
        f'[models.main]\nuse = "script"\n[peers]\nlisten = "127.0.0.1:{port}"\n{files}'
    )
    return Daemon(home)


def _invited(strong: Daemon) -> Json:
    """The invitation, once the listener is open."""
    home = ["--home", str(strong.home), "--json"]
    end = time.monotonic() + START_SECONDS
    while True:
        listed = subprocess.run(
            [HAOYA, "peers", "list", *home], capture_output=True, text=True, check=False
        )
        if listed.returncode == 0 and json.loads(listed.stdout).get("open"):
            break
        if time.monotonic() > end or not strong.alive():
            raise Trouble(f"the lender does not listen; see {strong.output}")
    command = [HAOYA, "peers", "invite", "bench", "main", *home]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
