# SPDX-License-Identifier: AGPL-3.0-or-later
"""What all wires share: an understood request, and the pen an answer is written with."""

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Protocol, TypeVar

import msgspec

from haoya.api.replies import Fault, Refusal
from haoya.core.message import Blob
from haoya.core.ports import Wire
from haoya.core.tool import Delta, Prompt, Sampling, ToolSpec

MOST_TOKENS = 2**31 - 1
SEEDS = (-(2**63), 2**63 - 1)

Picture = tuple[Blob, bytes]
Shape = TypeVar("Shape")

_DATA_URL = re.compile(r"data:(image/[a-z0-9.+-]+);base64,", re.IGNORECASE)
_MIME = re.compile(r"image/[a-z0-9.+-]+")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """An understood request. `prompt` names neither person nor conversation yet.

    `name` is the conversation of the agent's that the client names, `pin` what else tells its
    conversations apart (a cache key, a user). `raw` is the body where the answer repeats some of
    it.
    """

    model: str
    prompt: Prompt
    stream: bool = False
    usage: bool = True
    name: str = ""
    pin: str = ""
    pictures: tuple[Picture, ...] = ()
    raw: bytes = b""


class Pen(Protocol):
    """Writes one answer. It is fed every delta, `Finish` last, streaming or not."""

    def begin(self) -> bytes:
        """The events before the first delta."""
        ...

    def more(self, delta: Delta) -> bytes:
        """The events for a delta; for `Finish` all that are left."""
        ...

    def whole(self) -> bytes:
        """The answer in one piece, once it has finished."""
        ...


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """A wire: how its requests are read, its answers written and its errors told.

    `pen` takes the request and the name of the agent's conversation, empty for a bare model.
    `error` is a whole body, `farewell` the last event of an answer that breaks off.
    """

    wire: Wire
    read: Callable[[bytes], Ask]
    pen: Callable[[Ask, str], Pen]
    error: Callable[[int, Fault], bytes]
    farewell: Callable[[int, Fault], bytes]
    overloaded: int = 503
    """The status for a model that is too busy."""


class Pictures:
    """The pictures of one request, each once."""

    def __init__(self) -> None:
        self.found: dict[str, Picture] = {}

    def url(self, url: str, param: str) -> Blob:
        """The picture of a `data:` address. Nothing is ever fetched for a client."""
        found = _DATA_URL.match(url)
        if not found:
            text = "a picture must be a data: URL of an image in base64; haoya fetches no addresses"
            raise Refusal(400, text, code="invalid_image_url", param=param)
        return self.add(found.group(1), url[found.end() :], param)

    def add(self, mime: str, text: str, param: str) -> Blob:
        """The picture a base64 text stands for."""
        mime = mime.lower()
        if not _MIME.fullmatch(mime):
            said = f"{mime!r} is no type of picture"
            raise Refusal(400, said, code="invalid_image_url", param=param)
        try:
            data = base64.b64decode(text, validate=True)
        except ValueError as error:  # binascii.Error, or letters that are not ASCII
            said = f"the picture is no base64: {error}"
            raise Refusal(400, said, code="invalid_image_url", param=param) from error
        sha256 = hashlib.sha256(data).hexdigest()
        name = f"picture.{mime.partition('/')[2].partition('+')[0]}"
        blob = Blob(sha256=sha256, size=len(data), mime=mime, name=name)
        self.found[sha256] = (blob, data)
        return blob


def decoded(decoder: "msgspec.json.Decoder[Shape]", body: bytes) -> Shape:
    """The body in its shape; 400 naming the first fault and its place."""
    try:
        body.decode("utf-8")  # what is kept as it came (schemas) is not looked at otherwise
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$")
        param = place.rstrip("`").lstrip(".")
        raise wrong(param or "body", said) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        text = f"We could not parse the JSON body of your request. {error}."
        raise Refusal(400, text, code="invalid_json") from error


def wrong(param: str, said: str) -> Refusal:
    """400 for one part of a request."""
    return Refusal(400, f"{param}: {said}", code="invalid_value", param=param)


def schema(raw: msgspec.Raw, param: str) -> msgspec.Raw:
    """A JSON Schema as it came; nothing for one that is missing."""
    data = bytes(raw)
    if data in (b"", b"null"):
        return msgspec.Raw(b"")
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise wrong(param, f"no JSON: {error}") from error
    if not isinstance(found, dict):
        raise wrong(param, "a JSON Schema must be an object")
    return msgspec.Raw(data)


def parameters(raw: msgspec.Raw, param: str) -> msgspec.Raw:
    """The schema of a tool's arguments; any object where none is given."""
    return schema(raw, param) or msgspec.Raw(b'{"type":"object"}')


def sampling(
    *,
    temperature: float | None,
    top_p: float | None,
    max_tokens: int | None,
    seed: int | None = None,
    stop: tuple[str, ...] = (),
) -> Sampling:
    """Checked against what every model understands."""
    if temperature is not None and not 0 <= temperature <= 2:
        raise wrong("temperature", "must be between 0 and 2")
    if top_p is not None and not 0 <= top_p <= 1:
        raise wrong("top_p", "must be between 0 and 1")
    if max_tokens is not None and not 1 <= max_tokens <= MOST_TOKENS:
        raise wrong("max_tokens", f"must be between 1 and {MOST_TOKENS}")
    if seed is not None and not SEEDS[0] <= seed <= SEEDS[1]:
        raise wrong("seed", "must be a whole number of 64 bits")
    return Sampling(
        temperature=temperature, top_p=top_p, seed=seed, max_tokens=max_tokens, stop=stop
    )


def object_text(arguments: str) -> str:
    """A model's arguments where a JSON object must stand: a slip is put inside of one.

    >>> object_text('{"a": 1}'), object_text("a = 1")
    ('{"a": 1}', '{"invalid":"a = 1"}')
    """
    try:
        found = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        found = None
    if isinstance(found, dict):
        return arguments
    return msgspec.json.encode({"invalid": arguments}).decode()


def chosen(choice: str, tools: tuple[ToolSpec, ...], *, named: bool = False) -> str:
    """A choice of tool as `Prompt` has it; 400 for a tool that is not offered."""
    known = [tool.name for tool in tools]
    if named and choice not in known:
        there = ", ".join(known) or "none"
        raise wrong("tool_choice", f"no tool is named {choice!r}; there are: {there}")
    if not named and choice not in ("auto", "none", "required"):
        raise wrong("tool_choice", f"{choice!r} is not known; there are: auto, none, required")
    if choice == "required" and not tools:
        raise wrong("tool_choice", "there are no tools to choose from")
    return choice


def event(name: str, body: object) -> bytes:
    """A server-sent event with a name."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(body))
