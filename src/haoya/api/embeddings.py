# SPDX-License-Identifier: AGPL-3.0-or-later
"""`/v1/embeddings` and `/v1/messages/count_tokens`: what is asked of models beside answers."""

import base64
import struct
from typing import Literal

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from haoya.api.answering import complain
from haoya.api.bare import AGENT, bare
from haoya.api.replies import Refusal, read_body, send_json
from haoya.api.stream import Left, attend
from haoya.api.window import Window
from haoya.api.wires.chat import CHAT
from haoya.api.wires.messages import MESSAGES, counted
from haoya.api.wires.words import decoded, wrong
from haoya.core.errors import HaoyaError
from haoya.core.ports import Embedding, Embeds
from haoya.runtime.tokens import prompt_tokens

MOST_TEXTS = 2048


class _Body(msgspec.Struct):
    model: str
    input: str | list[str]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None


class _Vector(msgspec.Struct):
    object: str
    index: int
    embedding: tuple[float, ...] | str


class _Tokens(msgspec.Struct):
    prompt_tokens: int
    total_tokens: int


class _List(msgspec.Struct):
    object: str
    data: list[_Vector]
    model: str
    usage: _Tokens


class _Count(msgspec.Struct):
    input_tokens: int


_BODY = msgspec.json.Decoder(_Body)


def embedding(window: Window) -> ASGIApp:
    """The endpoint of embeddings (OpenAI API reference, "Create embeddings")."""

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            given = decoded(_BODY, await read_body(scope, receive))
            texts = _texts(given)
            model = None if given.model == AGENT else bare(window, given.model)
            if not isinstance(model, Embeds):
                text = f"The model `{given.model}` makes no embeddings"
                raise Refusal(400, text, code="model_not_supported", param="model")
            found = await attend(window, receive, model.embed(texts))
            await send_json(send, _encoded(given, found))
        except Left:
            return
        except (Refusal, HaoyaError) as error:
            await complain(CHAT, error, send)

    return endpoint


def counting(window: Window) -> ASGIApp:
    """The endpoint that counts the tokens of a message: haoya's own estimate, errs upwards."""

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            ask = counted(await read_body(scope, receive))
            if ask.model != AGENT:
                bare(window, ask.model)
            await send_json(send, msgspec.json.encode(_Count(prompt_tokens(ask.prompt))))
        except (Refusal, HaoyaError) as error:
            await complain(MESSAGES, error, send)

    return endpoint


def _texts(given: _Body) -> list[str]:
    texts = [given.input] if isinstance(given.input, str) else given.input
    if not texts or len(texts) > MOST_TEXTS:
        raise wrong("input", f"there must be 1 to {MOST_TEXTS} texts")
    if not all(texts):
        raise wrong("input", "a text must not be empty")
    if given.dimensions is not None:
        raise wrong("dimensions", "the model's own length cannot be changed")
    return texts


def _encoded(given: _Body, found: Embedding) -> bytes:
    data: list[_Vector] = []
    for index, vector in enumerate(found.vectors):
        shown: tuple[float, ...] | str = vector
        if given.encoding_format == "base64":
            shown = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
        data.append(_Vector("embedding", index, shown))
    usage = _Tokens(found.tokens, found.tokens)
    return msgspec.json.encode(_List("list", data, given.model, usage))
