# SPDX-License-Identifier: AGPL-3.0-or-later
"""Other nodes while they are connected: each question is answered by one of our models.

Nothing of a question is written down: no journal line, no log, no blob.
"""

import asyncio
import hashlib
from collections.abc import Generator
from contextlib import aclosing, contextmanager, suppress

import msgspec

from haoya.core.errors import ConfigError, HaoyaError, Rejected, Unready
from haoya.core.ports import Embeds, Model, Warms
from haoya.core.tool import Finish, Prompt
from haoya.models.peer.link import Link, Stream
from haoya.models.peer.wire import (
    ASK,
    MAX_ASK_BYTES,
    MODELS,
    Ask,
    EmbedAsk,
    Fault,
    Frames,
    Offer,
    Request,
    Vectors,
    WarmAsk,
    Warmed,
    fault_of,
    framed,
    request_of,
)
from haoya.runtime.house import House
from haoya.runtime.peers import Peer

KNOCK_SECONDS = 10.0
"""How long a connection may last without a token we know."""

REFUSED_SECONDS = 1.0
"""How long whoever came with a wrong token has to read that it is wrong."""

QUESTION_SECONDS = 60.0
"""How long a question may take to arrive."""

HELD_BYTES = 4 * MAX_ASK_BYTES
"""Questions of all nodes that may lie in memory at a time."""


class Hall:
    """What all connections share."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.guests: dict[Guest, asyncio.Task[None]] = {}
        self.held = 0

    def send_away(self, name: str) -> None:
        """Hang up on a node that was removed, in the middle of an answer too."""
        for guest in tuple(self.guests):
            if name in guest.names:
                guest.leave("the token was withdrawn")

    def offers(self, peer: Peer) -> list[Offer]:
        """The models this node may ask."""
        return [self._offer(name) for name in peer.models if self.lends(name)]

    def lends(self, name: str) -> bool:
        """Whether a model may be lent at all: another node's is asked there, not through us."""
        part = self.house.settings.models.get(name)
        return part is not None and part.use != "peer"

    def model(self, peer: Peer, name: str) -> Model:
        """The model a node asks for; `Rejected` where it may not, `Unready` where it is shut."""
        if name not in peer.models or not self.lends(name):
            there = ", ".join(offer.name for offer in self.offers(peer)) or "none"
            raise Rejected(f"no model {name!r} is lent to this node; there are: {there}")
        if (model := self.house.models.get(name)) is None:
            raise Unready(self._trouble(name), trouble="unreachable")
        return model

    def _offer(self, name: str) -> Offer:
        model = self.house.models.get(name)
        if model is None:
            return Offer(name=name, trouble=self._trouble(name))
        table = self.house.settings.models[name].table
        return Offer(
            name=name,
            model=model.name,
            context_tokens=model.context_tokens,
            sees=bool(table.get("vision") or table.get("projector")),
            embeds=isinstance(model, Embeds),
            warms=isinstance(model, Warms),
        )

    def _trouble(self, name: str) -> str:
        health = self.house.board.part(f"models.{name}")
        return f"the model {name} is {health.state} there; see `haoya status` on that machine"


