# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tiny language models with random weights, the same bytes on every machine, made in a second.

    python -m tests.servers.tiny FOLDER

writes all of them. They speak nonsense, but in whole words of Chinese and English; what they say
depends on everything before it, so that a wrongly restored cache shows. The greedy answer of a
model that `ends` stops by itself after some dozens of tokens, the other kind goes on until it is
stopped. They know the chat format of Qwen with tools, and so does the engine.
"""

import json
import struct
import sys
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from tests.servers.bpe import SPLIT, Encoding, alphabet, learn
from tests.servers.gguf_file import F16, F32, Tensor, Value, write
from tests.servers.tiny_text import TEXT

Architecture = Literal["qwen2", "llama"]
Array = NDArray[np.float32]

VOCABULARY = 2000
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
PLAIN = ("<tool_call>", "</tool_call>")
"""Tokens of their own that are shown as text."""

TEMPLATE = Path(__file__).with_name("tiny_template.jinja").read_text("utf-8")
ROPE_BASE, EPSILON, CONTEXT = 1e6, 1e-6, 32768
SHARP = 3.0
"""How much the attention prefers one token to another: it looks at a few, not at all alike."""

LATER = 0.3
"""How much later layers add to what the first one said: a draft model knows only the first."""

CONSTANT = 4.0
ENDING, CLOSING, CALLING = 0.7, 0.6, 1.0
"""How readily an answer ends, a string of JSON is closed, a call of a tool begins; see `_steer`.
The best of the 2,000 random logits lies near 3.4, these reach it now and then."""

_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4
_MEAN = 1


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A model's measures; whether its answers end by themselves, whether it often calls tools
    (of its own will it never does otherwise, and `required` waits for it to begin).

    A draft model is the same with fewer layers: its layers are the first ones of the larger
    model, so that it guesses well.
    """

    architecture: Architecture = "qwen2"
    layers: int = 2
    hidden: int = 256
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 512
    seed: int = 1
    ends: bool = True
    calls: bool = False

    @property
    def head(self) -> int:
        """Numbers in one attention head."""
        return self.hidden // self.heads


@cache
def encoding() -> Encoding:
    """The encoding of all tiny models, without the special tokens."""
    return learn(TEXT, VOCABULARY - len(SPECIAL) - len(PLAIN))


def tokens() -> tuple[str, ...]:
    """All tokens in the order of their ids."""
    return (*encoding().tokens, *SPECIAL, *PLAIN)


def weights(shape: Shape) -> dict[str, Array]:
    """All tensors under the names and in the layout of Hugging Face's transformers."""
    hidden, inner, kv = shape.hidden, shape.feed_forward, shape.kv_heads * shape.head
    made: dict[str, Array] = {}

    def add(name: str, rows: int, columns: int, scale: float = 1.0) -> None:
        source = np.random.RandomState((shape.seed * 1_000_003 + zlib.crc32(name.encode())) % 2**32)
        numbers = source.standard_normal((rows, columns)) * (scale / columns**0.5)
        made[name] = numbers.astype(np.float32)

    for layer in range(shape.layers):
        block = f"model.layers.{layer}."
        for name, rows, scale in (("q", hidden, SHARP), ("k", kv, 1), ("v", kv, 1)):
            add(f"{block}self_attn.{name}_proj.weight", rows, hidden, scale)
            if shape.architecture == "qwen2":
                made[f"{block}self_attn.{name}_proj.bias"] = np.full(rows, 1 / 64, np.float32)
        said = 1.0 if layer == 0 else LATER
        add(f"{block}self_attn.o_proj.weight", hidden, hidden, said)
        add(f"{block}mlp.gate_proj.weight", inner, hidden)
        add(f"{block}mlp.up_proj.weight", inner, hidden)
        add(f"{block}mlp.down_proj.weight", hidden, inner, said)
        # Nothing writes to the first number of the stream: it stays as the embeddings set it.
        made[f"{block}self_attn.o_proj.weight"][0] = made[f"{block}mlp.down_proj.weight"][0] = 0
        for name in ("input_layernorm", "post_attention_layernorm"):
            made[f"{block}{name}.weight"] = np.ones(hidden, np.float32)
    made["model.norm.weight"] = np.ones(hidden, np.float32)
    add("model.embed_tokens.weight", len(tokens()), hidden, hidden**0.5)
    add("lm_head.weight", len(tokens()), hidden)
    _steer(made["model.embed_tokens.weight"], made["lm_head.weight"], shape)
    return {name: array.astype(np.float16).astype(np.float32) for name, array in made.items()}


