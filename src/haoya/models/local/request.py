# SPDX-License-Identifier: AGPL-3.0-or-later
"""From a prompt to the body of an engine's request: Chat Completions and llama.cpp's own fields
(`id_slot`, `cache_prompt`; the README of its server)."""

import msgspec

from haoya.core.plugin import Blobs
from haoya.core.tool import Prompt, Sampling
from haoya.models.openai.request import encode


class _Schema(msgspec.Struct):
    name: str
    schema: msgspec.Raw


class _Format(msgspec.Struct):
    type: str
    json_schema: _Schema


class _Named(msgspec.Struct):
    name: str


class _Choice(msgspec.Struct):
    type: str
    function: _Named


class _Own(msgspec.Struct, omit_defaults=True):
    """What stands before the fields of Chat Completions."""

    id_slot: int
    cache_prompt: bool
    tool_choice: str | _Choice | None = None
    response_format: _Format | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


async def slot_body(
    prompt: Prompt, slot: int, blobs: Blobs | None = None, usual: Sampling | None = None
) -> bytes:
    """The request to answer a prompt in a slot. `usual` is what the owner set for this model."""
    usual = usual or Sampling()
    asked = prompt.sampling
    own = _Own(
        id_slot=slot,
        cache_prompt=True,
        tool_choice=_choice(prompt),
        response_format=_format(prompt),
        temperature=usual.temperature if asked.temperature is None else asked.temperature,
        top_p=asked.top_p,
        seed=asked.seed,
        max_tokens=usual.max_tokens if asked.max_tokens is None else asked.max_tokens,
        stop=asked.stop,
    )
    body = await encode("local", prompt.lines, prompt.tools, blobs=blobs)
    return msgspec.json.encode(own)[:-1] + b"," + body[1:]


def read_only(prompt: Prompt) -> Prompt:
    """The same prompt, to be read and not to be answered."""
    return msgspec.structs.replace(prompt, sampling=Sampling(max_tokens=0))


def _choice(prompt: Prompt) -> str | _Choice | None:
    if not prompt.tools or prompt.choice == "auto":
        return None
    if prompt.choice in ("none", "required"):
        return prompt.choice
    return _Choice(type="function", function=_Named(name=prompt.choice))


def _format(prompt: Prompt) -> _Format | None:
    if not bytes(prompt.schema):
        return None
    return _Format(type="json_schema", json_schema=_Schema(name="answer", schema=prompt.schema))
