# SPDX-License-Identifier: AGPL-3.0-or-later
"""The files a program sees: a new root made of what is lent and of nothing else.

Runs in a keeper, in namespaces of its own. Everything is an allow list: the root is empty, and
things are put into it one by one. Sources are mounts held by descriptor, so nothing can be
exchanged between the look at a path and its use; targets are opened without following symlinks.
Needs open_tree(2), mount_setattr(2) and fsopen(2): Linux 5.12.
"""

import contextlib
import os
import stat
from pathlib import Path

from haoya.sandbox import kernel
from haoya.sandbox.kernel import Opened, attach, call, clone_tree, new_filesystem, set_mount
from haoya.sandbox.order import ME, Lent, Order

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
"""Where the system's programs are; every user of the machine may read them."""

ETC = (
    "alternatives", "crypto-policies", "fonts", "ld.so.cache", "localtime", "pki/ca-trust",
    "pki/tls/certs", "ssl/certs", "ssl/openssl.cnf",
)  # fmt: skip
"""The little of /etc that programs need: no accounts, no host names, no keys."""

WRITTEN = {
    "passwd": f"user:x:{ME}:{ME}::/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n",
    "group": f"user:x:{ME}:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "resolv.conf": "",
}
"""Files of /etc that are ours."""

DEVICES = ("full", "null", "random", "urandom", "zero")
LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
CLOSED = ("/proc", "/dev", "/sys")
"""Nothing can be lent below these."""

READ_ONLY = kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV
PRIVATE = kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV


class Missing(Exception):
    """A path that a program was to be lent, or a place to put it, is not there."""


def build(order: Order, clones: list[int]) -> None:
    """Make the root and move into it; nothing of the old one can be reached afterwards.

    `clones` are the lent mounts where the zygote had to make them, else empty.
    """
    call("mount", None, b"/\0", None, kernel.MS_REC | kernel.MS_PRIVATE, None)
    lent = clones or [_clone(one) for one in order.mounts]
    system = {path: _tree(path) for path in SYSTEM}
    etc = {name: _tree(f"/etc/{name}") for name in ETC}
    devices = {name: clone_tree(f"/dev/{name}") for name in DEVICES}
    base = new_filesystem("tmpfs", PRIVATE, size="1m", nr_inodes="4k", mode="0755")
    call("move_mount", base, b"\0", kernel.AT_FDCWD, b"/tmp\0", kernel.MOVE_MOUNT_F_EMPTY_PATH)
    _system(base, system)
    _etc(base, etc)
    _scratch(base, order.memory)
    ours = {os.stat(name, dir_fd=base).st_dev for name in (".", "tmp")}
    _devices(base, devices)
    _processes(base)
    for one, mount in sorted(zip(order.mounts, lent, strict=True), key=lambda pair: pair[0].at):
        set_mount(mount, PRIVATE if one.writable else READ_ONLY)
        attach(mount, base, _place(base, ours, one.at, mount))
    os.fchdir(base)
    call("pivot_root", b".\0", b".\0")
    call("umount2", b".\0", kernel.MNT_DETACH)  # the old root lay over the new one
    os.chdir("/")
    set_mount(base, READ_ONLY, recursive=False)
    os.close(base)


def lend(fd: int, userns: int, *, writable: bool) -> int:
    """A detached mount of what a descriptor points to, whose files' owner appears as the program.

    For the zygote of a daemon that runs as root: programs run as somebody else, and what root
    owns is theirs only through a mapped mount. What cannot be mapped can be read at most.
    """
    mount = clone_tree(at=fd)
    try:
        set_mount(mount, 0, userns=userns)
    except OSError:
        if writable:
            os.close(mount)
            raise
    return mount


def _clone(one: Lent) -> int:
    """What lies at a path now, if it is still what the daemon looked at."""
    try:
        with _opened(one.path) as fd:
            found = os.fstat(fd)
            if (found.st_dev, found.st_ino) != (one.device, one.number):
                raise Missing(f"{one.path} was exchanged for something else")
            return clone_tree(at=fd)
    except OSError as error:
        raise Missing(f"{one.path}: {error.strerror}") from error


