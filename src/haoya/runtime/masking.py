# SPDX-License-Identifier: AGPL-3.0-or-later
"""Prompts on their way out: every open model stands behind a `Masked` one, which puts personal data
away where the settings say so and puts it back into the answer. There is no other way to a model.
"""

import contextlib
import os
import re
import secrets
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import aclosing
from functools import cache
from pathlib import Path
from typing import cast

import msgspec
import regex

from haoya.core.errors import Unready
from haoya.core.ports import Embedding, Embeds, Model, Relays, Warms, Wire
from haoya.core.tool import CallDelta, Delta, Finish, Prompt, TextDelta, ThoughtDelta, Urgency
from haoya.policy.masking.mask import Finds, Mask
from haoya.policy.masking.words import Overdue, Own, Rules, canonical
from haoya.runtime.masking_settings import MaskingSettings
from haoya.runtime.settings import Settings

RULE_SECONDS = 0.05
"""The longest a rule of the owner's may look at one text."""

NOTED = "put away before it left"
"""How the note on an answer begins whose prompt was masked."""

LEAST_PICTURE = 4096
"""Characters from which on a string of nothing but base64 is taken for a picture."""

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}", re.ASCII)
_SHOWN = frozenset({"messages", "input", "instructions", "system"})
"""Where words stand in a request of any wire."""
_OPAQUE = frozenset({"signature", "encrypted_content"})
"""Strings that a provider made and only it can read."""


class Masking:
    """What is masked before which models, as the settings say now. `key_file` holds the secret that
    placeholders follow from; it is made when first needed."""

    def __init__(self, settings: Callable[[], Settings], key_file: Path) -> None:
        self._settings = settings
        self._key_file = key_file
        self._key = b""
        self._known: tuple[MaskingSettings, Finds] | None = None

    def applies(self, name: str) -> bool:
        """Whether the model of that name is shown placeholders. One that is gone from the settings
        and still open is."""
        settings = self._settings()
        frame, part = settings.frames.get(name), settings.models.get(name)
        if frame is None or part is None:
            return True
        return settings.masking.applies(name, frame.place_of(part.table))

    def mask(self, conversation: str) -> Mask:
        """A mask for one prompt."""
        if not self._key:
            self._key = key_in(self._key_file)
        return Mask(self._finds(), self._key, conversation)

    def finds(self, text: str) -> bool:
        """Whether there is anything in a text to put away; raises `Overdue`."""
        return bool(self._finds()(text))

    def _finds(self) -> Finds:
        settings = self._settings().masking
        if self._known is None or self._known[0] is not settings:
            self._known = (settings, Finds(rules_of(settings)))
        return self._known[1]


class Masked:
    """A `Model` behind a mask; those that can do more stand behind one of the classes below. None
    relays: see `relaying`."""

    def __init__(self, name: str, model: Model, masking: Masking) -> None:
        self.part = name
        self.model = model
        self.masking = masking

    @property
    def name(self) -> str:
        """What the server calls it."""
        return self.model.name

    @property
    def context_tokens(self) -> int:
        """As the model behind has."""
        return self.model.context_tokens

    def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """The answer as it comes, raising as the port says. Where a rule takes too long, the prompt
        does not leave: `Unready`, and the next model is asked."""
        if not self.masking.applies(self.part):
            return self.model.stream(prompt)
        return self._stream(prompt)

    async def _stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        mask = self.masking.mask(prompt.conversation)
        with plainly():
            sent = mask.prompt(prompt)
        way_back = _WayBack(mask)
        async with aclosing(self.model.stream(sent)) as deltas:
            async for delta in deltas:
                for back in way_back.take(delta):
                    yield back


class _EmbedsMasked(Masked):
    async def embed(self, texts: Sequence[str], *, urgency: Urgency = "chat") -> Embedding:
        """The vectors of the texts as they may be seen; a value has one placeholder everywhere, so
        that what belongs together stays together."""
        inner = cast("Embeds", self.model)
        if self.masking.applies(self.part):
            mask = self.masking.mask("")
            mask.names.reserve(texts)
            with plainly():
                texts = [mask.text(text) for text in texts]
        return await inner.embed(texts, urgency=urgency)


class _WarmsMasked(Masked):
    async def warm(self, prompts: Sequence[Prompt]) -> None:
        """Make it ready with prompts as it will see them."""
        if self.masking.applies(self.part):
            with plainly():
                prompts = [self.masking.mask(one.conversation).prompt(one) for one in prompts]
        await cast("Warms", self.model).warm(prompts)


