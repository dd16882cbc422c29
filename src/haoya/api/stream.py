# SPDX-License-Identifier: AGPL-3.0-or-later
"""Responses that take their time: they end when the client hangs up or the window closes."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

from starlette.types import Receive, Scope, Send

from haoya.api.window import Window
from haoya.core.errors import HaoyaError, Unready

BEAT_SECONDS = 15.0
"""How long a stream may be silent before a comment shows that it lives; proxies often give up
after 30 or 60 seconds."""

Result = TypeVar("Result")
Write = Callable[[bytes], Awaitable[None]]


class Left(HaoyaError):
    """The client hung up; nobody is there to be told."""


async def attend(
    window: Window,
    receive: Receive,
    work: Awaitable[Result],
    beside: Coroutine[None, None, None] | None = None,
) -> Result:
    """Wait for `work`, but no longer than the client does; `beside` runs as long as that.

    Raises `Left` when the client hung up and `Unready` when the window closes; `work` is
    cancelled in both cases. Errors of the house that `work` raises come out as they are.
    """
    gone = False
    problem: HaoyaError | None = None
    result: Result | None = None

    async def listen() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        if not leash.expired():
            leash.reschedule(asyncio.get_running_loop().time())

    try:
        async with asyncio.timeout(0 if window.closing else None) as leash:
            async with asyncio.TaskGroup() as tasks:
                window.leashes.add(leash)
                others = [tasks.create_task(listen())]
                if beside:
                    others.append(tasks.create_task(beside))
                try:
                    result = await work
                except HaoyaError as error:
                    problem = error
                finally:
                    window.leashes.discard(leash)
                    for other in others:
                        other.cancel()
    except TimeoutError as error:
        raise (Left() if gone else Unready("haoya is stopping; ask again")) from error
    if problem:
        raise problem
    return result  # pyright: ignore[reportReturnType]


class EventStream:
    """An ASGI response of server-sent events (HTML Living Standard, 9.2).

    `play` writes them. The response begins with the first of them, so that what goes wrong
    before is still a plain error. `farewell` makes the last words of an error after that. With
    `beats` a comment shows every `BEAT_SECONDS` that it lives.
    """

    def __init__(
        self,
        window: Window,
        play: Callable[[Write], Awaitable[None]],
        farewell: Callable[[HaoyaError], bytes] = lambda _: b"",
        headers: dict[str, str] | None = None,
        *,
        beats: bool = False,
    ) -> None:
        self.window = window
        self.beats = beats
        self.play = play
        self.farewell = farewell
        head = {"content-type": "text/event-stream", "x-accel-buffering": "no", **(headers or {})}
        self.head = [(name.encode(), value.encode("latin-1")) for name, value in head.items()]
        self.begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Play until the end, or until somebody leaves."""

        async def write(data: bytes) -> None:
            if not self.begun:
                self.begun = True
                await send({"type": "http.response.start", "status": 200, "headers": self.head})
            await send({"type": "http.response.body", "body": data, "more_body": True})

        async def beat() -> None:
            while True:
                await asyncio.sleep(BEAT_SECONDS)
                await write(b": working\n\n")

        beside = beat() if self.beats else None
        try:
            await attend(self.window, receive, self.play(write), beside)
        except Left:
            return
        except HaoyaError as error:
            if not self.begun:
                raise
            if last := self.farewell(error):
                await write(last)
        await send({"type": "http.response.body", "body": b""})


def event(name: str, data: bytes, id: int = 0) -> bytes:
    r"""One server-sent event. `data` is JSON, so it holds no line breaks.

    >>> event("state", b'{"ready":true}', 7)
    b'id: 7\nevent: state\ndata: {"ready":true}\n\n'
    """
    number = b"id: %d\n" % id if id else b""
    return b"%bevent: %b\ndata: %b\n\n" % (number, name.encode(), data)
