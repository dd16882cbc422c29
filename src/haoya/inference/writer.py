# SPDX-License-Identifier: AGPL-3.0-or-later
"""Writes GGUF files (version 3) tensor by tensor, holding no more than one piece in memory."""

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from haoya.core.errors import ConfigError
from haoya.inference.ggml import NAMED
from haoya.inference.hashing import sync_folder
from haoya.inference.header import ALIGNMENT, MAGIC

_U32, _I32, _FLOAT, _BOOL, _TEXT, _ARRAY = 4, 5, 6, 7, 8, 9


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A tensor to write: `shape` with the fastest running dimension first, its bytes in pieces."""

    name: str
    shape: tuple[int, ...]
    type: str
    pieces: Callable[[], Iterator[bytes | memoryview]]

    @property
    def bytes(self) -> int:
        """What it takes in the file."""
        values = 1
        for dimension in self.shape:
            values *= dimension
        return NAMED[self.type].bytes(values)


def text(value: str) -> bytes:
    """A text as the format has it: its length, then UTF-8."""
    data = value.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(data)) + data


def text_pair(key: str, value: str) -> bytes:
    """A key with a text."""
    return text(key) + struct.pack("<I", _TEXT) + text(value)


def number_pair(key: str, value: float) -> bytes:
    """A key with a truth value, an unsigned number or a fraction, by the value's own type."""
    kind, form = (_FLOAT, "f")
    if isinstance(value, bool):
        kind, form = (_BOOL, "?")
    elif isinstance(value, int):
        kind, form = (_U32, "I")
    return text(key) + struct.pack(f"<I{form}", kind, value)


def texts_pair(key: str, values: Sequence[str]) -> bytes:
    """A key with an array of texts."""
    head = struct.pack("<IIQ", _ARRAY, _TEXT, len(values))
    return b"".join([text(key), head, *(text(one) for one in values)])


def numbers_pair(key: str, values: Sequence[float]) -> bytes:
    """A key with an array of whole numbers, or of fractions where the first is one."""
    fraction = bool(values) and isinstance(values[0], float)
    kind, form = (_FLOAT, "f") if fraction else (_I32, "i")
    head = struct.pack("<IIQ", _ARRAY, kind, len(values))
    return text(key) + head + struct.pack(f"<{len(values)}{form}", *values)


def write(
    path: Path,
    pairs: Sequence[bytes],
    tensors: Sequence[Made],
    told: Callable[[int, int], None] = lambda have, total: None,
) -> Path:
    """Write a file that appears only when it is whole; `told` hears how far it is."""
    new = path.with_name(f"{path.name}.part")
    try:
        with new.open("wb") as file:
            file.write(MAGIC + struct.pack("<IQQ", 3, len(tensors), len(pairs)))
            for pair in pairs:
                file.write(pair)
            offset = 0
            for tensor in tensors:
                file.write(text(tensor.name) + struct.pack("<I", len(tensor.shape)))
                file.write(struct.pack(f"<{len(tensor.shape)}Q", *tensor.shape))
                file.write(struct.pack("<IQ", NAMED[tensor.type].number, offset))
                offset += _padded(tensor.bytes)
            file.write(bytes(-file.tell() % ALIGNMENT))
            done = 0
            for tensor in tensors:
                for piece in _exactly(tensor):
                    file.write(piece)
                    done += len(piece)
                    told(done, offset)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    new.replace(path)
    sync_folder(path.parent)
    return path


def _exactly(tensor: Made) -> Iterable[bytes | memoryview]:
    """A tensor's pieces and its padding; a wrong sum would shift all that follows."""
    count = 0
    for piece in tensor.pieces():
        count += len(piece)
        yield piece
    if count != tensor.bytes:
        raise ConfigError(
            f"the tensor {tensor.name!r} came out with {count:,} bytes, not {tensor.bytes:,}",
            cure="report this with the name of the model",
        )
    yield bytes(_padded(count) - count)


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
