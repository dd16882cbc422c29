# SPDX-License-Identifier: AGPL-3.0-or-later
"""Lines on their way out: paced, and known to have arrived.

IRC acknowledges nothing, so evidence is made. Where the server echoes our messages
(`echo-message`) the echo is the receipt. Elsewhere a PING follows: a server works a client's
lines off in order, so the PONG proves that it has taken all before it, and a refusal, had
there been one, would have come first.
"""

import asyncio
from collections.abc import Callable

from haoya.channels.irc.wire import Message
from haoya.core.errors import HaoyaError, Throttled, Unready
from haoya.core.message import Receipt

RECEIPT_SECONDS = 30
PATIENCE_SECONDS = 20
"""Who would have to wait longer for their turn is told to come back later."""

_TOKEN = "haoya-"


class Pace:
    """The flood rule of RFC 1459 8.10: each line costs `seconds`, debts may run `burst` lines
    ahead of the clock. Time is passed in.

    >>> pace = Pace(burst=2, seconds=2)
    >>> pace.charge(0.0); pace.charge(0.0); pace.wait(0.0), pace.wait(1.5)
    (2.0, 0.5)
    """

    def __init__(self, *, burst: int, seconds: float) -> None:
        self.burst = burst
        self.seconds = seconds
        self._paid_until = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next line may go."""
        return max(0.0, self._paid_until - now - (self.burst - 1) * self.seconds)

    def charge(self, now: float) -> None:
        """A line went."""
        self._paid_until = max(now, self._paid_until) + self.seconds


class _Sending:
    """A line of ours that somebody waits for; `barrier` is the number of the PING behind it."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.written = False
        self.barrier = 0
        self.done: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()


class Outbox:
    """The one queue to the socket. `echoing` is whether the server echoes our messages."""

    def __init__(self, write: Callable[[Message], None], pace: Pace, *, echoing: bool) -> None:
        self.echoing = echoing
        self._write = write
        self._pace = pace
        self._queue: asyncio.Queue[tuple[Message, _Sending | None]] = asyncio.Queue()
        self._sendings: list[_Sending] = []
        self._barrier = 0
        self._failure = ""

    def put(self, message: Message) -> None:
        """Queue a line nobody waits for."""
        self._queue.put_nowait((message, None))

    async def send(self, target: str, message: Message) -> Receipt:
        """Queue a line to a (folded) target and wait for the evidence.

        Raises `Throttled` where the queue is too long, and what `refuse` and `fail` say.
        """
        if self._failure:
            raise Unready(self._failure, reached=False)
        now = asyncio.get_running_loop().time()
        wait = self._pace.wait(now) + self._queue.qsize() * self._pace.seconds
        if wait > PATIENCE_SECONDS:
            raise Throttled("too much to say at once for this network", retry_after=wait)
        sending = _Sending(target)
        self._sendings.append(sending)
        self._queue.put_nowait((message, sending))
        try:
            async with asyncio.timeout(wait + RECEIPT_SECONDS):
                return await sending.done
        except TimeoutError:
            return Receipt(status="unknown", error="the server gave no sign that it took it")
        finally:
            self._sendings.remove(sending)

    async def work(self) -> None:
        """Write the queue, for ever, without the lines nobody waits for any more."""
        clock = asyncio.get_running_loop().time
        while True:
            message, sending = await self._queue.get()
            await asyncio.sleep(self._pace.wait(clock()))
            if sending is None or not sending.done.done():
                self._write(message)
                self._pace.charge(clock())
                if sending is not None:
                    sending.written = True
            if not self.echoing:
                self._ask()

    def _ask(self) -> None:
        """Set a barrier behind what is written, when nothing follows or enough came together.

        It is free: a line and a PING in `seconds` = 2 make the one line a second that also
        servers stricter than the RFC take for ever.
        """
        waiting = [one for one in self._sendings if one.written and not one.barrier]
        if waiting and (self._queue.empty() or len(waiting) >= self._pace.burst):
            self._barrier += 1
            for one in waiting:
                one.barrier = self._barrier
            self._write(Message(command="PING", params=(f"{_TOKEN}{self._barrier}",)))

    def pong(self, token: str) -> None:
        """A PONG came: everything written before its PING has arrived."""
        number = token.removeprefix(_TOKEN)
        if token.startswith(_TOKEN) and number.isdecimal():
            for one in self._sendings:
                if 0 < one.barrier <= int(number) and not one.done.done():
                    one.done.set_result(Receipt())

    def echo(self, target: str, id: str) -> None:
        """Our own line to a (folded) target came back; `id` is its msgid, if it has one."""
        if self.echoing and (sending := self._oldest(target)):
            sending.done.set_result(Receipt(ids=(id,) if id else ()))

    def refuse(self, target: str, error: HaoyaError) -> bool:
        """The server would not pass our line on to a target; whether a message of ours ends."""
        sending = self._oldest(target)
        if sending:
            sending.done.set_exception(error)
        return sending is not None

    def fail(self, error: HaoyaError) -> None:
        """The connection is gone: what was written may have arrived, the rest has not."""
        self._failure = self._failure or str(error)
        for one in self._sendings:
            if not one.done.done():
                one.done.set_exception(Unready(str(error), reached=one.written))

    def _oldest(self, target: str) -> _Sending | None:
        """Answers come in the order of our lines, so one belongs to the oldest that is open."""
        open = (one for one in self._sendings if one.written and not one.done.done())
        return next((one for one in open if one.target == target), None)
