# SPDX-License-Identifier: AGPL-3.0-or-later
"""Opening the sandbox: which level this machine allows, and starting programs in it."""

import asyncio
import math
import os
import shutil
import socket
import stat
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path, PurePosixPath

from haoya.core.errors import ConfigError, HaoyaError, Unready
from haoya.core.sandbox import Level, Process, Program
from haoya.sandbox.launcher import Launcher
from haoya.sandbox.order import MOUNTS, PROXY_PORT, Lent, Order
from haoya.sandbox.process import Running
from haoya.sandbox.root import CLOSED

LEVELS: tuple[Level, ...] = ("namespaces", "landlock")
START_SECONDS = 20.0
RETRY_SECONDS = 600.0
"""Until a machine that allowed nothing is tried again: its owner may have changed it."""

MIB = 1024 * 1024

PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
FIXED = {
    "PATH": PATH, "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8", "USER": "user",
    "LOGNAME": "user", "SHELL": "/bin/sh", "TERM": "dumb",
}  # fmt: skip
"""The environment of every program; its own names are added."""

_PROXY = f"http://127.0.0.1:{PROXY_PORT}"
PROXIES = {
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), _PROXY),
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _PROXY),
    "NODE_USE_ENV_PROXY": "1",
}
"""Added for a program with egress."""


class Room:
    """The port `Sandbox`. `weaknesses` says why it is not the strongest level, in words."""

    def __init__(
        self,
        level: Level,
        launcher: Launcher,
        weaknesses: Sequence[str] = (),
        private: Sequence[Path] = (),
    ) -> None:
        self._level: Level = level
        self._launcher, self._private = launcher, tuple(path.resolve() for path in private)
        self.weaknesses = tuple(weaknesses)

    @property
    def level(self) -> Level:
        """How programs are kept in here."""
        return self._level

    def start(self, program: Program) -> AbstractAsyncContextManager[Process]:
        """Run it; leaving ends it, with all it started."""
        return _started(self._launcher, self._level, program, self._private)


@asynccontextmanager
async def open_sandbox(
    levels: Sequence[Level] = LEVELS, *, private: Sequence[Path] = ()
) -> AsyncGenerator[Room]:
    """The strongest of `levels` that works on this machine, proven by running a program in it.

    What is `private` is lent to nobody, nor is anything that holds it. Raises `Unready` where no
    level works: there is no way to run a program without keeping it in.
    """
    if sys.platform != "linux":
        raise Unready(f"no program can be run safely on {sys.platform} yet", retry_after=math.inf)
    launcher = Launcher()
    weaknesses: list[str] = []
    try:
        for level in levels:
            room = Room(level, launcher, weaknesses, private)
            try:
                async with room.start(Program(argv=("true",))) as process:
                    ended = await process.wait()
            except HaoyaError as error:
                weaknesses.append(f"{level}: {error}")
                continue
            if ended.status == 0:
                break
            weaknesses.append(f"{level}: a first program ended with status {ended.status}")
        else:
            raise Unready(
                f"no program can be run safely on this machine ({'; '.join(weaknesses)}); "
                "allow unprivileged user namespaces, or use Linux 5.13 or newer with Landlock",
                retry_after=RETRY_SECONDS,
            )
        yield room
    finally:
        launcher.close()


@asynccontextmanager
async def _started(
    launcher: Launcher, level: Level, program: Program, private: Sequence[Path]
) -> AsyncGenerator[Process]:
    _check(program, level)
    with ExitStack() as held:
        lent, sources = _lent(program, private, held)
        order = _order(program, level, lent)
        if level != "namespaces":
            order = _in_place(order, held)
        process = await _launch(launcher, order, program, sources)
        try:
            await process.ready()
            yield process
        finally:
            try:
                await process.stop()
            finally:
                process.close()


def _check(program: Program, level: Level) -> None:
    """Refuse what cannot be meant."""
    words = (*program.argv, program.folder, *program.environment, *program.environment.values())
    if not program.argv or not program.argv[0] or any("\0" in word for word in words):
        raise ConfigError("a program needs a name, and no NUL in its words", cure="name one")
    if any(not name or "=" in name for name in program.environment):
        raise ConfigError("a name in an environment is not empty and has no '='", cure="rename it")
    if len(program.mounts) > MOUNTS:
        raise ConfigError(f"at most {MOUNTS} mounts can be lent", cure="lend a folder above them")
    for mount in program.mounts:
        at = PurePosixPath(mount.at)
        if not at.is_absolute() or ".." in at.parts or at == PurePosixPath("/"):
            raise ConfigError(f"nothing can be lent at {mount.at!r}", cure="name a folder below /")
        if any(at.is_relative_to(closed) for closed in CLOSED):
            raise ConfigError(f"nothing can be lent at {mount.at}", cure="choose another folder")
    if program.egress and level != "namespaces":
        raise Unready(
            "a program can have a way out only where it has a network of its own; allow "
            "unprivileged user namespaces on this machine"
        )
    if program.egress and not Path(program.egress).is_socket():
        raise ConfigError(f"there is no proxy at {program.egress}", cure="start the proxy first")


