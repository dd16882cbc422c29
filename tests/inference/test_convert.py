# SPDX-License-Identifier: AGPL-3.0-or-later
"""A folder of Hugging Face's form becomes a GGUF file that the engine reads as it was meant.

The reference is the transformer itself, written out in numpy with the rotations, norms and heads
as the folder's own library has them; the engine's greedy words must be the reference's.
"""

import json
import math
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from numpy.typing import NDArray

from haoya.core.errors import ConfigError
from haoya.inference.convert import convert
from haoya.inference.gguf import read
from haoya.inference.safetensors import open_folder
from haoya.inference.vocabulary import CUTS

Array = NDArray[np.float32]
WIDTH, HEADS, KV_HEADS, FEED, LAYERS, THETA, EPSILON = 64, 4, 2, 96, 2, 10000.0, 1e-5
HEAD = WIDTH // HEADS
PROMPT, STEPS = [5, 17, 42, 9, 100], 12

ENGINE = """
import json, sys
from urllib.request import ProxyHandler, Request, build_opener
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.warmup = 256, 1, False
params.cpuparams.n_threads = 1
server = xllamacpp.Server(params)
def ask(path, **body):
    request = Request(server.listening_address + path, json.dumps(body).encode())
    return json.load(build_opener(ProxyHandler({})).open(request))["tokens"]
said = ask("/completion", prompt=json.loads(sys.argv[2]), n_predict=int(sys.argv[3]),
           temperature=0, return_tokens=True, ignore_eos=True)
print("ANSWER" + json.dumps([said, ask("/tokenize", content=sys.argv[4])]), flush=True)
"""


