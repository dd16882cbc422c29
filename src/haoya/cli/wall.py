# SPDX-License-Identifier: AGPL-3.0-or-later
"""The wall at the end of every command: what went wrong leaves as words and a status."""

import importlib
import os
import sys
from collections.abc import Callable

from haoya.cli.view import ERROR, View
from haoya.cli.words import say
from haoya.core.errors import ConfigError, HaoyaError

INTERRUPTED = 130
"""128 and the number of SIGINT, as shells count."""


def guarded(view: View, command: Callable[[], int]) -> int:
    """The status of `command`. No traceback is shown unless HAOYA_DEBUG is 1."""
    try:
        return command()
    except HaoyaError as error:
        _trace()
        cure = error.cure if isinstance(error, ConfigError) else ""
        view.complain(str(error), cure, kind=type(error).__name__)
        return ERROR
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader left. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except OSError as error:
        _trace()
        view.complain(say("system", error=error), kind="OSError")
        return ERROR


def _trace() -> None:
    if os.environ.get("HAOYA_DEBUG") == "1":
        importlib.import_module("traceback").print_exc()
