# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the machine has to give: memory as this process may use it, and graphics memory."""

import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from haoya.core.message import Word
from haoya.inference import surroundings

ASK_SECONDS = 5
_PROC = Path("/proc")
_CGROUPS = Path("/sys/fs/cgroup")


class Gpu(Word, frozen=True, kw_only=True):
    """A graphics processor and its memory in bytes."""

    name: str
    memory: int
    free: int


class Machine(Word, frozen=True, kw_only=True):
    """Memory in bytes: all there is, and what a new process can take without pushing others
    out. `limit` names what keeps it below the machine's own, if anything does."""

    memory: int
    available: int
    limit: str = ""
    gpus: tuple[Gpu, ...] = ()


def examine() -> Machine:
    """This machine as it is now."""
    if sys.platform == "linux":
        memory, available, limit = linux_memory()
    elif sys.platform == "darwin":
        memory, available, limit = *_darwin_memory(), ""
    else:
        memory, available, limit = *_windows_memory(), ""
    return Machine(memory=memory, available=available, limit=limit, gpus=_gpus())


def linux_memory(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> tuple[int, int, str]:
    """Memory, what of it is available, and the name of the limit that says so.

    `MemTotal` and `MemAvailable` (proc_meminfo(5)), and the least of the control groups this
    process is in (`memory.max`, `memory.current` and `memory.stat` of version 2, their older
    names of version 1; the kernel's `admin-guide/cgroup-v2`). File pages count as available.
    """
    sizes = dict(re.findall(r"(\w+):\s+(\d+) kB", (proc / "meminfo").read_text()))
    memory = int(sizes["MemTotal"]) * 1024
    available = int(sizes.get("MemAvailable", sizes["MemTotal"])) * 1024
    limit = ""
    for folder in _groups(proc, cgroups):
        most = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        if most is None or most >= memory:
            continue
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
        free = most - max(0, used - _file_pages(folder / "memory.stat"))
        memory = min(memory, most)
        if free < available:
            available, limit = max(0, free), "cgroup"
    return memory, available, limit


def _groups(proc: Path, cgroups: Path) -> list[Path]:
    """The folders of this process's control groups, from its own up to the root."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    found: list[Path] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        root = cgroups / "memory" if controllers else cgroups
        own = root / path.lstrip("/")
        found += [own, *(parent for parent in own.parents if parent.is_relative_to(root))]
    return found


def _number(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _file_pages(stat: Path) -> int:
    """Pages of files, which the kernel gives back when it is asked for memory."""
    try:
        rows = dict(line.split()[:2] for line in stat.read_text().splitlines() if " " in line)
    except OSError:
        return 0
    return sum(int(rows.get(name, 0)) for name in ("inactive_file", "active_file"))


def _darwin_memory() -> tuple[int, int]:
    """`hw.memsize`, and the pages vm_stat(1) calls free, inactive, speculative and purgeable."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    told = _ask("/usr/bin/vm_stat")
    size = re.search(r"page size of (\d+) bytes", told)
    pages = re.findall(r"Pages (?:free|inactive|speculative|purgeable):\s+(\d+)", told)
    if not size or not pages:
        return memory, memory // 2
    return memory, min(memory, int(size[1]) * sum(map(int, pages)))


class _MemoryStatus(ctypes.Structure):
    """`MEMORYSTATUSEX` of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        *((name, ctypes.c_uint64) for name in ("total", "free", "b", "c", "d", "e", "f")),
    )


def _windows_memory() -> tuple[int, int]:
    status = _MemoryStatus()
    status.length = ctypes.sizeof(status)
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009  (no such name elsewhere)
    kernel.GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.total), int(status.free)


def _gpus() -> tuple[Gpu, ...]:
    """What `nvidia-smi` names, where it is installed; other makers' are not looked for."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    told = _ask(
        program, "--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"
    )
    return gpus_in(told)


def gpus_in(told: str) -> tuple[Gpu, ...]:
    """The processors in nvidia-smi's comma-separated lines (sizes in MiB).

    >>> gpus_in("NVIDIA X, 1024, 1000\\nnonsense")
    (Gpu(name='NVIDIA X', memory=1073741824, free=1048576000),)
    """
    rows = re.findall(r"^(.+?), (\d+), (\d+)\s*$", told, re.MULTILINE)
    return tuple(
        Gpu(name=name, memory=int(total) << 20, free=int(free) << 20) for name, total, free in rows
    )


def _ask(*command: str) -> str:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=ASK_SECONDS,
            check=False,
            env=surroundings.running(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
