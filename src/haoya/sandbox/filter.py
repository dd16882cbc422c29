# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which system calls a program may make: a seccomp filter, assembled by hand.

Ordinary work is allowed. Refused are the calls that reach into other processes, change what is
mounted or who one is, load code into the kernel, or open one of its large and seldom needed
parts; sockets are refused but for what is asked for. Calls newer than `CEILING` do not exist here:
nobody has judged them. Numbers as in `kernel`.
"""

import ctypes
import errno
import struct

from haoya.sandbox.kernel import MACHINE, call

REFUSED: dict[str, tuple[int, int]] = {
    # into other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438), "kcmp": (312, 272), "process_madvise": (440, 440),
    "perf_event_open": (298, 241),
    # large parts of the kernel that programs do without
    "bpf": (321, 280), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "keyctl": (250, 219),
    "add_key": (248, 217), "request_key": (249, 218), "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263), "lookup_dcookie": (212, 18), "nfsservctl": (180, 42),
    # what is mounted, and files by other ways than their names
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "move_mount": (429, 429), "open_tree": (428, 428), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    # namespaces
    "setns": (308, 268), "unshare": (272, 97),
    # the machine as a whole
    "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "acct": (163, 89),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "iopl": (172, -1),
    "ioperm": (173, -1), "modify_ldt": (154, -1), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    "sethostname": (170, 161), "setdomainname": (171, 162), "syslog": (103, 116),
    "vhangup": (153, 58), "migrate_pages": (256, 238), "move_pages": (279, 239),
    "uselib": (134, -1), "ustat": (136, -1), "sysfs": (139, -1), "_sysctl": (156, -1),
    "create_module": (174, -1), "get_kernel_syms": (177, -1), "query_module": (178, -1),
    # memory that belongs to no process, and so escapes the bound on memory
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "mq_open": (240, 180), "mq_unlink": (241, 181), "mq_timedsend": (242, 182),
    "mq_timedreceive": (243, 183), "mq_notify": (244, 184), "mq_getsetattr": (245, 185),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "shmdt": (67, 197),
    "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191), "semtimedop": (220, 192),
    "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187),
}  # fmt: skip

JUDGED: dict[str, tuple[int, int]] = {
    "clone": (56, 220), "clone3": (435, 435), "socket": (41, 198), "socketpair": (53, 199),
    "ioctl": (16, 29), "personality": (135, 92),
}  # fmt: skip
"""Calls that are allowed or refused by their arguments."""

CEILING = 456
"""futex_requeue (Linux 6.7), the newest call that was looked at."""

ARCHITECTURE = (0xC000003E, 0xC00000B7)
"""AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64 of linux/audit.h."""

_NAMESPACES = 0x7E020000
"""All CLONE_NEW* that clone(2) takes."""
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_AF_UNIX, _AF_INET = 1, 2
_SOCK_STREAM, _SOCK_TYPE = 1, 0xF

# linux/bpf_common.h, linux/seccomp.h
_LOAD, _AND, _EQUAL, _GREATER, _ANY, _RETURN = 0x20, 0x54, 0x15, 0x25, 0x45, 0x06
_ALLOW, _ERROR, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16

Step = tuple[int, int, int, int]


def program(*, loopback: bool, machine: int = MACHINE) -> bytes:
    """The filter as the kernel's array of `struct sock_filter`.

    With `loopback` TCP sockets may be made; where they lead is not for a filter to say.
    """
    steps: list[Step] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, ARCHITECTURE[machine]),
        (_RETURN, 0, 0, _KILL),  # calls in another dialect would be other calls
        (_LOAD, 0, 0, _NUMBER_AT),
        (_GREATER, 0, 1, CEILING),
        _refuse(errno.ENOSYS),
    ]
    for name, judged in _judgements(loopback).items():
        steps += [(_EQUAL, 0, len(judged), JUDGED[name][machine]), *judged]
    for numbers in REFUSED.values():
        if numbers[machine] >= 0:
            steps += [(_EQUAL, 0, 1, numbers[machine]), _refuse(errno.EPERM)]
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def _judgements(loopback: bool) -> dict[str, list[Step]]:
    """Blocks that each end in a verdict. Arguments are compared by their low 32 bits, as the
    kernel itself reads those that are ints."""
    sockets = [_refuse(errno.EAFNOSUPPORT)]
    if loopback:
        sockets = [
            *(_argument(0), (_EQUAL, 1, 0, _AF_INET), _refuse(errno.EAFNOSUPPORT)),
            *(_argument(1), (_AND, 0, 0, _SOCK_TYPE), (_EQUAL, 1, 0, _SOCK_STREAM)),
            _refuse(errno.EAFNOSUPPORT),
            *(_argument(2), (_EQUAL, 2, 0, 0), (_EQUAL, 1, 0, 6), _refuse(errno.EPERM)),
            _allow(),
        ]
    return {
        "clone": [_argument(0), (_ANY, 0, 1, _NAMESPACES), _refuse(errno.EPERM), _allow()],
        "clone3": [_refuse(errno.ENOSYS)],  # its flags lie in memory; libc then calls clone
        "socket": sockets,
        "socketpair": [
            *(_argument(0), (_EQUAL, 1, 0, _AF_UNIX), _refuse(errno.EAFNOSUPPORT), _allow())
        ],
        "ioctl": [
            *(_argument(1), (_EQUAL, 1, 0, _TIOCSTI), (_EQUAL, 0, 1, _TIOCLINUX)),
            *(_refuse(errno.EPERM), _allow()),
        ],
        "personality": [
            *(_argument(0), (_EQUAL, 2, 0, 0), (_EQUAL, 1, 0, 0xFFFFFFFF)),
            *(_refuse(errno.EPERM), _allow()),
        ],
    }


def _argument(number: int) -> Step:
    return (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * number)  # both machines are little-endian


def _refuse(error: int) -> Step:
    return (_RETURN, 0, 0, _ERROR | error)


def _allow() -> Step:
    return (_RETURN, 0, 0, _ALLOW)


class Loaded:
    """A filter in memory, as seccomp(2) wants it: a `struct sock_fprog`."""

    def __init__(self, code: bytes) -> None:
        self._code = ctypes.create_string_buffer(code, len(code))
        self._words = struct.pack("=H6xQ", len(code) // 8, ctypes.addressof(self._code))

    def install(self) -> None:
        """Put it on this process and all that it starts; never to be taken off."""
        call("seccomp", 1, 0, self._words)


FILTERS = {loopback: Loaded(program(loopback=loopback)) for loopback in (False, True)}
"""Both, made once: whoever is forked has them."""
