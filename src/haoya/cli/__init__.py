# SPDX-License-Identifier: AGPL-3.0-or-later
"""The door: one module per command, imported only when it runs."""

import importlib
import sys

from haoya import __version__


def main() -> int:
    """Run the command of `sys.argv`; the exit status is 0 for done, 1 for an error, 2 for wrong
    usage, 3 where the daemon does not run, 5 where something was found."""
    arguments = sys.argv[1:]
    if arguments in (["--version"], ["-V"]):  # Answered before anything else is loaded.
        print(f"haoya {__version__}")
        return 0
    return int(importlib.import_module("haoya.cli.app").run(arguments))
