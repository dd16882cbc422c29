# SPDX-License-Identifier: AGPL-3.0-or-later
"""The window's life: bind, serve, and be gone within a second."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn

from haoya.api.app import app_of
from haoya.api.auth import token_of
from haoya.api.protocol import Protocol
from haoya.api.tls import secured
from haoya.api.window import Window
from haoya.core.errors import ConfigError, Unready
from haoya.runtime.api_settings import ApiSettings
from haoya.runtime.house import House
from haoya.runtime.peers_settings import is_loopback

LINGER_SECONDS = 0.4
"""How long a response in work may take to end once the window closes."""

KEEP_SECONDS = 30
"""How long an idle connection is kept for the client's next request."""


@asynccontextmanager
async def serve(house: House, settings: ApiSettings) -> AsyncGenerator[str, None]:
    """Answer HTTP at `settings.host` and `settings.port` (0: any free one); yields the address.

    Raises `Unready` where the port is taken and `ConfigError` where the token is a secret that is
    not there, or others could reach the address without TLS or before any of them was let in.
    """
    context = secured(
        house.home.folder, settings.cert, settings.key, section="api", protocol="http/1.1"
    )
    host = _address(settings.host, house, context)
    token = token_of(house.home, settings.token, house.secrets)
    with _bound(host, settings.port) as listener:
        port = listener.getsockname()[1]
        window = Window(
            house, host=host, port=port, token=token, names=settings.names, tls=context is not None
        )
        server = _Server(window, context)
        async with asyncio.TaskGroup() as tasks:
            await server.open(listener)
            counting = tasks.create_task(window.tally.follow(house))
            try:
                yield window.url
            finally:
                counting.cancel()
                await server.close()


class _Server(uvicorn.Server):
    """uvicorn without its main loop: it neither takes signals nor logs nor wakes up idle."""

    def __init__(self, window: Window, context: ssl.SSLContext | None) -> None:
        self.window = window
        self.context = context
        config = uvicorn.Config(
            app_of(window),
            loop="asyncio",
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=KEEP_SECONDS,
        )
        super().__init__(config)

    async def open(self, listener: socket.socket) -> None:
        """Begin to listen."""
        self.config.load()
        self.config.ssl = self.context
        self.lifespan = self.config.lifespan_class(self.config)
        self.server_state.default_headers = self.config.encoded_headers
        await self.startup(sockets=[listener])

    async def close(self) -> None:
        """Take nothing new, let responses end for a moment, then cut every connection."""
        for server in self.servers:
            server.close()
        self.window.close()
        for connection in tuple(self.server_state.connections):
            connection.shutdown()
        if tasks := tuple(self.server_state.tasks):
            _, late = await asyncio.wait(tasks, timeout=LINGER_SECONDS)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=LINGER_SECONDS)
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()


def _address(host: str, house: House, context: ssl.SSLContext | None) -> str:
    """The address to bind; `ConfigError` for one that others could reach and may not."""
    name = "127.0.0.1" if host == "localhost" else host.strip("[]")
    if is_loopback(name):
        return name
    cure = 'keep host = "127.0.0.1" and use a tunnel, such as ssh -L 8642:127.0.0.1:8642'
    if context is None:
        text = f"[api] host: {host!r} would let other machines in without TLS"
        raise ConfigError(text, cure=f"name cert and key, or {cure}")
    if not house.devices.all():
        text = f"[api] host: {host!r} would let other machines in, and none was enrolled"
        raise ConfigError(text, cure=f"run `haoya devices add NAME --scope chat`, or {cure}")
    return name


def _bound(host: str, port: int) -> socket.socket:
    """A bound socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only where the protocol is named; without it every reply waits
    # 40 ms for the client's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EACCES:
            cure = "choose a port above 1023"
            raise ConfigError(f"[api] port {port} may be opened by root only", cure=cure) from error
        if error.errno == errno.EADDRINUSE:
            text = f"port {port} of {host} is in use; start with another: haoya up --port N"
            raise Unready(text) from error
        raise Unready(f"port {port} of {host} cannot be opened: {error.strerror}") from error
    listener.setblocking(False)
    return listener
