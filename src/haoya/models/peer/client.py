# SPDX-License-Identifier: AGPL-3.0-or-later
"""The model itself: one connection to the other node, one stream on it for each question."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

import msgspec

from haoya.core.errors import Rejected, Unready
from haoya.core.plugin import Context
from haoya.core.ports import Embedding
from haoya.core.tool import CallDelta, Delta, Finish, Prompt, TextDelta, ThoughtDelta, Urgency
from haoya.models.peer.dial import RETRY_SECONDS, dial
from haoya.models.peer.link import STREAMS, Link, Stream
from haoya.models.peer.parcel import bared, packed
from haoya.models.peer.settings import PeerSettings
from haoya.models.peer.wire import (
    ASK,
    MAX_FRAME_BYTES,
    MODELS,
    EmbedAsk,
    Fault,
    Frames,
    Offer,
    Reply,
    Vectors,
    WarmAsk,
    Warmed,
    error_of,
    framed,
    offers_of,
    reply_of,
)

ASIDE_SECONDS = 5.0
"""For what is no answer of a model: the list of models."""

WARM_SECONDS = 300.0
"""A model may have to be loaded first."""

Given = TypeVar("Given")


@asynccontextmanager
async def connect(settings: PeerSettings, context: Context) -> AsyncGenerator["PeerModel", None]:
    """Connect, and lend the model for as long as the connection lives.

    Raises `Unready` where the node is not there or leaves, `Rejected` where it refuses us or
    offers no such model, and `ConfigError` where the token cannot be resolved.
    """
    token = context.secret(settings.token)
    reader, writer = await dial(settings)
    link = Link(reader, writer)
    try:
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(_run(link, settings))
            node = Node(settings, link, token)
            model = _kind(offer := await node.offer())(node, offer, context)
            yield model
            running.cancel()
    finally:
        link.close("this node has closed the connection")


async def _run(link: Link, settings: PeerSettings) -> None:
    try:
        await link.run()
    except Unready as error:
        text = f"{settings.url.netloc}: {error}"
        raise Unready(text, retry_after=RETRY_SECONDS, trouble=error.trouble) from None


class Node:
    """The other node as this one speaks to it."""

    def __init__(self, settings: PeerSettings, link: Link, token: str) -> None:
        self.settings = settings
        self.name = settings.url.netloc
        self.token = token
        self._link = link
        self._seats = asyncio.Semaphore(STREAMS)

    async def offer(self) -> Offer:
        """What the other node says of our model."""
        wanted = self.settings.model
        data = await self._within(ASIDE_SECONDS, self._models())
        try:
            offers = {offer.name: offer for offer in offers_of(data)}
        except ValueError:
            raise Rejected(f"{self.name} is no haoya node; correct address") from None
        if wanted not in offers:
            there = ", ".join(offers) or "none"
            raise Rejected(f"{self.name} lends us no model {wanted!r}; it lends: {there}")
        if trouble := offers[wanted].trouble:
            raise Unready(f"{self.name}: {trouble}", retry_after=RETRY_SECONDS)
        return offers[wanted]

    async def replies(self, frames: Sequence[bytes]) -> AsyncGenerator[Reply, None]:
        """What the other node answers to a question; a `Fault` is raised as what it tells of."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.settings.first_seconds
        begun = False
        await self._by(deadline, self._seats.acquire(), begun)
        try:
            stream = self._open("POST", ASK)
        except Unready:
            self._seats.release()
            raise
        try:
            await self._by(deadline, self._send(stream, frames), begun)
            parser = Frames()
            while data := await self._by(deadline, stream.receive(), begun):
                for word in self._words(parser, data):
                    yield word
                    begun = True
                deadline = loop.time() + self.settings.idle_seconds
            raise self._strange("an answer without an end")
        finally:
            stream.leave()
            self._seats.release()

    async def reply(self, frames: Sequence[bytes], seconds: float) -> Reply:
        """The one word that is answered to a question."""

        async def first() -> Reply:
            async with aclosing(self.replies(frames)) as replies:
                async for word in replies:
                    return word
            raise self._strange("no answer")

        return await self._within(seconds, first())

    async def _models(self) -> bytes:
        stream = self._open("GET", MODELS)
        try:
            await self._known(stream)
            found = bytearray()
            while data := await stream.receive():
                found += data
                if len(found) > MAX_FRAME_BYTES:
                    break
            return bytes(found)
        finally:
            stream.leave()

    def _open(self, method: str, path: str) -> Stream:
        scheme = self.settings.url.scheme
        head = {":method": method, ":path": path, ":scheme": scheme, ":authority": self.name}
        return self._link.ask(head, f"Bearer {self.token}", end=method == "GET")

    async def _send(self, stream: Stream, frames: Sequence[bytes]) -> None:
        for number, frame in enumerate(frames, 1):
            await stream.send(frame, end=number == len(frames))
        await self._known(stream)

    async def _known(self, stream: Stream) -> None:
        """Raise `Rejected` unless the other node takes us for a peer."""
        status = (await stream.head()).get(":status", "")
        if status == "401":
            raise Rejected(
                f"{self.name} does not know our token (any more); get a new one there with "
                "`haoya peers invite`"
            )
        if status != "200":
            raise Rejected(f"{self.name} is no haoya node (HTTP {status}); correct address")

    def _words(self, parser: Frames, data: bytes) -> list[Reply]:
        try:
            words = [reply_of(frame) for frame in parser.feed(data)]
        except ValueError as error:
            raise self._strange(str(error)) from None
        for word in words:
            if isinstance(word, Fault):
                raise error_of(word, self.name)
        return words

    def _strange(self, what: str) -> Unready:
        return Unready(f"{self.name} sent {what}; update haoya there or here")

    async def _by(self, deadline: float, wanted: Awaitable[Given], begun: bool) -> Given:
        try:
            async with asyncio.timeout_at(deadline):
                return await wanted
        except TimeoutError:
            what = "gone silent in the middle of the answer" if begun else "not begun to answer"
            seconds = self.settings.idle_seconds if begun else self.settings.first_seconds
            text = f"{self.name} has {what} for {seconds:g} s; look at its load"
            raise Unready(text, trouble="timeout") from None

    async def _within(self, seconds: float, wanted: Awaitable[Given]) -> Given:
        try:
            async with asyncio.timeout(seconds):
                return await wanted
        except TimeoutError:
            text = f"{self.name} gave no answer in {seconds:g} s; look at its load"
            raise Unready(text, retry_after=RETRY_SECONDS, trouble="timeout") from None


