# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is asked of an engine, whatever the wire it comes by."""

import msgspec

from haoya.inference.onnx.model import Model
from haoya.inference.onnx.slots import Slots
from haoya.inference.onnx.wire import Chat, Numbers, Refused, Text
from haoya.inference.onnx.work import Work


class Desk:
    """The engine as connections see it; until `open` it is still loading its model."""

    def __init__(self, name: str, folder: str, sessions: int) -> None:
        self.name = name
        self._folder, self._sessions = folder, sessions
        self._loaded: tuple[Model, Slots] | None = None

    def open(self, model: Model, slots: Slots) -> None:
        """From now on requests are answered."""
        self._loaded = (model, slots)

    def health(self) -> bytes:
        """Whether the model is ready."""
        self._ready()
        return b'{"status":"ok"}'

    def props(self) -> bytes:
        """What the model is and can do."""
        model, _ = self._ready()
        return msgspec.json.encode(
            {
                "default_generation_settings": {"n_ctx": model.context},
                "total_slots": self._sessions,
                "model_path": self._folder,
                "model_alias": self.name,
                "chat_template": model.template,
                "modalities": {"vision": False, "audio": False},
                "build_info": "onnxruntime-genai",
                "is_sleeping": False,
            }
        )

    def models(self) -> bytes:
        """The one model there is, in OpenAI's words."""
        self._ready()
        one = {"id": self.name, "object": "model", "created": 0, "owned_by": "haoya"}
        return msgspec.json.encode({"object": "list", "data": [one]})

    def states(self) -> bytes:
        """What each slot is doing."""
        _, slots = self._ready()
        return msgspec.json.encode(slots.states)

    def prompt(self, chat: Chat) -> bytes:
        """A conversation as the model would read it."""
        model, _ = self._ready()
        return msgspec.json.encode({"prompt": model.prompt(chat)})

    def tokenize(self, text: Text) -> bytes:
        """The tokens of a text."""
        model, _ = self._ready()
        return msgspec.json.encode({"tokens": model.encode(text.content)})

    def detokenize(self, numbers: Numbers) -> bytes:
        """The text of tokens."""
        model, _ = self._ready()
        size = model.vocabulary.vocab_size
        if any(not 0 <= token < size for token in numbers.tokens):
            raise Refused(f"tokens: they go from 0 to {size - 1}")
        said = b"".join(model.bytes_of(token) for token in numbers.tokens)
        return msgspec.json.encode({"content": said.decode("utf-8", "replace")})

    def ask(self, chat: Chat) -> Work:
        """Begin an answer."""
        model, slots = self._ready()
        work = Work(model, chat)
        slots.ask(work)
        return work

    def _ready(self) -> tuple[Model, Slots]:
        if self._loaded is None:
            raise Refused("the model is being loaded", status=503, kind="unavailable_error")
        return self._loaded
