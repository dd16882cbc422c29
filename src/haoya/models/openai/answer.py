# SPDX-License-Identifier: AGPL-3.0-or-later
"""From the bytes of an answer to deltas, forgiving what compatible servers do differently.

Understood beside what `Events` does: no usage or choices, or the usage within the choice; arguments
as an object; reasoning in fields of its own or in `<think>`.
"""

import msgspec

from haoya.core.tool import CallDelta, Delta, Finish, TextDelta, ThoughtDelta, Usage
from haoya.models._wire.events import Events
from haoya.models._wire.thoughts import Spoken
from haoya.models.openai.calls import CallPiece, Calls
from haoya.models.openai.echo import Echo, text_of_echo

_REASONS = {"length": "length", "max_tokens": "length", "content_filter": "filter"}


class _Cached(msgspec.Struct):
    cached_tokens: float | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    prompt_tokens_details: _Cached | None = None
    prompt_cache_hit_tokens: float | None = None  # DeepSeek's name for the same
    cached_tokens: float | None = None  # Moonshot's


class _Timings(msgspec.Struct):
    cache_n: float | None = None  # llama.cpp's name for the same


class _Piece(msgspec.Struct):
    type: str = "text"
    text: str | None = None
    thinking: msgspec.Raw = msgspec.Raw(b"null")  # Mistral: a list of pieces


class _Spoken(msgspec.Struct):
    content: str | list[_Piece] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[msgspec.Raw] | None = None
    tool_calls: list[CallPiece] | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    index: int | None = None
    delta: _Spoken | None = None
    message: _Spoken | None = None
    finish_reason: str | None = None
    usage: _Usage | None = None  # Moonshot


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    timings: _Timings | None = None
    model: str | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


class Answer:
    """One answer while it arrives: `feed` bytes, then `finish` once.

    `begun` once the server has sent anything of the answer, `ended` when it said why it stopped
    and `done` at `[DONE]`. `error` holds the JSON of an error sent instead. `taken` are the ids of
    the calls there are already. With `keeps` plain thoughts are kept to be given back.
    """

    def __init__(
        self,
        server: str,
        model: str,
        taken: frozenset[str] = frozenset(),
        *,
        keeps: bool = False,
        notes: tuple[str, ...] = (),
    ) -> None:
        self._events = Events(_Chunk, server, "Chat Completions")
        self.ended = False
        self._error = b""
        self._model = model
        self._keeps = keeps
        self._notes = notes
        self._spoken = Spoken()
        self._calls = Calls(taken)
        self._thoughts: list[str] = []
        self._details: list[msgspec.Raw] = []
        self._reason = ""
        self._usage = Usage()

    @property
    def begun(self) -> bool:
        """Whether anything of an answer has come."""
        return self._events.begun

    @property
    def done(self) -> bool:
        """Whether `[DONE]` has come."""
        return self._events.done

    @property
    def error(self) -> bytes:
        """The JSON of an error that came instead of an answer."""
        return self._error or self._events.error

    def feed(self, data: bytes) -> list[Delta]:
        """The deltas these bytes complete. Raises `Unready`."""
        deltas: list[Delta] = []
        for chunk in self._events.feed(data):
            self._chunk(chunk, deltas)
        return deltas

    def finish(self) -> list[Delta]:
        """The rest: held words, whole calls, `Finish`. Raises `Unready` if it broke off."""
        deltas: list[Delta] = []
        for chunk in self._events.finish():
            self._chunk(chunk, deltas)
        if not (self.ended or self.done or self.error):
            raise self._events.broken_off()
        self._say(*self._spoken.finish(), deltas)
        calls = self._calls.whole()
        deltas += [CallDelta(call=call) for call in calls]
        deltas.append(self._finish(bool(calls)))
        return deltas

    def _finish(self, called: bool) -> Finish:
        thoughts = "".join(self._thoughts) if self._keeps and called else ""
        echo = Echo(thoughts, self._details, self._calls.extra())
        end = Finish(
            usage=self._usage, model=self._model, echo=text_of_echo(echo), notes=self._notes
        )
        if called:
            return msgspec.structs.replace(end, reason="tools")
        return msgspec.structs.replace(end, reason=_REASONS.get(self._reason, "stop"))

    def _chunk(self, chunk: _Chunk, deltas: list[Delta]) -> None:
        if bytes(chunk.error) not in (b"null", b"{}", b'""'):
            self._error = bytes(chunk.error)
        self._model = chunk.model or self._model
        self._usage = _counted(chunk, self._usage)
        for choice in chunk.choices or ():
            if not choice.index:
                self._choice(choice, deltas)

    def _choice(self, choice: _Choice, deltas: list[Delta]) -> None:
        said = choice.delta or choice.message
        if said is not None:
            for piece in said.tool_calls or ():
                self._calls.add(piece)
            for detail in said.reasoning_details or ():
                self._details.append(detail.copy())
            thought = said.reasoning_content or said.reasoning or ""
            inner, text = _content(said.content)
            within, text = self._spoken.feed(text) if text else ("", text)
            self._say(thought + inner + within, text + (said.refusal or ""), deltas)
        if choice.finish_reason:
            self._reason = choice.finish_reason
            self.ended = True
        elif choice.message is not None:
            self.ended = True

    def _say(self, thought: str, text: str, deltas: list[Delta]) -> None:
        if thought:
            deltas.append(ThoughtDelta(text=thought))
            if self._keeps:
                self._thoughts.append(thought)
        if text:
            deltas.append(TextDelta(text=text))


def _content(content: str | list[_Piece] | None) -> tuple[str, str]:
    """The thoughts and the words of a `content`."""
    if not isinstance(content, list):
        return "", content or ""
    thought = "".join(_thinking(piece.thinking) for piece in content)
    return thought, "".join(piece.text or "" for piece in content if piece.type == "text")


def _thinking(raw: msgspec.Raw) -> str:
    data = bytes(raw)
    if data == b"null":
        return ""
    try:
        found = msgspec.json.decode(data, type=str | list[_Piece])
    except msgspec.DecodeError:
        return ""
    return found if isinstance(found, str) else "".join(piece.text or "" for piece in found)


def _counted(chunk: _Chunk, before: Usage) -> Usage:
    """The newest count; some servers count in every chunk, some name cached tokens elsewhere."""
    usage, cached = chunk.usage, before.cached
    if usage is None and chunk.choices:
        usage = chunk.choices[0].usage
    if chunk.timings and chunk.timings.cache_n:
        cached = int(chunk.timings.cache_n)
    if usage is None:
        return msgspec.structs.replace(before, cached=cached) if cached != before.cached else before
    details = usage.prompt_tokens_details
    found = (details and details.cached_tokens) or usage.prompt_cache_hit_tokens
    return Usage(
        prompt=int(usage.prompt_tokens or 0),
        completion=int(usage.completion_tokens or 0),
        cached=int(found or usage.cached_tokens or cached),
    )
