# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a process gives up for good before a program takes its place: capabilities, new privileges,
files (Landlock), and resources (rlimits).

Landlock: Documentation/userspace-api/landlock.rst of the kernel; an access right is handled from
the ABI on that knows it.
"""

import contextlib
import os
import resource
import stat
import struct

from haoya.sandbox import kernel
from haoya.sandbox.kernel import call, prctl

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
TRUNCATE, IOCTL = 1 << 14, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
_FIRST = (1 << 13) - 1
_SINCE = {2: 1 << 13, 3: TRUNCATE, 5: IOCTL}
"""Rights by the ABI that brought them: refer, truncate, ioctl on devices."""
ALL = _FIRST | sum(_SINCE.values())
WRITE = ALL & ~(IOCTL | 1 << 6 | 1 << 11)
"""All but devices: no ioctl on them, none made (character, block)."""
_FOR_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL

_TCP = 3
"""Bind and connect."""
_SCOPES = 3
"""Abstract Unix sockets, signals."""

LAST_CAPABILITY = 63
FILES = 4096


def landlock_abi() -> int:
    """The version the kernel speaks, 0 where it has none or it is switched off."""
    try:
        return call("landlock_create_ruleset", None, 0, 1)
    except OSError:
        return 0


class Landlock:
    """A set of rules; what is not allowed is refused once it is `enforce`d."""

    def __init__(self, *, ports: tuple[int, ...] = ()) -> None:
        abi = landlock_abi()
        handled = _FIRST | sum(right for since, right in _SINCE.items() if abi >= since)
        net = _TCP if abi >= 4 else 0
        words = struct.pack("=QQQ", handled, net, _SCOPES if abi >= 6 else 0)
        words = words[: 8 if abi < 4 else 16 if abi < 6 else 24]
        self._handled = handled
        self._set = call("landlock_create_ruleset", words, len(words), 0)
        for port in ports if net else ():
            call("landlock_add_rule", self._set, 2, struct.pack("=QQ", 2, port), 0)

    def allow(self, path: str, rights: int) -> None:
        """Allow rights on a path and all below it, if it is there."""
        with contextlib.suppress(FileNotFoundError, PermissionError):
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                if not stat.S_ISDIR(os.fstat(place).st_mode):
                    rights &= _FOR_FILES
                rule = struct.pack("=Qi", rights & self._handled, place)
                call("landlock_add_rule", self._set, 1, rule, 0)
            finally:
                os.close(place)

    def enforce(self) -> None:
        """From here on; needs no_new_privs."""
        call("landlock_restrict_self", self._set, 0)
        os.close(self._set)


def give_up_privileges() -> None:
    """No capability is left, none can come back, not by a setuid program either."""
    for capability in range(LAST_CAPABILITY + 1):
        try:
            prctl(kernel.PR_CAPBSET_DROP, capability)
        except OSError:  # past the last that this kernel knows, or we never had the right to
            break
    prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_CLEAR_ALL, check=False)
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3
    call("capset", header, bytes(24))
    prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def limit(*, memory: int, file: int, processes: int) -> None:
    """The kernel's own bounds. It does not count root's processes; a keeper does."""
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: file,
        resource.RLIMIT_DATA: memory,
        resource.RLIMIT_NOFILE: FILES,
        resource.RLIMIT_MEMLOCK: 1 << 20,
        resource.RLIMIT_NPROC: processes,
    }
    for name, most in wanted.items():
        hard = resource.getrlimit(name)[1]
        lower = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(name, (lower, lower))
