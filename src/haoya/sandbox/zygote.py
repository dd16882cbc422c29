# SPDX-License-Identifier: AGPL-3.0-or-later
"""A small process that forks keepers for the daemon.

It was started from nothing, so no keeper inherits anything of the daemon's: no memory, no secrets,
no files, no threads. One thread, standard library only, and all of it imported beforehand: a keeper
cannot see the library any more. It ends with its socket.
"""

import array
import contextlib
import gc
import os
import signal
import socket
import sys
from pathlib import Path
from typing import NoReturn

from haoya.sandbox import kernel
from haoya.sandbox.keeper import Keeper
from haoya.sandbox.kernel import call, prctl
from haoya.sandbox.order import ME, MOUNTS, News
from haoya.sandbox.root import lend

NOBODY = 65534
"""Who programs of a root daemon are, outside."""

APART = (
    kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP
)  # fmt: skip

HEADER = 2 + MOUNTS
"""Bytes: 1 for namespaces, how many mounts, then 1 for each writable one."""


class Zygote:
    """Forks until its socket closes."""

    def __init__(self, orders: socket.socket) -> None:
        self._orders = orders
        self._root = os.geteuid() == 0 and _known(NOBODY)
        self._owner = -1

    def serve(self) -> None:
        """Serve orders one after the other."""
        while order := self._receive():
            header, fds = order
            with socket.socket(fileno=fds[0]) as control:
                try:
                    self._fork(header, control, fds[1:])
                except OSError as error:
                    text = f"{error.filename or 'fork'}: {error.strerror}"
                    with contextlib.suppress(OSError):
                        control.sendall(News("unable", text).encode())
            for fd in fds[1:]:
                os.close(fd)

    def _receive(self) -> tuple[bytes, list[int]] | None:
        size = array.array("i").itemsize
        header, ancillary, *_ = self._orders.recvmsg(HEADER, socket.CMSG_SPACE((MOUNTS + 4) * size))
        if len(header) < HEADER:
            return None
        fds = array.array("i")
        for _, _, data in ancillary:
            fds.frombytes(data[: len(data) - len(data) % size])
        for fd in fds:
            os.set_inheritable(fd, False)
        return header, list(fds)

    def _fork(self, header: bytes, control: socket.socket, fds: list[int]) -> None:
        apart = header[0] == 1
        clones: list[int] = []
        try:
            if apart and self._root:
                self._owner = self._owner if self._owner >= 0 else _mapping()
                for fd, writable in zip(fds[3:], header[2:], strict=False):
                    clones.append(lend(fd, self._owner, writable=bool(writable)))
            go, let_go = os.pipe()
            # A plain fork but for the flags; one thread lives here, so nothing is torn in two.
            pid = call("clone", (APART if apart else 0) | signal.SIGCHLD, 0, 0, 0, 0)
            if pid == 0:
                os.close(let_go)
                self._keep(go, control, fds[:3], clones, apart=apart)
            os.close(go)
            try:
                if apart:
                    self._map(pid)
                os.write(let_go, b"!")
            finally:
                os.close(let_go)
        finally:
            for clone in clones:
                os.close(clone)

    def _map(self, pid: int) -> None:
        """Say who `ME` in the new user namespace is outside: this user, or nobody for root."""
        user, group = (NOBODY, NOBODY) if self._root else (os.geteuid(), os.getegid())
        if not self._root:
            _write(f"/proc/{pid}/setgroups", "deny")
        _write(f"/proc/{pid}/gid_map", f"{ME} {group} 1")
        _write(f"/proc/{pid}/uid_map", f"{ME} {user} 1")

    def _keep(
        self, go: int, control: socket.socket, streams: list[int], clones: list[int], *, apart: bool
    ) -> NoReturn:
        status = 1
        try:
            self._orders.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if os.read(go, 1):  # else the zygote died or failed meanwhile
                if apart:
                    if self._root:
                        os.setgroups([])
                    os.setresgid(ME, ME, ME)
                    os.setresuid(ME, ME, ME)
                # In namespaces a keeper's death is everyone's; elsewhere it must end them first.
                prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL if apart else signal.SIGTERM)
                Keeper(control, streams, clones).serve()
                status = 0
        finally:  # whatever happens, this process never goes on as a second zygote
            if fault := sys.exc_info()[1]:
                sys.__excepthook__(type(fault), fault, fault.__traceback__)
            os._exit(status)


def _known(user: int) -> bool:
    """Whether there is such a user where we are: root of a container may be the only one."""
    lines = Path("/proc/self/uid_map").read_text("ascii").splitlines()
    spans = [tuple(map(int, line.split())) for line in lines]
    return any(first <= user < first + count for first, _, count in spans)


def _mapping() -> int:
    """A user namespace in which root's files are nobody's: the descriptor that mounts are mapped
    through. Made by a child that lives only so long."""
    go, let_go = os.pipe()
    pid = call("clone", kernel.CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os.close(let_go)
        os.read(go, 1)
        os._exit(0)
    try:
        _write(f"/proc/{pid}/gid_map", f"0 {NOBODY} 1")
        _write(f"/proc/{pid}/uid_map", f"0 {NOBODY} 1")
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
    finally:
        os.close(go)
        os.close(let_go)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def main() -> None:
    """Live as the zygote of whoever holds the other end of the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps keepers
    gc.collect()
    gc.freeze()
    gc.disable()
    Zygote(socket.socket(fileno=int(sys.argv[-1]))).serve()
