# SPDX-License-Identifier: AGPL-3.0-or-later
"""How well the router chooses among models.

    python bench/router.py [--seeds 20] [--real 40] [--json]

First a simulation: servers with noisy waits and speeds, prices and failures
(tests/inference/market.py), 500 requests, then two of them swap their speeds. What was lost
against the best fixed choice is counted from the servers' true figures. Then requests of all kinds
to models of all kinds, money running out, and every choice is judged by the rules once more.

Then the same with sockets: a real `haoya up` with `choose = "measured"`, a quick, a slow and a
forbidden model server (tests/servers/openai.py) as processes of their own; quick and slow swap in
the middle. `--real 0` leaves this out.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import rig

sys.path.insert(0, str(rig.ROOT))

from tests.inference.market import MARKETS, break_rules, trade
from tests.runtime.daemon import Daemon

QUICK, SLOW = 0.02, 1.0
"""Seconds to the first word of the two servers."""
RULE_SEEDS = 10
ADAPTED = 8
"""The new best was found when this many of ten requests in a row go to it."""

SETTINGS = """\
[agent]
model = ["a", "forbidden", "b"]
tools = []
[policy]
leave = {{ "*" = "here" }}
[router]
choose = "measured"
prefer = "speed"
[models.a]
use = "openai"
base_url = "http://127.0.0.1:{a}/v1"
model = "stand-in"
[models.b]
use = "openai"
base_url = "http://127.0.0.1:{b}/v1"
model = "stand-in"
[models.forbidden]
use = "openai"
base_url = "http://127.0.0.1:{forbidden}/v1"
model = "stand-in"
place = "outside"
"""

Rows = dict[str, object]


def simulate(seeds: int) -> Rows:
    """The worst over all markets and seeds, and the middle."""
    outcomes = [trade(market, seed) for market in MARKETS for seed in range(seeds)]
    rules = [break_rules(seed) for seed in range(RULE_SEEDS)]
    steps = [outcome.adapt_steps for outcome in outcomes]
    return {
        "regret": max(outcome.regret for outcome in outcomes),
        "regret_mean": statistics.fmean(outcome.regret for outcome in outcomes),
        "regret_after_swap": max(outcome.later_regret for outcome in outcomes),
        "adapt_steps": max(steps),
        "adapt_steps_median": statistics.median(steps),
        "seconds_ratio_mean": statistics.fmean(outcome.seconds_ratio for outcome in outcomes),
        "violations": sum(broken for _, broken in rules),
        "choices_judged": sum(made for made, _ in rules),
        "markets": len(MARKETS),
        "seeds": seeds,
    }


async def ask(daemon: Daemon, times: int, first: int) -> list[str]:
    """Put so many questions; which model each went to."""
    asked: list[str] = []
    for number in range(first, first + times):
        await daemon.ask(f"question {number}")
        why = await daemon.call("why", message="last")
        steps = [step["detail"] for step in why["steps"] if step["what"] == "model-asked"]
        asked.append(steps[0].partition(",")[0])
    return asked


async def drive(folder: Path, times: int) -> Rows:
    """A real daemon among real servers."""
    servers = {name: rig.Model() for name in ("a", "forbidden", "b")}
    daemon = Daemon(folder / "home")
    try:
        servers["a"].control(first_delay=SLOW)
        servers["b"].control(first_delay=QUICK)
        daemon.write(SETTINGS.format(**{name: one.port for name, one in servers.items()}))
        await daemon.start()
        before = await ask(daemon, times, 0)
        servers["a"].control(first_delay=QUICK)
        servers["b"].control(first_delay=SLOW)
        after = await ask(daemon, times, times)
        await daemon.stop()
        return {
            "real_best_share": before.count("b") / times,
            "real_best_share_last_half": before[times // 2 :].count("b") / (times - times // 2),
            "real_adapt_steps": adapted(after, "a"),
            "real_violations": int(str(count(servers["forbidden"]))),
            "real_requests": 2 * times,
        }
    finally:
        await daemon.kill()
        for server in servers.values():
            server.close()


def adapted(asked: list[str], best: str) -> int:
    """Requests until the new best is the usual choice; all of them where it never was."""
    for step in range(len(asked) - 9):
        if asked[step : step + 10].count(best) >= ADAPTED:
            return step
    return len(asked)


def count(server: rig.Model) -> object:
    """How often a stand-in was asked."""
    server.line.request("GET", "/control/requests")
    return json.loads(server.line.getresponse().read())["count"]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--real", type=int, default=40, help="requests before and after the swap")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    rows = simulate(given.seeds)
    if given.real:
        folder = Path(tempfile.mkdtemp(prefix="haoya-router-"))
        try:
            rows |= asyncio.run(drive(folder, given.real))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    rows |= {"load_before": load, "cores": os.cpu_count() or 0}
    rounded = {
        name: round(value, 4) if isinstance(value, float) else value for name, value in rows.items()
    }
    rig.show("how well the router chooses", rounded, as_json=given.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
