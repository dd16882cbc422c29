# SPDX-License-Identifier: AGPL-3.0-or-later
"""Documents are read where a fault in the reader harms nothing: in the sandbox where the house has
one, else in a child process that has given up memory, time and files of its own."""

import asyncio
import contextlib
import importlib.util
import os
import sys
from pathlib import Path

import msgspec

from haoya.core.errors import HaoyaError
from haoya.core.sandbox import Bounds, Mount, Program, Sandbox

SECONDS = 30.0
MEMORY_MIB = 1024
OUTPUT_BYTES = 16 * 1024 * 1024
READING = Path(__file__).with_name("reading")

_START = "import sys; sys.path.insert(0, sys.argv[1]); from reading.__main__ import main; main()"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What was fetched, and what its server says of it."""

    type: str
    charset: str
    url: str
    packages: str = ""


class Reading(msgspec.Struct, frozen=True):
    """What a document says; `error` in words where it cannot be read."""

    text: str = ""
    title: str = ""
    charset: str = ""
    error: str = ""


async def read(document: Document, body: bytes, sandbox: Sandbox | None) -> Reading:
    """Have it read. Never raises for what is in it."""
    pypdf = importlib.util.find_spec("pypdf")
    if document.type == "application/pdf" or body.startswith(b"%PDF-"):
        packages = str(Path(pypdf.origin).parents[1]) if pypdf and pypdf.origin else ""
        document = msgspec.structs.replace(document, packages=packages)
    order = msgspec.json.encode(document) + b"\n" + body
    try:
        async with asyncio.timeout(SECONDS):
            if sandbox is None:
                said = await _in_child(order)
            else:
                said = await _in_sandbox(order, document, sandbox)
        return msgspec.json.decode(said, type=Reading)
    except TimeoutError:
        return Reading(error=f"reading it took longer than {SECONDS:g} s")
    except (msgspec.DecodeError, OSError):
        return Reading(error="the reader broke on it")
    except HaoyaError as error:
        return Reading(error=f"it cannot be read safely: {error}")


def _command(python: str) -> tuple[str, ...]:
    return (python, "-I", "-S", "-B", "-c", _START, str(READING.parent))


async def _in_child(order: bytes) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *_command(sys.executable),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"LANG": "C.UTF-8"},
        cwd="/",
        start_new_session=True,
    )
    try:
        said, _ = await process.communicate(order)
        return said
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _program(document: Document) -> Program:
    """The reader for the sandbox: it sees itself, Python, and where needed pypdf."""
    lent = [str(READING)]
    prefix = os.path.realpath(sys.base_prefix)
    if prefix != "/usr":  # the system's own is seen anyway
        lent.append(prefix)
    if document.packages:
        lent.append(str(Path(document.packages) / "pypdf"))
    return Program(
        argv=_command(os.path.realpath(sys.executable)),
        mounts=tuple(Mount(path=path, at=path) for path in lent),
        bounds=Bounds(
            seconds=SECONDS, memory_mib=MEMORY_MIB, processes=4, output=OUTPUT_BYTES, file_mib=1
        ),
    )


async def _in_sandbox(order: bytes, document: Document, sandbox: Sandbox) -> bytes:
    said = bytearray()
    async with sandbox.start(_program(document)) as process, asyncio.TaskGroup() as tasks:

        async def hear() -> None:
            async for piece in process.output():
                if piece.stream == 1:
                    said.extend(piece.data)

        tasks.create_task(hear())
        await process.write(order)
        await process.close_input()
    return bytes(said)
