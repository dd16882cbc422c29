# SPDX-License-Identifier: AGPL-3.0-or-later
"""Turns a folder of Hugging Face's form (safetensors) into a GGUF file, in a process of its own.

Known are the plain transformers of the llama, qwen2 and qwen3 families. Numbers stay as they are
stored; vectors become 32-bit floats, as the engine wants them. The llama family's query and key
rows are put into another order: transformers rotates the two halves of a head, the engine
neighbouring pairs (`rope` in ggml). Nothing but the standard library is needed.

    python -m …convert FOLDER NEW       one line of JSON for each step: [bytes done, bytes]
"""

import json
import math
import re
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec

from haoya.core.errors import ConfigError
from haoya.inference.child import refuse, run
from haoya.inference.safetensors import Stored, open_folder
from haoya.inference.vocabulary import pairs_of
from haoya.inference.writer import Made, number_pair, text_pair, write

ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
}
_FILE_TYPES = {"F32": 0, "F16": 1, "BF16": 32}
_TOPS = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
_LAYERS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_IN_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)\.(weight|bias)")


class _Rope(msgspec.Struct):
    rope_type: str = ""
    type: str = ""
    rope_theta: float | None = None
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192


class _Config(msgspec.Struct):
    """`config.json`, as far as a plain transformer has to do with it."""

    architectures: list[str]
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_scaling: _Rope | None = None
    rope_parameters: _Rope | None = None
    tie_word_embeddings: bool = False

    @property
    def kv_heads(self) -> int:
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head(self) -> int:
        return self.head_dim or self.hidden_size // self.num_attention_heads


def convert(
    folder: Path, new: Path, *, told: Callable[[int, int], None] = lambda have, total: None
) -> Path:
    """Write the model in `folder` to the GGUF file `new`.

    Raises `ConfigError` where the folder holds no model, or one that is not known here.
    """
    read_config(folder)
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if size > (free := shutil.disk_usage(new.parent).free):
        raise ConfigError(
            f"the disk of {new.parent} has {free:,} bytes free, the result needs about {size:,}",
            cure="make room",
        )
    run([sys.executable, "-m", __name__, str(folder), str(new)], told)
    return new


def read_config(folder: Path) -> _Config:
    """What the folder's model is; raises `ConfigError` for one that is not known here."""
    path = folder / "config.json"
    try:
        config = msgspec.json.decode(path.read_bytes(), type=_Config)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"there is no {path}", cure="name a folder with config.json and model.safetensors"
        ) from None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} is of no known kind: {error}",
            cure=f"known are {', '.join(ARCHITECTURES)}; take a GGUF file of this model",
        ) from error
    if not config.architectures or config.architectures[0] not in ARCHITECTURES:
        raise ConfigError(
            f"{path} says {config.architectures}, known are {', '.join(ARCHITECTURES)}",
            cure="take a GGUF file of this model, if there is one",
        )
    if min(config.num_hidden_layers, config.num_attention_heads, config.hidden_size) < 1:
        raise ConfigError(f"{path} has no layers, heads or size", cure="fetch it again")
    return config


def _main(folder: Path, new: Path) -> int:
    try:
        config = read_config(folder)
        tensors = open_folder(folder)
        made = [*_tensors(config, tensors), *_scaled_rope(config)]
        rows = next(one.shape[1] for one in made if one.name == "token_embd.weight")
        pairs = [*_pairs(config, tensors, folder), *pairs_of(folder, rows)]
        write(new, pairs, made, _report)
    except ConfigError as error:
        return refuse(error)
    return 0


def _report(have: int, total: int) -> None:
    print(json.dumps([have, total]), flush=True)


def _pairs(config: _Config, tensors: dict[str, Stored], folder: Path) -> list[bytes]:
    arch = ARCHITECTURES[config.architectures[0]]
    rope = config.rope_parameters or config.rope_scaling or _Rope()
    stored = tensors["model.embed_tokens.weight"].dtype
    numbers: dict[str, float] = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.kv_heads,
        "attention.key_length": config.head,
        "attention.value_length": config.head,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "rope.freq_base": float(rope.rope_theta or config.rope_theta),
        "rope.dimension_count": config.head,
    }
    pairs = [
        text_pair("general.architecture", arch),
        text_pair("general.type", "model"),
        text_pair("general.name", folder.resolve().name),
        number_pair("general.file_type", _FILE_TYPES[stored]),
        *(number_pair(f"{arch}.{key}", value) for key, value in numbers.items()),
    ]
    kind = rope.rope_type or rope.type
    if kind in ("linear", "yarn"):
        pairs.append(text_pair(f"{arch}.rope.scaling.type", kind))
        pairs.append(number_pair(f"{arch}.rope.scaling.factor", float(rope.factor)))
        if kind == "yarn":
            length = rope.original_max_position_embeddings
            pairs.append(number_pair(f"{arch}.rope.scaling.original_context_length", length))
    elif kind not in ("", "default", "llama3"):
        raise ConfigError(
            f"the model stretches its context by {kind!r}, which is not known here",
            cure="take a GGUF file of this model, if there is one",
        )
    return pairs


