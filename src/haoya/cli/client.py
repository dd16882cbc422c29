# SPDX-License-Identifier: AGPL-3.0-or-later
"""The terminal's end of the local socket: blocking, and light to import."""

import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from haoya.cli.words import say
from haoya.core.errors import ConfigError, Unready
from haoya.core.place import check_private, socket_path

CONNECT_SECONDS = 3.0
CALL_SECONDS = 30.0
WRITE_SECONDS = 10.0


def reach(home: Path) -> "Client | None":
    """A line to the daemon that lives in `home`; None where none runs.

    Raises `ConfigError` where the socket is there and not ours to use.
    """
    path = socket_path(home)
    line = socket.socket(socket.AF_UNIX)
    line.settimeout(CONNECT_SECONDS)
    try:
        check_private(path.parent, home.stat().st_uid)
        line.connect(os.fspath(path))
    except (FileNotFoundError, ConnectionRefusedError):
        line.close()
        return None
    except TimeoutError:
        line.close()
        raise Unready(say("daemon.deaf", path=path)) from None
    except PermissionError:
        line.close()
        raise ConfigError(say("daemon.forbidden", path=path), cure=say("daemon.sudo")) from None
    except BaseException:
        line.close()
        raise
    return Client(line)


class Client:
    """One open line; use as a context manager."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._buffer = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._line.close()

    def write(self, request: object) -> None:
        """Send one line; raises `Unready` where the daemon is gone."""
        try:
            self._line.settimeout(WRITE_SECONDS)
            self._line.sendall(json.dumps(request).encode() + b"\n")
        except (OSError, TimeoutError):
            raise Unready(say("daemon.gone")) from None

    def read(self, seconds: float) -> bytes | None:
        """The next line; None where none came in time. Raises `Unready` at the end."""
        deadline = time.monotonic() + seconds
        while (end := self._buffer.find(b"\n")) < 0:
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            try:
                self._line.settimeout(left)
                more = self._line.recv(65536)
            except TimeoutError:
                return None
            except OSError:
                more = b""
            if not more:
                raise Unready(say("daemon.gone"))
            self._buffer += more
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def call(
        self, verb: str, arguments: dict[str, object], seconds: float = CALL_SECONDS
    ) -> object:
        """The JSON result of one of the house's verbs, on a line that only calls.

        Raises what the house raised: `ConfigError` or `Unready`.
        """
        self.write({"call": {"verb": verb, "arguments": arguments}, "id": 1})
        line = self.read(seconds)
        if line is None:
            raise Unready(say("daemon.slow", verb=verb, seconds=round(seconds)))
        reply = cast("dict[str, object]", json.loads(line))
        if "error" in reply:
            raise fault(cast("dict[str, str]", reply["error"]))
        return reply["result"]


def fault(error: dict[str, str]) -> ConfigError | Unready:
    """The error an error line tells of."""
    if error.get("kind") in ("Unready", "Throttled"):
        return Unready(error["message"])
    return ConfigError(error["message"], cure=error.get("cure", ""))
