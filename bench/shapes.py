# SPDX-License-Identifier: AGPL-3.0-or-later
"""Models with random weights in the shapes of real ones, for measuring speed and memory.

    python bench/shapes.py --shape 0.5b|1.5b|3b|7b --quant q4_k_m|q4_0|q8_0|f16 --out FOLDER

The shapes are those of Qwen2.5, the mixture of types is that of llama.cpp's `llama-quantize`.
Blocks are written as they lie in the file, from random bytes under fixed scales: nothing is
quantised and nothing but one pool of blocks is held in memory. A model says printable nonsense
and never ends by itself when asked greedily. A file that is there already is left alone.
"""

import argparse
import sys
import time
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).parents[1]))
from tests.servers.bpe import alphabet, written
from tests.servers.gguf_file import BLOCKS, F16, F32, Q4_0, Q4_K, Q5_0, Q6_K, Q8_0, Tensor, write
from tests.servers.gguf_file import Value as Metadata
from tests.servers.tiny import TEMPLATE

WORDS = 151_643
"""Tokens before the special ones, as Qwen2.5 numbers them."""

SPECIAL = {
    "<|endoftext|>": WORDS,
    "<|im_start|>": WORDS + 1,
    "<|im_end|>": WORDS + 2,
    "<tool_call>": WORDS + 14,
    "</tool_call>": WORDS + 15,
}
POOL_BLOCKS = 262_147
"""Random blocks of each kind; tensors are cut out of the pool at places of their own. A prime, and
more than there are tokens: no two tokens have the same row, or they would be equally likely."""

FILE_TYPES = {"f16": 1, "q4_0": 2, "q8_0": 7, "q4_k_m": 15}
FALLBACK = {Q4_K: Q5_0, Q6_K: Q8_0}
"""What `llama-quantize` takes where a row is no multiple of 256."""

Bytes = NDArray[np.uint8]


class Shape(msgspec.Struct, frozen=True):
    """Measures of a model of the architecture qwen2."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    feed_forward: int
    tokens: int = 151_936
    tied: bool = True

    @property
    def kv(self) -> int:
        """Numbers in the keys of one token."""
        return self.hidden // self.heads * self.kv_heads


SHAPES = {
    "0.5b": Shape(24, 896, 14, 2, 4864),
    "1.5b": Shape(28, 1536, 12, 2, 8960),
    "3b": Shape(36, 2048, 16, 2, 11008),
    "7b": Shape(28, 3584, 28, 4, 18944, tokens=152_064, tied=False),
}


def make(shape: str, quant: str, folder: Path) -> Path:
    """The file of a shape in a folder, made where it is missing."""
    path = folder / f"shape-{shape}-{quant}.gguf"
    if not path.exists():
        measures = SHAPES[shape]
        write(path, _metadata(path.stem, measures, quant), list(_tensors(measures, quant)))
    return path


def _metadata(name: str, shape: Shape, quant: str) -> dict[str, Metadata]:
    words, merges = vocabulary()
    tokens = [*words, *(f"<|extra_{n}|>" for n in range(shape.tokens - WORDS))]
    kinds = [1] * WORDS + [3] * (shape.tokens - WORDS)
    for token, index in SPECIAL.items():
        tokens[index] = token
        kinds[index] = 3 if token.startswith("<|") else 4
    return {
        "general.architecture": "qwen2",
        "general.type": "model",
        "general.name": name,
        "general.file_type": FILE_TYPES[quant],
        "general.quantization_version": 2,
        "qwen2.block_count": shape.layers,
        "qwen2.context_length": 32768,
        "qwen2.embedding_length": shape.hidden,
        "qwen2.feed_forward_length": shape.feed_forward,
        "qwen2.attention.head_count": shape.heads,
        "qwen2.attention.head_count_kv": shape.kv_heads,
        "qwen2.attention.layer_norm_rms_epsilon": 1e-6,
        "qwen2.rope.freq_base": 1e6,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.eos_token_id": SPECIAL["<|im_end|>"],
        "tokenizer.ggml.padding_token_id": SPECIAL["<|endoftext|>"],
        "tokenizer.ggml.bos_token_id": SPECIAL["<|endoftext|>"],
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": TEMPLATE,
    }


@cache
def vocabulary() -> tuple[list[str], list[str]]:
    """Tokens and merges: every Chinese character of the main block, groups of two and three
    letters with and without a space, words of four, and pairs of characters as far as they fit."""
    tokens = dict.fromkeys(alphabet().values())
    merges: list[str] = []

    def join(left: str, right: str) -> None:
        if left + right not in tokens and len(tokens) < WORDS:
            tokens[left + right] = None
            merges.append(f"{left} {right}")

    han = [written(chr(code)) for code in range(0x4E00, 0xA000)]
    for first, second, _ in han:
        join(first, second)
    for character in han:
        join(character[:2], character[2])
    letters, vowels, space = "abcdefghijklmnopqrstuvwxyz", "aeiouy", written(" ")
    pairs = [a + b for a in letters for b in letters]
    triples = [pair + c for pair in pairs for c in letters]
    for word in (*pairs, *triples):
        join(word[:-1], word[-1])
    for word in (*pairs, *triples):
        join(space, word)
    for word in triples:
        if word[0] not in vowels and word[1] in vowels and word[2] not in vowels:
            for end in vowels:
                join(word, end)
                join(space + word, end)
    for left in han[:512]:
        for right in han[:512]:
            join(left, right)
    return list(tokens), merges


def _muted(shape: Shape) -> list[tuple[int, int]]:
    """Ranges of tokens that must not be said: parts of characters, and the special ones."""
    words, _ = vocabulary()
    first = words.index(alphabet()[0xA1])
    whole = words.index(written("一"))
    return [(first, whole), (WORDS, shape.tokens)]


def _tensors(shape: Shape, quant: str) -> Iterator[Tensor]:
    hidden, inner = shape.hidden, shape.feed_forward
    head = _kind(quant, "head", hidden)
    yield _matrix(
        "token_embd.weight",
        shape.tokens,
        hidden,
        head if shape.tied else _kind(quant, "", hidden),
        _muted(shape),
    )
    if not shape.tied:
        yield _matrix("output.weight", shape.tokens, hidden, head, _muted(shape))
    yield _vector("output_norm.weight", hidden, 1)
    for layer in range(shape.layers):
        more = "more" if _uses_more_bits(layer, shape.layers) else ""
        block = f"blk.{layer}."
        for name, rows in (("q", hidden), ("k", shape.kv), ("v", shape.kv)):
            kind = _kind(quant, more if name == "v" else "", hidden)
            yield _matrix(f"{block}attn_{name}.weight", rows, hidden, kind)
            yield _vector(f"{block}attn_{name}.bias", rows, 0)
        yield _matrix(f"{block}attn_output.weight", hidden, hidden, _kind(quant, "", hidden))
        yield _matrix(f"{block}ffn_gate.weight", inner, hidden, _kind(quant, "", hidden))
        yield _matrix(f"{block}ffn_up.weight", inner, hidden, _kind(quant, "", hidden))
        yield _matrix(f"{block}ffn_down.weight", hidden, inner, _kind(quant, more, inner))
        yield _vector(f"{block}attn_norm.weight", hidden, 1)
        yield _vector(f"{block}ffn_norm.weight", hidden, 1)


def _uses_more_bits(layer: int, layers: int) -> bool:
    """The first and last eighth, and every third between (Q4_K_M of `llama-quantize`)."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _kind(quant: str, role: str, columns: int) -> int:
    match quant, role:
        case "f16", _:
            return F16
        case "q8_0", _:
            return Q8_0
        case ("q4_0", "head") | ("q4_k_m", "head" | "more"):
            wanted = Q6_K
        case "q4_0", _:
            return Q4_0
        case _:
            wanted = Q4_K
    return wanted if columns % 256 == 0 else FALLBACK[wanted]


