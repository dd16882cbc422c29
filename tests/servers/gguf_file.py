# SPDX-License-Identifier: AGPL-3.0-or-later
"""Writes GGUF files (format 3), tensor by tensor, without holding them in memory.

Source: the format's specification, docs/gguf.md of the ggml project.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

ALIGNMENT = 32
F32, F16, Q4_0, Q5_0, Q8_0, Q4_K, Q6_K = 0, 1, 2, 6, 8, 12, 14
BLOCKS = {
    F32: (1, 4),
    F16: (1, 2),
    Q4_0: (32, 18),
    Q5_0: (32, 22),
    Q8_0: (32, 34),
    Q4_K: (256, 144),
    Q6_K: (256, 210),
}
"""Values and bytes of one block of each type of tensor."""

_U32, _I32, _FLOAT, _BOOL, _STRING, _ARRAY = 4, 5, 6, 7, 8, 9

Value = str | bool | int | float | Sequence[str] | Sequence[int] | Sequence[float]


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor: `shape` with the longest stride first (rows, columns), its bytes in pieces."""

    name: str
    shape: tuple[int, ...]
    type: int
    pieces: Callable[[], Iterator[bytes]]

    @property
    def size(self) -> int:
        """Bytes it takes in the file."""
        values, size = BLOCKS[self.type]
        count = 1
        for length in self.shape:
            count *= length
        assert self.shape[-1] % values == 0, f"{self.name}: rows do not fill blocks"
        return count // values * size


def write(path: Path, metadata: Mapping[str, Value], tensors: Sequence[Tensor]) -> Path:
    """Write the file; it appears under its name only once it is whole."""
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    with part.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
        for key, value in metadata.items():
            file.write(_string(key) + _value(value))
        offset = 0
        for tensor in tensors:
            file.write(_string(tensor.name) + struct.pack("<I", len(tensor.shape)))
            file.write(struct.pack(f"<{len(tensor.shape)}Q", *reversed(tensor.shape)))
            file.write(struct.pack("<IQ", tensor.type, offset))
            offset += tensor.size + -tensor.size % ALIGNMENT
        _pad(file)
        for tensor in tensors:
            _write_tensor(file, tensor)
    return part.replace(path)


def _write_tensor(file: BinaryIO, tensor: Tensor) -> None:
    written = 0
    for piece in tensor.pieces():
        written += file.write(piece)
    assert written == tensor.size, f"{tensor.name}: {written} bytes, not {tensor.size}"
    _pad(file)


def _pad(file: BinaryIO) -> None:
    file.write(bytes(-file.tell() % ALIGNMENT))


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Value) -> bytes:
    match value:
        case str() | bool() | int() | float():
            kind, data = _single(value)
            return struct.pack("<I", kind) + data
        case _:
            kind, pieces = _many(value)
            return struct.pack("<IIQ", _ARRAY, kind, len(value)) + b"".join(pieces)


def _single(value: str | float) -> tuple[int, bytes]:
    match value:
        case str():
            return _STRING, _string(value)
        case bool():
            return _BOOL, struct.pack("<?", value)
        case int():
            return _U32, struct.pack("<I", value)
        case float():
            return _FLOAT, struct.pack("<f", value)


def _many(values: Sequence[str] | Sequence[int] | Sequence[float]) -> tuple[int, Iterable[bytes]]:
    if isinstance(values[0], str):
        return _STRING, (_string(str(value)) for value in values)
    if isinstance(values[0], int):
        return _I32, [struct.pack(f"<{len(values)}i", *(int(value) for value in values))]
    return _FLOAT, [struct.pack(f"<{len(values)}f", *(float(value) for value in values))]
