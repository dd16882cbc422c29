# SPDX-License-Identifier: AGPL-3.0-or-later
"""The daemon's end of the line to the zygote."""

import asyncio
import contextlib
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import haoya
from haoya.core.errors import Unready

SEND_SECONDS = 10.0
_CODE = "import sys; sys.path.insert(0, sys.argv[1]); from haoya.sandbox.zygote import main; main()"


class Launcher:
    """Starts the zygote, and once more where it died; `close` ends it and all it keeps."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None

    async def launch(self, header: bytes, fds: Sequence[int]) -> None:
        """Have a keeper forked that gets these descriptors, the first a socket to it."""
        line = self._line or self._open()
        for _ in range(2):
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await _send(line, header, fds)
                return
            except (BrokenPipeError, ConnectionResetError):
                # The zygote died; another start may have begun a new one meanwhile.
                line = self._open() if self._line in (line, None) else self._line
            except TimeoutError:
                break
        raise Unready("the sandbox's launcher does not answer; restart haoya")

    def close(self) -> None:
        """End the zygote; the kernel ends its keepers with it."""
        if self._line:
            self._line.close()
        if self._process:
            self._process.kill()
            self._process.wait()
        self._line = self._process = None

    @property
    def pid(self) -> int:
        """The zygote's process, 0 where none was needed yet."""
        return self._process.pid if self._process else 0

    def _open(self) -> socket.socket:
        self.close()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        source = str(Path(haoya.__file__).parents[1])
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", _CODE, source, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env={},
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                raise Unready(f"the sandbox cannot be started: {error.strerror}") from error
        self._line = ours
        return ours


async def _send(line: socket.socket, header: bytes, fds: Sequence[int]) -> None:
    while True:
        with contextlib.suppress(BlockingIOError):
            socket.send_fds(line, [header], fds)
            return
        await writable(line.fileno())


async def writable(fd: int) -> None:
    """Wait until a descriptor takes bytes, or has broken."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_writer(fd, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_writer(fd)
