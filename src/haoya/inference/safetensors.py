# SPDX-License-Identifier: AGPL-3.0-or-later
"""Reads tensors out of safetensors files: eight bytes of length, JSON, then the data.

The format: `README.md` of the safetensors project. Files are mapped, tensors are read in pieces.
"""

import mmap
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from haoya.core.errors import ConfigError

HEADER_BYTES = 100_000_000
"""The format's own limit."""
PIECE_BYTES = 8 << 20
DTYPES = {"F32": 4, "F16": 2, "BF16": 2}
"""Types of numbers a model is converted from, and the bytes of one number."""


class _Place(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


class Stored:
    """One tensor of a file: `shape` with the slowest running dimension first."""

    def __init__(self, data: mmap.mmap, start: int, dtype: str, shape: tuple[int, ...]) -> None:
        self._data = data
        self._start = start
        self.dtype = dtype
        self.shape = shape
        self.values = 1
        for dimension in shape:
            self.values *= dimension

    @property
    def row_bytes(self) -> int:
        """What one row takes, a row being all that has the same first index."""
        return self.values // self.shape[0] * DTYPES[self.dtype]

    def pieces(self) -> Iterator[bytes]:
        """All its bytes in order."""
        end = self._start + self.values * DTYPES[self.dtype]
        for at in range(self._start, end, PIECE_BYTES):
            yield self._data[at : min(at + PIECE_BYTES, end)]

    def rows(self, order: Sequence[int]) -> Iterator[bytes]:
        """Its rows in another order."""
        size = self.row_bytes
        step = max(1, PIECE_BYTES // size)
        for first in range(0, len(order), step):
            starts = (self._start + row * size for row in order[first : first + step])
            yield b"".join(self._data[start : start + size] for start in starts)


def open_folder(folder: Path) -> dict[str, Stored]:
    """All tensors of a model's folder by name; raises `ConfigError` for what is no such model."""
    index = folder / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file():
        try:
            mapped = msgspec.json.decode(index.read_bytes(), type=_Index).weight_map
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{index} cannot be read: {error}", cure="fetch it again") from error
        names = sorted(set(mapped.values()))
    tensors: dict[str, Stored] = {}
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise ConfigError(
                f"{folder} has no {name}", cure="name a folder with model.safetensors in it"
            )
        tensors |= _open(folder / name)
    return tensors


def _open(path: Path) -> dict[str, Stored]:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else HEADER_BYTES + 1
        if length > min(HEADER_BYTES, size - 8):
            raise ConfigError(f"{path.name} is no safetensors file", cure="fetch it again")
        try:
            raw = msgspec.json.decode(file.read(length), type=dict[str, msgspec.Raw])
            raw.pop("__metadata__", None)
            places = {name: msgspec.json.decode(one, type=_Place) for name, one in raw.items()}
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path.name}: {error}", cure="fetch it again") from error
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    found: dict[str, Stored] = {}
    for name, place in places.items():
        start, end = place.data_offsets
        if place.dtype not in DTYPES:
            raise ConfigError(
                f"{name!r} in {path.name} holds {place.dtype} numbers",
                cure=f"convert a model of {', '.join(DTYPES)} numbers",
            )
        stored = Stored(data, 8 + length + start, place.dtype, tuple(place.shape))
        fits = 0 <= start <= end <= size - 8 - length and min(place.shape, default=1) > 0
        if not fits or end - start != stored.values * DTYPES[place.dtype]:
            raise ConfigError(f"{name!r} in {path.name} is cut short", cure="fetch it again")
        found[name] = stored
    return found
