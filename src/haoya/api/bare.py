# SPDX-License-Identifier: AGPL-3.0-or-later
"""Models by the names clients call them: `haoya` is the agent, all others are bare models.

A bare model answers without the agent: no tools of ours, no memory, no line in the journal.
`[models.NAME]` is called `local/NAME` where it runs on this machine, else `NAME`; both are
understood for every part.
"""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from haoya.api.replies import Refusal, reply
from haoya.api.window import Window, window_of
from haoya.core.errors import Unready
from haoya.core.message import Address
from haoya.core.ports import Model
from haoya.core.tool import Delta, Prompt

AGENT = "haoya"
"""What the agent is called."""

LOCAL = "local/"

BEGINNING = 2
"""So many first lines tell conversations apart that nobody has named."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A model as OpenAI's and Anthropic's clients both understand it."""

    id: str
    object: str = "model"
    created: int
    owned_by: str
    type: str = "model"
    display_name: str
    created_at: str


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """The list of models, in both shapes at once."""

    object: str = "list"
    data: list[Listed]
    has_more: bool = False
    first_id: str
    last_id: str


def bare(window: Window, wanted: str) -> Model:
    """The open model of that name; 404 where there is none, `Unready` where it is shut."""
    house = window.house
    name = wanted.removeprefix(LOCAL)
    if model := house.models.get(name):
        return model
    if name not in house.settings.models:
        text = f"The model `{wanted}` does not exist; there are: {', '.join(names(window))}"
        raise Refusal(404, text, code="model_not_found", param="model")
    health = house.board.part(f"models.{name}")
    raise Unready(f"[models.{name}] is {health.state}: {health.reason or 'look at haoya status'}")


def names(window: Window) -> list[str]:
    """What clients may ask for now."""
    parts = window.house.settings.models
    local = {name for name, part in parts.items() if part.use == "local" or name == AGENT}
    return [AGENT, *(LOCAL * (name in local) + name for name in window.house.models)]


async def models(request: Request) -> Response:
    """The list of models."""
    window = window_of(request)
    data = [_listed(window, name) for name in names(window)]
    return reply(Page(data=data, first_id=data[0].id, last_id=data[-1].id))


async def model(request: Request) -> Response:
    """One model by name."""
    window = window_of(request)
    name = request.path_params["name"]
    if name != AGENT:
        bare(window, name)
    return reply(_listed(window, name))


def _listed(window: Window, name: str) -> Listed:
    started = window.house.started
    return Listed(
        id=name,
        created=int(started),
        owned_by="haoya",
        display_name=name,
        created_at=datetime.fromtimestamp(int(started), UTC).isoformat().replace("+00:00", "Z"),
    )


async def asked(model: Model, prompt: Prompt) -> AsyncGenerator[Delta, None]:
    """The model's answer. Where its engine fell before the first word and is up again, it is
    asked once more."""
    begun = False
    try:
        async with aclosing(model.stream(prompt)) as deltas:
            async for delta in deltas:
                begun = True
                yield delta
        return
    except Unready as error:
        if begun or not error.again:
            raise
    async with aclosing(model.stream(prompt)) as deltas:
        async for delta in deltas:
            yield delta


def addressed(window: Window, prompt: Prompt, pin: str) -> Prompt:
    """The prompt on the owner's behalf, with a conversation that stays the same as it grows, so
    that a local model finds its cache again."""
    lines = prompt.lines[:BEGINNING]
    told = pin or "\n".join(f"{line.role} {line.text}" for line in lines)
    digest = hashlib.sha256(told.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    address = Address(channel=window.channel, room=f"bare:{digest}")
    return msgspec.structs.replace(prompt, conversation=address.key, person="owner")