def _vector(name: str, length: int, value: float) -> Tensor:
    def pieces() -> Iterator[bytes]:
        yield np.full(length, value, np.float32).tobytes()

    return Tensor(name=name, shape=(length,), type=F32, pieces=pieces)


def _matrix(
    name: str, rows: int, columns: int, kind: int, muted: list[tuple[int, int]] | None = None
) -> Tensor:
    values, size = BLOCKS[kind]
    row = columns // values * size

    def pieces() -> Iterator[bytes]:
        pool = _pool(kind, columns)
        start, at = zlib.crc32(name.encode()) % POOL_BLOCKS * size, 0
        for first, end in [*(muted or []), (rows, rows)]:
            yield from _cut(pool, start + at * row, (first - at) * row)
            yield bytes((end - first) * row)
            at = end

    return Tensor(name=name, shape=(rows, columns), type=kind, pieces=pieces)


def _cut(pool: memoryview, start: int, length: int) -> Iterator[bytes]:
    while length:
        start %= len(pool)
        piece = pool[start : start + length]
        yield bytes(piece)
        start += len(piece)
        length -= len(piece)


@cache
def _pool(kind: int, columns: int) -> memoryview:
    """Random blocks whose values have the mean 0 and the deviation 1 / √columns."""
    values, size = BLOCKS[kind]
    deviation = columns**-0.5
    source = np.random.PCG64(kind)
    blocks = POOL_BLOCKS if values > 1 else POOL_BLOCKS * 64 + 1
    noise = source.random_raw(-(-blocks * size // 8)).view(np.uint8)[: blocks * size]
    pool = noise.reshape(blocks, size)
    if kind == F16:
        # Sums of four bytes are near enough to normal.
        total = np.frombuffer(source.random_raw(-(-blocks // 2)).tobytes(), np.uint8)
        sums = total[: blocks * 4].reshape(blocks, 4).sum(1, dtype=np.int32)
        numbers = (sums - 510) / 147.8 * deviation
        return memoryview(numbers.astype(np.float16).tobytes())
    _scale(pool, kind, deviation)
    return memoryview(pool.tobytes())


def _scale(pool: Bytes, kind: int, deviation: float) -> None:
    """Write the scales of all blocks (the layouts are those of ggml-common.h)."""
    if kind == Q4_K:  # d and dmin, 8 scales and 8 minima of 6 bits: all of them 32
        pool[:, 0:2] = _half(deviation / (32 * 4.61))
        pool[:, 2:4] = _half(deviation / (32 * 4.61) * 7.5)
        pool[:, 4:12] = 0b10_100000
        pool[:, 12:16] = 0
    elif kind == Q6_K:  # 16 scales of a byte: all of them 8; then d
        pool[:, 192:208] = 8
        pool[:, 208:210] = _half(deviation / (8 * 18.5))
    else:  # d, then 4, 5 or 8 bits a value, offset by half their range
        pool[:, :2] = _half(deviation / {Q4_0: 4.61, Q5_0: 9.23, Q8_0: 73.9}[kind])


def _half(value: float) -> Bytes:
    return np.frombuffer(np.float16(value).tobytes(), np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="0.5b")
    parser.add_argument("--quant", choices=FILE_TYPES, default="q4_k_m")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    given = parser.parse_args()
    began = time.perf_counter()
    path = make(given.shape, given.quant, given.out)
    seconds = time.perf_counter() - began
    print(f"{path}  {path.stat().st_size / 1e6:.0f} MB  {seconds:.1f} s")


if __name__ == "__main__":
    main()
