# SPDX-License-Identifier: AGPL-3.0-or-later
"""The last steps before a program runs: give up everything, then become it."""

import contextlib
import errno
import os
import signal
from pathlib import Path
from typing import NoReturn

from haoya.sandbox import kernel
from haoya.sandbox.filter import FILTERS
from haoya.sandbox.kernel import prctl
from haoya.sandbox.locks import READ, WRITE, WRITE_FILE, Landlock, give_up_privileges, limit
from haoya.sandbox.order import PROXY_PORT, News, Order
from haoya.sandbox.root import DEVICES, ETC, SYSTEM

HEADROOM = 2
"""How far the kernel lets one process go beyond the bound on memory before the keeper looks."""

_CHANGED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM)
"""Ignored by Python or the zygote, or caught by the keeper."""


def become(order: Order, streams: list[int], tell: int) -> NoReturn:
    """Turn this process into the program; why that failed is written to `tell`."""
    try:
        prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setsid()
        for number in _CHANGED:  # a program inherits what is ignored
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.umask(0o022)
        for number, stream in enumerate(_above(streams)):
            os.dup2(stream, number)
        tell = os.dup2(tell, 3, inheritable=False) if tell != 3 else 3
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        limit(
            memory=order.memory * HEADROOM,
            file=order.file,
            processes=order.processes + _already(order.level),
        )
        lock(order)
        fault = _exec(order)
    except OSError as error:
        fault = News("unable", f"{error.filename or 'start'}: {error.strerror}")
    os.write(tell, fault.encode())
    os._exit(127)


def lock(order: Order) -> None:
    """Privileges, files, system calls: nothing of it comes back."""
    files = Landlock(ports=(PROXY_PORT,) if order.egress else ())
    if order.level == "namespaces":
        files.allow("/", READ)
        files.allow("/tmp", READ | WRITE)
        files.allow("/dev/shm", READ | WRITE)
        places = [(one.at, one.writable) for one in order.mounts]
    else:
        for path in (*SYSTEM, *(f"/etc/{name}" for name in ETC), f"/proc/{os.getpid()}"):
            files.allow(path, READ)
        places = [(one.path, one.writable) for one in order.mounts]
    for path, writable in places:
        files.allow(path, READ | (WRITE if writable else 0))
    for name in DEVICES:
        files.allow(f"/dev/{name}", READ | WRITE_FILE)
    give_up_privileges()
    files.enforce()
    FILTERS[order.egress].install()


def _already(level: str) -> int:
    """How many count against the kernel's bound on processes before the program starts one: in a
    user namespace its keeper, else all tasks of this user's."""
    if level == "namespaces":
        return 1
    mine, count = os.geteuid(), 0
    with os.scandir("/proc") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and entry.stat().st_uid == mine:
                    count += Path(entry.path, "task").stat().st_nlink - 2
    return count


def _exec(order: Order) -> News:
    """Become it; returns only where that cannot be."""
    try:
        os.chdir(order.folder)
    except OSError as error:
        return News("missing", f"the folder {order.folder}: {error.strerror}")
    try:
        os.execvpe(order.argv[0], order.argv, order.environment)
    except OSError as error:
        ours = error.errno in (errno.EAGAIN, errno.ENOMEM)
        kind = "unable" if ours else "missing"
        return News(kind, f"the program {order.argv[0]}: {error.strerror}")


def _above(streams: list[int]) -> list[int]:
    """The same open files, none of them at a number that is about to be taken."""
    return [os.dup(stream) if stream < 3 else stream for stream in streams]
