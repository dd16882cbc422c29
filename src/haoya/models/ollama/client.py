# SPDX-License-Identifier: AGPL-3.0-or-later
"""The model itself: prompts and embeddings over one link."""

from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Literal

import msgspec
import pydantic

from haoya.core.plugin import Context
from haoya.core.ports import Embedding
from haoya.core.tool import Delta, Prompt, Urgency
from haoya.models._wire.fitting import fitted
from haoya.models._wire.link import Door, Link, bearer
from haoya.models._wire.quirks import ALL
from haoya.models._wire.settings import WireSettings
from haoya.models._wire.vectors import embedded
from haoya.models.ollama.answer import Answer
from haoya.models.ollama.request import Manner, encode

BATCH = 256
"""Texts to embed in one request."""


class OllamaSettings(WireSettings):
    """A model behind Ollama."""

    base_url: str = pydantic.Field(
        default="http://127.0.0.1:11434", description="Address of the server, without /api"
    )
    think: Literal["", "off", "on", "low", "medium", "high"] = pydantic.Field(
        default="", description="Whether and how much it thinks; empty for the model's own way"
    )
    keep_alive: str = pydantic.Field(
        default="",
        pattern=r"^(-?\d+(\.\d+)?(ms|s|m|h)?)?$",
        description="How long the model stays in memory, such as 10m; -1 for ever; "
        "empty for the server's own",
    )


class OllamaModel:
    """A `Model` that also `Embeds`; any number of answers may stream at a time."""

    def __init__(self, settings: OllamaSettings, context: Context, key: str) -> None:
        self._base = settings.base_url.removesuffix("/v1").removesuffix("/api")
        self._settings = settings
        self._context = context
        self._manner = Manner(
            model=settings.model,
            part=context.name,
            num_ctx=settings.context_tokens,
            think=settings.think,
            keep_alive=settings.keep_alive,
        )
        door = Door(
            url=f"{self._base}/api/chat",
            listing=f"{self._base}/api/tags",
            headers=bearer(key),
            key=key,
            ending="it stands before /api",
            pull=f"run: ollama pull {settings.model}",
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
        sampling, notes = fitted(prompt.sampling, self._settings, ALL)
        blobs = self._context.blobs if self._settings.vision else None
        write = partial(encode, self._manner, prompt, sampling=sampling, blobs=blobs)
        taken = frozenset(call.id for line in prompt.lines for call in line.calls)
        answer = Answer(self._link.server, self.name, taken, notes=notes)
        return self._link.stream(prompt.lines, write, answer)

    async def embed(self, texts: Sequence[str], *, urgency: Urgency = "chat") -> Embedding:
        """The vectors in the order of the texts; raises as `Model.stream` does."""
        return await embedded(
            self._link,
            f"{self._base}/api/embed",
            texts,
            batch=BATCH,
            body=self._to_embed,
            read=_read_vectors,
        )

    def _to_embed(self, texts: Sequence[str]) -> bytes:
        return _ENCODER.encode(_ToEmbed(self.name, list(texts), self._manner.kept))


class _ToEmbed(msgspec.Struct, omit_defaults=True):
    model: str
    input: list[str]
    keep_alive: str | int | None = None


class _Vectors(msgspec.Struct):
    embeddings: tuple[tuple[float, ...], ...]
    prompt_eval_count: int | None = None


_ENCODER = msgspec.json.Encoder()
_VECTORS = msgspec.json.Decoder(_Vectors)


def _read_vectors(data: bytes) -> Embedding:
    found = _VECTORS.decode(data)
    return Embedding(vectors=found.embeddings, tokens=found.prompt_eval_count or 0)
