# SPDX-License-Identifier: AGPL-3.0-or-later
"""One HTTP/2 connection between two nodes (RFC 9113), the same at both ends.

Many streams share it. What has arrived and was not yet taken is bounded by the windows, for room
is given back only for what was taken; whoever sends waits for the other side's room. A side that
shows no sign of life is pinged, and given up if it does not answer.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Mapping

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hpack import HeaderTuple, NeverIndexedHeaderTuple

from haoya.core.errors import Unready

STREAMS = 100
"""Questions on one connection at a time."""

STREAM_WINDOW = 128 * 1024
"""Bytes of one stream that may wait to be taken."""

WINDOW = STREAMS * STREAM_WINDOW
"""Bytes of all streams that may wait; so large that no stream can take another's room."""

UNSENT_BYTES = 2 * WINDOW
"""A side that lets us write so much and reads nothing of it is given up."""

READ_BYTES = 64 * 1024
PING_SECONDS = 20.0
"""Silence after which the other side is pinged; after as long again it counts as gone."""

STALL_SECONDS = 60.0
"""How long the other side may take none of an answer before the answer is given up."""

_SETTINGS = {
    SettingCodes.ENABLE_PUSH: 0,
    SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS,
    SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
    SettingCodes.MAX_HEADER_LIST_SIZE: 16 * 1024,
}


class Stream:
    """One question and its answer. Only one task at a time may wait on it.

    `on_gone` is called once when the other side resets the stream. `heard_all` and `said_all` say
    which of the two sides has ended.
    """

    def __init__(self, link: "Link", id: int) -> None:
        self.id = id
        self.headers: dict[str, str] = {}
        self.on_gone: Callable[[], object] = lambda: None
        self._link = link
        self._arrived: deque[tuple[bytes, int]] = deque()
        self._stir = asyncio.Event()
        self.heard_all = False
        self.said_all = False
        self._gone = ""

    async def head(self) -> Mapping[str, str]:
        """The answer's headers; `Unready` where none come."""
        while not self.headers:
            self._check()
            await self._wait()
        return self.headers

    async def receive(self) -> bytes:
        """The next bytes, empty at the end; `Unready` where the other side breaks off."""
        while not self._arrived:
            if self.heard_all:
                return b""
            self._check()
            await self._wait()
        data, cost = self._arrived.popleft()
        self._link.took(self.id, cost)
        return data

    async def send(self, data: bytes, *, end: bool = False) -> None:
        """Send all of it, waiting for room; `Unready` where the other side is gone or takes
        nothing for the link's `stall_seconds`. Sends no more once the other side has answered in
        full.
        """
        rest = memoryview(data)
        while not (self.said_all or (self.heard_all and self._link.client)):
            self._check()
            room = min(len(rest), self._link.room(self.id))
            if rest and not room:
                await self._room()
                continue
            last = end and room == len(rest)
            self.said_all = last
            await self._link.put(self.id, bytes(rest[:room]), end=last)
            rest = rest[room:]
            if not rest:
                return

    def answer(self, status: int, *, end: bool = False) -> None:
        """Begin the answer to a question."""
        self._check()
        self.said_all = end
        self._link.answer(self.id, status, end=end)

    def leave(self) -> None:
        """Let go of the stream; the other side is told unless both had ended."""
        left = sum(cost for _, cost in self._arrived)
        self._arrived.clear()
        if self._gone or (self.heard_all and self.said_all):
            self._link.forget(self.id, left)
        elif self._link.client:
            self._link.forget(self.id, left, ErrorCodes.CANCEL)
        else:
            # RFC 9113, 8.1: a whole answer may come before the end of the question.
            code = ErrorCodes.NO_ERROR if self.said_all else ErrorCodes.INTERNAL_ERROR
            self._link.forget(self.id, left, code)

    def stir(self) -> None:
        """Let the waiting task look again."""
        self._stir.set()

    def note(self, event: Event) -> None:
        """Take in what happened to this stream."""
        match event:
            case ResponseReceived() | RequestReceived():
                self.headers = {_text(name): _text(value) for name, value in event.headers}
            case DataReceived():
                self._arrived.append((event.data, event.flow_controlled_length))
            case StreamEnded():
                self.heard_all = True
            case StreamReset():
                self._gone = "the question was broken off by the other side"
                self.on_gone()
            case _:
                pass
        self._stir.set()

    def _check(self) -> None:
        if why := self._gone or self._link.gone:
            raise Unready(why, trouble="broken" if self._gone else "unreachable")

    async def _wait(self) -> None:
        self._stir.clear()
        await self._stir.wait()

    async def _room(self) -> None:
        seconds = self._link.stall_seconds
        try:
            async with asyncio.timeout(seconds):
                await self._wait()
        except TimeoutError:
            text = f"the other side took nothing for {seconds:g} s"
            raise Unready(text, trouble="timeout") from None


