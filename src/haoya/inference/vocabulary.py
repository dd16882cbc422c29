# SPDX-License-Identifier: AGPL-3.0-or-later
"""A tokenizer (`tokenizer.json` of the tokenizers library) as the keys of a GGUF file.

Two kinds are known: byte-level BPE (GGUF's `gpt2`) and BPE that came from SentencePiece
(GGUF's `llama`). How text is cut before that must be known to the engine by name; it is found by
the pattern itself (`llama-vocab.cpp` of llama.cpp holds the same patterns).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from haoya.core.errors import ConfigError
from haoya.inference.writer import number_pair, numbers_pair, text_pair, texts_pair

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6

Shape = TypeVar("Shape")

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CASED = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_MARKED = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|"
    r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CUTS = {
    f"{_WORDS}\\p{{N}}{_REST}": "qwen2",
    f"{_WORDS}\\p{{N}}{{1,3}}{_REST}": "llama-bpe",
    _CASED: "tekken",
    _MARKED: "qwen35",
}
"""The engine's names for ways to cut text, by their pattern."""


class _Added(msgspec.Struct):
    id: int
    content: str
    special: bool = False


class _Pattern(msgspec.Struct):
    Regex: str = ""


class _Step(msgspec.Struct):
    """One of the many kinds of normalizers, cutters and finishers, as far as they matter here."""

    type: str = ""
    pattern: _Pattern | None = None
    pretokenizers: list["_Step"] = []
    normalizers: list["_Step"] = []
    processors: list["_Step"] = []
    use_regex: bool = True
    individual_digits: bool = False
    prepend_scheme: str = ""
    single: list[dict[str, "_Piece"]] = []

    def all(self) -> Iterator["_Step"]:
        """This step and all within it."""
        yield self
        for inner in (*self.pretokenizers, *self.normalizers, *self.processors):
            yield from inner.all()


class _Piece(msgspec.Struct):
    id: str = ""


class _Bpe(msgspec.Struct):
    vocab: dict[str, int]
    type: str = "BPE"
    merges: list[str | tuple[str, str]] = []
    byte_fallback: bool | None = None


class _Tokenizer(msgspec.Struct):
    model: _Bpe
    added_tokens: list[_Added] = []
    normalizer: _Step | None = None
    pre_tokenizer: _Step | None = None
    post_processor: _Step | None = None


class _Named(msgspec.Struct):
    content: str = ""


class _Template(msgspec.Struct):
    name: str = ""
    template: str = ""


class _Config(msgspec.Struct):
    """`tokenizer_config.json`."""

    bos_token: str | _Named | None = None
    eos_token: str | _Named | None = None
    pad_token: str | _Named | None = None
    unk_token: str | _Named | None = None
    add_bos_token: bool | None = None
    chat_template: str | list[_Template] | None = None


def pairs_of(folder: Path, rows: int) -> list[bytes]:
    """The keys that describe a folder's tokenizer to the engine, for a model with `rows` tokens.

    Raises `ConfigError` where the engine could not cut text as this tokenizer does.
    """
    tokenizer = _read(folder / "tokenizer.json", _Tokenizer)
    if tokenizer.model.type != "BPE":
        raise ConfigError(
            f"the tokenizer in {folder} is of the kind {tokenizer.model.type}",
            cure="take a GGUF file of this model, if there is one",
        )
    tokens, types = _tokens(tokenizer, rows)
    merges = [one if isinstance(one, str) else _joined(*one) for one in tokenizer.model.merges]
    pairs = [texts_pair("tokenizer.ggml.tokens", tokens)]
    if tokenizer.model.byte_fallback:
        pairs += _pieces(tokenizer, tokens, types, merges)
    else:
        pairs.append(text_pair("tokenizer.ggml.model", "gpt2"))
        pairs.append(text_pair("tokenizer.ggml.pre", _cut(tokenizer, folder)))
        pairs.append(texts_pair("tokenizer.ggml.merges", merges))
    pairs.append(numbers_pair("tokenizer.ggml.token_type", types))
    return pairs + _special(folder, tokenizer, {text: i for i, text in enumerate(tokens)})


