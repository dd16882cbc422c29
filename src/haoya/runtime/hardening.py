# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a process that holds secrets does for itself: no core dumps, no looking in from outside."""

import ctypes
import os
import sys

try:
    import resource
except ImportError:  # Windows
    resource = None

PR_SET_DUMPABLE = 4


def shield() -> None:
    """No core file of this process is written, and no other process of the same user can attach to
    it or read its memory and environment (prctl(2), PR_SET_DUMPABLE).

    A program that it starts can again, once it has been executed.
    """
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def take_variable(name: str, *, keep: bool = False) -> str | None:
    """The value of an environment variable, which is then gone from this process unless `keep`.

    What a process was started with stays readable in /proc/PID/environ even when it forgets the
    variable; so the bytes themselves are overwritten.
    """
    value = os.environ.get(name)
    if value is None or keep:
        return value
    if sys.platform != "win32":
        _wipe(os.fsencode(name))
    del os.environ[name]
    return value


def _wipe(name: bytes) -> None:
    getenv = ctypes.CDLL(None).getenv
    getenv.restype = ctypes.c_void_p
    getenv.argtypes = [ctypes.c_char_p]
    place = getenv(name)
    if place:
        ctypes.memset(place, ord("x"), len(ctypes.string_at(place)))
