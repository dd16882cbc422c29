# SPDX-License-Identifier: AGPL-3.0-or-later
"""The model itself: prompts and relayed requests over one link."""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Literal

import httpx2
import pydantic

from haoya.core.plugin import Context
from haoya.core.ports import Relayed, Wire
from haoya.core.tool import Delta, Prompt
from haoya.models._wire.fitting import fitted
from haoya.models._wire.link import Door, Link, bearer
from haoya.models._wire.quirks import quirks_of
from haoya.models._wire.settings import WireSettings
from haoya.models.responses.answer import Answer
from haoya.models.responses.request import TAKES, encode

Effort = Literal["", "none", "minimal", "low", "medium", "high", "xhigh"]


class ResponsesSettings(WireSettings):
    """A model behind the Responses API."""

    base_url: str = pydantic.Field(
        default="https://api.openai.com/v1",
        description="Address of the API, usually ending in /v1",
    )
    effort: Effort = pydantic.Field(
        default="", description="How much a reasoning model thinks; empty for the server's own"
    )


class ResponsesModel:
    """A `Model` that also `Relays`; any number of answers may stream at a time."""

    wires: frozenset[Wire] = frozenset({"openai-responses"})
    """The wires it takes."""

    def __init__(self, settings: ResponsesSettings, context: Context, key: str) -> None:
        host = httpx2.URL(settings.base_url).host
        self._settings = settings
        self._context = context
        self._quirks = quirks_of(settings.provider, host, settings.model)
        door = Door(
            url=f"{settings.base_url}/responses",
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
        settings = self._settings
        sampling, notes = fitted(prompt.sampling, settings, self._quirks.takes & TAKES)
        write = partial(
            encode,
            settings.model,
            prompt,
            part=self._context.name,
            quirks=self._quirks,
            sampling=sampling,
            effort=settings.effort,
            blobs=self._context.blobs if settings.vision else None,
        )
        taken = frozenset(call.id for line in prompt.lines for call in line.calls)
        answer = Answer(self._link.server, settings.model, taken, notes=notes)
        return self._link.stream(prompt.lines, write, answer)

    def relay(self, wire: Wire, body: bytes) -> AbstractAsyncContextManager[Relayed]:
        """Send a request's JSON with the server's own name for the model put in."""
        return self._link.relay(body)