def _tokens(tokenizer: _Tokenizer, rows: int) -> tuple[list[str], list[int]]:
    """Every token's text and kind; numbers that no token has are marked unused."""
    tokens = [f"[PAD{number}]" for number in range(rows)]
    types = [_UNUSED] * rows
    added = {one.content: one.id for one in tokenizer.added_tokens}
    for text, number in (tokenizer.model.vocab | added).items():
        if not 0 <= number < rows:
            raise ConfigError(
                f"token {number} is beyond the model's {rows} tokens",
                cure="check that tokenizer and model belong together",
            )
        tokens[number], types[number] = text, _NORMAL
    for one in tokenizer.added_tokens:
        types[one.id] = _CONTROL if one.special else _USER_DEFINED
    return tokens, types


def _joined(left: str, right: str) -> str:
    """A merge as one text: a space within a part is written as byte-level BPE writes it."""
    return f"{left.replace(' ', 'Ġ')} {right.replace(' ', 'Ġ')}"


def _pieces(
    tokenizer: _Tokenizer, tokens: list[str], types: list[int], merges: list[str]
) -> list[bytes]:
    """A SentencePiece vocabulary. Its scores say what is merged first: the place of the merge
    that makes a piece."""
    scores = [-1e6] * len(tokens)
    number = {text: place for place, text in enumerate(tokens)}
    for rank, merge in enumerate(merges):
        made = number.get(merge.replace(" ", ""))
        if made is not None and scores[made] == -1e6:
            scores[made] = -float(rank)
    for place, text in enumerate(tokens):
        if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
            types[place], scores[place] = _BYTE, 0.0
        elif text == "<unk>":
            types[place], scores[place] = _UNKNOWN, 0.0
        elif types[place] in (_CONTROL, _USER_DEFINED):
            scores[place] = 0.0
    steps = [*_steps(tokenizer.normalizer), *_steps(tokenizer.pre_tokenizer)]
    prefix = any(
        step.type == "Prepend" or step.prepend_scheme in ("first", "always") for step in steps
    )
    return [
        text_pair("tokenizer.ggml.model", "llama"),
        text_pair("tokenizer.ggml.pre", "default"),
        numbers_pair("tokenizer.ggml.scores", scores),
        number_pair("tokenizer.ggml.add_space_prefix", prefix),
    ]


def _cut(tokenizer: _Tokenizer, folder: Path) -> str:
    """The engine's name for how a byte-level tokenizer cuts text into words."""
    steps = list(_steps(tokenizer.pre_tokenizer))
    patterns = [step.pattern.Regex for step in steps if step.pattern and step.pattern.Regex]
    if len(patterns) == 1 and patterns[0] in CUTS:
        return CUTS[patterns[0]]
    digits = [step for step in steps if step.type == "Digits"]
    plain = [step for step in steps if step.type == "ByteLevel" and step.use_regex]
    if not patterns and plain:
        if not digits:
            return "gpt-2"
        if all(step.individual_digits for step in digits):
            return "smollm"
    raise ConfigError(
        f"the tokenizer in {folder} cuts text in a way that is not known here: {patterns}",
        cure="take a GGUF file of this model, if there is one",
    )


def _steps(step: _Step | None) -> Iterator[_Step]:
    if step:
        yield from step.all()


def _special(folder: Path, tokenizer: _Tokenizer, number: dict[str, int]) -> list[bytes]:
    """Which tokens begin, end and fill, and the chat template."""
    path = folder / "tokenizer_config.json"
    config = _read(path, _Config) if path.is_file() else _Config()
    named = {
        "bos": config.bos_token,
        "eos": config.eos_token,
        "padding": config.pad_token,
        "unknown": config.unk_token,
    }
    pairs: list[bytes] = []
    for key, token in named.items():
        text = token.content if isinstance(token, _Named) else token
        if text and text in number:
            pairs.append(number_pair(f"tokenizer.ggml.{key}_token_id", number[text]))
    bos = named["bos"]
    first = bos.content if isinstance(bos, _Named) else bos
    begins = config.add_bos_token
    for step in _steps(tokenizer.post_processor):
        if step.single:
            begins = any(piece.id == first for piece in step.single[0].values())
    pairs.append(number_pair("tokenizer.ggml.add_bos_token", bool(begins)))
    if template := _template(folder, config):
        pairs.append(text_pair("tokenizer.chat_template", template))
    return pairs


def _template(folder: Path, config: _Config) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text("utf-8")
    if isinstance(config.chat_template, list):
        by_name = {one.name: one.template for one in config.chat_template}
        return by_name.get("default", "")
    return config.chat_template or ""


def _read(path: Path, shape: type[Shape]) -> Shape:
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {path}", cure="name a folder with a model of the transformers library"
        ) from None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", cure="fetch it again") from error
