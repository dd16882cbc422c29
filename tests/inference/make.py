# SPDX-License-Identifier: AGPL-3.0-or-later
"""Small GGUF files made by the format's own package, so that ours is read against theirs."""

from pathlib import Path

import numpy as np
from gguf import GGUFWriter


def make_gguf(
    path: Path,
    *,
    layers: int = 2,
    width: int = 256,
    feed: int = 512,
    heads: int = 4,
    kv_heads: int = 2,
    words: int = 300,
    seed: int = 0,
    extra: bool = True,
) -> Path:
    """A qwen2 model of random numbers in 16 bits; `extra` adds what readers must pass over."""
    writer = GGUFWriter(path, "qwen2")
    writer.add_name("toy")
    writer.add_type("model")
    writer.add_context_length(4096)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(feed)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    writer.add_file_type(1)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    tokens = [chr(0x100 + i) if i >= 33 else chr(33 + i) for i in range(words)]
    writer.add_token_list(tokens)
    writer.add_token_types([1] * words)
    writer.add_token_merges([f"{tokens[1]} {tokens[2]}"])
    writer.add_eos_token_id(words - 1)
    writer.add_chat_template("{{ messages }}")
    if extra:
        writer.add_array("toy.numbers", list(range(5000)))
        writer.add_array("toy.words", ["a", "好", ""])
        writer.add_bool("toy.flag", True)
        writer.add_int64("toy.least", -5)
    dice = np.random.default_rng(seed)

    def matrix(name: str, rows: int, columns: int) -> None:
        values = dice.standard_normal((rows, columns)) * 0.05
        writer.add_tensor(name, values.astype(np.float16))

    def vector(name: str, size: int, value: float = 1.0) -> None:
        writer.add_tensor(name, np.full(size, value, dtype=np.float32))

    head = width // heads
    matrix("token_embd.weight", words, width)
    vector("output_norm.weight", width)
    for layer in range(layers):
        block = f"blk.{layer}."
        vector(f"{block}attn_norm.weight", width)
        vector(f"{block}ffn_norm.weight", width)
        for name, rows in (("q", width), ("k", kv_heads * head), ("v", kv_heads * head)):
            matrix(f"{block}attn_{name}.weight", rows, width)
            vector(f"{block}attn_{name}.bias", rows, 0.0)
        matrix(f"{block}attn_output.weight", width, width)
        matrix(f"{block}ffn_gate.weight", feed, width)
        matrix(f"{block}ffn_up.weight", feed, width)
        matrix(f"{block}ffn_down.weight", width, feed)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
