# SPDX-License-Identifier: AGPL-3.0-or-later
"""The life of a request to a model, whichever wire it came by and whoever answers.

A part that speaks the client's own wire gets the request as it is, with another name for the
model; its answer goes back byte by byte. This is the path that must be short: it is entered right
behind the guard. For all others the request is read into a `Prompt` and the answer written in the
client's wire. The client's leaving ends the model's work.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from haoya.api.agent import Wanted, spoken, wanted_of
from haoya.api.bare import AGENT, addressed, asked, bare
from haoya.api.replies import Refusal, again, fault_of, read_body, send_json
from haoya.api.stream import EventStream, Left, Write, attend
from haoya.api.window import Window
from haoya.api.wires.words import Ask, Dialect, Pen, decoded
from haoya.core.errors import HaoyaError, Unready
from haoya.core.ports import Model, Relays
from haoya.core.tool import Delta, TextDelta, ThoughtDelta
from haoya.runtime.masking import relaying

EVENTS = "text/event-stream"


class _Peek(msgspec.Struct):
    """All that is looked at of a request that is passed on."""

    model: str


_PEEK = msgspec.json.Decoder(_Peek)


def answering(window: Window, dialect: Dialect) -> ASGIApp:
    """An ASGI endpoint for one wire."""

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await _answer(window, dialect, scope, receive, send)
        except Left:
            return
        except (Refusal, HaoyaError) as error:
            await complain(dialect, error, send)

    return endpoint


async def complain(dialect: Dialect, error: Refusal | HaoyaError, send: Send) -> None:
    """Answer with an error in the wire's own shape."""
    status, fault = fault_of(error)
    wait: float | None = None
    if isinstance(error, Unready):
        wait = error.retry_after
        if error.trouble == "overloaded":
            status = dialect.overloaded
    await send_json(send, dialect.error(status, fault), status, again(status, wait))


async def _answer(
    window: Window, dialect: Dialect, scope: Scope, receive: Receive, send: Send
) -> None:
    body = await read_body(scope, receive)
    name = decoded(_PEEK, body).model
    model = None if name == AGENT else bare(window, name)
    if model and (relay := relaying(model, dialect.wire, body)):
        await _Relay(window, dialect, relay, body).answer(receive, send)
        return
    ask = dialect.read(body)
    headers = Headers(scope=scope)
    wanted: Wanted | None = None
    if model is None:
        wanted = await wanted_of(window, headers, ask)
        deltas = spoken(window, wanted, growing=ask.stream)
    else:
        pin = headers.get("x-conversation", "") or ask.pin
        deltas = _bare(window, model, ask, pin)
    pen = dialect.pen(ask, wanted.name if wanted else "")
    told = wanted.headers if wanted else {}
    if ask.stream:
        stream = EventStream(
            window,
            lambda write: _write(deltas, pen, write),
            lambda error: dialect.farewell(*fault_of(error)),
            told,
            beats=True,
        )
        await stream(scope, receive, send)
    else:
        await attend(window, receive, _collect(deltas, pen))
        await send_json(send, pen.whole(), headers=told)


async def _bare(window: Window, model: Model, ask: Ask, pin: str) -> AsyncGenerator[Delta, None]:
    """A bare model's answer; the request's pictures are in reach as long as it takes."""
    with window.house.blobs.lend({blob.sha256: data for blob, data in ask.pictures}):
        async with aclosing(asked(model, addressed(window, ask.prompt, pin))) as deltas:
            async for delta in deltas:
                yield delta


async def _write(deltas: AsyncGenerator[Delta | None, None], pen: Pen, write: Write) -> None:
    """Write an answer as it grows."""
    begun = False
    async with aclosing(deltas) as heard:
        async for delta in heard:
            if not begun:
                begun = True
                await write(pen.begin())
            elif delta is None:
                await write(b": working\n\n")
            if delta is not None and not _empty(delta):
                await write(pen.more(delta))


async def _collect(deltas: AsyncGenerator[Delta | None, None], pen: Pen) -> None:
    """Give the pen a whole answer."""
    async with aclosing(deltas) as heard:
        async for delta in heard:
            if delta is not None and not _empty(delta):
                pen.more(delta)


def _empty(delta: Delta) -> bool:
    return isinstance(delta, TextDelta | ThoughtDelta) and not delta.text


class _Relay:
    """One request passed on as it is."""

    def __init__(self, window: Window, dialect: Dialect, model: Relays, body: bytes) -> None:
        self.window = window
        self.dialect = dialect
        self.model = model
        self.body = body
        self.begun = False

    async def answer(self, receive: Receive, send: Send) -> None:
        """Pass it on and the answer back; raises `HaoyaError` only before the first byte."""
        try:
            await attend(self.window, receive, self._pass(send))
        except Left:
            raise
        except HaoyaError as error:
            if not self.begun:
                raise
            last = self.dialect.farewell(*fault_of(error))
            await send({"type": "http.response.body", "body": last})

    async def _pass(self, send: Send) -> None:
        try:
            await self._once(send)
        except Unready as error:  # a kept connection or an engine that was gone
            if self.begun or not error.again:
                raise
            await self._once(send)

    async def _once(self, send: Send) -> None:
        async with self.model.relay(self.dialect.wire, self.body) as relayed:
            head = [(b"content-type", relayed.mime.encode("latin-1"))]
            if relayed.retry_after:
                head.append((b"retry-after", relayed.retry_after.encode("latin-1")))
            if relayed.mime.startswith(EVENTS):
                head.append((b"x-accel-buffering", b"no"))
                async for piece in relayed.pieces:
                    if not self.begun:
                        await self._begin(send, relayed.status, head)
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                if not self.begun:
                    await self._begin(send, relayed.status, head)
                await send({"type": "http.response.body", "body": b""})
                return
            pieces = [piece async for piece in relayed.pieces]
            whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            head.append((b"content-length", str(len(whole)).encode()))
            await self._begin(send, relayed.status, head)
            await send({"type": "http.response.body", "body": whole})

    async def _begin(self, send: Send, status: int, head: list[tuple[bytes, bytes]]) -> None:
        self.begun = True
        await send({"type": "http.response.start", "status": status, "headers": head})
