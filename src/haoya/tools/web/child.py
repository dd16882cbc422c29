# SPDX-License-Identifier: AGPL-3.0-or-later
"""Documents are read where a fault in the reader harms nothing: in the sandbox where the house has
one, else in a child process that has given up memory, time and files of its own."""

import asyncio
import contextlib
import os
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import msgspec

from haoya.core.errors import HaoyaError, Unready
from haoya.core.sandbox import Bounds, Mount, Program, Sandbox

SECONDS = 30.0
MEMORY_MIB = 1024
OUTPUT_BYTES = 16 * 1024 * 1024
READING = Path(__file__).with_name("reading")
NO_PDF = "PDF needs a package; the owner may run `pip install haoya[pdf]`"

_HERE = "import sys; sys.path[:0] = sys.argv[1:]; from reading.__main__ import main, page; "
_PAGE = f"{_HERE}main(page)"
_PDF = f"{_HERE}from reading.pdf import pdf; main(pdf)"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What was fetched, and what its server says of it."""

    type: str
    charset: str
    url: str


class Reading(msgspec.Struct, frozen=True):
    """What a document says; `error` in words where it cannot be read."""

    text: str = ""
    title: str = ""
    charset: str = ""
    error: str = ""


async def read(document: Document, body: bytes, sandbox: Sandbox | None) -> Reading:
    """Have it read. Never raises for what is in it."""
    start, folders = _PAGE, [str(READING.parent)]
    if document.type == "application/pdf" or body.startswith(b"%PDF-"):
        try:
            folders.append(str(distribution("pypdf").locate_file("")))
        except PackageNotFoundError:
            return Reading(error=NO_PDF)
        start = _PDF
    command = ("-I", "-S", "-B", "-c", start, *folders)
    order = msgspec.json.encode(document) + b"\n" + body
    try:
        async with asyncio.timeout(SECONDS):
            if sandbox is None:
                said = await _in_child(command, order)
            else:
                said = await _in_sandbox(_program(command, folders), order, sandbox)
        return msgspec.json.decode(said, type=Reading)
    except TimeoutError:
        return Reading(error=f"reading it took longer than {SECONDS:g} s")
    except (msgspec.DecodeError, OSError):
        return Reading(error="the reader broke on it")
    except HaoyaError as error:
        return Reading(error=f"it cannot be read safely: {error}")


async def _in_child(command: tuple[str, ...], order: bytes) -> bytes:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *command,
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


def _program(command: tuple[str, ...], folders: list[str]) -> Program:
    """The reader for the sandbox: it sees itself, Python, and where needed the packages."""
    lent = list(folders)
    prefix = os.path.realpath(sys.base_prefix)
    if prefix != "/usr":  # the system's own is seen anyway
        lent.append(prefix)
    return Program(
        argv=(os.path.realpath(sys.executable), *command),
        mounts=tuple(Mount(path=path, at=path) for path in lent),
        bounds=Bounds(
            seconds=SECONDS, memory_mib=MEMORY_MIB, processes=4, output=OUTPUT_BYTES, file_mib=1
        ),
    )


async def _in_sandbox(program: Program, order: bytes, sandbox: Sandbox) -> bytes:
    said = bytearray()
    async with sandbox.start(program) as process, asyncio.TaskGroup() as tasks:

        async def hear() -> None:
            async for piece in process.output():
                if piece.stream == 1:
                    said.extend(piece.data)

        tasks.create_task(hear())
        with contextlib.suppress(Unready):  # it ended early; what it said tells
            await process.write(order)
            await process.close_input()
    return bytes(said)
