# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a model file says of itself: `read(path)` for a file, `describe` for a header."""

import mmap
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

from haoya.core.errors import ConfigError
from haoya.core.message import Word
from haoya.inference.ggml import FILE_TYPES
from haoya.inference.header import Header, Items, Tensor, parse

PART = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)
"""How the files of one model are named that comes in several (llama.cpp's `gguf-split`)."""
MOST_PARTS = 1000

Purpose = Literal["chat", "embedding", "mmproj", "lora", "vocabulary", "other"]
_POOLING = {0: "none", 1: "mean", 2: "cls", 3: "last", 4: "rank"}
_Kind = TypeVar("_Kind", int, float, str, bool)


class Gguf(Word, frozen=True, kw_only=True):
    """A model as its file describes it; a number is 0 and a text empty where it says nothing.

    `quantisation` is what most of it is (`Q4_K_M`), `bytes` the size of all its files,
    `context_tokens` what it was trained for. `kv_heads` has one number for each layer (0 for a
    layer without attention), `key_length` and `value_length` are the dimensions of a head;
    `latent_length` stands for both where a layer keeps one latent vector (MLA). `window` is how
    far back sliding layers look. `pooling` is set for embedding models. `parts` counts its files.
    """

    architecture: str
    name: str
    purpose: Purpose
    quantisation: str
    parameters: int
    bytes: int
    parts: int = 1
    context_tokens: int = 0
    layers: int = 0
    heads: int = 0
    kv_heads: tuple[int, ...] = ()
    key_length: int = 0
    value_length: int = 0
    latent_length: int = 0
    window: int = 0
    embedding_length: int = 0
    feed_forward_length: int = 0
    experts: int = 0
    vocabulary: int = 0
    tokenizer: str = ""
    chat_template: str = ""
    pooling: str = ""
    tensors: tuple[Tensor, ...] = ()


def read(path: Path) -> Gguf:
    """The model in a file, of one in several files all of them (name any of them).

    Raises `ConfigError` where the file is missing, cut short, or no GGUF file.
    """
    files = parts_of(path)
    headers = [read_header(file) for file in files]
    return describe(headers[0], headers[1:], name=path.name)


def parts_of(path: Path) -> list[Path]:
    """All files of the model that `path` is (a part of), in order; not all of them may exist.

    >>> [str(p) for p in parts_of(Path("a-00002-of-00002.gguf"))]
    ['a-00001-of-00002.gguf', 'a-00002-of-00002.gguf']
    """
    found = PART.fullmatch(path.name)
    if found is None:
        return [path]
    count = int(found["count"])
    if not 1 <= int(found["number"]) <= count <= MOST_PARTS:
        raise ConfigError(f"{path.name} is no part of a model", cure="correct the file's name")
    names = (f"{found['stem']}-{i:05}-of-{count:05}.gguf" for i in range(1, count + 1))
    return [path.with_name(name) for name in names]


