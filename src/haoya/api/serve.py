# SPDX-License-Identifier: AGPL-3.0-or-later
"""The window's life: bind, serve, and be gone within a second."""

import asyncio
import errno
import ipaddress
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import uvicorn

from haoya.api.app import app_of
from haoya.api.auth import token_of
from haoya.api.protocol import Protocol
from haoya.api.window import Window
from haoya.core.errors import ConfigError, Unready
from haoya.runtime.house import House
from haoya.runtime.settings import ApiSettings

LINGER_SECONDS = 0.4
"""How long a response in work may take to end once the window closes."""

KEEP_SECONDS = 30
"""How long an idle connection is kept for the client's next request."""


@asynccontextmanager
async def serve(house: House, settings: ApiSettings) -> AsyncGenerator[str, None]:
    """Answer HTTP at `settings.host` and `settings.port` (0: any free one); yields the address.

    Raises `Unready` where the port is taken and `ConfigError` where the host is not this machine
    alone or the token is a secret that is not there.
    """
    host = _loopback(settings.host)
    token = token_of(house.home, settings.token, house.secrets)
    with _bound(host, settings.port) as listener:
        window = Window(house, host=host, port=listener.getsockname()[1], token=token)
        server = _Server(window)
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

    def __init__(self, window: Window) -> None:
        self.window = window
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


def _loopback(host: str) -> str:
    """The address to bind; `ConfigError` for one that others could reach."""
    name = "127.0.0.1" if host == "localhost" else host.strip("[]")
    try:
        if ipaddress.ip_address(name).is_loopback:
            return name
    except ValueError:
        pass
    raise ConfigError(
        f"[api] host: {host!r} would let other machines in, which needs TLS and is not yet allowed",
        cure='keep host = "127.0.0.1" and reach it through a tunnel, '
        "such as ssh -L 8642:127.0.0.1:8642",
    )


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