class _WayBack:
    """An answer's deltas with the values put back."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._words = mask.restoring()
        self._thoughts = mask.restoring()

    def take(self, delta: Delta) -> Iterator[Delta]:
        match delta:
            case TextDelta():
                if text := self._words.feed(delta.text):
                    yield TextDelta(text=text)
            case ThoughtDelta():
                if text := self._thoughts.feed(delta.text):
                    yield ThoughtDelta(text=text)
            case CallDelta():
                yield from self._rest()
                yield CallDelta(call=self._mask.restored(delta.call))
            case Finish():
                yield from self._rest()
                notes = (*delta.notes, noted(self._mask)) if self._mask.pairs else delta.notes
                yield msgspec.structs.replace(delta, notes=notes)

    def _rest(self) -> Iterator[Delta]:
        if text := self._thoughts.rest():
            yield ThoughtDelta(text=text)
        if text := self._words.rest():
            yield TextDelta(text=text)


def masked(name: str, model: Model, masking: Masking) -> Masked:
    """A model as the house sees it, with the talents it has."""
    pairs = ((Embeds, _EmbedsMasked), (Warms, _WarmsMasked))
    return _behind(tuple(kind for talent, kind in pairs if isinstance(model, talent)))(
        name, model, masking
    )


@cache
def _behind(talents: tuple[type[Masked], ...]) -> type[Masked]:
    return cast("type[Masked]", type("Masked", talents or (Masked,), {}))


def relaying(model: Model, wire: Wire, body: bytes) -> Relays | None:
    """Who may pass on this request as it is: a model that takes the wire, where nothing in the
    request is to be put away. Else it is read into a `Prompt` and answered as any other."""
    inner = model.model if isinstance(model, Masked) else model
    if not isinstance(inner, Relays) or wire not in inner.wires:
        return None
    if isinstance(model, Masked) and model.masking.applies(model.part):
        return None if _hides(body, model.masking) else inner
    return inner


def _hides(body: bytes, masking: Masking) -> bool:
    """Whether a request's words hold anything to put away, or cannot be looked at."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        shown = [msgspec.json.decode(raw) for key, raw in fields.items() if key in _SHOWN]
        return any(masking.finds(text) for text in _strings(shown))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Overdue):
        return True


def _strings(value: object) -> Iterator[str]:
    match value:
        case str() if not (value.startswith("data:") or _picture(value)):
            yield value
        case int() | float() if not isinstance(value, bool):
            yield str(value)
        case list():
            for item in cast("list[object]", value):
                yield from _strings(item)
        case dict():
            for key, item in cast("dict[str, object]", value).items():
                if key not in _OPAQUE:
                    # The key says what the value is, as in {"password": …}.
                    yield from (f"{key}: {text}" for text in _strings(item))
        case _:
            return


def _picture(text: str) -> bool:
    return len(text) > LEAST_PICTURE and _BASE64.fullmatch(text) is not None


def noted(mask: Mask) -> str:
    """What was put away, by kind, for the owner."""
    counted = ", ".join(f"{count} {kind}" for kind, count in sorted(mask.counts.items()))
    return f"{NOTED}: {counted}"


def rules_of(settings: MaskingSettings) -> Rules:
    """The settings as the rules of the policy."""
    return Rules(
        skip=frozenset(settings.skip),
        own=tuple((name, _own(name, pattern)) for name, pattern in settings.rules.items()),
        exempt=frozenset(canonical(value) for value in settings.exempt),
    )


def _own(name: str, pattern: str) -> Own:
    compiled = regex.compile(pattern)

    def find(text: str) -> list[tuple[int, int]]:
        try:
            spans = [match.span() for match in compiled.finditer(text, timeout=RULE_SECONDS)]
        except TimeoutError:
            raise Overdue(name) from None
        return [(start, end) for start, end in spans if end > start]

    return find


@contextlib.contextmanager
def plainly() -> Generator[None]:
    """Turn a rule that takes too long into `Unready`: what cannot be looked at does not leave."""
    try:
        yield
    except Overdue as error:
        raise Unready(
            f"the rule {error.rule!r} in [masking] took over {RULE_SECONDS * 1000:.0f} ms, so the "
            "prompt was kept here; simplify it",
            trouble="request",
        ) from None


def key_in(path: Path) -> bytes:
    """The secret in a file, made where there is none. On a disk that cannot be written, one that
    lasts as long as the process: placeholders change with the next start, and nothing else."""
    try:
        key = path.read_bytes()
        if len(key) == 32:
            return key
    except OSError:
        pass
    key = secrets.token_bytes(32)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(key)
    return key
