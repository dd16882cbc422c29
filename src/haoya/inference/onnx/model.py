# SPDX-License-Identifier: AGPL-3.0-or-later
"""The model itself: `onnxruntime-genai` for its weights, `llguidance` for its vocabulary.

The weights' package draws tokens and keeps to grammars too, but binds both to the cache for its
life and reads the vocabulary anew for each; here a cache is only a cache, and every request may
go on with it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import numpy as np
import onnxruntime_genai
from llguidance import LLMatcher, LLTokenizer

from haoya.inference.onnx.calls import WAYS, Wish, told, way_of
from haoya.inference.onnx.sampling import Draw, Logits
from haoya.inference.onnx.wire import Chat, Message, Refused

_genai = cast("Any", onnxruntime_genai)

BROKEN = (RuntimeError, ValueError)
"""What the package raises when it cannot do something."""


class Search(msgspec.Struct, frozen=True):
    """How the folder wants tokens to be drawn (`search` in genai_config.json)."""

    do_sample: bool = False
    temperature: float = 1
    top_p: float = 1
    top_k: int = 50
    repetition_penalty: float = 1

    @property
    def draw(self) -> Draw:
        """The same in our words."""
        return Draw(
            temperature=self.temperature if self.do_sample else 0,
            top_p=self.top_p,
            top_k=self.top_k,
            penalty=self.repetition_penalty,
        )


class Shape(msgspec.Struct, frozen=True):
    """What the folder says of the model (`model` in genai_config.json)."""

    vocab_size: int
    context_length: int = 0
    bos_token_id: int | None = None


class Written(msgspec.Struct, frozen=True):
    """What we read of genai_config.json."""

    model: Shape
    search: Search = Search()


class Kept(msgspec.Struct, frozen=True):
    """What we read of tokenizer_config.json."""

    chat_template: str | list[dict[str, str]] | None = None


class Spelt(msgspec.Struct, frozen=True, kw_only=True):
    """A call as templates want it: its arguments are an object, not its text."""

    id: str
    function: Wish
    type: str = "function"


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message as templates want it."""

    role: str
    content: str
    tool_calls: list[Spelt] = []
    tool_call_id: str = ""
    name: str = ""


class Cache:
    """What the model has read of one conversation, and what it thinks comes next."""

    def __init__(self, generator: Any) -> None:
        self._generator = generator

    def rewind(self, count: int) -> None:
        """Forget all but the first `count` tokens."""
        self._generator.rewind_to(count)

    def read(self, tokens: Sequence[int]) -> None:
        """Look at more of the prompt."""
        self._generator.append_tokens(np.asarray(tokens, np.int32))

    def logits(self) -> Logits:
        """How likely each token is to come next."""
        return np.asarray(self._generator.get_logits(), np.float32).reshape(-1)

    def say(self, token: int, size: int) -> None:
        """Go on with this token. `size` is that of the logits."""
        # Given as the only likely one, so that what the package does between two tokens (long
        # ropes begin anew at their border) is still done.
        only = np.full((1, 1, size), -1e9, np.float32)
        only[0, 0, token] = 0
        self._generator.set_logits(only)
        self._generator.generate_next_token()


class Model:
    """A folder with a genai_config.json, loaded. Its caches belong to one thread."""

    def __init__(self, folder: Path, context: int, threads: int) -> None:
        config = _genai.Config(str(folder))
        options = {"intra_op_num_threads": threads}
        config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
        self._model = _genai.Model(config)
        self._tokenizer = _genai.Tokenizer(self._model)
        written = msgspec.json.decode((folder / "genai_config.json").read_bytes(), type=Written)
        self.context = min(context, written.model.context_length or context)
        self.draw = written.search.draw
        self.ends = frozenset(int(token) for token in self._tokenizer.eos_token_ids)
        self._begin = written.model.bos_token_id
        self.vocabulary = LLTokenizer(
            str(folder / "tokenizer.json"),
            n_vocab=written.model.vocab_size,
            eos_token=list(self.ends),
        )
        self.template = _template(folder)
        self._way = way_of(self.template)
        self.way = self._way or WAYS[0]
        self._special = {
            number[0]: mark
            for mark in (self.way.opens, self.way.closes)
            if mark and len(number := self.encode(mark)) == 1
        }

    def cache(self) -> Cache:
        """A new, empty cache."""
        params = _genai.GeneratorParams(self._model)
        params.set_search_options(max_length=self.context, batch_size=1, num_beams=1)
        return Cache(_genai.Generator(self._model, params))

    def encode(self, text: str) -> list[int]:
        """The tokens of a text, with marks as the single tokens they are."""
        tokens = [int(token) for token in self._tokenizer.encode(text)] if text else []
        if tokens[:2] == [self._begin, self._begin]:  # said by the template and again by the rules
            return tokens[1:]
        return tokens

    def bytes_of(self, token: int) -> bytes:
        """What a token adds to the text; nothing for special ones, but for a call's marks."""
        if token in self._special:
            return self._special[token].encode()
        if token >= self.vocabulary.vocab_size or self.vocabulary.is_special_token(token):
            return b""
        return self.vocabulary.decode_bytes([token])

    def number_of(self, mark: str) -> int | None:
        """The single token that a call's mark is, if it is one."""
        return next((token for token, text in self._special.items() if text == mark), None)

    def mark(self, mark: str) -> str:
        """A call's mark as a term of a grammar."""
        token = self.number_of(mark)
        if token is not None and self.vocabulary.is_special_token(token):
            return f"<[{token}]>"
        return json.dumps(mark) if mark else ""

    def prompt(self, chat: Chat) -> str:
        """The conversation as the template writes it; `Refused` where it cannot."""
        tools, messages = chat.tools or [], chat.messages
        if self._way is None:
            messages = told(messages, [tool.function for tool in tools])
            tools = []
        lines = msgspec.json.encode([_line(message) for message in messages])
        offered = msgspec.json.encode(tools).decode() if tools else None
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    lines.decode(), tools=offered, add_generation_prompt=True
                )
            )
        except BROKEN as error:
            raise Refused(f"the chat template cannot write these messages: {error}") from None

    def matcher(self, grammar: str) -> LLMatcher:
        """A grammar at its beginning; `Refused` where it is none."""
        matcher = LLMatcher(self.vocabulary, grammar, log_level=0)
        if matcher.is_error():
            raise Refused(f"this schema cannot be kept to: {matcher.get_error().splitlines()[0]}")
        return matcher


def _template(folder: Path) -> str:
    """The chat template of a folder, wherever it lies; empty where it has none."""
    alone, kept = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if alone.is_file():
        return alone.read_text("utf-8")
    if not kept.is_file():
        return ""
    template = msgspec.json.decode(kept.read_bytes(), type=Kept).chat_template or ""
    if isinstance(template, str):
        return template
    return "\n".join(one.get("template", "") for one in template)


def _line(message: Message) -> Line:
    calls = [
        Spelt(id=call.id, function=Wish(call.function.name, _object(call.function.arguments)))
        for call in message.tool_calls or ()
    ]
    return Line(
        role=message.role,
        content=message.text,
        tool_calls=calls,
        tool_call_id=message.tool_call_id or "",
        name=message.name or "",
    )


def _object(arguments: str) -> msgspec.Raw:
    """The arguments of a call; as a text where they are no JSON."""
    try:
        msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return msgspec.Raw(msgspec.json.encode(arguments))
    return msgspec.Raw(arguments.encode())
