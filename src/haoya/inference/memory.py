# SPDX-License-Identifier: AGPL-3.0-or-later
"""How much memory is left just now, and whether programs already wait for it (Linux)."""

from pathlib import Path

from haoya.core.message import Word
from haoya.inference.machine import linux_memory

FLOOR_SHARE = 0.05
"""Of all memory: with less than this left, the system begins to push out mapped weights, and
every token then waits for the disk."""

FLOOR_LEAST = 192 * 2**20
FLOOR_MOST = 2**30


class Memory(Word, frozen=True, kw_only=True):
    """Bytes in all and available; `stalled` is the per cent of the last ten seconds in which
    every program waited for memory (the kernel's `accounting/psi`)."""

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
    """The memory we may use; None where the system does not tell at once. `root` is where `proc`
    and `sys` are."""
    try:
        total, available, _ = linux_memory(root / "proc", root / "sys/fs/cgroup")
    except (OSError, KeyError):
        return None
    return Memory(total=total, available=available, stalled=_stalled(root / "proc"))


def _stalled(proc: Path) -> float:
    try:
        for line in (proc / "pressure/memory").read_text("ascii").splitlines():
            if line.startswith("full "):
                return float(line.partition("avg10=")[2].split()[0])
    except (OSError, ValueError, IndexError):  # an older kernel, or no leave to look
        pass
    return 0.0