class PeerModel:
    """A `Model`; any number of answers may stream at a time."""

    def __init__(self, node: Node, offer: Offer, context: Context) -> None:
        self._node = node
        self._offer = offer
        self._part = context.name
        self._blobs = context.blobs if offer.sees else None

    @property
    def name(self) -> str:
        """What the server behind the other node calls it."""
        return self._offer.model

    @property
    def context_tokens(self) -> int:
        """How many tokens prompt and answer may have together, as the other node says."""
        return self._offer.context_tokens

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """The answer as it comes, ending with `Finish`, which notes what has left this node."""
        node = self._node
        model = self._offer.name
        parcel = await packed(
            prompt, part=self._part, model=model, key=node.token, blobs=self._blobs
        )
        async with aclosing(node.replies(parcel.frames)) as replies:
            async for word in replies:
                match word:
                    case Finish(notes=notes):
                        yield msgspec.structs.replace(word, notes=(*notes, parcel.note(node.name)))
                        return
                    case TextDelta() | ThoughtDelta() | CallDelta():
                        yield word
                    case _:
                        raise Unready(f"{node.name} sent no answer; update haoya there or here")

    async def _warm(self, prompts: Sequence[Prompt]) -> None:
        model, key = self._offer.name, self._node.token
        bare = [await bared(one, part=self._part, model=model, key=key) for one in prompts]
        ask = WarmAsk(model=model, prompts=tuple(bare))
        await self._answered(framed(ask), Warmed, WARM_SECONDS)

    async def _embed(self, texts: Sequence[str], urgency: Urgency) -> Embedding:
        ask = EmbedAsk(model=self._offer.name, texts=tuple(texts), urgency=urgency)
        seconds = self._node.settings.first_seconds
        return (await self._answered(framed(ask), Vectors, seconds)).embedding

    async def _answered(self, frame: bytes, kind: type[Given], seconds: float) -> Given:
        word = await self._node.reply([frame], seconds)
        if isinstance(word, kind):
            return word
        raise Unready(f"{self._node.name} sent no answer; update haoya there or here")


class WarmingModel(PeerModel):
    """One whose model there can be made ready."""

    async def warm(self, prompts: Sequence[Prompt]) -> None:
        """As `core.ports.Warms`. Pictures stay here."""
        await self._warm(prompts)


class EmbeddingModel(PeerModel):
    """One whose model there embeds."""

    async def embed(self, texts: Sequence[str], *, urgency: Urgency = "chat") -> Embedding:
        """As `core.ports.Embeds`."""
        return await self._embed(texts, urgency)


class AbleModel(WarmingModel, EmbeddingModel):
    """One whose model there does both."""


def _kind(offer: Offer) -> type[PeerModel]:
    """The class with the talents of the model there; talents are asked for by type."""
    if offer.warms:
        return AbleModel if offer.embeds else WarmingModel
    return EmbeddingModel if offer.embeds else PeerModel
