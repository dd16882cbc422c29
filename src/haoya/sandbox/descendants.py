# SPDX-License-Identifier: AGPL-3.0-or-later
"""All processes that a program started: what they take, and their end."""

import contextlib
import os
import signal
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


class Tree:
    """The processes below this one. `inside` of a process namespace these are all there are."""

    def __init__(self, *, inside: bool) -> None:
        self.inside = inside
        self.unbounded = not inside and os.geteuid() == 0
        """The kernel bounds the number of everybody's processes but root's."""
        self.group = self._tasks = 0
        self.used = 0
        self.ended: dict[int, int] = {}

    def beyond(self, memory: int, processes: int) -> str:
        """The bound that is passed, if any: bytes of memory, number of processes."""
        pids = self.pids()
        self._tasks = _tasks() if self.unbounded else 0
        if not self.inside and len(pids) > processes:
            return "processes"  # in namespaces the kernel itself refuses more
        self.used = sum(map(_resident, pids)) + self._files()
        if self.used > memory:  # pages that several share were counted several times
            self.used = sum(map(_proportional, pids)) + self._files()
        return "memory" if self.used > memory else ""

    def grew(self, processes: int) -> bool:
        """Whether the machine has so many more tasks than at the last look: cheap to ask."""
        return self.unbounded and _tasks() > self._tasks + processes

    def pids(self) -> list[int]:
        """Everyone but this process itself."""
        with os.scandir("/proc") as entries:
            everyone = [int(entry.name) for entry in entries if entry.name.isdigit()]
        if self.inside:
            return [pid for pid in everyone if pid != 1]
        parents = {pid: _parent(pid) for pid in everyone}
        known = {os.getpid()}
        while more := {pid for pid, parent in parents.items() if parent in known} - known:
            known |= more
        return sorted(known - {os.getpid()})

    def reap(self) -> bool:
        """Take note of who has ended; whether anybody is left."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return True
                self.ended[pid] = os.waitstatus_to_exitcode(status)
        return False

    def end(self) -> None:
        """Kill everyone; returns when nobody is left."""
        while self.reap():
            if self.inside:
                os.kill(-1, signal.SIGKILL)
            elif self.group:
                self._kill()
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(-1, 0)
                self.ended[pid] = os.waitstatus_to_exitcode(status)

    def _kill(self) -> None:
        """First the program's own group, at one blow; then whoever has left it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, signal.SIGKILL)
        for number in (signal.SIGSTOP, signal.SIGKILL):  # who is stopped starts nobody else
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)

    def _files(self) -> int:
        """Bytes of files in memory."""
        if not self.inside:
            return 0
        room = os.statvfs("/dev/shm")
        return (room.f_blocks - room.f_bfree) * room.f_frsize


def _tasks() -> int:
    """All tasks of the machine (proc_loadavg(5))."""
    return int(Path("/proc/loadavg").read_bytes().split()[3].partition(b"/")[2])


def _resident(pid: int) -> int:
    words = _read(pid, "statm").split()
    return int(words[1]) * PAGE if len(words) > 1 else 0


def _proportional(pid: int) -> int:
    for line in _read(pid, "smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _parent(pid: int) -> int:
    words = _read(pid, "stat").rpartition(")")[2].split()
    return int(words[1]) if len(words) > 1 else 0


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().decode("utf-8", "replace")
    except OSError:  # it ended meanwhile
        return ""
