# SPDX-License-Identifier: AGPL-3.0-or-later
"""Long work in a child process that tells how far it is, and ends with whoever asked for it."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence

from haoya.core.errors import ConfigError
from haoya.inference import surroundings

REFUSED = 3
"""The status of a child whose last line of errors is for the owner: `message\\tcure`."""


def run(command: Sequence[str], told: Callable[[int, int], None]) -> None:
    """Run a command whose lines are `[bytes done, bytes]`; raises `ConfigError` where it fails."""
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=surroundings.working(),
        ) as child,
    ):
        try:
            for line in child.stdout or ():
                with contextlib.suppress(ValueError):
                    have, total = json.loads(line)
                    told(have, total)
            status = child.wait()
        except BaseException:
            child.terminate()
            raise
        if not status:
            return
        errors.seek(0)
        lines = errors.read().strip().splitlines() or [f"it ended with status {status}"]
        message, _, cure = lines[-1].partition("\t")
        if status == REFUSED:
            raise ConfigError(message, cure=cure)
        raise ConfigError(
            f"the work was broken off: {lines[-1]}", cure="check memory and disk, then try again"
        )


def refuse(error: ConfigError) -> int:
    """In the child: hand an error to whoever asked; the status to leave with."""
    print(f"{error}\t{error.cure}".replace("\n", " "), file=sys.stderr)
    return REFUSED
