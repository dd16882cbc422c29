# SPDX-License-Identifier: AGPL-3.0-or-later
"""The owner's own door: a socket on this machine for the command line and scripts, and a desk
for the window in this very process."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pydantic

from haoya.channels.local.connection import LocalConnection
from haoya.channels.local.peer import LINE_BYTES, Peer
from haoya.core.errors import ConfigError, Unready
from haoya.core.place import check_private, socket_path
from haoya.core.plugin import Context, Plugin


class LocalSettings(pydantic.BaseModel):
    """Written by the runtime, not by the owner: `home` is the daemon's own folder."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    home: Path


@asynccontextmanager
async def open_local(
    settings: LocalSettings, context: Context
) -> AsyncGenerator[LocalConnection, None]:
    """Listen on the socket of `settings.home` until left.

    Raises `ConfigError` where another daemon already listens there, or where its folder could be
    entered by somebody else; `Unready` where the disk refuses.
    """
    path = socket_path(settings.home)
    connection = LocalConnection(context)

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Peer(connection, reader, writer).serve()

    try:
        _make_private(path.parent)
        _clear(path)
        server = await asyncio.start_unix_server(meet, path, limit=LINE_BYTES)
    except OSError as error:
        raise Unready(f"{path} cannot be made: {error.strerror or error}") from error
    try:
        path.chmod(0o600)
        ours = path.stat().st_ino
        try:
            yield connection
        finally:
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_ino == ours:
                    path.unlink()
    finally:
        server.close()
        await connection.close()


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.getuid():
        folder.chmod(0o700)
    check_private(folder, os.getuid())


def _clear(path: Path) -> None:
    """Remove what a dead daemon left behind; raise `ConfigError` where a living one answers."""
    if not path.exists():
        return
    if not path.is_socket():
        raise ConfigError(f"{path} is in the way: it is not a socket", cure=f"remove {path}")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:
            pass  # Alive, with a full backlog.
    raise ConfigError(
        f"another daemon listens on {path}",
        cure="stop it first, or start this one with another --home",
    )


plugin = Plugin(
    kind="channel",
    name="local",
    settings=LocalSettings,
    open=open_local,
    summary="The owner's terminal and scripts on this machine",
    summary_zh="本机上主人的终端和脚本",
)

__all__ = ["LocalConnection", "LocalSettings", "open_local", "plugin"]
