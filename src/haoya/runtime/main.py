# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya up`: one daemon, from start to graceful stop."""

import asyncio
import contextlib
import gc
import getpass
import logging
import os
import signal
import sys
from pathlib import Path

from haoya.core.errors import ConfigError, Unready
from haoya.journal import holder
from haoya.runtime.hardening import shield
from haoya.runtime.home import Home
from haoya.runtime.house import House
from haoya.runtime.redaction import redact_output
from haoya.runtime.secrets import Secrets
from haoya.runtime.vault_words import Take
from haoya.runtime.vaulting import call, source_of
from haoya.runtime.verbs import Verbs, new_link

log = logging.getLogger("haoya")

READY_SECONDS = 2.0
"""How long the greeting waits for the rest of the house."""

YOUNG_OBJECTS = 5000
"""New objects until the collector looks for cycles. A message makes some thousands that die at
once; Python's 700 made it look several times for each."""

TRIES = 3

STOP_SECONDS = 5.0
"""A stop that takes longer than this is ended from outside the event loop's order."""


def run(folder: Path, port: int | None = None) -> int:
    """Run until SIGINT, SIGTERM or the verb `stop`; the exit status."""
    if pid := holder(Home(folder=folder).journal):
        print(f"haoya already runs in {folder} (process {pid})", file=sys.stderr)
        print("see `haoya status`, or choose another folder with --home", file=sys.stderr)
        return 1
    shield()
    phrase = _passphrase(folder)
    secrets = Secrets()
    redact_output(secrets.redactor)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    logging.getLogger("httpcore2").setLevel(logging.WARNING)
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 10)
    return asyncio.run(_serve(Home(folder=folder), port, secrets, phrase))


async def _serve(home: Home, port: int | None, secrets: Secrets, phrase: str) -> int:
    house = House(home, port=port, secrets=secrets, phrase=phrase)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    house.call = Verbs(house, stopping.set).call
    async with asyncio.TaskGroup() as tasks:
        living = tasks.create_task(house.run())
        greeting = tasks.create_task(_greet(house))
        await stopping.wait()
        log.info("stopping")
        greeting.cancel()
        living.cancel()
        loop.call_later(STOP_SECONDS, log.warning, "still stopping; a part does not let go")
    return 0


def _passphrase(folder: Path) -> str:
    """Ask for the vault's passphrase, where it has one and a person sits at a terminal; without
    one (a service) it comes from a file or credential, or the vault stays shut and says so."""
    laid_out = any(
        name in os.environ for name in ("HAOYA_PASSPHRASE_FILE", "CREDENTIALS_DIRECTORY")
    )
    if source_of(folder) != "passphrase" or laid_out or not sys.stdin or not sys.stdin.isatty():
        return ""
    for _ in range(TRIES):
        phrase = getpass.getpass("Passphrase of the vault / 保险库的口令: ")
        try:
            call(Take(home=str(folder), phrase=phrase))
        except (ConfigError, Unready) as error:
            print(error, file=sys.stderr)
        else:
            return phrase
    return ""


async def _greet(house: House) -> None:
    """Tell the person at the terminal where to go, once the panel is open."""
    await house.window_open.wait()
    with contextlib.suppress(TimeoutError):  # a failing disk must not hide the link
        async with asyncio.timeout(READY_SECONDS):
            await house.ready.wait()
    print(f"haoya is up. Open {new_link(house)}", flush=True)
    print("好呀，已启动。打开上面的链接即可开始聊天（10 分钟内有效，仅一次）。", flush=True)
    print("Another link: haoya open · In this terminal: haoya chat · Stop: Ctrl-C", flush=True)
    sys.stdout.flush()
