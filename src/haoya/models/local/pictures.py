# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which pictures an engine can look at. One that it cannot read would fail every request for as
long as it stands in the conversation, and a huge one takes gigabytes to unpack."""

from collections.abc import Sequence

import msgspec

from haoya.core.message import Blob
from haoya.core.plugin import Blobs
from haoya.core.tool import Line

MAX_PIXELS = 64_000_000
"""More than telephones take; 192 MB unpacked."""

_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers before which a JPEG's size stands (ITU T.81, table B.1)."""


async def readable(lines: Sequence[Line], blobs: Blobs) -> tuple[Line, ...]:
    """The lines with only such pictures as the engine reads; of others a word is left."""
    return tuple([await _line(line, blobs) if line.images else line for line in lines])


async def _line(line: Line, blobs: Blobs) -> Line:
    kept: list[Blob] = []
    text = line.text
    for image in line.images:
        try:
            data = await blobs.get(image.sha256)
        except KeyError:
            data = b""
        width, height = size(data)
        if 0 < width * height <= MAX_PIXELS:
            kept.append(image)
        else:
            name = image.name or image.mime
            text = f"{text}\n[a picture that cannot be shown: {name}]".strip()
    return msgspec.structs.replace(line, text=text, images=tuple(kept))


def size(data: bytes) -> tuple[int, int]:
    """Width and height of a PNG, JPEG, GIF or BMP, which llama.cpp reads by itself; else zeros.

    >>> size(b"GIF89a\\x28\\x00\\x1e\\x00...")
    (40, 30)
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        return _number(data[16:20]), _number(data[20:24])
    if data.startswith((b"GIF87a", b"GIF89a")) and len(data) >= 10:
        return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    if data.startswith(b"BM") and len(data) >= 26:
        width, height = (
            int.from_bytes(data[at : at + 4], "little", signed=True) for at in (18, 22)
        )
        return width, abs(height)
    return _jpeg_size(data) if data.startswith(b"\xff\xd8") else (0, 0)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _jpeg_size(data: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _JPEG_FRAMES:
            return _number(data[at + 7 : at + 9]), _number(data[at + 5 : at + 7])
        # Fill bytes and markers without a length of their own go by one and two bytes.
        if marker == 0xFF:
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:
            at += 2
        else:
            at += 2 + _number(data[at + 2 : at + 4])
    return 0, 0
