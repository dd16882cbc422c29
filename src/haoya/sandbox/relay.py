# SPDX-License-Identifier: AGPL-3.0-or-later
"""The one way out of a sandbox: from a port inside to a Unix socket outside, byte for byte.

The listening socket was made inside of the program's network and handed out, so the program needs
no right to Unix sockets, and reaches nothing but who sits behind this one.
"""

import asyncio
import contextlib
import socket

CONNECTIONS = 64
"""The most at a time; more are refused."""

HIGH_BYTES = 256 * 1024


class Relay:
    """Passes on each connection to the Unix socket `path`. Callbacks alone, as `process`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._listener: socket.socket | None = None
        self._ends: set[_End] = set()

    def open(self, listener: socket.socket) -> None:
        """Take connections from this socket on."""
        listener.setblocking(False)
        self._listener = listener
        self._loop.add_reader(listener.fileno(), self._accept, listener)

    def close(self) -> None:
        """No more, and the open ones end."""
        if self._listener:
            self._loop.remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
        for end in list(self._ends):
            end.close()

    def _accept(self, listener: socket.socket) -> None:
        try:
            inside, _ = listener.accept()
        except OSError:
            return
        outside = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        outside.setblocking(False)
        inside.setblocking(False)
        try:
            if len(self._ends) >= 2 * CONNECTIONS:
                raise ConnectionRefusedError
            outside.connect(self._path)  # at once or not at all: a Unix socket
        except OSError:
            inside.close()
            outside.close()
            return
        one, other = _End(inside, self._ends), _End(outside, self._ends)
        one.join(other)
        other.join(one)


class _End:
    """One socket of a joined pair: what is read here is written there."""

    def __init__(self, line: socket.socket, all_ends: "set[_End]") -> None:
        self._loop = asyncio.get_running_loop()
        self._line, self._all = line, all_ends
        self._other: _End | None = None
        self._waiting = bytearray()
        self._over = self._closed = False
        all_ends.add(self)

    def join(self, other: "_End") -> None:
        """Begin to pass bytes on."""
        self._other = other
        self._loop.add_reader(self._line.fileno(), self._read)

    def close(self) -> None:
        """Both ends."""
        if not self._closed:
            self._closed = True
            self._all.discard(self)
            self._loop.remove_reader(self._line.fileno())
            self._loop.remove_writer(self._line.fileno())
            self._line.close()
            if self._other:
                self._other.close()

    def _read(self) -> None:
        assert self._other
        try:
            data = self._line.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            return self.close()
        if not data:
            self._loop.remove_reader(self._line.fileno())
        return self._other.put(data)

    def put(self, data: bytes) -> None:
        """Write, or keep until it can be written and let the other side wait; nothing: the end."""
        if self._closed:
            return
        self._waiting += data
        self._over = self._over or not data
        if len(self._waiting) >= HIGH_BYTES and self._other and not self._other._closed:
            self._loop.remove_reader(self._other._line.fileno())
        self._loop.add_writer(self._line.fileno(), self._write)

    def _write(self) -> None:
        try:
            sent = self._line.send(self._waiting) if self._waiting else 0
        except BlockingIOError:
            return None
        except OSError:
            return self.close()
        paused = len(self._waiting) >= HIGH_BYTES
        del self._waiting[:sent]
        if paused and len(self._waiting) < HIGH_BYTES and self._other and not self._over:
            self._other.join(self)
        if self._waiting:
            return None
        self._loop.remove_writer(self._line.fileno())
        if self._over:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_WR)
            if self._other and self._other._over and not self._other._waiting:
                self.close()
        return None
