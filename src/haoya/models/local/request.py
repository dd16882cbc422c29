# SPDX-License-Identifier: AGPL-3.0-or-later
"""From a prompt to the body of an engine's request: Chat Completions and llama.cpp's own fields
(`id_slot`, `cache_prompt`; the README of its server)."""

import msgspec

from haoya.core.plugin import Blobs
from haoya.core.tool import Prompt, Sampling
from haoya.models.local.pictures import readable
from haoya.models.openai.request import encode


async def slot_body(
    prompt: Prompt, slot: int, blobs: Blobs | None = None, usual: Sampling | None = None
) -> bytes:
    """The request to answer a prompt in a slot. `usual` is what the owner set for this model."""
    asked, usual = prompt.sampling, usual or Sampling()
    sampling = msgspec.structs.replace(
        asked,
        temperature=usual.temperature if asked.temperature is None else asked.temperature,
        max_tokens=usual.max_tokens if asked.max_tokens is None else asked.max_tokens,
    )
    if blobs:
        prompt = msgspec.structs.replace(prompt, lines=tuple(await readable(prompt.lines, blobs)))
    body = await encode("local", prompt, sampling=sampling, blobs=blobs)
    return b'{"id_slot":%d,"cache_prompt":true,' % slot + body[1:]


def read_only(prompt: Prompt) -> Prompt:
    """The same prompt, to be read and not to be answered."""
    return msgspec.structs.replace(prompt, sampling=Sampling(max_tokens=0))
