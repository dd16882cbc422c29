# SPDX-License-Identifier: AGPL-3.0-or-later
"""The model itself: prompts and relayed requests over one link."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Literal

import httpx2
import pydantic

from haoya.core.plugin import Context
from haoya.core.ports import Relayed, Wire
from haoya.core.tool import Delta, Prompt
from haoya.models._wire.link import Door, Link
from haoya.models._wire.quirks import Quirks, quirks_of
from haoya.models._wire.settings import WireSettings
from haoya.models.anthropic.answer import Answer
from haoya.models.anthropic.request import TAKES, Ask, encode

VERSION = "2023-06-01"
"""The `anthropic-version` of everything this wire uses."""

COMPATIBLE = Quirks(takes=TAKES, schema="tool")
"""What can be counted on of a server that is not Anthropic's own."""


class AnthropicSettings(WireSettings):
    """A model behind the Messages API."""

    base_url: str = pydantic.Field(
        default="https://api.anthropic.com",
        description="Address of the API, without /v1/messages",
    )
    context_tokens: int = pydantic.Field(
        default=64_000, ge=256, description="Tokens that prompt and answer may have together"
    )
    temperature: float | None = pydantic.Field(
        default=None, ge=0, le=1, description="How freely it chooses words; – for the server's own"
    )
    effort: Literal["", "low", "medium", "high", "xhigh", "max"] = pydantic.Field(
        default="", description="How much work it puts into an answer; empty for the server's own"
    )
    thinking: bool = pydantic.Field(
        default=False, description="Let it think before it answers; thoughts stay out of chats"
    )
    thinking_tokens: int = pydantic.Field(
        default=4096, ge=1024, description="Most tokens of thoughts, for models that take a limit"
    )
    cache: bool = pydantic.Field(
        default=True, description="Ask for the prompt cache: a repeated beginning costs a tenth"
    )


class AnthropicModel:
    """A `Model` that also `Relays`; any number of answers may stream at a time."""

    wires: frozenset[Wire] = frozenset({"anthropic-messages"})
    """The wires it takes."""

    def __init__(self, settings: AnthropicSettings, context: Context, key: str) -> None:
        base = settings.base_url.removesuffix("/v1")
        host = httpx2.URL(settings.base_url).host
        self._settings = settings
        self._context = context
        self._quirks = quirks_of(settings.provider, host, settings.model, COMPATIBLE)
        door = Door(
            url=f"{base}/v1/messages",
            listing=f"{base}/v1/models",
            headers={"anthropic-version": VERSION, **({"x-api-key": key} if key else {})},
            key=key,
            ending="it stands before /v1/messages",
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
        settings = self._settings
        ask = Ask.of(
            prompt,
            settings,
            self._quirks,
            part=self._context.name,
            budget=settings.thinking_tokens if settings.thinking else 0,
        )
        blobs = self._context.blobs if settings.vision else None
        taken = frozenset(call.id for line in prompt.lines for call in line.calls)
        answer = Answer(
            self._link.server, settings.model, taken, form=ask.form_tool, notes=ask.notes
        )

        async def write() -> bytes:
            return await encode(ask, effort=settings.effort, cache=settings.cache, blobs=blobs)

        return self._link.stream(prompt.lines, write, answer)

    def relay(self, wire: Wire, body: bytes) -> AbstractAsyncContextManager[Relayed]:
        """Send a request's JSON with the server's own name for the model put in."""
        return self._link.relay(body)
