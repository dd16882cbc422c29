# SPDX-License-Identifier: AGPL-3.0-or-later
"""From the bytes of an answer to deltas, forgiving what compatible servers do differently.

Understood: server-sent events with or without blank lines between them, with or without
`[DONE]`, usage or choices; comments; one plain JSON answer although a stream was asked for;
arguments as an object; reasoning in fields of its own (not read) or in `<think>` (dropped).
"""

import msgspec

from haoya.core.errors import Unready
from haoya.core.tool import CallDelta, Delta, Finish, TextDelta, Usage
from haoya.models.openai.calls import CallPiece, Calls
from haoya.models.openai.thoughts import Spoken

MAX_EVENT_BYTES = 16 * 1024 * 1024
_REASONS = {"length": "length", "max_tokens": "length", "content_filter": "filter"}


class _Cached(msgspec.Struct):
    cached_tokens: float | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    prompt_tokens_details: _Cached | None = None
    prompt_cache_hit_tokens: float | None = None  # DeepSeek's name for the same


class _Timings(msgspec.Struct):
    cache_n: float | None = None  # llama.cpp's name for the same


class _Piece(msgspec.Struct):
    type: str = "text"
    text: str | None = None


class _Spoken(msgspec.Struct):
    content: str | list[_Piece] | None = None
    tool_calls: list[CallPiece] | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: _Spoken | None = None
    message: _Spoken | None = None
    finish_reason: str | None = None


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    timings: _Timings | None = None
    model: str | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


_CHUNK = msgspec.json.Decoder(_Chunk)


class Answer:
    """One answer while it arrives: `feed` bytes, then `finish` once.

    `begun` once the server has sent anything of the answer, `ended` when it said why it stopped
    and `done` at `[DONE]`. `error` holds the JSON of an error sent instead.
    """

    def __init__(self, server: str, model: str, taken: frozenset[str] = frozenset()) -> None:
        self._server = server
        self.begun = False
        self.ended = False
        self.done = False
        self.error = b""
        self._model = model
        self._buffer = bytearray()
        self._searched = 0  # how much of the buffer holds no line end
        self._whole: bool | None = None
        self._pending = b""
        self._spoken = Spoken()
        self._calls = Calls(taken)
        self._reason = ""
        self._usage = Usage()

    def feed(self, data: bytes) -> list[Delta]:
        """The deltas these bytes complete. Raises `Unready`."""
        deltas: list[Delta] = []
        self._buffer += data
        if self._whole is None and (start := self._buffer.lstrip()):
            self._whole = start.startswith(b"{")
        if not self._whole:
            while (end := self._buffer.find(b"\n", self._searched)) >= 0:
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                self._searched = 0
                self._line(line.rstrip(b"\r"), deltas)
            self._searched = len(self._buffer)
        if len(self._buffer) > MAX_EVENT_BYTES:
            raise self._strange(f"more than {MAX_EVENT_BYTES} bytes in one piece")
        return deltas

    def finish(self) -> list[Delta]:
        """The rest: held words, whole calls, `Finish`. Raises `Unready` if it broke off."""
        deltas: list[Delta] = []
        rest, self._buffer = bytes(self._buffer), bytearray()
        if self._whole:
            self._event(rest, deltas)
        elif rest.strip():
            self._line(rest.rstrip(b"\r"), deltas)
        if self._pending:
            raise self._strange("an event that is no JSON")
        if not (self.ended or self.done or self.error):
            where = "an end in the middle" if self.begun else "nothing of an answer"
            raise self._strange(where)
        if text := self._spoken.finish():
            deltas.append(TextDelta(text=text))
        calls = self._calls.whole()
        deltas += [CallDelta(call=call) for call in calls]
        deltas.append(self._finish(bool(calls)))
        return deltas

    def _finish(self, called: bool) -> Finish:
        usage, model = self._usage, self._model
        if called or self._reason in ("tool_calls", "function_call"):
            return Finish(reason="tools" if called else "stop", usage=usage, model=model)
        match _REASONS.get(self._reason):
            case "length":
                return Finish(reason="length", usage=usage, model=model)
            case "filter":
                return Finish(reason="filter", usage=usage, model=model)
            case _:
                return Finish(usage=usage, model=model)

    def _line(self, line: bytes, deltas: list[Delta]) -> None:
        """One line of the event stream (WHATWG HTML, "Server-sent events").

        An event may span several `data:` lines; as most hold whole JSON, each is tried at once.
        """
        if not line:
            if self._pending:
                raise self._strange("an event that is no JSON")
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"error":  # llama.cpp before 2025
            self.error = value
        if field != b"data" or not value.strip() or self.done:
            return
        if value.strip() == b"[DONE]":
            self.done = self.begun = True
            return
        self._event(self._pending + value, deltas)

    def _event(self, data: bytes, deltas: list[Delta]) -> None:
        try:
            chunk = _CHUNK.decode(data)
        except msgspec.ValidationError as e:
            raise self._strange(str(e)) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            chunk = self._repaired(data)
        if chunk is None:
            self._pending = data + b"\n"
            return
        self._pending = b""
        self.begun = True
        if bytes(chunk.error) not in (b"null", b"{}", b'""'):
            self.error = bytes(chunk.error)
        self._model = chunk.model or self._model
        self._usage = _counted(chunk, self._usage)
        for choice in chunk.choices or ():
            if not choice.index:
                self._choice(choice, deltas)

    def _repaired(self, data: bytes) -> _Chunk | None:
        """The chunk with broken UTF-8 replaced; None where the JSON is not complete."""
        try:
            return _CHUNK.decode(data.decode("utf-8", "replace"))
        except msgspec.ValidationError as e:
            raise self._strange(str(e)) from None
        except msgspec.DecodeError:
            return None

    def _strange(self, what: str) -> Unready:
        text = f"{self._server} sent no Chat Completions answer ({what}); correct base_url"
        return Unready(text)

    def _choice(self, choice: _Choice, deltas: list[Delta]) -> None:
        said = choice.delta or choice.message
        if said is not None:
            for piece in said.tool_calls or ():
                self._calls.add(piece)
            text = _text(said.content) or said.refusal or ""
            if text and (text := self._spoken.feed(text)):
                deltas.append(TextDelta(text=text))
        if choice.finish_reason:
            self._reason = choice.finish_reason
            self.ended = True
        elif choice.message is not None:
            self.ended = True


def _text(content: str | list[_Piece] | None) -> str:
    if isinstance(content, list):
        return "".join(piece.text or "" for piece in content if piece.type == "text")
    return content or ""


def _counted(chunk: _Chunk, before: Usage) -> Usage:
    """The newest count; some servers count in every chunk, some name cached tokens elsewhere."""
    usage, cached = chunk.usage, before.cached
    if chunk.timings and chunk.timings.cache_n:
        cached = int(chunk.timings.cache_n)
    if usage is None:
        return before if cached == before.cached else _with_cached(before, cached)
    details = usage.prompt_tokens_details
    found = (details and details.cached_tokens) or usage.prompt_cache_hit_tokens or cached
    return Usage(
        prompt=int(usage.prompt_tokens or 0),
        completion=int(usage.completion_tokens or 0),
        cached=int(found),
    )


def _with_cached(usage: Usage, cached: int) -> Usage:
    return Usage(prompt=usage.prompt, completion=usage.completion, cached=cached)
