# SPDX-License-Identifier: AGPL-3.0-or-later
"""The header of a GGUF file, byte by byte; a file from anywhere can be read without harm.

The format: magic `GGUF`, version (2 or 3), the number of tensors and of key-value pairs, the
pairs, the tensors' names, shapes, types and places, then padding and the tensors' data
(`docs/gguf.md` of the ggml project). Every count is held against the bytes that are left before
anything is read or made for it.
"""

import struct
from collections.abc import Callable
from typing import NoReturn

import msgspec

from haoya.core.errors import ConfigError
from haoya.core.message import Word
from haoya.inference.ggml import TYPES

MAGIC = b"GGUF"
ALIGNMENT = 32
"""Where the key `general.alignment` is missing."""
HEADER_BYTES = 256 << 20
"""More than this before the tensors is no model; the largest known vocabularies take 20 MiB."""
KEPT_ITEMS = 4096
"""Arrays up to this long are kept, of longer ones (vocabularies) only their length."""
KEPT_TEXT = 1 << 20
"""Texts up to this many bytes are kept (chat templates take some ten thousand)."""

_SCALARS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_TEXT, _ARRAY = 8, 9
_LEAST_PAIR = 8 + 1 + 4 + 1
_LEAST_TENSOR = 8 + 1 + 4 + 8 + 4 + 8
_NAME_BYTES = 64
_DIMENSIONS = 4


class Items(Word, frozen=True, kw_only=True):
    """An array: how many items, and the items themselves where they are few."""

    count: int
    kept: tuple["Value", ...] = ()


Value = int | float | bool | str | Items


