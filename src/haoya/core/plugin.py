# SPDX-License-Identifier: Apache-2.0
"""A plugin is an async context manager over its settings; entering acquires, leaving releases.

    plugin = Plugin(
        kind="channel", name="irc", settings=IrcSettings, open=connect,
        summary="Internet Relay Chat", summary_zh="IRC 聊天",
    )

Everything is known without opening it. The registry finds built-in plugins as the attribute
`plugin` of `haoya.<wing>.<name>`, others through the entry-point group `haoya.plugins`.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Generic, Literal, Protocol, TypeVar

import httpx2
import msgspec
import pydantic

from haoya.core.message import Address, Blob, Outbound
from haoya.core.ports import Memory, Queue
from haoya.core.sandbox import Sandbox
from haoya.core.tool import Scene

PluginKind = Literal["channel", "model", "tools", "memory", "stage"]
Settings = TypeVar("Settings", bound=pydantic.BaseModel)
Opened_co = TypeVar("Opened_co", covariant=True)


class Blobs(Protocol):
    """The blob store: bytes under their SHA-256."""

    async def put(self, data: bytes, *, mime: str = "", name: str = "") -> Blob:
        """Store durably and return the handle; the same bytes are stored once."""
        ...

    async def get(self, sha256: str) -> bytes:
        """The bytes; KeyError where there are none."""
        ...


Say = Callable[[Outbound], Awaitable[bool]]
"""Write a message into the outbox; false where one with the same id is already there, or the
address names no conversation that may be written to."""

Call = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""The house's own verbs (`status`, `pair_approve` …) by name and JSON arguments."""


Keep = Callable[[Scene, Path], Awaitable[None]]
"""Keep a copy of a file of the workspace, or of its absence, before this call changes it; raises
`Unready` where it cannot be kept (the file is then not to be touched)."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """All that the house lends a plugin.

    `name` is what the owner called this part in the settings. `state` is a folder of its own,
    made before opening. `clock` gives Unix seconds. `http` is the shared client (no cookies, no
    redirects). `secret` turns a settings value (`secret:NAME`, `env:NAME` or the plain string)
    into the secret or raises `ConfigError`. `cursor` is the last stored `Inbound.cursor` of this
    channel. A channel calls `alive` whenever the other side proved that it is there; one that
    stays silent past its plugin's `silent_seconds` is opened anew.
    `models` is the folder of model files, `queue` shares the machine among local models.
    `sandbox` runs programs, and whatever reads files that strangers made; `keep` makes changes to
    files undoable.
    `say`, `memory`, `keep` and `conversations` are lent to tools, `call` to the owner's own door
    (channel `local`) alone.
    """

    name: str
    state: Path
    clock: Callable[[], float]
    http: httpx2.AsyncClient
    secret: Callable[[str], str]
    blobs: Blobs
    cursor: str = ""
    alive: Callable[[], None] = lambda: None
    workspace: Path = Path()
    models: Path = Path()
    queue: Queue | None = None
    sandbox: Sandbox | None = None
    keep: Keep | None = None
    memory: Memory | None = None
    say: Say | None = None
    conversations: Callable[[str], Awaitable[list[Address]]] | None = None
    call: Call | None = None


class Plugin(msgspec.Struct, Generic[Settings, Opened_co], frozen=True, kw_only=True):
    """What a plugin is, without opening it.

    `open` takes the validated settings and the context. What it yields depends on `kind`:
    a `Connection`, a `Model`, a sequence of `Tool`, a `Memory` or a `Stage`.
    """

    kind: PluginKind
    name: str
    settings: type[Settings]
    open: Callable[[Settings, Context], AbstractAsyncContextManager[Opened_co]]
    summary: str
    summary_zh: str = ""
    silent_seconds: float = 0
    """How long a channel may go without `alive` before it counts as deaf; 0 for never."""