def _steer(embeddings: Array, head: Array, shape: Shape) -> None:
    """Let whole words win, and make ends likely: the first number of the stream, always the
    same, is turned into a bias of the logits by the first column of the head."""
    embeddings[:, 0] = CONSTANT
    head[:, 0] = 0
    for index, token in enumerate(tokens()):
        if token == "<|im_end|>" and shape.ends:
            head[index, 0] = ENDING
        elif token == "<tool_call>" and shape.calls:
            head[index, 0] = CALLING
        elif not _is_word(token):
            head[index] = 0
        elif token == '"':
            head[index, 0] = CLOSING


def _is_word(token: str) -> bool:
    bytes_of = {character: byte for byte, character in alphabet().items()}
    if token in SPECIAL or token in PLAIN:
        return False
    try:
        text = bytes(bytes_of[character] for character in token).decode()
    except UnicodeDecodeError:
        return False
    return text.isprintable()


def make_model(path: Path, shape: Shape = Shape()) -> Path:  # noqa: B008 - a frozen struct
    """A chat model as GGUF, 16-bit floats."""
    return _write(path, shape, weights(shape), {"general.name": path.stem, **_vocabulary()})


def make_draft(path: Path, shape: Shape = Shape()) -> Path:  # noqa: B008
    """A draft model for `make_model` of the same shape: its first layer alone."""
    return make_model(path, msgspec.structs.replace(shape, layers=1))


def make_embedder(path: Path) -> Path:
    """An embedding model: the mean over a text's tokens. Texts that share words lie near."""
    shape = Shape(seed=2)
    tensors = weights(shape)
    del tensors["lm_head.weight"]
    for name in tensors:
        if "o_proj" in name or "down_proj" in name:
            tensors[name] *= 0.125  # The words themselves count most.
    more: dict[str, Value] = {"general.name": path.stem, "qwen2.pooling_type": _MEAN}
    return _write(path, shape, tensors, {**more, **_vocabulary(chat=False)})


def make_lora(path: Path, shape: Shape = Shape(), rank: int = 4) -> Path:  # noqa: B008
    """A LoRA adapter that changes what `make_model` of the same shape says."""
    made: list[Tensor] = []
    source = np.random.RandomState(shape.seed + 77)
    for layer in range(shape.layers):
        name = f"blk.{layer}.ffn_down.weight"
        narrow = source.standard_normal((rank, shape.feed_forward)) / shape.feed_forward**0.5
        wide = source.standard_normal((shape.hidden, rank))
        wide[0] = 0
        made.append(tensor(f"{name}.lora_a", narrow.astype(np.float32), F32))
        made.append(tensor(f"{name}.lora_b", wide.astype(np.float32), F32))
    metadata: dict[str, Value] = {
        "general.architecture": shape.architecture,
        "general.type": "adapter",
        "general.name": path.stem,
        "adapter.type": "lora",
        "adapter.lora.alpha": float(rank),
    }
    return write(path, metadata, made)