def read_header(path: Path) -> Header:
    """The header of one file; raises as `read` does."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if not size:
                raise ConfigError(f"{path.name} is empty", cure="fetch it again")
            # Closed when the last view of it is gone: an error's traceback holds one.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            header = parse(memoryview(mapped), size, name=path.name)
    except FileNotFoundError:
        raise ConfigError(f"there is no file {path}", cure="correct the path") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", cure="choose another file") from error
    if isinstance(header, int):  # cannot be: the whole file was there
        raise ConfigError(f"{path.name} ends within its header", cure="fetch it again")
    return header


def describe(header: Header, others: Sequence[Header] = (), *, name: str = "the file") -> Gguf:
    """A header's meaning, with those of the model's other parts."""
    says = _Says(header, name)
    arch = says.text("general.architecture")
    if not arch:
        raise ConfigError(f"{name} does not say its architecture", cure="choose another file")
    if len(others) + 1 < (said := says.number("split.count")) and said > 1:
        raise ConfigError(
            f"{name} is one of {said} files of a model, the others are missing",
            cure=f"put all {said} files into one folder, named as they were",
        )
    tensors = [tensor for one in (header, *others) for tensor in one.tensors]
    heads = says.most(f"{arch}.attention.head_count")
    layers = says.number(f"{arch}.block_count")
    embedding = says.number(f"{arch}.embedding_length")
    head = embedding // heads if heads else 0
    experts = says.number(f"{arch}.expert_count")
    vocabulary = header.values.get("tokenizer.ggml.tokens")
    latent = says.number(f"{arch}.attention.kv_lora_rank")
    return Gguf(
        architecture=arch,
        name=says.text("general.name") or says.text("general.basename"),
        purpose=_purpose(says, arch, tensors),
        quantisation=_quantisation(says, tensors),
        parameters=sum(_values(one) for one in tensors),
        bytes=sum(one.bytes for one in (header, *others)),
        parts=len(others) + 1,
        context_tokens=says.number(f"{arch}.context_length"),
        layers=layers,
        heads=heads,
        kv_heads=says.each(f"{arch}.attention.head_count_kv", min(layers, 10_000), heads),
        key_length=says.number(f"{arch}.attention.key_length") or head,
        value_length=says.number(f"{arch}.attention.value_length") or head,
        latent_length=latent and latent + says.number(f"{arch}.rope.dimension_count"),
        window=says.number(f"{arch}.attention.sliding_window"),
        embedding_length=embedding,
        feed_forward_length=says.most(f"{arch}.feed_forward_length"),
        experts=experts,
        vocabulary=vocabulary.count if isinstance(vocabulary, Items) else 0,
        tokenizer=says.text("tokenizer.ggml.pre") or says.text("tokenizer.ggml.model"),
        chat_template=says.text("tokenizer.chat_template"),
        pooling=_POOLING.get(says.number(f"{arch}.pooling_type", -1), ""),
        tensors=tuple(tensors),
    )


class _Says:
    """A header's values by key, of the kind one asks for; a wrong kind is a fault in the file."""

    def __init__(self, header: Header, name: str) -> None:
        self.values = header.values
        self.name = name

    def of(self, key: str, kind: type[_Kind], default: _Kind) -> _Kind:
        value = self.values.get(key, default)
        if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
            raise ConfigError(
                f"{self.name} is no sound GGUF file: {key!r} is no {kind.__name__}",
                cure="fetch it again from where it came from",
            )
        return value

    def text(self, key: str) -> str:
        return self.of(key, str, "")

    def number(self, key: str, default: int = 0) -> int:
        """A number; of an array (one for each layer) the greatest."""
        if isinstance(self.values.get(key), Items):
            return self.most(key)
        number = self.of(key, int, default)
        if number < 0 and key in self.values:
            raise ConfigError(
                f"{self.name} is no sound GGUF file: {key!r} is {number}",
                cure="fetch it again from where it came from",
            )
        return number

    def each(self, key: str, layers: int, default: int) -> tuple[int, ...]:
        """One number for each layer, whether the file gives one for all or one for each."""
        value = self.values.get(key)
        if isinstance(value, Items):
            numbers = tuple(one for one in value.kept if isinstance(one, int) and one >= 0)
            return (numbers + numbers[-1:] * layers)[:layers]
        return (self.number(key, default),) * layers

    def most(self, key: str) -> int:
        value = self.values.get(key)
        if not isinstance(value, Items):
            return self.of(key, int, 0)
        return max((one for one in value.kept if isinstance(one, int)), default=0)


def _values(tensor: Tensor) -> int:
    count = 1
    for dimension in tensor.shape:
        count *= dimension
    return count


def _purpose(says: _Says, arch: str, tensors: Sequence[Tensor]) -> Purpose:
    kind = says.text("general.type")
    if arch == "clip" or kind == "mmproj":
        return "mmproj"
    if kind == "adapter":
        return "lora"
    if not tensors:
        return "vocabulary"
    if kind not in ("", "model"):
        return "other"
    return "embedding" if says.number(f"{arch}.pooling_type") else "chat"


def _quantisation(says: _Says, tensors: Sequence[Tensor]) -> str:
    """As the file says, else the type that most of its bytes have."""
    said = FILE_TYPES.get(says.number("general.file_type", -1))
    if said or not tensors:
        return said or ""
    weight: Counter[str] = Counter()
    for one in tensors:
        weight[one.type] += one.bytes
    return weight.most_common(1)[0][0]