def _opened(path: str) -> Opened:
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        return Opened(root, path.lstrip("/") or ".")
    finally:
        os.close(root)


def _tree(path: str) -> int | str | None:
    """A mount of a path, the text of a symlink, None where there is nothing."""
    try:
        if path.count("/") == 1 and Path(path).is_symlink():
            return str(Path(path).readlink())
        return clone_tree(path)
    except OSError:
        return None


def _system(base: int, trees: dict[str, int | str | None]) -> None:
    for path, tree in trees.items():
        name = path.lstrip("/")
        if isinstance(tree, str):
            os.symlink(tree, name, dir_fd=base)
        elif tree is not None:
            _folders(base, {os.fstat(base).st_dev}, name)
            set_mount(tree, READ_ONLY)
            attach(tree, base, name)
            os.close(tree)


def _etc(base: int, trees: dict[str, int | str | None]) -> None:
    os.mkdir("etc", dir_fd=base)
    for name, text in WRITTEN.items():
        fd = os.open(f"etc/{name}", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=base)
        os.write(fd, text.encode())
        os.close(fd)
    for name, tree in trees.items():
        if isinstance(tree, int):
            set_mount(tree, READ_ONLY)
            attach(tree, base, _place(base, {os.fstat(base).st_dev}, f"/etc/{name}", tree))
            os.close(tree)


def _scratch(base: int, size: int) -> None:
    """/tmp and /dev/shm: one file system in memory with one bound, gone with the program."""
    mount = new_filesystem("tmpfs", PRIVATE, size=str(size), nr_inodes="64k", mode="0700")
    for name in ("tmp", "dev", "dev/shm"):
        os.mkdir(name, dir_fd=base)
    attach(mount, base, "tmp")
    for name in ("t", "s"):
        os.mkdir(name, dir_fd=mount)
        os.chmod(name, 0o1777, dir_fd=mount)
    parts = [clone_tree("t", mount), clone_tree("s", mount)]
    call("umount2", f"/proc/self/fd/{mount}\0".encode(), kernel.MNT_DETACH)
    os.close(mount)
    for name, part in zip(("tmp", "dev/shm"), parts, strict=True):
        attach(part, base, name)
        os.close(part)


def _devices(base: int, devices: dict[str, int]) -> None:
    for name, device in devices.items():
        os.close(os.open(f"dev/{name}", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=base))
        set_mount(device, kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NOEXEC)
        attach(device, base, f"dev/{name}")
        os.close(device)
    for name, target in LINKS.items():
        os.symlink(target, f"dev/{name}", dir_fd=base)


def _processes(base: int) -> None:
    """/proc with processes alone: nothing of the kernel to read or to set."""
    os.mkdir("proc", dir_fd=base)
    attributes = PRIVATE | kernel.MOUNT_ATTR_NOEXEC
    proc = new_filesystem("proc", attributes, subset="pid", hidepid="invisible")
    attach(proc, base, "proc")
    os.close(proc)


def _place(base: int, ours: set[int], at: str, mount: int) -> str:
    """Make the place for a mount, on file systems of `ours` only; its path below the root."""
    name = at.strip("/")
    with contextlib.suppress(OSError), Opened(base, name):
        return name
    try:
        parent, _, last = name.rpartition("/")
        _folders(base, ours, parent)
        if stat.S_ISDIR(os.fstat(mount).st_mode):
            _folders(base, ours, name)
        else:
            with Opened(base, parent or ".") as folder:
                os.close(os.open(last, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder))
    except OSError as error:
        raise Missing(f"there is no place for {at}: {error.strerror}") from error
    return name


def _folders(base: int, ours: set[int], name: str) -> None:
    """Make a folder and those above it, following no symlink, on file systems of our own only."""
    here = os.dup(base)
    try:
        for part in filter(None, name.split("/")):
            if os.fstat(here).st_dev in ours:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=here)
            below = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)