class Guest:
    """One connection. `names` are the nodes whose tokens came over it."""

    def __init__(
        self, hall: Hall, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.names: set[str] = set()
        self._hall = hall
        self._peers = hall.house.peers
        self._link = Link(reader, writer, self._asked)
        self._refused = False

    async def live(self) -> None:
        """Answer until the other node leaves."""
        loop = asyncio.get_running_loop()
        knock = loop.call_later(KNOCK_SECONDS, self._knocked)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self._link.run())
        except* Unready:
            pass  # it hung up
        finally:
            knock.cancel()
            self.leave("the connection was closed")
            for name in self.names:
                self._peers.figures(name).connections -= 1

    def leave(self, why: str) -> None:
        """Hang up."""
        self._link.close(why)

    def _knocked(self) -> None:
        if not self.names:
            self.leave("nobody we know")

    def _asked(self, stream: Stream) -> None:
        if self._refused:
            stream.leave()
            return
        task = self._tasks.create_task(self._serve(stream))
        stream.on_gone = task.cancel
        task.add_done_callback(lambda _: stream.leave())

    async def _serve(self, stream: Stream) -> None:
        with suppress(Unready):  # the other node has broken off: nobody is left to tell
            peer = self._known(stream)
            if peer is None:
                return
            match stream.headers.get(":method"), stream.headers.get(":path"):
                case "GET", str(path) if path == MODELS:
                    stream.answer(200)
                    await stream.send(msgspec.json.encode(self._hall.offers(peer)), end=True)
                case "POST", str(path) if path == ASK:
                    await self._answer(stream, peer)
                case _:
                    stream.answer(404, end=True)

    def _known(self, stream: Stream) -> Peer | None:
        """The node that asks; whoever it is not told is answered here."""
        scheme, _, token = stream.headers.get("authorization", "").partition(" ")
        try:
            peer = self._peers.known(token.strip()) if scheme.lower() == "bearer" else None
        except ConfigError:
            stream.answer(503, end=True)
            return None
        if peer is None:
            self._refused = True
            stream.answer(401, end=True)
            loop = asyncio.get_running_loop()
            loop.call_later(REFUSED_SECONDS, self.leave, "the token is not known")
            return None
        if peer.name not in self.names:
            self.names.add(peer.name)
            self._peers.figures(peer.name).connections += 1
        return peer

    async def _answer(self, stream: Stream, peer: Peer) -> None:
        figures = self._peers.figures(peer.name)
        figures.asked += 1
        figures.last = self._hall.house.clock()
        stream.answer(200)
        try:
            with self._room() as room:
                request, pictures = await room.question(stream)
                with self._hall.house.blobs.lend(pictures):
                    await self._think(stream, peer, request)
        except HaoyaError as error:
            await stream.send(framed(fault_of(error)), end=True)

    async def _think(self, stream: Stream, peer: Peer, request: Request) -> None:
        model = self._hall.model(peer, request.model)
        match request:
            case Ask(prompt=prompt):
                async with aclosing(model.stream(_from(peer, prompt))) as deltas:
                    async for delta in deltas:
                        last = isinstance(delta, Finish)
                        await stream.send(framed(delta), end=last)
                        if last:
                            return
                raise Unready(f"{request.model} broke off without an end")
            case EmbedAsk(texts=texts, urgency=urgency) if isinstance(model, Embeds):
                embedding = await model.embed(texts, urgency=urgency)
                await stream.send(framed(Vectors(embedding=embedding)), end=True)
            case WarmAsk(prompts=prompts) if isinstance(model, Warms):
                await model.warm([_from(peer, prompt) for prompt in prompts])
                await stream.send(framed(Warmed()), end=True)
            case _:
                fault = Fault(message=f"{request.model} cannot do that", rejected=True)
                await stream.send(framed(fault), end=True)

    @contextmanager
    def _room(self) -> Generator["Room"]:
        room = Room(self._hall)
        try:
            yield room
        finally:
            self._hall.held -= room.taken


class Room:
    """The memory a question takes, counted while it lasts."""

    def __init__(self, hall: Hall) -> None:
        self.taken = 0
        self._hall = hall

    async def question(self, stream: Stream) -> tuple[Request, dict[str, bytes]]:
        """A request and the pictures that came with it, by SHA-256.

        Raises `Unready`: `request` for what is no question or too large, `overloaded` where
        other questions fill the memory, `timeout` where it does not arrive.
        """
        try:
            async with asyncio.timeout(QUESTION_SECONDS):
                frames = await self._frames(stream)
            return _question(frames)
        except TimeoutError:
            text = f"the question did not arrive in {QUESTION_SECONDS:.0f} s"
            raise Unready(text, trouble="timeout") from None
        except ValueError as error:
            raise Unready(f"no question: {error}", trouble="request") from None

    async def _frames(self, stream: Stream) -> list[bytes]:
        parser, frames = Frames(), list[bytes]()
        while data := await stream.receive():
            self.taken += len(data)
            self._hall.held += len(data)
            if self.taken > MAX_ASK_BYTES:
                raise ValueError(f"it has more than {MAX_ASK_BYTES} bytes")
            if self._hall.held > HELD_BYTES:
                raise Unready("too many questions at a time", trouble="overloaded")
            frames += parser.feed(data)
        if parser.broken_off or not frames:
            raise ValueError("it ends in the middle")
        return frames


def _question(frames: list[bytes]) -> tuple[Request, dict[str, bytes]]:
    request = request_of(frames[0])
    pictures = {hashlib.sha256(data).hexdigest(): data for data in frames[1:]}
    lines = request.prompt.lines if isinstance(request, Ask) else ()
    wanted = {image.sha256 for line in lines for image in line.images}
    if pictures.keys() != wanted:
        raise ValueError("its pictures are not those it names")
    return request, pictures


def _from(peer: Peer, prompt: Prompt) -> Prompt:
    """The prompt as this node's: the asking node is its person."""
    conversation = f"{peer.person}/{prompt.conversation}"
    return msgspec.structs.replace(prompt, person=peer.person, conversation=conversation)
