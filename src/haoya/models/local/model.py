# SPDX-License-Identifier: AGPL-3.0-or-later
"""The local model: a place in the queue, a slot of the engine, and the answer as it comes."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager

import msgspec

from haoya.core.errors import HaoyaError, Rejected, Unready
from haoya.core.plugin import Blobs
from haoya.core.ports import Embedding, Lane, Seat
from haoya.core.tool import (
    CallDelta,
    Delta,
    Finish,
    Prompt,
    Sampling,
    TextDelta,
    ThoughtDelta,
    Urgency,
)
from haoya.inference.runner import Runner, Seated
from haoya.inference.wire import Reply, request
from haoya.models._wire.refusal import complaint, refusal
from haoya.models.local.request import slot_body
from haoya.models.local.strain import Adapting
from haoya.models.openai.answer import Answer

STALL_SECONDS = 600.0
"""The longest silence of an engine: on a small machine a long prompt takes minutes to read."""

ANSWER_TOKENS = 512
"""What an answer without a limit is taken to cost, until it is known."""

BYTES_PER_TOKEN = 3
"""To guess a prompt's tokens from its JSON; the engine's count corrects it."""


BLIND = "the engine refused its pictures; it was asked without them"


class Runners(msgspec.Struct, frozen=True, kw_only=True):
    """The engines of one model. `chat` answers people, `aside` works in the background: a process
    of its own over the same mapped file, frozen as long as somebody waits. `light` runs a smaller
    file of the same model, which the owner may allow under pressure."""

    chat: Runner
    aside: Runner
    light: Runner | None = None

    def all(self) -> list[Runner]:
        """Those there are."""
        return [runner for runner in (self.chat, self.aside, self.light) if runner]


class LocalModel:
    """A `Model` that also `Warms` and `Embeds`."""

    def __init__(
        self,
        name: str,
        runners: Runners,
        lane: Lane,
        adapting: Adapting,
        *,
        prewarm: bool = True,
        blobs: Blobs | None = None,
        usual: Sampling | None = None,
    ) -> None:
        self._name = name
        self.runners = runners
        self._lane = lane
        self.adapting = adapting
        self._prewarm = prewarm
        self._blobs = blobs
        self._usual = usual

    @property
    def name(self) -> str:
        """What the owner called it."""
        return self._name

    @property
    def context_tokens(self) -> int:
        """How many tokens prompt and answer may have together; fewer under load, if allowed."""
        return self.adapting.choose().use.context_tokens

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """The answer as it comes, ending with `Finish`; raises as the port says."""
        cost = _guess(prompt) + (prompt.sampling.max_tokens or ANSWER_TOKENS)
        choice = self.adapting.choose()
        runner = await self._runner(prompt.urgency, lighter=choice.use.lighter)
        async with (
            self._lane.enter(prompt, cost) as seat,
            runner.seat(prompt) as place,
            self._asked(prompt, place) as (reply, blind),
            aclosing(self._deltas(reply, prompt, seat)) as deltas,
        ):
            async for delta in deltas:
                if isinstance(delta, Finish):
                    notes = (*choice.notes, *seat.notes, *place.notes, *blind)
                    delta = msgspec.structs.replace(delta, notes=notes)  # noqa: PLW2901
                yield delta

    @asynccontextmanager
    async def _asked(
        self, prompt: Prompt, place: Seated
    ) -> AsyncGenerator[tuple[Reply, tuple[str, ...]], None]:
        """The engine's answer to a prompt. One that is refused for its pictures is asked again
        without them: they stand in the conversation, and it must go on."""
        pictured = self._blobs is not None and any(line.images for line in prompt.lines)
        for blobs in (self._blobs, None) if pictured else (None,):
            body = await slot_body(prompt, place.slot, blobs, self._usual)
            async with request(place.socket, "POST", "/v1/chat/completions", body) as reply:
                if reply.status == 400 and blobs is not None:
                    continue
                if reply.status != 200:
                    raise await self._refusal(reply, prompt)
                yield reply, (BLIND,) if pictured and blobs is None else ()
                return

    async def warm(self, prompts: Sequence[Prompt]) -> None:
        """Start the engine and read the beginnings of these prompts, or load them from disk."""
        if not self._prewarm:
            return
        await self.runners.chat.up()
        for prompt in prompts:
            async with self._lane.enter(prompt, ANSWER_TOKENS):
                await self.runners.chat.remember(prompt)

    async def embed(self, texts: Sequence[str], *, urgency: Urgency = "chat") -> Embedding:
        """The vectors in the order of the texts."""
        if not self.runners.chat.launch.embedding:
            text = f"[models.{self._name}] makes answers, not vectors; set embedding = true"
            raise Rejected(text)
        runner = await self._runner(urgency)
        prompt = Prompt(lines=(), urgency=urgency)
        cost = sum(len(text.encode()) for text in texts) // BYTES_PER_TOKEN
        body = msgspec.json.encode({"input": list(texts), "encoding_format": "float"})
        async with self._lane.enter(prompt, cost) as seat, runner.seat(prompt) as place:
            async with request(place.socket, "POST", "/v1/embeddings", body) as reply:
                if reply.status != 200:
                    raise await self._refusal(reply, prompt)
                said = msgspec.json.decode(await _in_time(reply), type=_Vectors)
            seat.spent(said.usage.prompt_tokens)
        rows = sorted(said.data, key=lambda row: row.index)
        return Embedding(
            vectors=tuple(row.embedding for row in rows), tokens=said.usage.prompt_tokens
        )

    async def _runner(self, urgency: Urgency, *, lighter: bool = False) -> Runner:
        """Who takes a request. What the machine lacks memory for is ended as soon as it is idle."""
        runners = self.runners
        if urgency == "background":
            return runners.aside
        if not (lighter and runners.light):
            return runners.chat
        if not runners.chat.busy:
            await runners.chat.down()
        return runners.light

    async def _deltas(
        self, reply: Reply, prompt: Prompt, seat: Seat
    ) -> AsyncGenerator[Delta, None]:
        taken = frozenset(call.id for line in prompt.lines for call in line.calls)
        answer = Answer(self._name, self._name, taken)
        tokens = 0
        async with aclosing(reply.pieces()) as pieces:
            while (data := await self._next(pieces)) is not None:
                for delta in answer.feed(data):
                    tokens += isinstance(delta, TextDelta | ThoughtDelta | CallDelta)
                    yield delta
                seat.spent(tokens)
                if answer.error:
                    raise self._broken(answer.error, prompt)
        for delta in answer.finish():
            if isinstance(delta, Finish):
                usage = delta.usage
                seat.spent(usage.prompt - usage.cached + usage.completion)
            yield delta

    async def _next(self, pieces: AsyncGenerator[bytes, None]) -> bytes | None:
        try:
            async with asyncio.timeout(STALL_SECONDS):
                return await anext(pieces, None)
        except TimeoutError:
            text = f"the engine of {self._name} has been silent for {STALL_SECONDS:.0f} s"
            raise Unready(f"{text}; ask again, or restart haoya", trouble="timeout") from None

    async def _refusal(self, reply: Reply, prompt: Prompt) -> HaoyaError:
        said = complaint(await _in_time(reply), "", prompt.lines)
        return refusal(f"the engine of {self._name}", self._name, reply.status, said)

    def _broken(self, error: bytes, prompt: Prompt) -> HaoyaError:
        said = complaint(error, "", prompt.lines)
        return refusal(f"the engine of {self._name}", self._name, said.status, said)


def _guess(prompt: Prompt) -> int:
    """The tokens of a prompt, roughly; the engine's own count corrects it."""
    size = sum(len(line.text) + sum(len(c.arguments) for c in line.calls) for line in prompt.lines)
    size += sum(len(spec.purpose) + len(bytes(spec.schema)) for spec in prompt.tools)
    return size // BYTES_PER_TOKEN


async def _in_time(reply: Reply) -> bytes:
    try:
        async with asyncio.timeout(STALL_SECONDS):
            return await reply.body()
    except TimeoutError:
        raise Unready("the engine has fallen silent", trouble="timeout") from None


class _Vector(msgspec.Struct):
    index: int
    embedding: tuple[float, ...]


class _Tokens(msgspec.Struct, frozen=True):
    prompt_tokens: int = 0


class _Vectors(msgspec.Struct):
    data: list[_Vector]
    usage: _Tokens = _Tokens()
