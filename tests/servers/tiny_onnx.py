# SPDX-License-Identifier: AGPL-3.0-or-later
"""A tiny model for ONNX Runtime: a whole folder as `onnxruntime-genai` wants it, made here.

The shape is that of the published ones (Llama with grouped queries, rotary positions and a
byte-level BPE), the weights are drawn with a fixed seed, and `Reference` says with numpy alone
what it must answer.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD, INNER = 2, 64, 4, 2, 16, 128
CONTEXT = 32768
EPSILON = 1e-5
THETA = 10_000.0
SEED = 3

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>")
MERGED = ("th", "the", " t", " the", "in", "er", "an", " a", "on", "re", "you", " you", "你", "好")
TEMPLATE = (
    "{%- if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{%- for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content or '' }}"
    "{%- if m.tool_calls %}{% for c in m.tool_calls %}<tool_call>"
    "{{ c.function | tojson }}</tool_call>{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_letters() -> dict[int, str]:
    """The letter that stands for each byte in a byte-level vocabulary (GPT-2's own table)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {byte: chr(byte) for byte in plain}
    for byte in range(256):
        if byte not in letters:
            letters[byte] = chr(256 + len(letters) - len(plain))
    return letters


def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Tokens with their numbers, and the merges in their order."""
    letters = byte_letters()
    tokens = {letters[byte]: byte for byte in range(256)}
    merges: list[tuple[str, str]] = []
    for word in MERGED:
        spelt = "".join(letters[byte] for byte in word.encode())
        left = spelt[0]
        for right in _rest(spelt, tokens):
            if left + right not in tokens:
                merges.append((left, right))
                tokens[left + right] = len(tokens)
            left += right
    return tokens, merges


def _rest(spelt: str, tokens: dict[str, int]) -> list[str]:
    """What is joined to the first letter, as long as the vocabulary has it."""
    if len(spelt) > 2 and spelt[1:] in tokens:
        return [spelt[1:]]
    return list(spelt[1:])


def special_numbers() -> dict[str, int]:
    tokens, _ = vocabulary()
    return {name: len(tokens) + n for n, name in enumerate(SPECIAL)}


def vocabulary_size() -> int:
    return len(vocabulary()[0]) + len(SPECIAL)


def weights() -> dict[str, np.ndarray]:
    """All weights by name, the same on every machine."""
    random = np.random.default_rng(SEED)

    def draw(*shape: int, scale: float) -> np.ndarray:
        return (random.standard_normal(shape) * scale).astype(np.float32)

    size = vocabulary_size()
    drawn = {"embed": draw(size, HIDDEN, scale=1.0), "norm": np.ones(HIDDEN, np.float32)}
    for layer in range(LAYERS):
        at = f"layer.{layer}."
        drawn[f"{at}norm1"] = np.ones(HIDDEN, np.float32)
        drawn[f"{at}norm2"] = np.ones(HIDDEN, np.float32)
        for name, wide in (("q", HEADS * HEAD), ("k", KV_HEADS * HEAD), ("v", KV_HEADS * HEAD)):
            drawn[f"{at}{name}"] = draw(HIDDEN, wide, scale=0.2)
        drawn[f"{at}o"] = draw(HEADS * HEAD, HIDDEN, scale=0.2)
        drawn[f"{at}gate"] = draw(HIDDEN, INNER, scale=0.2)
        drawn[f"{at}up"] = draw(HIDDEN, INNER, scale=0.2)
        drawn[f"{at}down"] = draw(INNER, HIDDEN, scale=0.1)
    drawn["head"] = draw(HIDDEN, size, scale=0.3)
    return drawn


def rotary() -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines by position, half a head wide."""
    speed = 1.0 / THETA ** (np.arange(0, HEAD, 2, dtype=np.float64) / HEAD)
    angles = np.outer(np.arange(CONTEXT), speed)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


class Reference:
    """The same model in numpy, without a cache."""

    def __init__(self) -> None:
        self.weights = weights()
        self.cos, self.sin = rotary()

    def logits(self, tokens: list[int]) -> np.ndarray:
        """What the model thinks comes after the last token."""
        w = self.weights
        x = w["embed"][tokens]
        for layer in range(LAYERS):
            at = f"layer.{layer}."
            x = x + self._attend(_normal(x, w[f"{at}norm1"]), at)
            seen = _normal(x, w[f"{at}norm2"])
            gate = seen @ w[f"{at}gate"]
            x = x + (gate / (1 + np.exp(-gate)) * (seen @ w[f"{at}up"])) @ w[f"{at}down"]
        return _normal(x, w["norm"])[-1] @ w["head"]

    def greedy(self, tokens: list[int], most: int) -> list[int]:
        """The likeliest tokens one after the other, up to the end of the answer."""
        said: list[int] = []
        ends = {special_numbers()["<|im_end|>"], special_numbers()["<|endoftext|>"]}
        while len(said) < most:
            token = int(np.argmax(self.logits(tokens + said)))
            if token in ends:
                break
            said.append(token)
        return said

    def _attend(self, x: np.ndarray, at: str) -> np.ndarray:
        size = len(x)
        w = self.weights
        q = self._turn((x @ w[f"{at}q"]).reshape(size, HEADS, HEAD))
        k = self._turn((x @ w[f"{at}k"]).reshape(size, KV_HEADS, HEAD))
        v = (x @ w[f"{at}v"]).reshape(size, KV_HEADS, HEAD)
        ahead = np.triu(np.full((size, size), -np.inf, np.float32), 1)
        heads: list[np.ndarray] = []
        for head in range(HEADS):
            of = head * KV_HEADS // HEADS
            scores = q[:, head] @ k[:, of].T / np.sqrt(HEAD) + ahead
            weight = np.exp(scores - scores.max(-1, keepdims=True))
            heads.append(weight / weight.sum(-1, keepdims=True) @ v[:, of])
        return np.concatenate(heads, -1) @ w[f"{at}o"]

    def _turn(self, x: np.ndarray) -> np.ndarray:
        cos, sin = self.cos[: len(x), None], self.sin[: len(x), None]
        left, right = x[..., : HEAD // 2], x[..., HEAD // 2 :]
        return np.concatenate([left * cos - right * sin, right * cos + left * sin], -1)


def _normal(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON) * scale


def graph(favourite: str = "") -> onnx.ModelProto:
    """The decoder with attention over grouped queries, as model builders write it; it says the
    special token `favourite` wherever it may."""
    cos, sin = rotary()
    held = {**weights(), "cos": cos, "sin": sin, "one": np.array([1], np.int64)}
    held["second"] = np.array(1, np.int64)
    held["bias"] = np.zeros(vocabulary_size(), np.float32)
    if favourite:
        held["bias"][special_numbers()[favourite]] = 1000
    nodes = [
        helper.make_node("ReduceSum", ["attention_mask", "one"], ["seen"], keepdims=0),
        helper.make_node("Sub", ["seen", "one"], ["before"]),
        helper.make_node("Cast", ["before"], ["seqlens"], to=TensorProto.INT32),
        helper.make_node("Shape", ["attention_mask"], ["shape"]),
        helper.make_node("Gather", ["shape", "second"], ["total"], axis=0),
        helper.make_node("Cast", ["total"], ["total32"], to=TensorProto.INT32),
        helper.make_node("Gather", ["embed", "input_ids"], ["x0"]),
    ]
    for layer in range(LAYERS):
        nodes += _layer(layer)
    nodes += [_norm_node(f"x{LAYERS}", "norm", "last")]
    nodes += [helper.make_node("MatMul", ["last", "head"], ["plain"])]
    nodes += [helper.make_node("Add", ["plain", "bias"], ["logits"])]
    whole = helper.make_graph(
        nodes,
        "tiny",
        [_value("input_ids", "batch", "seq"), _value("attention_mask", "batch", "total")]
        + [_cache(f"past_key_values.{n}.{kv}", "past") for n in range(LAYERS) for kv in _KV],
        [_value("logits", "batch", "seq", vocabulary_size(), kind=TensorProto.FLOAT)]
        + [_cache(f"present.{n}.{kv}", "all") for n in range(LAYERS) for kv in _KV],
        initializer=[numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(whole, opset_imports=sets, ir_version=9)


_KV = ("key", "value")


def _layer(layer: int) -> list[onnx.NodeProto]:
    at = f"layer.{layer}."
    nodes = [_norm_node(f"x{layer}", f"{at}norm1", f"{at}n1")]
    nodes += [
        helper.make_node("MatMul", [f"{at}n1", f"{at}{name}"], [f"{at}{name}s"]) for name in "qkv"
    ]
    past = [f"past_key_values.{layer}.{kv}" for kv in _KV]
    present = [f"present.{layer}.{kv}" for kv in _KV]
    nodes += [
        helper.make_node(
            "GroupQueryAttention",
            [f"{at}qs", f"{at}ks", f"{at}vs", *past, "seqlens", "total32", "cos", "sin"],
            [f"{at}heard", *present],
            domain="com.microsoft",
            num_heads=HEADS,
            kv_num_heads=KV_HEADS,
            do_rotary=1,
            rotary_interleaved=0,
        ),
        helper.make_node("MatMul", [f"{at}heard", f"{at}o"], [f"{at}out"]),
        helper.make_node("Add", [f"x{layer}", f"{at}out"], [f"{at}mid"]),
        _norm_node(f"{at}mid", f"{at}norm2", f"{at}n2"),
        helper.make_node("MatMul", [f"{at}n2", f"{at}gate"], [f"{at}g"]),
        helper.make_node("MatMul", [f"{at}n2", f"{at}up"], [f"{at}u"]),
        helper.make_node("Sigmoid", [f"{at}g"], [f"{at}s"]),
        helper.make_node("Mul", [f"{at}g", f"{at}s"], [f"{at}silu"]),
        helper.make_node("Mul", [f"{at}silu", f"{at}u"], [f"{at}in"]),
        helper.make_node("MatMul", [f"{at}in", f"{at}down"], [f"{at}fed"]),
        helper.make_node("Add", [f"{at}mid", f"{at}fed"], [f"x{layer + 1}"]),
    ]
    return nodes


def _norm_node(of: str, scale: str, to: str) -> onnx.NodeProto:
    return helper.make_node(
        "SimplifiedLayerNormalization", [of, scale], [to], epsilon=EPSILON, axis=-1, stash_type=1
    )


def _value(name: str, *shape: str | int, kind: int = TensorProto.INT64) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _cache(name: str, size: str) -> onnx.ValueInfoProto:
    return _value(name, "batch", KV_HEADS, size, HEAD, kind=TensorProto.FLOAT)


def tokenizer() -> dict[str, Any]:
    """`tokenizer.json` as the `tokenizers` library writes it."""
    tokens, merges = vocabulary()
    whole = {"add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": name,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for name, number in special_numbers().items()
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", **whole},
        "post_processor": {"type": "ByteLevel", **whole},
        "decoder": {"type": "ByteLevel", **whole},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": tokens,
            "merges": [f"{left} {right}" for left, right in merges],
        },
    }


def config() -> dict[str, Any]:
    """`genai_config.json`."""
    numbers = special_numbers()
    end = [numbers["<|im_end|>"], numbers["<|endoftext|>"]]
    past = {f"past_{kv}_names": f"past_key_values.%d.{kv}" for kv in _KV}
    present = {f"present_{kv}_names": f"present.%d.{kv}" for kv in _KV}
    decoder = {
        "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
        "filename": "model.onnx",
        "head_size": HEAD,
        "hidden_size": HIDDEN,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KV_HEADS,
        "inputs": {"input_ids": "input_ids", "attention_mask": "attention_mask", **past},
        "outputs": {"logits": "logits", **present},
    }
    return {
        "model": {
            "type": "llama",
            "bos_token_id": numbers["<|endoftext|>"],
            "eos_token_id": end,
            "pad_token_id": numbers["<|endoftext|>"],
            "context_length": CONTEXT,
            "vocab_size": vocabulary_size(),
            "decoder": decoder,
        },
        "search": {"do_sample": False, "max_length": CONTEXT, "past_present_share_buffer": True},
    }


def make(folder: Path, favourite: str = "", template: str = TEMPLATE) -> Path:
    """Write the whole model (see `graph`); the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save_model(graph(favourite), folder / "model.onnx")
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "add_prefix_space": False,
        "bos_token": None,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": CONTEXT,
        "clean_up_tokenization_spaces": False,
        "chat_template": template,
    }
    for name, content in (
        ("tokenizer.json", tokenizer()),
        ("tokenizer_config.json", settings),
        ("genai_config.json", config()),
    ):
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), "utf-8")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    print(make(parser.parse_args().folder))


if __name__ == "__main__":
    main()