class Link:
    """The connection. `run` must run for as long as streams are used.

    A server gives `asked`, which is called with each new question's stream.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        asked: Callable[[Stream], None] | None = None,
        *,
        ping_seconds: float = PING_SECONDS,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self.client = asked is None
        self.gone = ""
        self.stall_seconds = stall_seconds
        self._ping_seconds = ping_seconds
        self._reader = reader
        self._writer = writer
        self._asked = asked
        self._streams: dict[int, Stream] = {}
        self._pinged = False
        config = H2Configuration(client_side=self.client, header_encoding=None)
        self._state = H2Connection(config)
        self._state.local_settings = Settings(client=self.client, initial_values=_SETTINGS)
        self._state.initiate_connection()
        self._state.increment_flow_control_window(WINDOW - self._state.inbound_flow_control_window)
        self._flush()

    async def run(self) -> None:
        """Take in what the other side says; ends only by raising `Unready`."""
        try:
            while True:
                for event in self._heard(await self._read()):
                    self._note(event)
                self._flush()
        except OSError as error:
            self.gone = f"the connection broke ({error.strerror or type(error).__name__})"
            raise Unready(self.gone, trouble="unreachable") from None
        finally:
            self.close("the connection was closed")

    def ask(self, headers: Mapping[str, str], secret: str, *, end: bool = False) -> Stream:
        """Begin a question; `secret` is the value of `authorization`.

        Raises `Unready` where the connection can carry no more.
        """
        if self.gone:
            raise Unready(self.gone, trouble="unreachable")
        fields = [HeaderTuple(name, value) for name, value in headers.items()]
        fields.append(NeverIndexedHeaderTuple("authorization", secret))
        try:
            stream = Stream(self, self._state.get_next_available_stream_id())
            self._state.send_headers(stream.id, fields, end_stream=end)
        except ProtocolError as error:
            text = f"the connection carries no more questions ({type(error).__name__})"
            raise Unready(text, trouble="overloaded") from None
        stream.said_all = end
        self._streams[stream.id] = stream
        self._flush()
        return stream

    def answer(self, id: int, status: int, *, end: bool) -> None:
        """Send the head of an answer."""
        self._state.send_headers(id, [(":status", str(status))], end_stream=end)
        self._flush()

    def room(self, id: int) -> int:
        """Bytes the other side takes now, in one frame."""
        return min(self._state.local_flow_control_window(id), self._state.max_outbound_frame_size)

    async def put(self, id: int, data: bytes, *, end: bool) -> None:
        """Send a piece that fits into the room."""
        self._state.send_data(id, data, end_stream=end)
        self._flush()
        try:
            async with asyncio.timeout(self.stall_seconds):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            self.close(f"the other side reads no more ({type(error).__name__})")
            raise Unready(self.gone, trouble="unreachable") from None

    def took(self, id: int, cost: int) -> None:
        """Give back the room of bytes that were taken."""
        if cost and not self.gone:
            self._state.acknowledge_received_data(cost, id)
            self._flush()

    def forget(self, id: int, left: int, reset: ErrorCodes | None = None) -> None:
        """Let go of a stream of which `left` bytes were not taken."""
        if self._streams.pop(id, None) is None or self.gone:
            return
        self.took(id, left)
        if reset is not None:
            self._state.reset_stream(id, reset)
            self._flush()

    def close(self, why: str) -> None:
        """Say goodbye and hang up; whoever waits on a stream gets `Unready`."""
        self.gone = self.gone or why
        if not self._writer.is_closing():
            with contextlib.suppress(ProtocolError):
                self._state.close_connection()
            self._flush()
            self._writer.close()
        if self._writer.transport.get_write_buffer_size() > READ_BYTES:
            self._writer.transport.abort()  # nobody reads it; do not wait for that
        for stream in self._streams.values():
            stream.stir()

    async def _read(self) -> bytes:
        while True:
            try:
                async with asyncio.timeout(self._ping_seconds):
                    data = await self._reader.read(READ_BYTES)
            except TimeoutError:
                if self._pinged:
                    self.gone = f"no sign of life for {2 * self._ping_seconds:g} s"
                    raise Unready(self.gone, trouble="unreachable") from None
                self._pinged = True
                self._state.ping(b"are you?")
                self._flush()
                continue
            if not data:
                self.gone = self.gone or "the other side hung up"
                raise Unready(self.gone, trouble="unreachable")
            self._pinged = False
            return data

    def _heard(self, data: bytes) -> list[Event]:
        try:
            return self._state.receive_data(data)
        except ProtocolError as error:
            self._flush()
            self.gone = f"the other side speaks no HTTP/2 ({type(error).__name__})"
            raise Unready(self.gone) from None

    def _note(self, event: Event) -> None:
        match event:
            case RequestReceived() if self._asked is not None:
                stream = self._streams[event.stream_id] = Stream(self, event.stream_id)
                stream.note(event)
                self._asked(stream)
            case DataReceived() if event.stream_id not in self._streams:
                self.took(event.stream_id, event.flow_controlled_length)
            case WindowUpdated(stream_id=0):
                for stream in self._streams.values():
                    stream.stir()
            case ConnectionTerminated():
                self.gone = "the other side said goodbye"
                raise Unready(self.gone, trouble="unreachable")
            case (
                ResponseReceived()
                | DataReceived()
                | StreamEnded()
                | StreamReset()
                | WindowUpdated()
            ):
                if stream := self._streams.get(event.stream_id):
                    stream.note(event)
            case _:
                pass

    def _flush(self) -> None:
        if (data := self._state.data_to_send()) and not self._writer.is_closing():
            self._writer.write(data)
            if self._writer.transport.get_write_buffer_size() > UNSENT_BYTES:
                self._writer.transport.abort()


def _text(raw: bytes | str) -> str:
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
