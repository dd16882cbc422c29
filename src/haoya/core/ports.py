# SPDX-License-Identifier: Apache-2.0
"""Ports: what a plugin gives the house once it is open. All are protocols.

A generator resumed is a fact stored: the house takes the next item of `Connection.receive`
only after everything in the one before is durable, so a channel acknowledges upstream simply by
going on after its `yield`.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Generic, Literal, Protocol, TypeVar, runtime_checkable

import msgspec

from haoya.core.capabilities import Capabilities
from haoya.core.label import Label
from haoya.core.message import Address, Inbound, Outbound, Receipt, Word
from haoya.core.tool import Delta, Prompt, Scene, ToolResult, ToolSpec, Urgency


class Connection(Protocol):
    """An open channel. Leaving its context manager closes it."""

    @property
    def capabilities(self) -> Capabilities:
        """What this account can do; constant while open."""
        ...

    def receive(self) -> AsyncGenerator[Sequence[Inbound], None]:
        """Messages in the order they were heard; one yield is one commit.

        Ends never by itself: raises `Unready` when the connection is gone, `Rejected` when the
        network refuses us.
        """
        ...

    async def send(self, outbound: Outbound) -> Receipt:
        """Hand over one piece that `plan` has fitted to `capabilities`.

        Raises `Throttled` (this sending waits), `Unready` (the connection reopens),
        `Undeliverable` (this message fails) or `Rejected` (the channel is parked).
        """
        ...


@runtime_checkable
class ShowsTyping(Protocol):
    """The network can show that we are at work; shown for a few seconds, best effort."""

    async def typing(self, address: Address) -> None:
        """Show it once."""
        ...


@runtime_checkable
class Edits(Protocol):
    """A sent message can be changed: answers stream by edits, the last edit is the answer."""

    async def edit(self, id: str, outbound: Outbound) -> Receipt:
        """Replace the message the network knows as `id`; raises as `send` does."""
        ...


@runtime_checkable
class Drafts(Protocol):
    """Watchers see an answer grow without it being a message yet (the panel, a terminal)."""

    async def draft(self, outbound: Outbound) -> None:
        """Show the answer so far; may be dropped for a slow watcher."""
        ...


@runtime_checkable
class Desk(Protocol):
    """A channel whose people sit in this very process: the API hands messages in and watches."""

    async def hand_in(self, inbound: Inbound) -> None:
        """Put a message into `receive`; returns once it is stored. Raises `Unready`."""
        ...

    def watch(self, room: str) -> AbstractAsyncContextManager[AsyncIterator[Outbound]]:
        """Everything said in one room from now on, drafts included; a slow watcher loses
        drafts, never finals."""
        ...


class Model(Protocol):
    """Something that continues a conversation."""

    @property
    def name(self) -> str:
        """What the server calls it."""
        ...

    @property
    def context_tokens(self) -> int:
        """How many tokens prompt and answer may have together."""
        ...

    def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """The answer as it comes, ending with `Finish`.

        Raises `Unready` (busy, broken, gone: the next model is tried, or this one again where
        the error says so) or `Rejected` (key refused, model unknown).
        """
        ...


@runtime_checkable
class Hedges(Protocol):
    """A model made of several parts that race for the first word."""

    @property
    def speaker(self) -> str:
        """The part asked first, and from its first word on the one whose answer is taken."""
        ...


@runtime_checkable
class Warms(Protocol):
    """A model that can make itself ready before it is asked, so that the first answer is quick."""

    async def warm(self, prompts: Sequence[Prompt]) -> None:
        """Be ready to answer, and know the beginnings that these prompts share with others.

        Raises as `Model.stream` does.
        """
        ...


class Embedding(Word, frozen=True, kw_only=True):
    """One vector for each text, all of one length, and the tokens they had together."""

    vectors: tuple[tuple[float, ...], ...]
    tokens: int = 0


@runtime_checkable
class Embeds(Protocol):
    """A model that places texts in a space of meaning."""

    async def embed(self, texts: Sequence[str], *, urgency: Urgency = "chat") -> Embedding:
        """The vectors in the order of the texts; raises as `Model.stream` does."""
        ...


class Seat(Protocol):
    """Leave to use a lane's model now; given back by leaving."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided about this request, for the owner: how long it waited, behind what."""
        ...

    def spent(self, tokens: int) -> None:
        """Tokens this request has really cost so far, in all; called at its end or as they come."""
        ...


class Lane(Protocol):
    """One local model's share of the machine: so many requests at a time."""

    @property
    def load(self) -> float:
        """Requests running or waiting for each seat; over 1 they wait."""
        ...

    def enter(self, prompt: Prompt, tokens: int) -> AbstractAsyncContextManager[Seat]:
        """Wait for this request's turn; `tokens` is what it may cost, prompt and answer.

        Raises `Unready` (trouble `overloaded`) where it could not be begun in time, or the lane
        is given up meanwhile.
        """
        ...


@runtime_checkable
class Queue(Protocol):
    """Shares this machine's thinking fairly between people, channels and jobs."""

    def lane(
        self, name: str, seats: int, *, pause: Callable[[bool], None] | None = None
    ) -> AbstractContextManager[Lane]:
        """A lane for as long as it is held. `pause(True)` stops work in the background at once
        (it freezes its process), `pause(False)` lets it go on."""
        ...


Wire = Literal["openai-chat", "openai-responses", "anthropic-messages"]
"""A public form of requests to models and of their answers."""


class Relayed(Word, frozen=True, kw_only=True):
    """The answer to a relayed request: HTTP status, content type, and the body as it comes.

    `retry_after` is the server's own header of that name, empty where it sent none.
    """

    status: int
    mime: str
    pieces: AsyncIterator[bytes]
    retry_after: str = ""


@runtime_checkable
class Relays(Protocol):
    """A model whose server speaks a public wire: requests in it are passed on as they are."""

    @property
    def wires(self) -> frozenset[Wire]:
        """The wires it takes."""
        ...

    def relay(self, wire: Wire, body: bytes) -> AbstractAsyncContextManager[Relayed]:
        """Send a request's JSON with the server's own name for the model put in.

        Raises `Unready` or `Rejected` only where no answer came; a refusal of the server's is an
        answer and passed on.
        """
        ...


Arguments = TypeVar("Arguments", bound=msgspec.Struct)


class Tool(msgspec.Struct, Generic[Arguments], frozen=True, kw_only=True):
    """A tool: what it is, the type its arguments decode to, and what it does.

    `run` returns words for the model, or raises anything: the turn turns that into a result
    that is not `ok`.
    """

    spec: ToolSpec
    arguments: type[Arguments]
    run: Callable[[Arguments, Scene], Awaitable[ToolResult]]


class Memo(Word, frozen=True, kw_only=True):
    """One remembered fact; `person` is whose it is, `at` when it was kept (Unix seconds). `label`
    is that of what was read before it was written, None where that is not known."""

    id: str
    person: str
    text: str
    at: float
    source: str = ""
    """The key of the call or message it came from; keeping twice with one source is once."""
    label: Label | None = None


class Memory(Protocol):
    """A store of what people asked to be remembered."""

    async def keep(self, memo: Memo) -> None:
        """Store durably; a second memo with the same `id` changes nothing."""
        ...

    async def recall(self, person: str, query: str, limit: int = 5) -> Sequence[Memo]:
        """The best matches of that person's memos for the words of `query`, best first."""
        ...

    async def forget(self, person: str, id: str) -> bool:
        """Remove one; whether it was there."""
        ...


Stage = Callable[[Inbound], Awaitable[Inbound]]
"""A step before policy admits: returns the message, changed or not, or raises `Drop`."""
