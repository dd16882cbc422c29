# SPDX-License-Identifier: AGPL-3.0-or-later
"""What leaves for the other node: the words the model needs, and nothing that only we need."""

import hashlib

import msgspec

from haoya.core.errors import Unready
from haoya.core.message import Blob
from haoya.core.plugin import Blobs
from haoya.core.tool import Line, Prompt, ToolSpec
from haoya.models.peer.wire import MAX_ASK_BYTES, Ask, framed

_NO_SCHEMA = Prompt(lines=()).schema


class Parcel(msgspec.Struct):
    """A question as it goes over the wire: frames in order, and what they hold."""

    frames: list[bytes]
    lines: int
    images: int

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(map(len, self.frames))

    def note(self, node: str) -> str:
        """What left, for the owner; never the words themselves.

        >>> Parcel(frames=[b"12345"], lines=2, images=0).note("nas:8643")
        'sent to nas:8643: 5 bytes, 2 lines'
        """
        seen = f", {self.images} pictures" if self.images else ""
        return f"sent to {node}: {self.size} bytes, {self.lines} lines{seen}"


async def packed(prompt: Prompt, *, part: str, model: str, key: str, blobs: Blobs | None) -> Parcel:
    """A prompt for `model` of the other node, which is our part `part`.

    Pictures go along where `blobs` are lent (the model sees). Names of people, conversations and
    files stay here: a conversation is a digest of its name under `key`, so that the other node
    can keep its cache apart. Raises `Unready` (trouble `request`) for more than the wire takes.
    """
    pictures: dict[str, bytes] = {}
    bare = await bared(prompt, part=part, model=model, key=key, blobs=blobs, pictures=pictures)
    frames = [framed(Ask(model=model, prompt=bare)), *map(framed, pictures.values())]
    parcel = Parcel(frames=frames, lines=len(bare.lines), images=len(pictures))
    if parcel.size > MAX_ASK_BYTES:
        text = f"the prompt has {parcel.size} bytes with its pictures; at most {MAX_ASK_BYTES} go"
        raise Unready(text, trouble="request")
    return parcel


async def bared(
    prompt: Prompt,
    *,
    part: str,
    model: str,
    key: str,
    blobs: Blobs | None = None,
    pictures: dict[str, bytes] | None = None,
) -> Prompt:
    """The prompt without what only this node needs; the bytes of `pictures` are put there."""
    seen = {} if pictures is None else pictures
    lines = [await _line(line, part, model, blobs, seen) for line in prompt.lines]
    digest = hashlib.sha256(f"{key}\0{prompt.conversation}".encode()).hexdigest()[:16]
    return msgspec.structs.replace(
        prompt,
        lines=tuple(lines),
        tools=tuple(_offered(tool) for tool in prompt.tools),
        schema=prompt.schema if bytes(prompt.schema) else _NO_SCHEMA,
        conversation=digest if prompt.conversation else "",
        person="",
    )


async def _line(
    line: Line, part: str, model: str, blobs: Blobs | None, pictures: dict[str, bytes]
) -> Line:
    """A line as it leaves; its pictures are put into `pictures`.

    What a model wants back with its own line goes only to that model.
    """
    mine = line.model == part
    text, images = line.text, list[Blob]()
    for image in line.images:
        try:
            if blobs is None:
                raise KeyError
            pictures[image.sha256] = await blobs.get(image.sha256)
            images.append(Blob(sha256=image.sha256, size=image.size, mime=image.mime))
        except KeyError:
            text = f"{text}\n[image]".lstrip("\n")
    return msgspec.structs.replace(
        line,
        text=text,
        images=tuple(images),
        model=model if mine else "",
        echo=line.echo if mine else "",
    )


def _offered(tool: ToolSpec) -> ToolSpec:
    return ToolSpec(name=tool.name, purpose=tool.purpose, schema=tool.schema)
