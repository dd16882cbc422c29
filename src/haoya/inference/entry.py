# SPDX-License-Identifier: AGPL-3.0-or-later
"""The words of the store: a model on disk, its files, and what goes with it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from haoya.core.message import Word
from haoya.inference.gguf import PART

ONNX = "genai_config.json"
"""The file that makes a folder a model for ONNX Runtime."""

NAME = re.compile(r"[a-z0-9][a-z0-9._+-]{0,99}")
SidecarKind = Literal["mmproj", "lora", "draft"]


class Held(Word, frozen=True, kw_only=True):
    """One file of a model: the name it came with, and where it lies."""

    name: str
    sha256: str
    bytes: int
    path: Path = Path()


class Sidecar(Word, frozen=True, kw_only=True):
    """A file that goes with a model: a projector for images, an adapter, a small draft model."""

    kind: SidecarKind
    file: Held


class Entry(Word, frozen=True, kw_only=True):
    """A model on disk. `path` is what an engine is given (the first of several files).

    `sha256` is the digest of the file's bytes, of several files the digest of their digests; for
    a file outside the store it stands for the file's path, size and time. Caches go by it.
    `source` is where it came from (`hf:owner/repo:FILE`), `added` Unix seconds.
    """

    name: str
    path: Path
    sha256: str
    bytes: int
    source: str = ""
    added: float = 0
    files: tuple[Held, ...] = ()
    sidecars: tuple[Sidecar, ...] = ()

    def beside(self, kind: SidecarKind) -> list[Path]:
        """Where its sidecar files of one kind lie."""
        return [one.file.path for one in self.sidecars if one.kind == kind]


class Record(Word, frozen=True, kw_only=True):
    """`names/NAME.json`: an entry without what follows from where the store is."""

    files: tuple[Held, ...]
    sidecars: tuple[Sidecar, ...] = ()
    source: str = ""
    added: float = 0

    def each(self) -> Iterator[Held]:
        """All files, those of sidecars too."""
        yield from self.files
        yield from (one.file for one in self.sidecars)

    def bare(self) -> "Record":
        """Without paths: a home can be moved."""
        return msgspec.structs.replace(
            self,
            files=tuple(msgspec.structs.replace(one, path=Path()) for one in self.files),
            sidecars=tuple(
                Sidecar(kind=one.kind, file=msgspec.structs.replace(one.file, path=Path()))
                for one in self.sidecars
            ),
        )


def name_for(file: str) -> str:
    """A model's name from a file's.

    >>> name_for("Qwen3-8B-Q4_K_M-00001-of-00002.gguf"), name_for("模型.gguf")
    ('qwen3-8b-q4_k_m', 'model')
    """
    found = PART.fullmatch(file)
    stem = found["stem"] if found else file.removesuffix(".gguf")
    name = re.sub(r"[^a-z0-9._+-]+", "-", stem.lower()).strip("-._+")[:100]
    return name if NAME.fullmatch(name) else "model"
