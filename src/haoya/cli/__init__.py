# SPDX-License-Identifier: AGPL-3.0-or-later
"""The door: one module per command, imported only when it runs."""

import importlib
import sys

from haoya import __version__


def main() -> int:
    """Run the command of `sys.argv`; the exit status is 0 for done, 1 for an error, 2 for wrong
    usage, 3 where the daemon does not run, 5 where something was found.

    The version and the bare `status` are answered without the parser of the other commands,
    which costs more than all the rest: status is what watches and monitors call again and again.
    """
    match sys.argv[1:]:
        case ["--version" | "-V"]:
            print(f"haoya {__version__}")
            return 0
        case ["status", *options] if not {*options} - {"--json"}:
            return int(importlib.import_module("haoya.cli.report").bare(json=bool(options)))
        case arguments:
            return int(importlib.import_module("haoya.cli.app").run(arguments))