def _tensors(config: _Config, tensors: dict[str, Stored]) -> Iterator[Made]:
    turned = ARCHITECTURES[config.architectures[0]] == "llama"
    if "model.embed_tokens.weight" not in tensors:
        raise ConfigError("the model has no embeddings", cure="check that all its files are there")
    for name, stored in tensors.items():
        if name.endswith("rotary_emb.inv_freq"):
            continue
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        to = _name(name)
        heads = 0
        if turned and to.rpartition(".")[0].endswith(("attn_q", "attn_k")):
            heads = config.num_attention_heads if ".attn_q." in to else config.kv_heads
        yield _made(to, stored, heads)


def _name(name: str) -> str:
    """The engine's name for a tensor."""
    stem, _, kind = name.rpartition(".")
    if stem in _TOPS:
        return f"{_TOPS[stem]}.{kind}"
    found = _IN_LAYER.fullmatch(name)
    if found is None or found[2] not in _LAYERS:
        raise ConfigError(
            f"the model has a tensor {name!r}, which is not known here",
            cure="take a GGUF file of this model, if there is one",
        )
    return f"blk.{found[1]}.{_LAYERS[found[2]]}.{found[3]}"


def _made(name: str, stored: Stored, heads: int) -> Made:
    """A tensor to write; with `heads` the rows of each head are put into the engine's order."""
    order = turned_rows(stored.shape[0], heads) if heads else None
    pieces = partial(stored.rows, order) if order else stored.pieces
    if len(stored.shape) == 1:
        return Made(
            name=name,
            shape=stored.shape,
            type="F32",
            pieces=lambda: (floats(piece, stored.dtype) for piece in pieces()),
        )
    return Made(name=name, shape=stored.shape[::-1], type=stored.dtype, pieces=pieces)


def turned_rows(rows: int, heads: int) -> list[int]:
    """The rows of rotated halves in the order of rotated pairs.

    >>> turned_rows(8, 2)
    [0, 2, 1, 3, 4, 6, 5, 7]
    """
    head = rows // heads
    half = head // 2
    if head * heads != rows or half * 2 != head:
        raise ConfigError(
            f"{rows} rows do not make {heads} heads", cure="check config.json against the model"
        )
    return [
        first + part * half + place
        for first in range(0, rows, head)
        for place in range(half)
        for part in (0, 1)
    ]


def floats(data: bytes, dtype: str) -> bytes:
    """Numbers as 32-bit floats.

    >>> floats(bytes.fromhex("803f"), "BF16") == floats(bytes.fromhex("003c"), "F16")
    True
    """
    if dtype == "BF16":  # the upper half of a 32-bit float
        wide = bytearray(2 * len(data))
        wide[2::4], wide[3::4] = data[0::2], data[1::2]
        return bytes(wide)
    if dtype == "F16":
        count = len(data) // 2
        return struct.pack(f"<{count}f", *struct.unpack(f"<{count}e", data))
    return data


def _scaled_rope(config: _Config) -> Iterator[Made]:
    """The factors by which a llama 3 model slows its rotations (its reference code; engines read
    them as the tensor `rope_freqs`)."""
    rope = config.rope_parameters or config.rope_scaling or _Rope()
    if (rope.rope_type or rope.type) != "llama3":
        return
    base = float(rope.rope_theta or config.rope_theta)
    whole = rope.original_max_position_embeddings
    longest, shortest = whole / rope.low_freq_factor, whole / rope.high_freq_factor
    factors: list[float] = []
    for place in range(0, config.head, 2):
        length = 2 * math.pi * base ** (place / config.head)
        if length < shortest:
            factors.append(1.0)
        elif length > longest:
            factors.append(rope.factor)
        else:
            spread = rope.high_freq_factor - rope.low_freq_factor
            smooth = (whole / length - rope.low_freq_factor) / spread
            factors.append(1 / ((1 - smooth) / rope.factor + smooth))
    data = struct.pack(f"<{len(factors)}f", *factors)
    yield Made(
        name="rope_freqs.weight", shape=(len(factors),), type="F32", pieces=lambda: iter([data])
    )


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), Path(sys.argv[2])))