class Tensor(Word, frozen=True, kw_only=True):
    """One tensor: `shape` with the fastest running dimension first, `type` by ggml's name,
    `offset` from the beginning of the data."""

    name: str
    shape: tuple[int, ...]
    type: str
    offset: int
    bytes: int


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What stands before the tensors. `spans` says where in the file each key's pair lies, for
    copying it as it is; `data` is where the tensors begin."""

    version: int
    values: dict[str, Value]
    spans: dict[str, tuple[int, int]]
    tensors: tuple[Tensor, ...]
    alignment: int
    data: int
    bytes: int


class _Short(Exception):
    """The header goes on past the bytes at hand."""

    def __init__(self, wanted: int) -> None:
        super().__init__(wanted)
        self.wanted = wanted


def parse(data: bytes | memoryview, size: int, *, name: str = "the file") -> Header | int:
    """The header in `data`, the beginning of a file of `size` bytes.

    Where `data` is too short for it, how many bytes would at least bring it further. Raises
    `ConfigError` for everything that is no sound GGUF file.
    """
    try:
        return _Reader(memoryview(data), size, name).header()
    except _Short as short:
        return short.wanted


class _Reader:
    """Goes through a header once, from front to back."""

    def __init__(self, data: memoryview, size: int, name: str) -> None:
        self.data = data
        self.size = size
        self.name = name
        self.at = 0

    def fail(self, fact: str, cure: str = "") -> NoReturn:
        raise ConfigError(
            f"{self.name} is no sound GGUF file: {fact}",
            cure=cure or "fetch it again from where it came from",
        )

    def take(self, count: int, what: str) -> int:
        """Where the next `count` bytes begin."""
        start, end = self.at, self.at + count
        if end > self.size:
            self.fail(f"it ends within {what} (byte {start:,} of {self.size:,})")
        if end > HEADER_BYTES:
            self.fail(f"{what} makes its header longer than {HEADER_BYTES >> 20} MiB")
        if end > len(self.data):
            raise _Short(end)
        self.at = end
        return start

    def number(self, form: str, what: str) -> int:
        shape = f"<{form}"
        start = self.take(struct.calcsize(shape), what)
        return struct.unpack_from(shape, self.data, start)[0]

    def text(self, limit: int, what: str) -> str:
        length = self.number("Q", what)
        if length > limit:
            self.fail(f"{what} has {length:,} bytes")
        start = self.take(length, what)
        try:
            return str(self.data[start : self.at], "utf-8")
        except UnicodeDecodeError:
            self.fail(f"{what} is no UTF-8")

    def header(self) -> Header:
        start = self.take(4, "its magic")
        if bytes(self.data[start:4]) != MAGIC:
            self.fail("it does not begin with GGUF", "name a .gguf file")
        version = self.number("I", "its version")
        if version.bit_count() and version & 0xFFFF == 0:
            self.fail("it is big-endian", "take the little-endian file of this model")
        if version not in (2, 3):
            self.fail(f"its version is {version}, known are 2 and 3", "update haoya")
        tensor_count = self.number("Q", "its number of tensors")
        pair_count = self.number("Q", "its number of keys")
        self.check_count(pair_count, _LEAST_PAIR, "keys")
        self.check_count(tensor_count, _LEAST_TENSOR, "tensors")
        values: dict[str, Value] = {}
        spans: dict[str, tuple[int, int]] = {}
        for _ in range(pair_count):
            begin = self.at
            key = self.text(65535, "a key")
            if key in values:
                self.fail(f"the key {key!r} stands twice")
            values[key] = self.value(self.number("I", f"the type of {key!r}"), key)
            spans[key] = (begin, self.at)
        alignment = values.get("general.alignment", ALIGNMENT)
        if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
            self.fail(f"its alignment {alignment!r} is no power of two")
        tensors = [self.tensor(alignment) for _ in range(tensor_count)]
        if len({one.name for one in tensors}) != len(tensors):
            self.fail("a tensor stands twice")
        data = -(-self.at // alignment) * alignment
        self.check_places(tensors, data)
        return Header(
            version=version,
            values=values,
            spans=spans,
            tensors=tuple(tensors),
            alignment=alignment,
            data=data,
            bytes=self.size,
        )

    def check_count(self, count: int, least: int, what: str) -> None:
        if count > (min(self.size, HEADER_BYTES) - self.at) // least:
            self.fail(f"{count:,} {what} do not fit into it")

    def value(self, kind: int, key: str) -> Value:
        if kind == _TEXT:
            return self.text_value(key)
        if kind == _ARRAY:
            return self.array(key)
        if kind not in _SCALARS:
            self.fail(f"{key!r} has the unknown type {kind}", "update haoya")
        return self.number(_SCALARS[kind], repr(key))

    def text_value(self, key: str) -> str:
        """A text; one that is too long to be of use is passed over, one that is no UTF-8 mended."""
        length = self.number("Q", repr(key))
        start = self.take(length, repr(key))
        return str(self.data[start : start + min(length, KEPT_TEXT)], "utf-8", "replace")

    def array(self, key: str) -> Items:
        kind = self.number("I", repr(key))
        count = self.number("Q", repr(key))
        if kind == _TEXT:
            self.check_count(count, 8, f"items of {key!r}")
            return self.texts(count, key)
        if kind not in _SCALARS:
            self.fail(f"{key!r} holds items of the type {kind}", "update haoya")
        shape = f"<{count if count <= KEPT_ITEMS else 0}{_SCALARS[kind]}"
        start = self.take(count * struct.calcsize(f"<{_SCALARS[kind]}"), repr(key))
        return Items(count=count, kept=struct.unpack_from(shape, self.data, start))

    def texts(self, count: int, key: str) -> Items:
        """Texts in a row. This loop runs hundreds of thousands of times for a vocabulary."""
        kept: list[str] = []
        unpack: Callable[..., tuple[int]] = struct.Struct("<Q").unpack_from
        data, at, end = self.data, self.at, min(len(self.data), self.size, HEADER_BYTES)
        for _ in range(count):
            if at + 8 > end:
                self.at = at
                self.take(8, repr(key))
            (length,) = unpack(data, at)
            at += 8 + length
            if at > end:
                self.at = at - length
                self.take(length, repr(key))
            if count <= KEPT_ITEMS:
                kept.append(
                    str(data[at - length : min(at, at - length + KEPT_TEXT)], "utf-8", "replace")
                )
        self.at = at
        return Items(count=count, kept=tuple(kept))

    def tensor(self, alignment: int) -> Tensor:
        name = self.text(_NAME_BYTES, "the name of a tensor")
        rank = self.number("I", name)
        if not 1 <= rank <= _DIMENSIONS:
            self.fail(f"the tensor {name!r} has {rank} dimensions")
        shape = tuple(self.number("Q", name) for _ in range(rank))
        number = self.number("I", name)
        offset = self.number("Q", name)
        kind = TYPES.get(number)
        if kind is None:
            self.fail(f"the tensor {name!r} has the unknown type {number}", "update haoya")
        values = 1
        for dimension in shape:
            values *= dimension
        if not 0 < values < 1 << 48:
            self.fail(f"the tensor {name!r} has {values:,} values")
        if shape[0] % kind.block:
            self.fail(f"the rows of {name!r} do not come out even in blocks of {kind.name}")
        if offset % alignment:
            self.fail(f"the tensor {name!r} is not aligned")
        return Tensor(
            name=name, shape=shape, type=kind.name, offset=offset, bytes=kind.bytes(values)
        )

    def check_places(self, tensors: list[Tensor], data: int) -> None:
        """Tensors lie within the file and not over one another."""
        end = 0
        for one in sorted(tensors, key=lambda tensor: tensor.offset):
            if one.offset < end:
                self.fail(f"the tensor {one.name!r} lies over another")
            end = one.offset + one.bytes
            if data + end > self.size:
                self.fail(
                    f"the tensor {one.name!r} ends at byte {data + end:,} of {self.size:,}",
                    "the file is cut short; fetch it again",
                )
