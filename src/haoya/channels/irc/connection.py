# SPDX-License-Identifier: AGPL-3.0-or-later
"""An open IRC account: what the lines mean for the house."""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import msgspec

from haoya.channels.irc import wire
from haoya.channels.irc.link import Link
from haoya.channels.irc.outbox import Outbox, Pace
from haoya.channels.irc.registration import Registration, refusal
from haoya.channels.irc.settings import IrcSettings
from haoya.channels.irc.wire import Message
from haoya.core.capabilities import Capabilities
from haoya.core.errors import HaoyaError, Throttled, Undeliverable, Unready
from haoya.core.message import Address, Inbound, Outbound, Receipt, Sender, Text, text_of
from haoya.core.plugin import Context

REGISTER_SECONDS = 30
JOIN_SECONDS = 10
REJOIN_SECONDS = 5
REGAIN_SECONDS = 60
PONG_SECONDS = 30
CTCP_SECONDS = 5
_BATCH = 50
_INBOX = 1000
_NICK_ERRORS = frozenset({"432", "433", "436"})
_LEAST_BYTES = 64
_TARGET = re.compile(r"[^\s\x00-\x1f,:*?!@$][^\s\x00-\x1f,*?!@]*")
_log = logging.getLogger("haoya.channels")


@asynccontextmanager
async def connect(settings: IrcSettings, context: Context) -> AsyncGenerator["IrcConnection", None]:
    """Dial, register, join; yields once every room has said yes or no."""
    password = context.secret(settings.password) if settings.password else ""
    sasl_password = context.secret(settings.sasl_password) if settings.sasl_password else ""
    registration = Registration(settings, password=password, sasl_password=sasl_password)
    link = await Link.dial(settings)
    try:
        await _register(link, registration)
        async with IrcConnection(link, registration, settings, context) as connection:
            await connection.settle()
            yield connection
    finally:
        await link.close("see you")


async def _register(link: Link, registration: Registration) -> None:
    lines = registration.start()
    try:
        async with asyncio.timeout(REGISTER_SECONDS):
            while not registration.done:
                for line in lines:
                    link.write(line)
                lines = registration.hear(await link.read())
    except TimeoutError as error:
        raise Unready(f"{link.host} did not let us in within {REGISTER_SECONDS} s") from error


