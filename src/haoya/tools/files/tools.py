# SPDX-License-Identifier: AGPL-3.0-or-later
"""The four tools; each does its work on the one thread that is theirs."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Literal

import msgspec
import pydantic

from haoya.core.plugin import Context
from haoya.core.ports import Tool
from haoya.core.schema import schema_of
from haoya.core.tool import Scene, ToolResult, ToolSpec
from haoya.tools.files import search, workspace

_READS = frozenset({"workspace"})


class FilesSettings(pydantic.BaseModel):
    """Nothing to choose; the workspace is set for the agent."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class ReadFile(msgspec.Struct):
    """A file, from a byte on."""

    path: str
    offset: int = 0


class ListFiles(msgspec.Struct):
    """A folder; the workspace itself where empty."""

    path: str = ""


class WriteFile(msgspec.Struct):
    """A file and its text."""

    path: str
    text: str
    mode: Literal["replace", "append"] = "replace"


class SearchFiles(msgspec.Struct):
    """Words, and the folder to look in."""

    query: str
    path: str = ""


READ = ToolSpec(
    name="read_file",
    purpose="Read a workspace text file.",
    schema=schema_of(ReadFile),
    effects=frozenset({"read"}),
    reads=_READS,
    idempotent=True,
    private=True,
)
LIST = ToolSpec(
    name="list_files",
    purpose="List a workspace folder.",
    schema=schema_of(ListFiles),
    effects=frozenset({"read"}),
    reads=_READS,
    idempotent=True,
    private=True,
)
WRITE = ToolSpec(
    name="write_file",
    purpose="Write a workspace text file.",
    schema=schema_of(WriteFile),
    effects=frozenset({"write"}),
    writes=_READS,
    author="owner",
)
SEARCH = ToolSpec(
    name="search_files",
    purpose="Search workspace files by words.",
    schema=schema_of(SearchFiles),
    effects=frozenset({"read"}),
    reads=_READS,
    idempotent=True,
    private=True,
)


@asynccontextmanager
async def lend(
    settings: FilesSettings, context: Context
) -> AsyncGenerator[tuple[Tool[Any], ...], None]:
    """The tools over `context.workspace`.

    One thread is enough for one person's files, and makes writings follow each other.
    """
    root = context.workspace.absolute()
    thread = ThreadPoolExecutor(1, thread_name_prefix="haoya-files")

    async def on_thread(work: Callable[[], str]) -> ToolResult:
        try:
            loop = asyncio.get_running_loop()
            return ToolResult(text=await loop.run_in_executor(thread, work))
        except ValueError as e:
            return ToolResult(text=str(e), ok=False)
        except OSError as e:
            return ToolResult(text=f"the disk refuses: {e.strerror}; tell the user", ok=False)

    async def read(asked: ReadFile, scene: Scene) -> ToolResult:
        return await on_thread(lambda: workspace.read(root, asked.path, asked.offset))

    async def show(asked: ListFiles, scene: Scene) -> ToolResult:
        return await on_thread(lambda: workspace.listed(root, asked.path))

    async def write(asked: WriteFile, scene: Scene) -> ToolResult:
        append = asked.mode == "append"
        return await on_thread(lambda: workspace.write(root, asked.path, asked.text, append=append))

    async def find(asked: SearchFiles, scene: Scene) -> ToolResult:
        return await on_thread(lambda: search.search(root, asked.query, asked.path))

    try:
        yield (
            Tool(spec=READ, arguments=ReadFile, run=read),
            Tool(spec=LIST, arguments=ListFiles, run=show),
            Tool(spec=WRITE, arguments=WriteFile, run=write),
            Tool(spec=SEARCH, arguments=SearchFiles, run=find),
        )
    finally:
        # Begun work ends on its own within seconds; waiting for it here would stop the loop.
        thread.shutdown(wait=False, cancel_futures=True)
