# SPDX-License-Identifier: AGPL-3.0-or-later
"""Prompts cut to what a wire can carry; pure but for pictures, which lie in the blob store."""

import base64
import hashlib
import uuid
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from haoya.core.message import Blob
from haoya.core.plugin import Blobs
from haoya.core.tool import Line, Prompt, Sampling, ToolCall, ToolSpec
from haoya.models._wire.settings import WireSettings

GONE = "(earlier words are left out)"
"""Stands where a conversation must begin with a person's line and does not."""


class Picture(msgspec.Struct, frozen=True):
    """A picture ready to be sent: its type and its bytes in base64."""

    mime: str
    data: str


def fitted(
    sampling: Sampling, settings: WireSettings, takes: frozenset[str]
) -> tuple[Sampling, tuple[str, ...]]:
    """The sampling to send, completed from the settings, and a note on what had to stay out."""
    wanted = Sampling(
        temperature=settings.temperature if sampling.temperature is None else sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        max_tokens=_least(sampling.max_tokens, settings.max_tokens),
        stop=sampling.stop,
    )
    out = [name for name in _set_in(sampling) if name not in takes]
    notes = (f"{', '.join(out)} left out: {settings.model} does not take it",) if out else ()
    sent = Sampling(
        temperature=wanted.temperature if "temperature" in takes else None,
        top_p=wanted.top_p if "top_p" in takes else None,
        seed=wanted.seed if "seed" in takes else None,
        max_tokens=wanted.max_tokens,
        stop=wanted.stop if "stop" in takes else (),
    )
    return sent, notes


def alternated(lines: Sequence[Line]) -> list[Line]:
    """The lines with one system line at most, people and model taking turns, a person first.

    >>> [line.text for line in alternated([Line(role="user", text=text) for text in "ab"])]
    ['a\\n\\nb']
    """
    head = "\n\n".join(line.text for line in lines if line.role == "system")
    result = [Line(role="system", text=head)] if head else []
    for line in lines:
        before = result[-1] if result else Line(role="system")
        if line.role == "system":
            continue
        if line.role == "assistant" and before.role == "system":
            result.append(Line(role="user", text=GONE))
        if line.role == before.role and line.role != "tool" and not before.calls:
            text = "\n\n".join(text for text in (before.text, line.text) if text)
            merged = msgspec.structs.replace(line, text=text, images=before.images + line.images)
            result[-1] = merged
        else:
            result.append(line)
    return result


def since_question(lines: Sequence[Line]) -> int:
    """The index behind the last line of a person's: where the present tool loop begins."""
    return max((i + 1 for i, line in enumerate(lines) if line.role == "user"), default=0)


def offered(prompt: Prompt) -> Sequence[ToolSpec]:
    """The tools to show where a wire has no choice of tools: only the one that must be called,
    and none where none may be."""
    if prompt.choice == "none":
        return ()
    if prompt.choice in ("auto", "required"):
        return prompt.tools
    return [spec for spec in prompt.tools if spec.name == prompt.choice]


def object_of(call: ToolCall) -> str:
    """The arguments of a past call as JSON text that surely is an object.

    Servers parse it and fail the whole request where it is none (llama.cpp: 500), so such a slip
    of the model is sent inside of one.
    """
    try:
        _OBJECT.decode(call.arguments)
    except msgspec.DecodeError:
        return _ENCODER.encode({"invalid": call.arguments}).decode()
    return call.arguments


def short_id(id: str, length: int) -> str:
    """An id of exactly `length` letters and digits; the same for the same id.

    >>> len(short_id("12.1.0", 9)), short_id("abcdefghi", 9)
    (9, 'abcdefghi')
    """
    if len(id) == length and id.isascii() and id.isalnum():
        return id
    return hashlib.sha256(id.encode()).hexdigest()[:length]


def own_id(id: str, taken: set[str]) -> str:
    """The id of a new call, which joins those `taken`. Some servers name none, or count from zero
    in every answer, and effects are done once per id."""
    mine = id if id and id not in taken else f"call_{uuid.uuid4().hex[:12]}"
    taken.add(mine)
    return mine


def cache_key(conversation: str) -> str:
    """What a provider is told of a conversation, so that it finds its cache: nothing but that two
    requests belong together."""
    return hashlib.sha256(conversation.encode()).hexdigest()[:32] if conversation else ""


async def pictures(line: Line, blobs: Blobs | None) -> list[Picture | str]:
    """The pictures of a line, or words where one is gone; nothing for a model that sees none."""
    return [await _picture(blob, blobs) for blob in line.images] if blobs is not None else []


def words(line: Line) -> str:
    """The text of a line, which is never empty where there is a picture to speak of."""
    return line.text or ("[image]" if line.images else "")


@lru_cache(maxsize=64)
def closed(schema: bytes) -> bool:
    """Whether each object of a JSON Schema names all that it may hold, as OpenAI's strict mode
    wants it ("Structured Outputs", supported schemas).

    >>> closed(b'{"type":"object","properties":{"a":{"type":"string"}}}')
    False
    """
    try:
        return _is_closed(msgspec.json.decode(schema, type=_Node))
    except msgspec.DecodeError:
        return False


class _Node(msgspec.Struct):
    type: str | list[str] | None = None
    properties: dict[str, "_Node"] = {}
    required: list[str] = []
    more: msgspec.Raw = msgspec.field(name="additionalProperties", default=msgspec.Raw(b"true"))
    items: "_Node | None" = None
    any: list["_Node"] = msgspec.field(name="anyOf", default_factory=list["_Node"])
    defs: dict[str, "_Node"] = msgspec.field(name="$defs", default_factory=dict[str, "_Node"])


_ENCODER = msgspec.json.Encoder()
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def _is_closed(node: _Node) -> bool:
    whole = bytes(node.more) == b"false" and set(node.required) == set(node.properties)
    if (node.type == "object" or node.properties) and not whole:
        return False
    inner = [*node.properties.values(), *node.any, *node.defs.values()]
    return all(_is_closed(one) for one in (*inner, *([node.items] if node.items else [])))


def _set_in(sampling: Sampling) -> list[str]:
    names = ("temperature", "top_p", "seed", "stop")
    return [name for name in names if getattr(sampling, name) not in (None, ())]


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


async def _picture(blob: Blob, blobs: Blobs) -> Picture | str:
    try:
        data = await blobs.get(blob.sha256)
    except KeyError:
        return f"[image {blob.name} is no longer there]"
    return Picture(blob.mime, base64.b64encode(data).decode())