class IrcConnection:
    """A registered client with two tasks of its own: one listens, one writes the outbox.

    A person is the account the server vouches for (`account-tag`), else the mask
    `nick!user@host`: who changes nick without an account is somebody else to us. A private
    conversation is with a nick, whoever bears it. Messages have no ids here unless the server
    tags them (`msgid`); ours are the moment of opening and a running number, so they never
    repeat, and nothing said while we were away is ever heard.
    """

    def __init__(
        self, link: Link, registration: Registration, settings: IrcSettings, context: Context
    ) -> None:
        self._link = link
        self._settings = settings
        self._context = context
        self._nick = registration.nick
        self._caps = registration.caps
        self._features = registration.features
        pace = Pace(burst=settings.burst, seconds=settings.pace_seconds)
        self._outbox = Outbox(link.write, pace, echoing="echo-message" in self._caps)
        self._inbox: asyncio.Queue[Inbound | None] = asyncio.Queue(_INBOX)
        self._failure: HaoyaError | None = None
        self._rooms = {self._fold(room.split(" ")[0]): room for room in settings.rooms}
        self._unsettled = set(self._rooms)
        self._settled = asyncio.Event()
        self._returning: set[str] = set()
        self._opened = f"{context.clock():.6f}"
        self._count = 0
        self._ctcp_at = 0.0
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []
        self._capabilities = self._declare()

    async def __aenter__(self) -> "IrcConnection":
        await self._group.__aenter__()
        for task in (self._listen(), self._outbox.work(), self._regain()):
            self._spawn(task)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._outbox.fail(Unready(f"we left {self._link.host}"))
        for task in self._tasks:
            task.cancel()
        # Not told of the body's error, the group lets it pass as it is instead of wrapping it.
        await self._group.__aexit__(None, None, None)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(self._group.create_task(work))

    @property
    def capabilities(self) -> Capabilities:
        """Words only, in lines; the limit holds for every room of the settings and any nick."""
        return self._capabilities

    def _declare(self) -> Capabilities:
        pace = self._settings.pace_seconds
        names = [room.split(" ")[0] for room in self._settings.rooms]
        targets = [wire.number(self._features, "NICKLEN", 30), *(len(n.encode()) for n in names)]
        return Capabilities(
            max_length=self._text_bytes(max(targets)),
            unit="utf8",
            multiline=False,
            rate=1 / pace if pace else 0,
        )

    def _text_bytes(self, target: int) -> int:
        settings = self._settings
        return wire.text_bytes(
            self._features, nick=settings.nick, username=settings.user, target=target
        )

    def _fold(self, name: str) -> str:
        return wire.fold(name, self._features.get("CASEMAPPING", "rfc1459"))

    # ── joining ──

    async def settle(self) -> None:
        """Join the rooms and wait for each answer, but not for ever."""
        for room in self._rooms:
            self._join(room)
        try:
            async with asyncio.timeout(
                JOIN_SECONDS + len(self._rooms) * self._settings.pace_seconds
            ):
                while self._unsettled and self._failure is None:
                    await self._settled.wait()
                    self._settled.clear()
        except TimeoutError:
            _log.warning("%s: no answer to joining %s", self._context.name, self._unsettled)
        self._check()

    def _join(self, room: str) -> None:
        self._outbox.put(Message(command="JOIN", params=tuple(self._rooms[room].split(" "))))

    def _settle(self, room: str) -> bool:
        """A room answered; whether we had been waiting for that."""
        awaited = room in self._unsettled or room in self._returning
        self._unsettled.discard(room)
        self._returning.discard(room)
        self._settled.set()
        return awaited

    def _left(self, room: str, words: str) -> None:
        if room in self._rooms:
            _log.warning("%s: put out of %s: %s", self._context.name, room, words)
            self._returning.add(room)
            self._spawn(self._return(room))

    async def _return(self, room: str) -> None:
        await asyncio.sleep(REJOIN_SECONDS)
        self._join(room)

    async def _regain(self) -> None:
        """Ask for the wished nick while another bears it; who leaves it is seen at once."""
        while True:
            await asyncio.sleep(REGAIN_SECONDS)
            self._wish()

    def _wish(self) -> None:
        if self._nick != self._settings.nick:
            self._outbox.put(Message(command="NICK", params=(self._settings.nick,)))

    # ── hearing ──

    async def receive(self) -> AsyncGenerator[Sequence[Inbound], None]:
        """What people say, as it comes; everything heard before a failure comes before it."""
        ended = False
        while not ended:
            batch = [await self._inbox.get()]
            while not self._inbox.empty() and len(batch) < _BATCH:
                batch.append(self._inbox.get_nowait())
            ended = batch[-1] is None
            if heard := [inbound for inbound in batch if inbound is not None]:
                yield heard
        self._inbox.put_nowait(None)
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise type(self._failure)(str(self._failure))

    async def _listen(self) -> None:
        try:
            while True:
                heard = self._hear(await self._read())
                if heard is not None:
                    await self._inbox.put(heard)
        except HaoyaError as error:
            self._failure = error
            self._outbox.fail(error)
            self._settled.set()
            await self._inbox.put(None)

    async def _read(self) -> Message:
        """The next line; after a silence the server is asked once whether it is there."""
        ping_seconds = self._settings.ping_seconds
        for seconds in (ping_seconds, min(ping_seconds, PONG_SECONDS)):
            try:
                async with asyncio.timeout(seconds):
                    message = await self._link.read()
                self._context.alive()
                return message
            except TimeoutError:
                self._link.write(Message(command="PING", params=("there?",)))
        raise Unready(f"{self._link.host} is silent and answers no PING")

    def _hear(self, message: Message) -> Inbound | None:
        params = message.params
        first = self._fold(params[0]) if params else ""
        ours = self._fold(message.nick) == self._fold(self._nick)
        match message.command:
            case "PRIVMSG" if len(params) > 1 and ours:
                self._outbox.echo(first, message.tags.get("msgid", ""))
            case "PRIVMSG" if len(params) > 1 and "!" in message.source:
                return self._said(message)
            case "PING":
                self._link.write(Message(command="PONG", params=params[-1:]))
            case "PONG" if params:
                self._outbox.pong(params[-1])
            case "JOIN" if ours:
                self._settle(first)
            case "PART" if ours:
                self._left(first, "parted")
            case "KICK" if len(params) > 1 and self._fold(params[1]) == self._fold(self._nick):
                self._left(first, wire.plain(params[-1]))
            case "NICK" if ours and params:
                self._nick = params[0]
            case "NICK" | "QUIT" if self._fold(message.nick) == self._fold(self._settings.nick):
                self._wish()
            case "CAP" if len(params) > 2 and params[1].upper() == "DEL":
                self._caps -= set(params[-1].split())
                self._outbox.echoing = "echo-message" in self._caps
            case "005":
                self._features |= wire.features(params)
            case "463" | "464" | "465" | "ERROR":
                raise refusal(self._link.host, message)
            case numeric if numeric[0] in "45" and numeric not in _NICK_ERRORS and len(params) > 2:
                self._refused(self._fold(params[1]), message)
            case _:
                pass
        return None

    def _refused(self, target: str, message: Message) -> None:
        """An error about a room or a person: a join that failed, or words not passed on."""
        said = f"{self._link.host} said of {target}: {message.words}"
        slower = message.command == "439"  # target change too fast (ircu)
        error = Throttled(said, retry_after=REGAIN_SECONDS) if slower else Undeliverable(said)
        if not self._outbox.refuse(target, error) and self._settle(target):
            _log.warning("%s: cannot join: %s", self._context.name, said)

    def _said(self, message: Message) -> Inbound | None:
        target, text = message.params[:2]
        direct = self._fold(target) == self._fold(self._nick)
        room = target.lstrip(self._features.get("STATUSMSG", ""))
        if not direct and not room.startswith(tuple(self._features.get("CHANTYPES", "#&"))):
            return None
        nicks = {self._settings.nick, self._nick}
        if text.startswith("\x01"):
            verb, _, rest = text.strip("\x01").partition(" ")
            if verb.upper() != "ACTION":
                if direct:
                    self._answer_ctcp(message.nick, verb.upper(), rest)
                return None
            called, _ = wire.addressed(wire.plain(rest), nicks)
            text = f"* {message.nick} {wire.plain(rest)}"
        else:
            called, text = wire.addressed(wire.plain(text).strip(), nicks)
        if not text:
            return None
        self._count += 1
        return Inbound(
            id=self._tag(message, "message-tags", "msgid") or f"{self._opened}-{self._count}",
            address=Address(
                channel=self._context.name,
                room=self._fold(message.nick if direct else room),
                kind="dm" if direct else "group",
            ),
            sender=self._sender(message),
            parts=(Text(text=text),),
            at=self._time(message),
            direct=direct,
            called=direct or called,
        )

    def _tag(self, message: Message, cap: str, key: str) -> str:
        """A tag's value, believed only where the server agreed to set it."""
        return message.tags.get(key, "") if cap in self._caps else ""

    def _sender(self, message: Message) -> Sender:
        account = self._tag(message, "account-tag", "account")
        vouched = account not in ("", "*")
        return Sender(
            id=f"account:{self._fold(account)}" if vouched else self._fold(message.source),
            name=message.nick,
            proof="network" if vouched else "none",
            is_bot="bot" in message.tags and "message-tags" in self._caps,
        )

    def _time(self, message: Message) -> float:
        try:
            return datetime.fromisoformat(self._tag(message, "server-time", "time")).timestamp()
        except ValueError:
            return self._context.clock()

    def _answer_ctcp(self, nick: str, verb: str, rest: str) -> None:
        """Be polite to VERSION and PING, rarely: such answers are a lever for floods."""
        now = asyncio.get_running_loop().time()
        if verb not in ("VERSION", "PING") or now < self._ctcp_at:
            return
        self._ctcp_at = now + CTCP_SECONDS
        answer = f"\x01{verb} {'haoya' if verb == 'VERSION' else rest[:64]}\x01"
        self._outbox.put(Message(command="NOTICE", params=(nick, answer)))

    # ── saying ──

    async def send(self, outbound: Outbound) -> Receipt:
        """Say a line and wait until the server has worked it off without an objection.

        `plan` gives one line at a time; of a message with more each becomes one. `Unready` says
        in `reached` whether the line may have arrived all the same.
        """
        target = outbound.address.room
        limit = self._text_bytes(len(target.encode()))
        if not _TARGET.fullmatch(target) or limit < _LEAST_BYTES:
            raise Undeliverable(f"{target!r} is neither a room nor a nick")
        folded = self._fold(target)
        if folded in self._returning:
            raise Throttled(f"we are out of {target} for now", retry_after=REJOIN_SECONDS)
        texts = wire.sayable(text_of(outbound.parts), limit)
        if not texts:
            raise Undeliverable(f"message {outbound.id} holds no words, and IRC carries only words")
        receipts = [
            await self._outbox.send(folded, Message(command="PRIVMSG", params=(target, text)))
            for text in texts
        ]
        ids = tuple(id for receipt in receipts for id in receipt.ids)
        return msgspec.structs.replace(receipts[-1], ids=ids)