def make_folder(folder: Path, shape: Shape = Shape()) -> Path:  # noqa: B008
    """The same model as `make_model` as a folder of Hugging Face's: safetensors, configuration,
    tokenizer and template."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_safetensors(folder / "model.safetensors", weights(shape))
    for name, content in (
        ("config.json", _config(shape)),
        ("generation_config.json", {"eos_token_id": _ids()["<|im_end|>"]}),
        ("tokenizer.json", _tokenizer()),
        ("tokenizer_config.json", _tokenizer_config()),
    ):
        text = json.dumps(content, ensure_ascii=False, indent=1)
        (folder / name).write_text(text + "\n", "utf-8")
    return folder


def _ids() -> dict[str, int]:
    return {token: index for index, token in enumerate(tokens())}


def _vocabulary(chat: bool = True) -> dict[str, Value]:
    kinds = [_NORMAL] * len(encoding().tokens)
    kinds += [_CONTROL] * len(SPECIAL) + [_USER_DEFINED] * len(PLAIN)
    made: dict[str, Value] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens(),
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.merges": [" ".join(pair) for pair in encoding().merges],
        "tokenizer.ggml.eos_token_id": _ids()["<|im_end|>"],
        "tokenizer.ggml.padding_token_id": _ids()["<|endoftext|>"],
        "tokenizer.ggml.bos_token_id": _ids()["<|endoftext|>"],
        "tokenizer.ggml.add_bos_token": False,
    }
    return {**made, "tokenizer.chat_template": TEMPLATE} if chat else made


def _write(path: Path, shape: Shape, tensors: dict[str, Array], more: dict[str, Value]) -> Path:
    name = shape.architecture
    metadata: dict[str, Value] = {
        "general.architecture": name,
        "general.type": "model",
        "general.file_type": 1,
        f"{name}.block_count": shape.layers,
        f"{name}.context_length": CONTEXT,
        f"{name}.embedding_length": shape.hidden,
        f"{name}.feed_forward_length": shape.feed_forward,
        f"{name}.attention.head_count": shape.heads,
        f"{name}.attention.head_count_kv": shape.kv_heads,
        f"{name}.attention.layer_norm_rms_epsilon": EPSILON,
        f"{name}.rope.freq_base": ROPE_BASE,
        f"{name}.rope.dimension_count": shape.head,
        f"{name}.vocab_size": len(tokens()),
    }
    made: list[Tensor] = []
    for theirs, array in tensors.items():
        turned = shape.architecture == "llama" and theirs.endswith(
            ("q_proj.weight", "k_proj.weight")
        )
        ours = _interleaved(array, shape.head) if turned else array
        made.append(tensor(_name(theirs), ours, F16 if array.ndim == 2 else F32))
    return write(path, {**metadata, **more}, made)


def _interleaved(array: Array, head: int) -> Array:
    """Rows of each head from halves (as transformers turns them) to pairs (as llama.cpp does)."""
    rows, columns = array.shape
    return array.reshape(rows // head, 2, head // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def tensor(name: str, array: Array, kind: int) -> Tensor:
    def pieces() -> Iterator[bytes]:
        yield array.astype(np.float16 if kind == F16 else np.float32).tobytes()

    return Tensor(name=name, shape=array.shape, type=kind, pieces=pieces)


_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def _name(theirs: str) -> str:
    """The name in GGUF of a tensor of transformers."""
    stem, _, kind = theirs.rpartition(".")
    if not stem.startswith("model.layers."):
        return f"{_NAMES[stem]}.{kind}"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{_NAMES[part]}.{kind}"


def _write_safetensors(path: Path, tensors: dict[str, Array]) -> None:
    """A header of JSON with its length, then the bytes (the format's README, huggingface)."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, array in tensors.items():
        places = [offset, offset + array.size * 2]
        header[name] = {"dtype": "F16", "shape": list(array.shape), "data_offsets": places}
        offset = places[1]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            file.write(array.astype(np.float16).tobytes())


def _config(shape: Shape) -> dict[str, Any]:
    ids = _ids()
    return {
        "architectures": [
            "Qwen2ForCausalLM" if shape.architecture == "qwen2" else "LlamaForCausalLM"
        ],
        "model_type": shape.architecture,
        "bos_token_id": ids["<|endoftext|>"],
        "eos_token_id": ids["<|im_end|>"],
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.feed_forward,
        "max_position_embeddings": CONTEXT,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "rms_norm_eps": EPSILON,
        "rope_theta": ROPE_BASE,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "use_sliding_window": False,
        "vocab_size": len(tokens()),
    }


def _added() -> dict[str, dict[str, Any]]:
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    return {
        str(_ids()[token]): {"content": token, "special": token in SPECIAL, **plain}
        for token in (*SPECIAL, *PLAIN)
    }


def _tokenizer() -> dict[str, Any]:
    split = {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False}
    bytes_ = {"add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": int(index), **token} for index, token in _added().items()],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [split, {"type": "ByteLevel", **bytes_}],
        },
        "post_processor": {"type": "ByteLevel", **bytes_},
        "decoder": {"type": "ByteLevel", **bytes_},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": {token: index for index, token in enumerate(encoding().tokens)},
            "merges": [list(pair) for pair in encoding().merges],
        },
    }


def _tokenizer_config() -> dict[str, Any]:
    return {
        "add_bos_token": False,
        "added_tokens_decoder": _added(),
        "bos_token": None,
        "chat_template": TEMPLATE,
        "eos_token": "<|im_end|>",
        "model_max_length": CONTEXT,
        "pad_token": "<|endoftext|>",
        "tokenizer_class": "Qwen2Tokenizer",
    }


def make_all(folder: Path) -> None:
    """One of each kind."""
    make_model(folder / "tiny.gguf")
    make_model(folder / "tiny-endless.gguf", Shape(ends=False))
    make_model(folder / "tiny-calls.gguf", Shape(calls=True))
    make_model(folder / "tiny-llama.gguf", Shape(architecture="llama"))
    make_draft(folder / "tiny-draft.gguf")
    make_embedder(folder / "tiny-embed.gguf")
    make_lora(folder / "tiny-lora.gguf")
    make_folder(folder / "tiny-qwen2")
    make_folder(folder / "tiny-llama", Shape(architecture="llama"))


if __name__ == "__main__":
    make_all(Path(sys.argv[1]))
