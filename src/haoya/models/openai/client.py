# SPDX-License-Identifier: AGPL-3.0-or-later
"""The model itself: prompts, relayed requests and embeddings over one link."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Literal

import httpx2
import msgspec
import pydantic

from haoya.core.plugin import Context
from haoya.core.ports import Embedding, Relayed, Wire
from haoya.core.tool import Delta, Prompt, Urgency
from haoya.models._wire.fitting import fitted
from haoya.models._wire.link import Door, Link, bearer
from haoya.models._wire.quirks import quirks_of
from haoya.models._wire.settings import WireSettings
from haoya.models._wire.vectors import embedded
from haoya.models.openai.answer import Answer
from haoya.models.openai.request import encode

Effort = Literal["", "none", "minimal", "low", "medium", "high", "xhigh"]


class OpenaiSettings(WireSettings):
    """A model behind an OpenAI-compatible API."""

    effort: Effort = pydantic.Field(
        default="", description="How much a reasoning model thinks; empty for the server's own"
    )


class OpenaiModel:
    """A `Model` that also `Relays` and `Embeds`; any number of answers may stream at a time."""

    wires: frozenset[Wire] = frozenset({"openai-chat"})
    """The wires it takes."""

    def __init__(self, settings: OpenaiSettings, context: Context, key: str) -> None:
        host = httpx2.URL(settings.base_url).host
        self._settings = settings
        self._context = context
        self._quirks = quirks_of(settings.provider, host, settings.model)
        door = Door(
            url=f"{settings.base_url}/chat/completions",
            listing=f"{settings.base_url}/models",
            headers=bearer(key, self._quirks.key_header),
            key=key,
        )
        self._link = Link(settings, context, door)

    @property
    def name(self) -> str:
        """What the server calls it."""
        return self._settings.model

    @property
    def context_tokens(self) -> int:
        """How many tokens prompt and answer may have together."""
        return self._settings.context_tokens

    def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """The answer as it comes, ending with `Finish`; raises as the port says."""
        settings, quirks = self._settings, self._quirks
        sampling, notes = fitted(prompt.sampling, settings, quirks.takes)
        write = partial(
            encode,
            settings.model,
            prompt,
            part=self._context.name,
            quirks=quirks,
            sampling=sampling,
            effort=settings.effort,
            blobs=self._context.blobs if settings.vision else None,
        )
        taken = frozenset(call.id for line in prompt.lines for call in line.calls)
        keeps = bool(quirks.thoughts_back)
        answer = Answer(self._link.server, settings.model, taken, keeps=keeps, notes=notes)
        return self._link.stream(prompt.lines, write, answer)

    def relay(self, wire: Wire, body: bytes) -> AbstractAsyncContextManager[Relayed]:
        """Send a request's JSON with the server's own name for the model put in."""
        return self._link.relay(body)

    async def embed(self, texts: Sequence[str], *, urgency: Urgency = "chat") -> Embedding:
        """The vectors in the order of the texts; raises as `Model.stream` does."""
        return await embedded(
            self._link,
            f"{self._settings.base_url}/embeddings",
            texts,
            batch=self._quirks.batch,
            body=self._to_embed,
            read=_read_vectors,
        )

    def _to_embed(self, texts: Sequence[str]) -> bytes:
        return _ENCODER.encode(_ToEmbed(self.name, list(texts), "float"))


class _ToEmbed(msgspec.Struct):
    model: str
    input: list[str]
    encoding_format: str


class _Vector(msgspec.Struct):
    embedding: tuple[float, ...]
    index: int | None = None


class _Count(msgspec.Struct):
    prompt_tokens: float | None = None
    total_tokens: float | None = None


class _Vectors(msgspec.Struct):
    data: list[_Vector]
    usage: _Count | None = None


_ENCODER = msgspec.json.Encoder()
_VECTORS = msgspec.json.Decoder(_Vectors)


def _read_vectors(data: bytes) -> Embedding:
    found = _VECTORS.decode(data)
    ordered = sorted(found.data, key=lambda one: one.index or 0)
    usage = found.usage or _Count()
    return Embedding(
        vectors=tuple(one.embedding for one in ordered),
        tokens=int(usage.prompt_tokens or usage.total_tokens or 0),
    )
