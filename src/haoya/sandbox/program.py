# SPDX-License-Identifier: AGPL-3.0-or-later
"""The last steps before a program runs: give up everything, then become it."""

import os
import signal
from typing import NoReturn

from haoya.sandbox import filter as seccomp
from haoya.sandbox.locks import READ, WRITE, WRITE_FILE, Landlock, give_up_privileges, limit
from haoya.sandbox.order import PROXY_PORT, News, Order
from haoya.sandbox.root import DEVICES, ETC, SYSTEM

HEADROOM = 2
"""How far the kernel lets one process go beyond the bound on memory before the keeper looks."""


def become(order: Order, streams: list[int], tell: int) -> NoReturn:
    """Turn this process into the program; why that failed is written to `tell`."""
    try:
        os.setsid()
        for number in signal.valid_signals():
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, signal.SIG_DFL)  # Python ignores two, and programs inherit it
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.umask(0o022)
        for number, stream in enumerate(_above(streams)):
            os.dup2(stream, number)
        tell = os.dup2(tell, 3, inheritable=False) if tell != 3 else 3
        os.closerange(4, os.sysconf("SC_OPEN_MAX"))
        _enter(order)
        limit(
            memory=order.memory * HEADROOM,
            file=order.file,
            processes=order.processes + 1 if order.level == "namespaces" else 0,
        )
        lock(order)
        os.execvpe(order.argv[0], order.argv, order.environment)
    except FileNotFoundError as error:
        fault = News("missing", f"{error.filename or order.argv[0]}: {error.strerror}")
    except (NotADirectoryError, PermissionError) as error:
        fault = News("missing", f"{error.filename or order.argv[0]}: {error.strerror}")
    except OSError as error:
        fault = News("unable", f"{error.filename or order.argv[0]}: {error.strerror}")
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
    code = seccomp.Loaded(seccomp.program(loopback=order.egress))
    give_up_privileges()
    files.enforce()
    seccomp.install(code)


def _enter(order: Order) -> None:
    try:
        os.chdir(order.folder)
    except OSError as error:
        raise FileNotFoundError(error.errno, error.strerror, order.folder) from error


def _above(streams: list[int]) -> list[int]:
    """The same open files, none of them at a number that is about to be taken."""
    return [os.dup(stream) if stream < 3 else stream for stream in streams]