def _lent(
    program: Program, private: Sequence[Path], held: ExitStack
) -> tuple[list[Lent], list[int]]:
    """The mounts with an open descriptor each: what is looked at here is what will be lent."""
    lent: list[Lent] = []
    sources: list[int] = []
    for mount in program.mounts:
        try:
            if not mount.path.startswith("/"):
                raise FileNotFoundError(2, "not an absolute path")
            fd = os.open(mount.path, os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(
                f"{mount.path} cannot be lent: {error.strerror}", cure="lend one that exists"
            ) from error
        held.callback(os.close, fd)
        found = os.fstat(fd)
        if not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)):
            raise ConfigError(f"{mount.path} is no folder or file", cure="lend the folder above it")
        real = Path(f"/proc/self/fd/{fd}").readlink()
        for closed in private:
            if closed.is_relative_to(real) or real.is_relative_to(closed):
                raise ConfigError(
                    f"{mount.path} is lent to no program: haoya's own {closed.name} lies there",
                    cure="lend a folder of its own, such as the workspace",
                )
        at = str(PurePosixPath(mount.at))
        lent.append(Lent(str(real), at, mount.writable, found.st_dev, found.st_ino))
        sources.append(fd)
    return lent, sources


def _order(program: Program, level: Level, lent: list[Lent]) -> Order:
    bounds = program.bounds
    proxies = PROXIES if program.egress else {}
    return Order(
        level=level,
        argv=list(program.argv),
        folder=program.folder,
        environment={**FIXED, **proxies, **program.environment},
        mounts=lent,
        memory=bounds.memory_mib * MIB,
        file=bounds.file_mib * MIB,
        processes=bounds.processes,
        egress=bool(program.egress),
    )


def _in_place(order: Order, held: ExitStack) -> Order:
    """The order where folders cannot be shown elsewhere: each stays where it is, and /tmp is a
    folder of the program's own."""
    scratch = tempfile.mkdtemp(prefix="haoya-run-")
    held.callback(shutil.rmtree, scratch, ignore_errors=True)
    found = Path(scratch).stat()
    mounts = [*order.mounts, Lent(scratch, "/tmp", True, found.st_dev, found.st_ino)]
    folder = order.folder
    for mount in sorted(mounts, key=lambda mount: len(mount.at)):
        at = PurePosixPath(mount.at)
        if PurePosixPath(order.folder).is_relative_to(at):
            folder = str(mount.path / PurePosixPath(order.folder).relative_to(at))
    environment = {
        name: scratch if value == "/tmp" else value for name, value in order.environment.items()
    }
    return order._replace(mounts=mounts, folder=folder, environment=environment)


async def _launch(
    launcher: Launcher, order: Order, program: Program, sources: Sequence[int]
) -> Running:
    """Have the program started; what it is given is closed here as soon as it is sent."""
    kept = ExitStack()
    with kept, ExitStack() as given:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        kept.enter_context(ours)
        given.enter_context(theirs)
        pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(3)]
        streams = (pipes[0][1], pipes[1][0], pipes[2][0])
        for stream in streams:
            kept.callback(os.close, stream)
        inner = [pipes[0][0], pipes[1][1], pipes[2][1]]
        for stream in inner:
            given.callback(os.close, stream)
        apart = order.level == "namespaces"
        flags = bytes(one.writable for one in order.mounts) if apart else b""
        header = bytes([apart, len(flags)]) + flags.ljust(MOUNTS, b"\0")
        lent = sources if apart else ()
        ours.setblocking(False)
        async with asyncio.timeout(START_SECONDS):
            await launcher.launch(header, [theirs.fileno(), *inner, *lent])
            given.close()
            await asyncio.get_running_loop().sock_sendall(ours, order.encode())
        process = Running(ours, streams, program.bounds, program.egress)
        kept.pop_all()
        return process
