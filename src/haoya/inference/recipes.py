# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which tensor becomes what when a model is quantised.

The mixtures are llama.cpp's (`llama-quant.cpp`), so that a file made here is the one its users
know by that name: most tensors get the default type, the output, the values of the attention and
the way down of the feed-forward net more bits where that pays most. Checked byte for byte against
its own program for the plain architectures (llama, qwen2, qwen3 and the like).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from haoya.inference.ggml import NAMED
from haoya.inference.gguf import Gguf
from haoya.inference.header import Tensor


class Recipe(NamedTuple):
    """A quantisation: its number in `general.file_type` and the type of most tensors."""

    number: int
    default: str


RECIPES = {
    "Q8_0": Recipe(7, "Q8_0"),
    "Q6_K": Recipe(18, "Q6_K"),
    "Q5_K_M": Recipe(17, "Q5_K"),
    "Q4_K_M": Recipe(15, "Q4_K"),
    "Q4_K_S": Recipe(14, "Q4_K"),
    "Q4_0": Recipe(2, "Q4_0"),
    "Q3_K_M": Recipe(12, "Q3_K"),
}
"""By name, from the most exact to the smallest."""

_EVEN_LESS = {"Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
"""For rows that do not come out even in blocks of 256: the next type with blocks of 32."""

_KEPT = re.compile(
    r".*(_norm\.weight|ffn_gate_inp.*|position_embd\.weight|token_types\.weight|ssm_conv1d.*|"
    r"shortconv.*|time_mix.*|altup.*|laurel.*|per_layer_model_proj.*)"
)
"""Small tensors that everything goes through."""
_LAYER = re.compile(r"blk\.(\d+)\.(.+)\.weight")


def types_for(gguf: Gguf, quantisation: str) -> dict[str, str]:
    """The type of every tensor of a model after quantising it."""
    tied = all(one.name != "output.weight" for one in gguf.tensors)
    values = [one.name for one in gguf.tensors if _is_value(one.name)]
    order = {name: place for place, name in enumerate(_in_layers(values))}
    return {
        one.name: _type(one, gguf, quantisation, tied=tied, order=order) for one in gguf.tensors
    }


def _type(
    tensor: Tensor, gguf: Gguf, quantisation: str, *, tied: bool, order: dict[str, int]
) -> str:
    if len(tensor.shape) < 2 or not tensor.name.endswith("weight") or _KEPT.fullmatch(tensor.name):
        return tensor.type
    default = RECIPES[quantisation].default
    if tensor.name == "output.weight" or (tied and tensor.name == "token_embd.weight"):
        even = tensor.shape[0] % NAMED[default].block == 0
        chosen = "Q6_K" if even and default != "Q8_0" else "Q8_0"
    elif _is_value(tensor.name):
        chosen = _value_type(quantisation, default, order[tensor.name], len(order), gguf)
    else:
        chosen = _other_type(quantisation, default, tensor.name, gguf)
    return _fitting(chosen, tensor.shape[0])


def _value_type(quantisation: str, default: str, place: int, count: int, gguf: Gguf) -> str:
    """Attention values (or the three in one)."""
    chosen = default
    if quantisation in ("Q4_K_M", "Q5_K_M") and _matters(place, count):
        chosen = "Q6_K"
    elif quantisation == "Q4_K_S" and place < 4:
        chosen = "Q5_K"
    elif quantisation == "Q3_K_M":
        chosen = "Q5_K" if place < 2 else "Q4_K"
    wide = gguf.architecture == "llama" and gguf.layers == 80 and gguf.heads != gguf.kv_heads[0]
    if wide and chosen in ("Q3_K", "Q4_K"):
        chosen = "Q5_K"
    return "Q8_0" if gguf.experts == 8 else chosen


def _other_type(quantisation: str, default: str, name: str, gguf: Gguf) -> str:
    found = _LAYER.fullmatch(name)
    if found is None:
        return default
    layer, role, layers = int(found[1]), found[2], gguf.layers
    if role == "attn_k" and gguf.experts == 8:
        return "Q8_0"
    if role.startswith("ffn_down"):
        if quantisation in ("Q4_K_M", "Q5_K_M") and _matters(layer, layers):
            return "Q6_K"
        if quantisation == "Q4_K_S" and layer < layers // 8:
            return "Q5_K"
        if quantisation == "Q3_K_M":
            return "Q5_K" if layer < layers // 16 else "Q4_K"
    if role == "attn_output":
        if gguf.experts == 8 and quantisation in ("Q3_K_M", "Q4_K_S", "Q4_K_M"):
            return "Q5_K"
        if quantisation == "Q3_K_M":
            return "Q4_K"
    return default


def _matters(place: int, count: int) -> bool:
    """The first and the last eighth of the layers, and each third in between."""
    eighth = count // 8
    return place < eighth or place >= 7 * count // 8 or (place - eighth) % 3 == 2


def _fitting(kind: str, row: int) -> str:
    """A type whose blocks the row fills."""
    if row % NAMED[kind].block:
        kind = _EVEN_LESS.get(kind, kind)
    return kind if row % NAMED[kind].block == 0 else "F16"


def _is_value(name: str) -> bool:
    found = _LAYER.fullmatch(name)
    return found is not None and found[2] in ("attn_v", "attn_qkv", "attn_kv_b")


def _in_layers(names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: int(name.split(".")[1]))
