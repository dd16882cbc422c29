# SPDX-License-Identifier: AGPL-3.0-or-later
"""A tiny projector with random weights: lets the tiny language models see pictures.

    python -m tests.servers.tiny_vision FOLDER

It is the simplest kind that llama.cpp knows (`mlp`, that of LLaVA 1.5): a picture is made square,
cut into patches of 14 × 14, looked at by a small vision transformer (CLIP), and each patch becomes
one token of the language model. What the model says of a picture is nonsense, but depends on it.
"""

import struct
import sys
import zlib
from pathlib import Path

import numpy as np

from tests.servers.gguf_file import F16, F32, Value, write
from tests.servers.tiny import Array, Shape, make_model, tensor

SIDE, PATCH = 112, 14
TOKENS = (SIDE // PATCH) ** 2
"""What a picture costs, whatever its size."""

HIDDEN, HEADS, INNER, LAYERS = 64, 4, 128, 2
"""The last layer is not looked at: LLaVA takes what the one before it says."""


def make_projector(path: Path, shape: Shape = Shape()) -> Path:  # noqa: B008 - a frozen struct
    """A projector for `tiny.make_model` of the same shape."""
    metadata: dict[str, Value] = {
        "general.architecture": "clip",
        "general.type": "mmproj",
        "general.name": path.stem,
        "general.file_type": 1,
        "clip.has_vision_encoder": True,
        "clip.projector_type": "mlp",
        "clip.use_gelu": False,
        "clip.vision.image_size": SIDE,
        "clip.vision.patch_size": PATCH,
        "clip.vision.embedding_length": HIDDEN,
        "clip.vision.feed_forward_length": INNER,
        "clip.vision.block_count": LAYERS,
        "clip.vision.projection_dim": shape.hidden,
        "clip.vision.attention.head_count": HEADS,
        "clip.vision.attention.layer_norm_epsilon": 1e-5,
        "clip.vision.image_mean": [0.48, 0.46, 0.41],
        "clip.vision.image_std": [0.27, 0.26, 0.28],
    }
    made = [
        tensor(name, array, F32 if array.ndim == 1 or name == "v.patch_embd.weight" else F16)
        for name, array in _weights(shape).items()
    ]
    return write(path, metadata, made)


def _weights(shape: Shape) -> dict[str, Array]:
    made: dict[str, Array] = {}

    def add(name: str, *size: int, scale: float = 1.0) -> None:
        source = np.random.RandomState((shape.seed * 1_000_003 + zlib.crc32(name.encode())) % 2**32)
        numbers = source.standard_normal(size) * (scale / np.prod(size[1:]) ** 0.5)
        made[name] = numbers.astype(np.float32)

    def norm(name: str) -> None:
        made[f"{name}.weight"] = np.ones(HIDDEN, np.float32)
        made[f"{name}.bias"] = np.zeros(HIDDEN, np.float32)

    add("v.patch_embd.weight", HIDDEN, 3, PATCH, PATCH, scale=4)
    add("v.class_embd", HIDDEN)
    add("v.position_embd.weight", TOKENS + 1, HIDDEN)
    norm("v.pre_ln")
    for layer in range(LAYERS):
        at = f"v.blk.{layer}"
        norm(f"{at}.ln1")
        norm(f"{at}.ln2")
        for part in ("attn_q", "attn_k", "attn_v", "attn_out"):
            add(f"{at}.{part}.weight", HIDDEN, HIDDEN)
        add(f"{at}.ffn_up.weight", INNER, HIDDEN)
        add(f"{at}.ffn_down.weight", HIDDEN, INNER)
    add("mm.0.weight", shape.hidden, HIDDEN)
    add("mm.2.weight", shape.hidden, shape.hidden, scale=shape.hidden**0.5 / 16)
    for bias in ("mm.0.bias", "mm.2.bias"):
        made[bias] = np.zeros(shape.hidden, np.float32)
    return made


def picture(color: tuple[int, int, int], width: int = 40, height: int = 30) -> bytes:
    """A PNG in one colour with a dark corner (RFC 2083)."""
    rows = b""
    for y in range(height):
        dark = y < height // 3
        left = bytes(3) if dark else bytes(color)
        rows += b"\0" + left * (width // 3) + bytes(color) * (width - width // 3)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def main(folder: Path) -> None:
    """Write a language model and its projector."""
    print(make_model(folder / "tiny.gguf", Shape(ends=False)))
    print(make_projector(folder / "mmproj-tiny.gguf", Shape(ends=False)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
