# SPDX-License-Identifier: AGPL-3.0-or-later
"""System calls that Python has no function for, by number.

Numbers from the kernel's own tables: arch/x86/entry/syscalls/syscall_64.tbl, and
include/uapi/asm-generic/unistd.h (used by aarch64). A test holds them against the headers of the
machine it runs on. Standard library only: the zygote imports this.
"""

import ctypes
import os
import platform
import struct

MACHINES = ("x86_64", "aarch64")
MACHINE = MACHINES.index(platform.machine()) if platform.machine() in MACHINES else -1
"""Which column of the tables is ours; -1 where we know no numbers."""

NUMBERS = {
    "clone": (56, 220),
    "pivot_root": (155, 41),
    "mount": (165, 40),
    "umount2": (166, 39),
    "capset": (126, 91),
    "seccomp": (317, 277),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "openat2": (437, 437),
    "mount_setattr": (442, 442),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
}

CLONE_NEWTIME = 0x80
CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x2000000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
MOVE_MOUNT_F_EMPTY_PATH = 4
MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NOSUID = 2
MOUNT_ATTR_NODEV = 4
MOUNT_ATTR_NOEXEC = 8
MOUNT_ATTR_IDMAP = 0x100000
FSCONFIG_SET_FLAG = 0
FSCONFIG_SET_STRING = 1
FSCONFIG_CMD_CREATE = 6
RESOLVE_NO_MAGICLINKS = 2
RESOLVE_NO_SYMLINKS = 4
RESOLVE_BENEATH = 8
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.prctl.restype = ctypes.c_int


class KernelError(OSError):
    """A system call that failed; its name is the file name of the error."""


def call(name: str, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """Call the kernel. Raises `KernelError`; `ENOSYS` on machines whose numbers we do not know."""
    if MACHINE < 0:
        raise KernelError(38, f"haoya knows no system calls of {platform.machine()}", name)
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    done = _libc.syscall(ctypes.c_long(NUMBERS[name][MACHINE]), *wide)
    if done == -1:
        number = ctypes.get_errno()
        raise KernelError(number, os.strerror(number), name)
    return done


def prctl(option: int, argument: int = 0, *, check: bool = True) -> None:
    """Set one property of this process."""
    rest = (ctypes.c_ulong(0),) * 3
    if _libc.prctl(option, ctypes.c_ulong(argument), *rest) == -1 and check:
        number = ctypes.get_errno()
        raise KernelError(number, os.strerror(number), f"prctl {option}")


def clone_tree(path: str = "", at: int = AT_FDCWD, *, recursive: bool = True) -> int:
    """A detached copy of what is mounted at a path, or at the descriptor `at` itself."""
    flags = OPEN_TREE_CLONE | os.O_CLOEXEC
    flags |= AT_RECURSIVE if recursive else 0
    flags |= 0 if path else AT_EMPTY_PATH
    return call("open_tree", at, path.encode() + b"\0", flags)


def set_mount(fd: int, attributes: int, *, userns: int = 0, recursive: bool = True) -> None:
    """Add attributes to a mount and all below it; with `userns`, map its owners through it."""
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    if userns:
        attributes |= MOUNT_ATTR_IDMAP
    words = struct.pack("=QQQQ", attributes, 0, 0, userns)
    call("mount_setattr", fd, b"\0", flags, words, len(words))


def attach(fd: int, root: int, path: str) -> None:
    """Put a detached mount at a path below the folder `root`; symlinks are not followed."""
    with Opened(root, path) as target:
        call("move_mount", fd, b"\0", target, b"\0", MOVE_MOUNT_F_EMPTY_PATH | 0x40)


def new_filesystem(kind: str, attributes: int, **options: str | None) -> int:
    """A file system of its own, detached; an option without value is a flag."""
    context = call("fsopen", kind.encode() + b"\0", 1)
    try:
        for key, value in options.items():
            name = key.encode() + b"\0"
            if value is None:
                call("fsconfig", context, FSCONFIG_SET_FLAG, name, None, 0)
            else:
                call("fsconfig", context, FSCONFIG_SET_STRING, name, value.encode() + b"\0", 0)
        call("fsconfig", context, FSCONFIG_CMD_CREATE, None, None, 0)
        return call("fsmount", context, 1, attributes)
    finally:
        os.close(context)


def open_beneath(root: int, path: str, flags: int = os.O_PATH) -> int:
    """Open a path below `root` without following a symlink anywhere on the way."""
    how = struct.pack(
        "=QQQ",
        flags | os.O_CLOEXEC,
        0,
        RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    )
    return call("openat2", root, path.encode() + b"\0", how, len(how))


class Opened:
    """`open_beneath` for the length of a block."""

    def __init__(self, root: int, path: str, flags: int = os.O_PATH) -> None:
        self._fd = open_beneath(root, path, flags)

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
