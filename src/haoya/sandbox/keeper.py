# SPDX-License-Identifier: AGPL-3.0-or-later
"""What stands over one program: builds what it sees, starts it, watches its bounds, ends it all.

In namespaces it is process 1 of its own: whatever the program started dies with it, and the
kernel kills it when the zygote is gone. It ends as well when its line to the daemon does.
"""

import contextlib
import os
import resource
import select
import signal
import socket
import struct
import time
from fcntl import ioctl

from haoya.sandbox import kernel
from haoya.sandbox.descendants import Tree
from haoya.sandbox.kernel import prctl
from haoya.sandbox.order import PROXY_PORT, News, Order
from haoya.sandbox.program import become
from haoya.sandbox.root import Missing, build

OFTEN, SELDOM = 0.05, 0.2
"""Seconds between two looks at what a program takes, near its bound and far from it."""

GLANCE = 0.01
"""Seconds between two glances at the number of processes, where the kernel does not bound it."""

_SIOCSIFFLAGS, _UP_AND_RUNNING = 0x8914, 0x41


class Keeper:
    """One program's keeper, after the fork."""

    def __init__(self, control: socket.socket, streams: list[int], clones: list[int]) -> None:
        self._control, self._streams, self._clones = control, streams, clones
        self._order = Order.decode(_line(control))
        self._tree = Tree(inside=self._order.level == "namespaces")

    def serve(self) -> None:
        """Start the program, watch it, end it, tell how it ended."""
        try:
            child, fault = self._start()
        except Missing as error:
            return self._say(News("missing", str(error)))
        except OSError as error:
            return self._say(News("unable", f"{error.filename or 'start'}: {error.strerror}"))
        if fault:
            return self._say(fault)
        self._say(News("started"))
        bound = self._watch(child)
        self._tree.end()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        status = self._tree.ended.get(child, -signal.SIGKILL)
        return self._say(News("ended", "", status, bound, used.ru_utime + used.ru_stime))

    def _start(self) -> tuple[int, News | None]:
        """The program's process, and why it is not one."""
        if self._tree.inside:
            prctl(kernel.PR_SET_DUMPABLE, 0)  # nobody inside may look into us
            build(self._order, self._clones)
        else:
            prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
            signal.signal(signal.SIGTERM, self._orphaned)
        if self._tree.unbounded:
            with contextlib.suppress(OSError):  # thousands may run before our next turn
                kind = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
                os.sched_setscheduler(0, kind, os.sched_param(1))
        if self._order.egress:
            self._listen()
        ready, tell = os.pipe()
        child = os.fork()
        if not child:
            become(self._order, self._streams, tell)
        self._tree.group = child
        os.close(tell)
        for fd in (*self._streams, *self._clones):
            os.close(fd)
        with os.fdopen(ready, "rb") as pipe:
            said = pipe.read()
        return child, News.decode(said) if said else None

    def _watch(self, child: int) -> str:
        """Wait for the program's end, the daemon's word or a bound; the bound's name."""
        poll = select.poll()
        poll.register(self._control.fileno(), select.POLLIN)
        poll.register(os.pidfd_open(child), select.POLLIN)
        pause, look_at = OFTEN, 0.0
        while True:
            wait = min(pause, GLANCE) if self._tree.unbounded else pause
            told = [fd for fd, _ in poll.poll(wait * 1000)]
            self._tree.reap()
            if child in self._tree.ended or self._control.fileno() in told:
                return ""
            now = time.monotonic()
            if now < look_at and not self._tree.grew(self._order.processes):
                continue
            if bound := self._tree.beyond(self._order.memory, self._order.processes):
                return bound
            pause = OFTEN if self._tree.used > self._order.memory / 4 else SELDOM
            look_at = now + pause * 0.9

    def _orphaned(self, *_: object) -> None:
        """The zygote is gone: as if the daemon had said so."""
        self._control.shutdown(socket.SHUT_RD)

    def _listen(self) -> None:
        """A loopback with one port on it; who listens there is the daemon, outside."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _UP_AND_RUNNING))
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.bind(("127.0.0.1", PROXY_PORT))
            listener.listen()
            socket.send_fds(self._control, [News("listening").encode()], [listener.fileno()])

    def _say(self, news: News) -> None:
        with contextlib.suppress(BrokenPipeError):  # the daemon does not listen any more
            self._control.sendall(news.encode())


def _line(control: socket.socket) -> bytes:
    read = bytearray()
    while not read.endswith(b"\n"):
        piece = control.recv(65536)
        if not piece:
            raise OSError(0, "no order came", "order")
        read += piece
    return bytes(read)
