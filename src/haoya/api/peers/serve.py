# SPDX-License-Identifier: AGPL-3.0-or-later
"""The listener for other nodes: bind, let in, and be gone within a second."""

import asyncio
import errno
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from haoya.api.peers.guest import Guest, Hall
from haoya.api.tls import secured
from haoya.core.errors import ConfigError, Unready
from haoya.runtime.house import House
from haoya.runtime.peers_settings import PeersSettings

HANDSHAKE_SECONDS = 10.0
FAREWELL_SECONDS = 1.0
"""How long a connection may take to say goodbye."""

GUESTS = 64
"""Connections at a time; the owner has not so many machines."""


@asynccontextmanager
async def serve(house: House, settings: PeersSettings) -> AsyncGenerator[str, None]:
    """Let other nodes ask our models at `settings.listen`; yields the address.

    Raises `Unready` where the port is taken, `ConfigError` where the certificate or the address
    cannot be used.
    """
    context = secured(
        house.home.folder, settings.cert, settings.key, section="peers", protocol="h2"
    )
    hall = Hall(house)
    server = await _bound(hall, settings, context)
    port = server.sockets[0].getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    house.peers.on_removed.add(hall.send_away)
    try:
        yield f"{'https' if context else 'http'}://{host}:{port}"
    finally:
        house.peers.on_removed.discard(hall.send_away)
        server.close()
        await _emptied(hall)


async def _bound(
    hall: Hall, settings: PeersSettings, context: ssl.SSLContext | None
) -> asyncio.Server:
    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(hall.guests) >= GUESTS:
            writer.transport.abort()
            return
        guest = Guest(hall, reader, writer)
        hall.guests[guest] = task
        try:
            await guest.live()
        finally:
            del hall.guests[guest]

    host, port = settings.host, settings.port
    try:
        return await asyncio.start_server(
            attend,
            "127.0.0.1" if host == "localhost" else host,
            port,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if context else None,
            ssl_shutdown_timeout=FAREWELL_SECONDS if context else None,
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Unready(f"port {port} of {host} is in use; choose another in [peers]") from error
        if error.errno == errno.EACCES:
            cure = "choose a port above 1023"
            raise ConfigError(
                f"[peers] port {port} may be opened by root only", cure=cure
            ) from error
        raise Unready(f"{settings.listen} cannot be listened at: {error.strerror}") from error


async def _emptied(hall: Hall) -> None:
    """Hang up on everybody and wait for the last one to be gone."""
    tasks = tuple(hall.guests.values())
    for guest in tuple(hall.guests):
        guest.leave("the node is stopping")
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=FAREWELL_SECONDS)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=FAREWELL_SECONDS)
