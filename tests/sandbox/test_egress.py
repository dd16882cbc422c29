# SPDX-License-Identifier: AGPL-3.0-or-later
"""The one way out: to the proxy that the daemon names, and to nothing else."""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from haoya.core.errors import ConfigError, Unready
from haoya.core.sandbox import Bounds, Level, Program
from tests.sandbox.baits import python, python_mounts
from tests.sandbox.conftest import Open
from tests.sandbox.running import Done, run

TALK = """
import os, sys, urllib.request
print(urllib.request.urlopen("http://example.org/some/path", timeout=10).read().decode())
"""
TRY = """
import json, socket, sys
def attempt(family, kind, place):
    try:
        with socket.socket(family, kind) as line:
            line.settimeout(3)
            line.connect(place)
            return "open"
    except OSError as error:
        return error.strerror or str(error)
port = int(sys.argv[1])
print(json.dumps({
    "proxy": attempt(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 3128)),
    "host": attempt(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)),
    "far": attempt(socket.AF_INET, socket.SOCK_STREAM, ("192.0.2.1", 80)),
    "name": attempt(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 53)),
    "six": attempt(socket.AF_INET6, socket.SOCK_STREAM, ("::1", port)),
    "unix": attempt(socket.AF_UNIX, socket.SOCK_STREAM, sys.argv[2]),
}))
"""


@asynccontextmanager
async def proxy(path: Path) -> AsyncIterator[list[bytes]]:
    """Answers every request with the same page; what was asked for."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        body = b"hello " * 100_000
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(answer, path):
        yield asked


def test_a_program_with_egress_reaches_the_proxy(
    opened: Open, level: Level, tmp_path: Path
) -> None:
    async def go() -> None:
        async with opened() as sandbox, proxy(tmp_path / "p") as asked:
            if level != "namespaces":
                with pytest.raises(Unready):
                    await _python(sandbox, TALK, egress=str(tmp_path / "p"))
                return
            done = await _python(sandbox, TALK, egress=str(tmp_path / "p"))
            assert done.text.strip() == ("hello " * 100_000).strip(), done.err
            assert asked == [b"GET http://example.org/some/path HTTP/1.1"]

    asyncio.run(go())


def test_and_nothing_else(opened: Open, level: Level, tmp_path: Path) -> None:
    if level != "namespaces":
        pytest.skip("there is no egress with Landlock alone")

    async def go() -> None:
        with socket.create_server(("127.0.0.1", 0)) as host:
            port = str(host.getsockname()[1])
            async with opened() as sandbox, proxy(tmp_path / "p"):
                done = await _python(sandbox, TRY, port, "/p", egress=str(tmp_path / "p"))
                found = json.loads(done.text)
                assert found.pop("proxy") == "open"
                assert "open" not in found.values(), found
                without = await _python(sandbox, TRY, port, "/p")
                assert "open" not in json.loads(without.text).values()

    asyncio.run(go())


def test_two_programs_have_a_way_out_of_their_own(
    opened: Open, level: Level, tmp_path: Path
) -> None:
    if level != "namespaces":
        pytest.skip("there is no egress with Landlock alone")

    async def go() -> None:
        async with opened() as sandbox, proxy(tmp_path / "a") as one, proxy(tmp_path / "b") as two:
            await asyncio.gather(
                *(_python(sandbox, TALK, egress=str(tmp_path / name)) for name in "aab")
            )
            assert (len(one), len(two)) == (2, 1)

    asyncio.run(go())


def test_a_proxy_that_is_not_there_is_said_to_be_so(
    opened: Open, level: Level, tmp_path: Path
) -> None:
    async def go() -> None:
        async with opened() as sandbox:
            program = Program(argv=("true",), egress=str(tmp_path / "none"))
            with pytest.raises(ConfigError if level == "namespaces" else Unready):
                async with sandbox.start(program):
                    pass

    asyncio.run(go())


def test_the_daemon_keeps_no_descriptor(opened: Open, level: Level, tmp_path: Path) -> None:
    async def go() -> None:
        async with opened() as sandbox, proxy(tmp_path / "p"):
            egress = str(tmp_path / "p") if level == "namespaces" else ""
            counts: list[int] = []
            for _ in range(3):
                for script in (TALK, "raise SystemExit(1)"):
                    await _python(sandbox, script, egress=egress)
                with pytest.raises(ConfigError):
                    await run(sandbox, "no-such-program")
                counts.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208
            assert len(set(counts)) == 1, counts

    asyncio.run(go())


async def _python(sandbox: object, code: str, *words: str, egress: str = "") -> Done:
    return await run(
        sandbox,  # pyright: ignore
        *(python(), "-c", code, *words),
        mounts=python_mounts(),
        egress=egress,
        bounds=Bounds(output=2_000_000),
    )
