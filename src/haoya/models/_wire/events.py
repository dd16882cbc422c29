# SPDX-License-Identifier: AGPL-3.0-or-later
"""From the bytes of an answer to objects, forgiving what servers do differently.

Understood: server-sent events (WHATWG HTML, "Server-sent events") with or without blank lines
between them, with or without `[DONE]`; comments; one plain JSON answer although a stream was asked
for; JSON lines. Broken UTF-8 is replaced.
"""

from typing import Generic, TypeVar

import msgspec

from haoya.core.errors import Unready

MAX_EVENT_BYTES = 16 * 1024 * 1024

Shape = TypeVar("Shape", bound=msgspec.Struct)


class Events(Generic[Shape]):
    """The objects of one answer while it arrives: `feed` bytes, then `finish` once.

    `begun` once the server has sent anything of the answer, `done` at `[DONE]`. `error` is the
    value of an `error:` line (llama.cpp before 2025). With `lines` each line is one JSON text.
    """

    def __init__(self, shape: type[Shape], server: str, wire: str, *, lines: bool = False) -> None:
        self._decoder = msgspec.json.Decoder(shape)
        self._server = server
        self._wire = wire
        self._lines = lines
        self._buffer = bytearray()
        self._searched = 0  # how much of the buffer holds no line end
        self._whole: bool | None = False if lines else None
        self._pending = b""
        self.begun = False
        self.done = False
        self.error = b""

    def feed(self, data: bytes) -> list[Shape]:
        """The objects these bytes complete. Raises `Unready`."""
        found: list[Shape] = []
        buffer = self._buffer
        buffer += data
        if self._whole is None and (start := buffer.lstrip()):
            self._whole = start.startswith(b"{")
        if not self._whole:
            at = 0
            while (end := buffer.find(b"\n", max(at, self._searched))) >= 0:
                self._line(bytes(buffer[at:end]).rstrip(b"\r"), found)
                at = end + 1
            del buffer[:at]
            self._searched = len(buffer)
        if len(buffer) > MAX_EVENT_BYTES:
            raise self.strange(f"more than {MAX_EVENT_BYTES} bytes in one piece")
        return found

    def finish(self) -> list[Shape]:
        """The objects of the rest. Raises `Unready` where it is none."""
        found: list[Shape] = []
        rest, self._buffer = bytes(self._buffer), bytearray()
        if self._whole:
            self._object(rest, found)
        elif rest.strip():
            self._line(rest.rstrip(b"\r"), found)
        if self._pending:
            raise self.strange("an event that is no JSON")
        return found

    def broken_off(self) -> Unready:
        """The error for an answer that ended without saying so."""
        return self.strange("an end in the middle" if self.begun else "nothing of an answer")

    def strange(self, what: str) -> Unready:
        """The error for bytes that are no answer on this wire."""
        text = f"{self._server} sent no {self._wire} answer ({what}); correct base_url"
        return Unready(text)

    def _line(self, line: bytes, found: list[Shape]) -> None:
        """One line; an event may span several `data:` lines, but as most hold whole JSON, each is
        tried at once."""
        if not line:
            if self._pending:
                raise self.strange("an event that is no JSON")
            return
        if self._lines:
            value, field = line, b"data"
        else:
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
        if field == b"error":
            self.error = value
        if field != b"data" or not value.strip() or self.done:
            return
        if value.strip() == b"[DONE]":
            self.done = self.begun = True
            return
        self._object(self._pending + value, found)

    def _object(self, data: bytes, found: list[Shape]) -> None:
        try:
            decoded = self._decoder.decode(data)
        except msgspec.ValidationError as e:
            raise self.strange(str(e)) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            decoded = self._repaired(data)
        if decoded is None:
            if self._lines:
                raise self.strange("a line that is no JSON")
            self._pending = data + b"\n"
            return
        self._pending = b""
        self.begun = True
        found.append(decoded)

    def _repaired(self, data: bytes) -> Shape | None:
        """The object with broken UTF-8 replaced; None where the JSON is not complete."""
        try:
            return self._decoder.decode(data.decode("utf-8", "replace"))
        except msgspec.ValidationError as e:
            raise self.strange(str(e)) from None
        except msgspec.DecodeError:
            return None
