# SPDX-License-Identifier: AGPL-3.0-or-later
"""One program at the local socket: newline-delimited JSON both ways.

The program writes one of these a line, with an `id` of its own choice beside it if it likes:

    {"say": {"text": "hi", "room": "main", "id": "optional"}}
    {"watch": {"room": "main", "awaiting": ["ids of messages whose answers are still missing"]}}
    {"call": {"verb": "status", "arguments": {}}, "id": 1}

and reads, in the order things happen:

    {"stored": {"id": "…"}}              the message is durable; a lost line may be sent again
    {"watching": {"room": "main"}}
    {"outbound": {…}}                    for watchers; `finality` is draft or final
    {"result": …, "id": 1}
    {"error": {"message": "…", "cure": "…", "kind": "ConfigError"}, "id": 1}
"""

import asyncio
import os
import pwd
import socket
import struct
import uuid
from typing import Any

import msgspec

from haoya.channels.local.connection import LocalConnection, Watcher
from haoya.core.errors import ConfigError, HaoyaError
from haoya.core.message import Inbound, Sender, Text

LINE_BYTES = 1_000_000
TASKS = 64
"""How many lines of one peer may be in work at once; past it the peer is not read from."""

RequestId = int | str | None


class Say(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Words of the owner. `id` makes a second sending of the same words harmless."""

    text: str
    room: str = "main"
    id: str = ""


class Watch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Look at a room; finals that answer a message of `awaiting` come again if still at hand."""

    room: str = "main"
    awaiting: tuple[str, ...] = ()


class Call(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of the house's own verbs."""

    verb: str
    arguments: dict[str, Any] = {}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A line from a peer: exactly one of the three."""

    say: Say | None = None
    watch: Watch | None = None
    call: Call | None = None
    id: RequestId = None


_decoder = msgspec.json.Decoder(Request)


class Peer:
    """Serves one program until it hangs up or the channel closes."""

    def __init__(
        self,
        connection: LocalConnection,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._writer = writer
        self._rooms: dict[str, Watcher] = {}
        self._name = ""
        self._free = asyncio.Semaphore(TASKS)

    async def serve(self) -> None:
        """Answer line by line; what was begun when the peer hangs up is still finished."""
        task = asyncio.current_task()
        assert task is not None
        try:
            async with asyncio.timeout(None) as leash:
                self._connection.peers[task] = leash
                try:
                    await self._talk()
                finally:
                    del self._connection.peers[task]
        except TimeoutError:
            pass  # The channel closed: `LocalConnection.close` pulled the leash.
        finally:
            self._writer.close()

    async def _talk(self) -> None:
        try:
            self._name = _name_of(self._writer)
        except ConfigError as error:
            await self._complain(error, None)
            return
        try:
            async with asyncio.TaskGroup() as work, asyncio.TaskGroup() as watching:
                while (line := await self._line()) is not None:
                    await self._free.acquire()
                    self._begin(line, work, watching)
                for watcher in self._rooms.values():
                    watcher.leave("hung up")
        except* ConnectionError:
            pass  # It hung up while we wrote.
        finally:
            for room, watcher in self._rooms.items():
                self._connection.leave(room, watcher)

    async def _line(self) -> bytes | None:
        """The next line; None where the peer hung up. An overlong one is told and skipped."""
        overlong = False
        while True:
            try:
                line = await self._reader.readuntil(b"\n")
            except asyncio.LimitOverrunError as error:
                await self._reader.readexactly(error.consumed)
                overlong = True
            except asyncio.IncompleteReadError as error:
                return error.partial or None
            else:
                if not overlong:
                    return line
                overlong = False
                await self._complain(ConfigError(_OVERLONG, cure=_SHORTER), None)

    def _begin(self, line: bytes, work: asyncio.TaskGroup, watching: asyncio.TaskGroup) -> None:
        """Start on a line without waiting, so that messages keep the order of their lines."""
        request = Request()
        try:
            request = _decoder.decode(line)
            match request:
                case Request(say=Say() as say, watch=None, call=None):
                    inbound = self._inbound(say)
                    stored = self._connection.take(inbound)
                    work.create_task(self._store(inbound.id, stored, request.id))
                case Request(say=None, watch=Watch() as watch, call=None):
                    if watch.room not in self._rooms:
                        watcher = self._connection.enter(watch.room, watch.awaiting)
                        self._rooms[watch.room] = watcher
                        watching.create_task(self._show(watcher))
                    work.create_task(self._answer({"watching": {"room": watch.room}}, request.id))
                case Request(say=None, watch=None, call=Call() as call):
                    work.create_task(self._call(call, request.id))
                case _:
                    raise ConfigError("a line holds exactly one of say, watch, call", cure=_FORM)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            fault = ConfigError(f"this line is not what is spoken here: {error}", cure=_FORM)
            work.create_task(self._answer(_described(fault), None))
        except HaoyaError as error:
            own = request.say.id if request.say else None
            work.create_task(self._answer(_described(error), request.id or own or None))

    async def _store(self, id: str, stored: asyncio.Future[None], request: RequestId) -> None:
        try:
            await stored
        except HaoyaError as error:
            await self._answer(_described(error), request or id)
        else:
            await self._answer({"stored": {"id": id}}, request)

    async def _show(self, watcher: Watcher) -> None:
        try:
            async for outbound in watcher:
                await self._write({"outbound": outbound})
        except HaoyaError:
            if not self._reader.at_eof():
                self._writer.transport.abort()  # It does not read: a word to it would wait too.

    async def _call(self, call: Call, id: RequestId) -> None:
        verbs = self._connection.context.call
        if verbs is None:
            await self._answer(_described(ConfigError("the house lends no verbs here")), id)
            return
        try:
            result = await verbs(call.verb, call.arguments)
        except HaoyaError as error:
            await self._answer(_described(error), id)
        else:
            await self._answer({"result": result}, id)

    async def _answer(self, reply: dict[str, Any], id: RequestId) -> None:
        self._free.release()
        await self._write(reply if id is None else {**reply, "id": id})

    async def _complain(self, error: HaoyaError, id: RequestId) -> None:
        await self._write({**_described(error), "id": id} if id else _described(error))

    async def _write(self, reply: dict[str, Any]) -> None:
        if self._writer.is_closing():
            raise ConnectionResetError("the peer hung up")
        self._writer.write(msgspec.json.encode(reply) + b"\n")
        await self._writer.drain()

    def _inbound(self, say: Say) -> Inbound:
        context = self._connection.context
        if not say.text.strip() or not say.room:
            raise ConfigError("a message needs words and a room", cure=_FORM)
        return Inbound(
            id=say.id or uuid.uuid4().hex,
            address=self._connection.address(say.room),
            sender=Sender(id="owner", name=self._name, proof="network"),
            parts=(Text(text=say.text),),
            at=context.clock(),
            direct=True,
            called=True,
        )


_OVERLONG = f"a line is longer than {LINE_BYTES} bytes and was skipped"
_SHORTER = "send large things as files"
_FORM = 'write {"say": {"text": "…"}}, {"watch": {"room": "…"}} or {"call": {"verb": "…"}}'


def _described(error: HaoyaError) -> dict[str, Any]:
    cure = error.cure if isinstance(error, ConfigError) else ""
    return {"error": {"message": str(error), "cure": cure, "kind": type(error).__name__}}


def _name_of(writer: asyncio.StreamWriter) -> str:
    """The account at the other end; `ConfigError` where it is neither ours nor root.

    Where the system tells no peer credentials (SO_PEERCRED is Linux's), the private folder of
    the socket is the only guard.
    """
    uid = os.getuid()
    if hasattr(socket, "SO_PEERCRED"):
        end: socket.socket = writer.get_extra_info("socket")
        raw = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, uid, _ = struct.unpack("3i", raw)
        if uid not in (os.getuid(), 0):
            raise ConfigError(
                f"user {uid} may not speak here", cure=f"ask as user {os.getuid()} or as root"
            )
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