def byte_alphabet() -> list[str]:
    """The 256 characters byte-level BPE writes bytes as (GPT-2)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [byte for byte in range(256) if byte not in plain]
    by_byte = {byte: chr(byte) for byte in plain}
    by_byte |= {byte: chr(256 + place) for place, byte in enumerate(other)}
    return [by_byte[byte] for byte in range(256)]


def make_folder(
    folder: Path,
    architecture: str,
    *,
    dtype: str = "F32",
    tied: bool = False,
    cut: str = "qwen2",
    shards: int = 1,
    **config: Any,
) -> dict[str, Array]:
    """A small random model as its library would save it; its tensors, as they were rounded."""
    folder.mkdir(parents=True)
    letters = byte_alphabet()
    vocab = {letter: place for place, letter in enumerate(letters)}
    merges = [["h", "e"], ["l", "l"], ["he", "ll"], ["hell", "o"], ["Ġ", "w"]]
    for left, right in merges:
        vocab[left + right] = len(vocab)
    rows = len(vocab) + 5
    dice = np.random.default_rng(4)

    def random(*shape: int) -> Array:
        return (dice.standard_normal(shape) * (1.5 / math.sqrt(shape[-1]))).astype(np.float32)

    tensors = {"model.embed_tokens.weight": random(rows, WIDTH) * 6}
    tensors["model.norm.weight"] = 1 + random(WIDTH)
    if not tied:
        tensors["lm_head.weight"] = random(rows, WIDTH)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        tensors[f"{at}input_layernorm.weight"] = 1 + random(WIDTH)
        tensors[f"{at}post_attention_layernorm.weight"] = 1 + random(WIDTH)
        for name, size in (("q", WIDTH), ("k", KV_HEADS * HEAD), ("v", KV_HEADS * HEAD)):
            tensors[f"{at}self_attn.{name}_proj.weight"] = random(size, WIDTH) * 2
            if architecture.startswith("Qwen2"):
                tensors[f"{at}self_attn.{name}_proj.bias"] = random(size)
        if architecture.startswith("Qwen3"):
            tensors[f"{at}self_attn.q_norm.weight"] = 1 + random(HEAD)
            tensors[f"{at}self_attn.k_norm.weight"] = 1 + random(HEAD)
        tensors[f"{at}self_attn.o_proj.weight"] = random(WIDTH, WIDTH)
        tensors[f"{at}mlp.gate_proj.weight"] = random(FEED, WIDTH)
        tensors[f"{at}mlp.up_proj.weight"] = random(FEED, WIDTH)
        tensors[f"{at}mlp.down_proj.weight"] = random(WIDTH, FEED)
    rounded = save(folder, tensors, dtype, shards)
    settings = {
        "architectures": [architecture],
        "hidden_size": WIDTH,
        "intermediate_size": FEED,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD,
        "max_position_embeddings": 512,
        "rms_norm_eps": EPSILON,
        "rope_theta": THETA,
        "tie_word_embeddings": tied,
        "torch_dtype": "float32",
        **config,
    }
    (folder / "config.json").write_text(json.dumps(settings))
    pattern = next(regex for regex, name in CUTS.items() if name == cut)
    steps = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"},
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
    ]
    tokenizer = {
        "added_tokens": [
            {"id": rows - 5, "content": "<|end|>", "special": True},
            {"id": rows - 4, "content": "<think>", "special": False},
        ],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "model": {"type": "BPE", "vocab": vocab, "merges": merges, "byte_fallback": False},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    told = {"eos_token": {"content": "<|end|>"}, "chat_template": "{{ messages }}"}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    return rounded


def save(folder: Path, tensors: dict[str, Array], dtype: str, shards: int) -> dict[str, Array]:
    names = list(tensors)
    placed: dict[str, str] = {}
    rounded: dict[str, Array] = {}
    for shard in range(shards):
        head: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        data = b""
        for name in names[shard::shards]:
            raw, rounded[name] = _as(tensors[name], dtype)
            offsets = [len(data), len(data) + len(raw)]
            shape = list(tensors[name].shape)
            head[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
            data += raw
            placed[name] = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        text = json.dumps(head).encode()
        name = "model.safetensors" if shards == 1 else placed[names[shard]]
        (folder / name).write_bytes(struct.pack("<Q", len(text)) + text + data)
    if shards > 1:
        index = {"metadata": {}, "weight_map": placed}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return rounded


def _as(values: Array, dtype: str) -> tuple[bytes, Array]:
    if dtype == "BF16":
        high = (values.view(np.uint32) >> 16).astype(np.uint16)
        return high.tobytes(), (high.astype(np.uint32) << 16).view(np.float32)
    kind = np.float16 if dtype == "F16" else np.float32
    return values.astype(kind).tobytes(), values.astype(kind).astype(np.float32)


def reference(tensors: dict[str, Array], slow: Array | None = None) -> list[int]:
    """The greedy continuation of PROMPT, worked out token by token from the beginning."""
    tokens = list(PROMPT)
    for _ in range(STEPS):
        tokens.append(int(np.argmax(_logits(tensors, tokens, slow))))
    return tokens[len(PROMPT) :]


def _norm(values: Array, weight: Array) -> Array:
    return values / np.sqrt((values**2).mean(-1, keepdims=True) + EPSILON) * weight


def _turn(values: Array, slow: Array | None) -> Array:
    """Rotary positions over the two halves of each head; values are (tokens, heads, head)."""
    speeds = THETA ** (-np.arange(0, HEAD, 2) / HEAD) / (1 if slow is None else slow)
    angles = np.arange(len(values))[:, None] * speeds[None]
    cos = np.concatenate([np.cos(angles)] * 2, -1)[:, None]
    sin = np.concatenate([np.sin(angles)] * 2, -1)[:, None]
    left, right = np.split(values, 2, -1)
    return values * cos + np.concatenate([-right, left], -1) * sin


def _logits(tensors: dict[str, Array], tokens: list[int], slow: Array | None) -> Array:
    state = tensors["model.embed_tokens.weight"][tokens]
    count = len(tokens)
    hidden = np.triu(np.full((count, count), -np.inf), 1)
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        inner = _norm(state, tensors[f"{at}input_layernorm.weight"])
        parts: dict[str, Array] = {}
        for name in "qkv":
            made = inner @ tensors[f"{at}self_attn.{name}_proj.weight"].T
            made = made + tensors.get(f"{at}self_attn.{name}_proj.bias", 0)
            parts[name] = made.reshape(count, -1, HEAD)
            if (weight := tensors.get(f"{at}self_attn.{name}_norm.weight")) is not None:
                parts[name] = _norm(parts[name], weight)
        query, key = _turn(parts["q"], slow), _turn(parts["k"], slow)
        key, value = (np.repeat(one, HEADS // KV_HEADS, 1) for one in (key, parts["v"]))
        scores = np.einsum("qhd,khd->hqk", query, key) / math.sqrt(HEAD) + hidden
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        seen = np.einsum("hqk,khd->qhd", weights, value).reshape(count, -1)
        state = state + seen @ tensors[f"{at}self_attn.o_proj.weight"].T
        inner = _norm(state, tensors[f"{at}post_attention_layernorm.weight"])
        gate = inner @ tensors[f"{at}mlp.gate_proj.weight"].T
        up = inner @ tensors[f"{at}mlp.up_proj.weight"].T
        state = state + (gate / (1 + np.exp(-gate)) * up) @ tensors[f"{at}mlp.down_proj.weight"].T
    last = _norm(state[-1], tensors["model.norm.weight"])
    return tensors.get("lm_head.weight", tensors["model.embed_tokens.weight"]) @ last


def engine(file: Path, text: str = "hello world") -> tuple[list[int], list[int]]:
    """What the engine says after PROMPT, and how it cuts a text into tokens."""
    pytest.importorskip("xllamacpp")
    done = subprocess.run(
        [sys.executable, "-c", ENGINE, str(file), json.dumps(PROMPT), str(STEPS), text],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (line,) = (one for one in done.stdout.splitlines() if one.startswith("ANSWER"))
    said, cut = json.loads(line.removeprefix("ANSWER"))
    return said, cut


@pytest.mark.parametrize(
    ("architecture", "more"),
    [
        ("LlamaForCausalLM", {"cut": "llama-bpe"}),
        ("LlamaForCausalLM", {"dtype": "BF16", "tied": True, "shards": 3}),
        ("MistralForCausalLM", {"dtype": "F16", "cut": "tekken"}),
        ("Qwen2ForCausalLM", {"dtype": "BF16"}),
        ("Qwen3ForCausalLM", {"tied": True}),
    ],
)
def test_the_engine_says_what_the_folders_model_says(
    tmp_path: Path, architecture: str, more: dict[str, Any]
) -> None:
    tensors = make_folder(tmp_path / "in", architecture, **more)
    steps: list[tuple[int, int]] = []
    convert(tmp_path / "in", tmp_path / "out.gguf", told=lambda *step: steps.append(step))
    assert steps[-1][0] == steps[-1][1]
    said, cut = engine(tmp_path / "out.gguf")
    assert said == reference(tensors)
    assert cut == [259, 260, *b"orld"]


def test_a_stretched_llama_rotates_more_slowly(tmp_path: Path) -> None:
    scaling = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    tensors = make_folder(tmp_path / "in", "LlamaForCausalLM", rope_scaling=scaling)
    convert(tmp_path / "in", tmp_path / "out.gguf")
    (slow,) = (one.data for one in GGUFReader(tmp_path / "out.gguf").tensors if "freqs" in one.name)
    assert (slow[0], slow[-1]) == (1.0, 8.0)
    said, _ = engine(tmp_path / "out.gguf")
    assert said == reference(tensors, np.asarray(slow))


def test_what_the_folder_says_stands_in_the_file(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", "Qwen3ForCausalLM", dtype="BF16")
    (tmp_path / "in" / "chat_template.jinja").write_text("{{ newer }}")
    convert(tmp_path / "in", tmp_path / "out.gguf")
    found = read(tmp_path / "out.gguf")
    assert (found.architecture, found.name, found.quantisation) == ("qwen3", "in", "BF16")
    assert (found.key_length, found.kv_heads, found.context_tokens) == (HEAD, (2, 2), 512)
    assert (found.chat_template, found.tokenizer) == ("{{ newer }}", "qwen2")
    fields = GGUFReader(tmp_path / "out.gguf").fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    assert found.vocabulary == len(tokens) == len(types)
    kinds = dict(zip(tokens, types, strict=True))
    assert (kinds["<|end|>"], kinds["<think>"], kinds[tokens[-1]]) == (3, 4, 5)
    assert fields["tokenizer.ggml.eos_token_id"].contents() == tokens.index("<|end|>")
    assert fields["tokenizer.ggml.merges"].contents()[-1] == "Ġ w"


def test_a_sentencepiece_vocabulary_merges_as_it_did(tmp_path: Path) -> None:
    make_folder(tmp_path / "in", "LlamaForCausalLM")
    path = tmp_path / "in" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256 - 20))]
    vocab = {piece: place for place, piece in enumerate(pieces)}
    for piece in ("▁", "h", "e", "l", "o", "he", "ll", "hell", "hello", "▁hello"):
        vocab[piece] = len(vocab)
    merges = ["h e", "l l", "he ll", "hell o", "▁ hello"]
    tokenizer |= {
        "added_tokens": [{"id": i, "content": pieces[i], "special": True} for i in range(3)],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}]},
        "pre_tokenizer": None,
        "model": {"type": "BPE", "vocab": vocab, "merges": merges, "byte_fallback": True},
    }
    path.write_text(json.dumps(tokenizer))
    convert(tmp_path / "in", tmp_path / "out.gguf")
    fields = GGUFReader(tmp_path / "out.gguf").fields
    assert fields["tokenizer.ggml.model"].contents() == "llama"
    scores = fields["tokenizer.ggml.scores"].contents()
    assert scores[vocab["he"]] > scores[vocab["hell"]] > scores[vocab["▁hello"]]
    assert fields["tokenizer.ggml.add_space_prefix"].contents() is True
    _, cut = engine(tmp_path / "out.gguf", "hello")
    assert cut == [vocab["▁hello"]]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 50), "no safetensors"),
        (lambda folder: (folder / "config.json").write_text('{"architectures": []}'), "kind"),
        (lambda folder: _replace(folder / "config.json", "Qwen2", "Strange"), "Strange"),
        (lambda folder: _replace(folder / "tokenizer.json", "BPE", "Unigram"), "Unigram"),
        (lambda folder: _replace(folder / "tokenizer.json", "{L}", "{Lu}"), "cuts text"),
        (lambda folder: _replace(folder / "config.json", '"num_attention_heads": 4', '"rope_scaling": {"type": "longrope"}, "num_attention_heads": 4'), "longrope"),  # noqa: E501
        (lambda folder: _truncate(folder / "model.safetensors"), "cut short"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_says_why(tmp_path: Path, spoil: Any, words: str) -> None:
    make_folder(tmp_path / "in", "Qwen2ForCausalLM")
    spoil(tmp_path / "in")
    with pytest.raises(ConfigError, match=words) as caught:
        convert(tmp_path / "in", tmp_path / "out.gguf")
    assert caught.value.cure
    assert not list(tmp_path.glob("out*"))


def test_tensors_that_lie_about_their_size_are_refused(tmp_path: Path) -> None:
    for offsets in ([0, 1 << 60], [-8, 8], [8, 0], [0, 4]):
        head = {"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": offsets}}
        text = json.dumps(head).encode()
        data = struct.pack("<Q", len(text)) + text + bytes(16)
        (tmp_path / "model.safetensors").write_bytes(data)
        with pytest.raises(ConfigError):
            open_folder(tmp_path)


def _replace(file: Path, old: str, new: str) -> None:
    file.write_text(file.read_text().replace(old, new))


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])
