# SPDX-License-Identifier: AGPL-3.0-or-later
"""How much memory this machine has left, and whether programs already wait for it (Linux)."""

from pathlib import Path

import msgspec

FLOOR_SHARE = 0.05
"""Of all memory: with less than this left, the system begins to push out mapped weights, and
every token then waits for the disk."""

FLOOR_LEAST = 192 * 2**20
FLOOR_MOST = 2**30


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes in all and available; `stalled` is the per cent of the last ten seconds in which
    every program waited for memory (kernel: Documentation/accounting/psi)."""

    total: int
    available: int
    stalled: float = 0.0

    @property
    def floor(self) -> int:
        """What should stay available where the owner has said nothing.

        >>> Memory(total=8 * 2**30, available=0).floor // 2**20
        409
        """
        return max(FLOOR_LEAST, min(FLOOR_MOST, int(self.total * FLOOR_SHARE)))


def read_memory(root: Path = Path("/")) -> Memory | None:
    """The memory of this machine, or of the container we are in where that has less; None where
    the system does not tell. `root` is where `proc` and `sys` are."""
    try:
        lines = (root / "proc/meminfo").read_text("ascii").splitlines()
        fields = {line.partition(":")[0]: line.split()[1] for line in lines if ":" in line}
        total, available = int(fields["MemTotal"]) * 1024, int(fields["MemAvailable"]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        return None
    limit = _number(root / "sys/fs/cgroup/memory.max")
    used = _number(root / "sys/fs/cgroup/memory.current")
    if limit is not None and used is not None and limit < total:
        total, available = limit, min(available, limit - used + _mapped(root))
    return Memory(total=total, available=max(0, available), stalled=_stalled(root))


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text("ascii"))
    except (OSError, ValueError):  # `max` where there is no limit
        return None


def _mapped(root: Path) -> int:
    """Bytes of a container's page cache that can be had back at once."""
    try:
        lines = (root / "sys/fs/cgroup/memory.stat").read_text("ascii").splitlines()
        return next((int(x.split()[1]) for x in lines if x.startswith("inactive_file ")), 0)
    except (OSError, ValueError, IndexError):
        return 0


def _stalled(root: Path) -> float:
    try:
        for line in (root / "proc/pressure/memory").read_text("ascii").splitlines():
            if line.startswith("full "):
                return float(line.partition("avg10=")[2].split()[0])
    except (OSError, ValueError, IndexError):
        pass
    return 0.0
