# SPDX-License-Identifier: AGPL-3.0-or-later
"""Lines on their way out: paced, and known to have arrived.

IRC acknowledges nothing, so evidence is made. Where the server echoes our messages
(`echo-message`) the echo is the receipt. Elsewhere a PING follows: a server works a client's
lines off in order, so the PONG proves that it has taken all before it, and a refusal, had
there been one, would have come first.
"""

import asyncio
from collections.abc import Callable, Sequence

from haoya.channels.irc.wire import Message
from haoya.core.errors import HaoyaError, Unready
from haoya.core.message import Receipt

RECEIPT_SECONDS = 30
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
    """One message of ours: `written` of its `lines` are out, `echoes` have come back."""

    def __init__(self, target: str, lines: int) -> None:
        self.target = target
        self.lines = lines
        self.written = 0
        self.echoes: list[str] = []
        self.barrier = 0
        self.done: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

    def receipt(self, status: str = "sent", error: str = "") -> Receipt:
        ids = tuple(id for id in self.echoes if id)
        return Receipt(status=status, ids=ids, error=error)  # pyright: ignore[reportArgumentType]


class Outbox:
    """The one queue to the socket. `echoing` is whether the server echoes our messages."""

    def __init__(self, write: Callable[[Message], None], pace: Pace, *, echoing: bool) -> None:
        self.echoing = echoing
        self._write = write
        self._pace = pace
        self._queue: asyncio.Queue[tuple[Message, _Sending | None]] = asyncio.Queue()
        self._sendings: list[_Sending] = []
        self._barrier = 0

    def put(self, message: Message) -> None:
        """Queue a line nobody waits for."""
        self._queue.put_nowait((message, None))

    async def send(self, target: str, lines: Sequence[Message]) -> Receipt:
        """Queue the lines of one message to a (folded) target and wait for the evidence.

        Raises what `refuse` and `fail` were given. Once a line is out and no evidence comes,
        the receipt says `unknown`.
        """
        sending = _Sending(target, len(lines))
        self._sendings.append(sending)
        for line in lines:
            self._queue.put_nowait((line, sending))
        lines_ahead = 2 * self._queue.qsize()  # each may bring a PING
        try:
            async with asyncio.timeout(lines_ahead * self._pace.seconds + RECEIPT_SECONDS):
                return await sending.done
        except TimeoutError as error:
            if not sending.written:
                raise Unready("the queue to the server does not move") from error
            return sending.receipt("unknown", "the server took it and gave no sign")
        finally:
            self._sendings.remove(sending)

    async def work(self) -> None:
        """Write the queue, for ever; lines of a sending that is over are left out."""
        clock = asyncio.get_running_loop().time
        while True:
            message, sending = await self._queue.get()
            await asyncio.sleep(self._pace.wait(clock()))
            if sending is None or not sending.done.done():
                self._write(message)
                self._pace.charge(clock())
                if sending is not None:
                    sending.written += 1
            if not self.echoing:
                self._ask(clock())

    def _ask(self, now: float) -> None:
        """Set a barrier behind what is written, when nothing follows or enough came together.
        It is charged and does not wait: one line of debt does no harm."""
        waiting = [one for one in self._sendings if one.written == one.lines and not one.barrier]
        if waiting and (self._queue.empty() or len(waiting) >= self._pace.burst):
            self._barrier += 1
            for one in waiting:
                one.barrier = self._barrier
            self._write(Message(command="PING", params=(f"{_TOKEN}{self._barrier}",)))
            self._pace.charge(now)

    def pong(self, token: str) -> None:
        """A PONG came: everything written before its PING has arrived."""
        number = token.removeprefix(_TOKEN)
        if token.startswith(_TOKEN) and number.isdecimal():
            for one in self._sendings:
                if 0 < one.barrier <= int(number) and not one.done.done():
                    one.done.set_result(one.receipt())

    def echo(self, target: str, id: str) -> None:
        """Our own line to a (folded) target came back; `id` is its msgid, if it has one."""
        sending = self._oldest(target)
        if self.echoing and sending is not None:
            sending.echoes.append(id)
            if len(sending.echoes) >= sending.lines:
                sending.done.set_result(sending.receipt())

    def refuse(self, target: str, error: HaoyaError) -> bool:
        """The server would not pass our line on to a target; whether a message of ours ends."""
        sending = self._oldest(target)
        if sending is None:
            return False
        if sending.echoes:
            sending.done.set_result(sending.receipt("partial", str(error)))
        else:
            sending.done.set_exception(error)
        return True

    def fail(self, error: HaoyaError) -> None:
        """The connection is gone: what was not written can go again, the rest is unknown."""
        for one in self._sendings:
            if one.done.done():
                continue
            if one.written:
                said = f"{one.written} of {one.lines} lines were written, then: {error}"
                one.done.set_result(one.receipt("unknown", said))
            else:
                one.done.set_exception(Unready(str(error)))

    def _oldest(self, target: str) -> _Sending | None:
        """Answers come in the order of our lines, so one belongs to the oldest that is open."""
        open = (one for one in self._sendings if one.written and not one.done.done())
        return next((one for one in open if one.target == target), None)
