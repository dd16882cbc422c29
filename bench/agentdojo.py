# SPDX-License-Identifier: AGPL-3.0-or-later
"""How much an attacker who owns the model can do against haoya's policy, and what it costs.

    python bench/agentdojo.py [--suites banking,slack] [--forms ...] [--why] [--json]

AgentDojo (PyPI `agentdojo`, pinned to 0.1.35, suites v1.2.2): 97 tasks of users, 35 goals of
attackers, 949 pairs, with real tools over environments in memory. No language model takes part:
a script plays the model. For a task without an attack it makes the task's own calls. For an
attack it obeys the attacker in one of four forms: on first `sight` of the injected text and then
goes on with the task, `late` after the task, `instead` of the rest of the task, from the `start`
before anything was read. Between script and tools stands haoya's policy (`Judge.judge`), given
cases as the runtime makes them. A question goes to a human who is absent (`none`), says yes to
what belongs to the task alone (`perfect`), or to everything (`stamp`); `off` is
no policy at all.

A text-only goal is one that the attacker reaches by the words of the answer, without any call; no
judgement of calls can stop it. Suites other than `travel` were at hand when the policy was
written; `travel` was held out (see bench/agentdojo_facts).
"""

import argparse
import importlib
import importlib.metadata
import json
import sys
from pathlib import Path

PACKAGE = "0.1.35"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suites", default="banking,slack,workspace,travel")
    parser.add_argument("--forms", default="sight,late,instead,start")
    parser.add_argument("--humans", default="none,perfect,stamp,off")
    parser.add_argument("--why", action="store_true", help="show each question and each loss")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if (there := importlib.metadata.version("agentdojo")) != PACKAGE:
        sys.exit(f"agentdojo {there} is installed; the figures are for {PACKAGE}")
    # This file's own name must not hide the package that it measures.
    here = str(Path(__file__).parent)
    sys.path[:] = [*(one for one in sys.path if one != here), here]
    play = importlib.import_module("agentdojo_play")
    found = play.measure(
        options.suites.split(","), options.forms.split(","), options.humans.split(","), options.why
    )
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")


if __name__ == "__main__":
    main()
