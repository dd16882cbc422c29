# SPDX-License-Identifier: Apache-2.0
"""Running programs that nobody vouches for: what they may see and take, and how they ended."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

import msgspec

from haoya.core.message import Word

Level = Literal["namespaces", "landlock", "seatbelt"]
"""How programs are kept in, the strongest first: namespaces with Landlock and seccomp inside;
Landlock and seccomp alone; macOS's Seatbelt. There is no weaker one."""


class Mount(Word, frozen=True, kw_only=True):
    """A folder or file of this machine (`path`, absolute) that a program sees as `at`."""

    path: str
    at: str
    writable: bool = False


class Bounds(Word, frozen=True, kw_only=True):
    """The most a program may take: wall `seconds`, `memory_mib`, `processes` at a time, bytes of
    `output` (more is counted and dropped), bytes of any one file it writes."""

    seconds: float = 60.0
    memory_mib: int = 1024
    processes: int = 64
    output: int = 1024 * 1024
    file_mib: int = 512


class Program(Word, frozen=True, kw_only=True):
    """What is to run. `argv` is never parsed by anybody; `argv[0]` is looked up among the system's
    programs. It sees those, an empty /tmp, and `mounts`; its environment is made of `environment`
    and a few fixed names, nothing of ours. It has no network; with `egress` (a Unix socket) it may
    talk to that proxy and nothing else."""

    argv: tuple[str, ...]
    folder: str = "/tmp"
    mounts: tuple[Mount, ...] = ()
    environment: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    bounds: Bounds = Bounds()
    egress: str = ""


class Piece(Word, frozen=True):
    """Bytes that a program wrote to `stream`, 1 for its output and 2 for its errors."""

    stream: Literal[1, 2]
    data: bytes


class Ended(Word, frozen=True, kw_only=True):
    """How a program ended: exit `status` (negative: the signal), the bound that ended it ("" where
    none did), bytes of output that were dropped, seconds of processor time."""

    status: int
    bound: Literal["", "seconds", "memory", "processes"] = ""
    dropped: int = 0
    cpu_seconds: float = 0


class Process(Protocol):
    """A program that runs. Ends, with all it started, when its context is left."""

    async def write(self, data: bytes) -> None:
        """Put bytes into its input; waits while it does not read. `Unready` once it has ended."""
        ...

    async def close_input(self) -> None:
        """No more input comes."""
        ...

    def output(self) -> AsyncIterator[Piece]:
        """What it writes, as it comes, until it has closed both streams; to be read once."""
        ...

    async def wait(self) -> Ended:
        """Wait for its end."""
        ...

    async def stop(self) -> Ended:
        """End it now."""
        ...


class Sandbox(Protocol):
    """The one way to run a program."""

    @property
    def level(self) -> Level:
        """How programs are kept in here."""
        ...

    def start(self, program: Program) -> AbstractAsyncContextManager[Process]:
        """Run it; leaving ends it. Raises `ConfigError` where the program or a mount does not
        exist, `Unready` where it cannot be kept in or started at all."""
        ...
