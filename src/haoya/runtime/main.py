# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya up`: one daemon, from start to graceful stop."""

import asyncio
import contextlib
import gc
import logging
import signal
import sys
from pathlib import Path

from haoya.journal import holder
from haoya.runtime.home import Home
from haoya.runtime.house import House
from haoya.runtime.screening import LogScreen
from haoya.runtime.verbs import Verbs, new_link

log = logging.getLogger("haoya")

READY_SECONDS = 2.0
"""How long the greeting waits for the rest of the house."""

YOUNG_OBJECTS = 5000
"""New objects until the collector looks for cycles. A message makes some thousands that die at
once; Python's 700 made it look several times for each."""

STOP_SECONDS = 5.0
"""A stop that takes longer than this is ended from outside the event loop's order."""


def run(folder: Path, port: int | None = None) -> int:
    """Run until SIGINT, SIGTERM or the verb `stop`; the exit status."""
    if pid := holder(Home(folder=folder).journal):
        print(f"haoya already runs in {folder} (process {pid})", file=sys.stderr)
        print("see `haoya status`, or choose another folder with --home", file=sys.stderr)
        return 1
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    logging.getLogger("httpcore2").setLevel(logging.WARNING)
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 10)
    return asyncio.run(_serve(Home(folder=folder), port))


async def _serve(home: Home, port: int | None) -> int:
    house = House(home, port=port)
    for handler in logging.getLogger().handlers:
        handler.addFilter(LogScreen(lambda: house.screen))
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
