# SPDX-License-Identifier: AGPL-3.0-or-later
"""Finding known secrets in what leaves and what is written down, also when lightly disguised.

Text is squeezed first: only ASCII letters and digits stay, in lower case. So it does not matter
how a secret is split, spaced or quoted, nor which alphabet of Base64 it went through. The squeezed
text is then looked at in steps of a few bytes: a secret that is in it fills at least one whole
step, and all steps that a secret can fill are known (sampled grams). That costs the same for one
secret as for hundreds. What it does not see: a secret that was encrypted, compressed, hashed, sent
letter by letter, encoded twice, or written in other letters that look like its own.
"""

import base64
import html
import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import unquote_to_bytes

MIN_CHARS = 8
"""Shorter secrets are not looked for: they would be found in everything."""

_STEP = 8
_SMALL_STEP = 4
_KEPT = bytes(byte for byte in range(128) if chr(byte).isalnum())
_DROPPED = bytes(byte for byte in range(256) if byte not in _KEPT)
_LOWER = bytes(range(256)).lower()
_ESCAPE = re.compile(rb"\\u00([0-9a-fA-F]{2})|\\x([0-9a-fA-F]{2})")
_ENTITY = re.compile(rb"&#(?:[xX]0*([0-9a-fA-F]{2})|0*([0-9]{2,3}));")
_ROT13 = bytes.maketrans(
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
    b"nopqrstuvwxyzabcdefghijklmNOPQRSTUVWXYZABCDEFGHIJKLM",
)


def squeezed(data: bytes) -> bytes:
    """Letters and digits alone, in lower case.

    >>> squeezed(b"Sk-AB c=9")
    b'skabc9'
    """
    return data.translate(_LOWER, _DROPPED)


def forms(secret: bytes) -> Iterator[bytes]:
    """A secret as it is, and in the encodings it may travel in; Base64 and Base32 at every offset,
    without the ends that depend on what stands beside it."""
    yield secret
    yield secret[::-1]
    yield secret.hex().encode()
    yield secret[::-1].hex().encode()
    yield secret.translate(_ROT13)
    wide = secret.decode("utf-8", "replace").encode("utf-16-le")
    for text in (secret, secret[::-1], wide):
        yield from _in_bits(text, base64.b64encode, 6, 3)
    yield from _in_bits(secret, base64.b32encode, 5, 5)


def _in_bits(
    data: bytes, encode: Callable[[bytes], bytes], bits: int, offsets: int
) -> Iterator[bytes]:
    for offset in range(offsets):
        whole = encode(bytes(offset) + data)
        yield whole[-(-8 * offset // bits) : 8 * (offset + len(data)) // bits]


class Screen:
    """Looks for the values of named secrets."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self.weak: list[str] = []
        """Names of secrets that are too short to be looked for."""
        self._needles: list[tuple[bytes, str]] = []
        self._exact: list[tuple[bytes, str]] = []
        self._grams: dict[int, frozenset[int]] = {}
        self.reach = 256
        """How many bytes a found secret may be spread over where pieces are looked at in turn."""
        for name, value in secrets.items():
            self._know(name, value.strip().encode("utf-8", "surrogatepass"))
        for step in (_STEP, _SMALL_STEP):
            self._grams[step] = frozenset(
                gram
                for needle, _ in self._needles
                if _step_of(needle) == step
                for gram in _grams(needle, step)
            )

    def __bool__(self) -> bool:
        return bool(self._needles or self._exact)

    def find(self, data: bytes | str) -> frozenset[str]:
        """The names of the secrets that are in it."""
        if not self:
            return frozenset()
        if isinstance(data, str):
            data = data.encode("utf-8", "surrogatepass")
        found = {name for value, name in self._exact if value in data}
        for view in _views(data):
            found |= self._within(squeezed(view))
        return frozenset(found)

    def redact(self, text: str) -> tuple[str, frozenset[str]]:
        """The text with `[secret NAME]` in the place of each secret, and the names."""
        names = self.find(text)
        if not names:
            return text, names
        spans = sorted(span for units in _mapped(text) for span in self._spans(units))
        for value, name in self._exact:
            spans += [(at, end, name) for at, end in _places(text, value.decode())]
        pieces: list[str] = []
        done = 0
        for start, end, name in sorted(spans):
            if start >= done:
                pieces += [text[done:start], f"[secret {name}]"]
            done = max(done, end)
        return "".join([*pieces, text[done:]]), names

    def _know(self, name: str, value: bytes) -> None:
        if len(value) < MIN_CHARS:
            self.weak.append(name)
            return
        self.reach = max(self.reach, 6 * len(value))
        if len(squeezed(value)) < MIN_CHARS:
            self._exact.append((value, name))
            return
        seen = dict.fromkeys(squeezed(form) for form in forms(value))
        self._needles += [(needle, name) for needle in seen if len(needle) >= MIN_CHARS]

    def _within(self, text: bytes) -> set[str]:
        if any(
            grams and not grams.isdisjoint(_steps(text, step))
            for step, grams in self._grams.items()
        ):
            return {name for needle, name in self._needles if needle in text}
        return set()

    def _spans(self, units: list[tuple[int, int, int]]) -> Iterator[tuple[int, int, str]]:
        """Where in the text the secrets of one view stand."""
        kept = [(_LOWER[byte], start, end) for byte, start, end in units if byte in _KEPT]
        text = bytes(byte for byte, _, _ in kept)
        for needle, name in self._needles:
            at = text.find(needle)
            while at >= 0:
                yield kept[at][1], kept[at + len(needle) - 1][2], name
                at = text.find(needle, at + 1)


def _step_of(needle: bytes) -> int:
    return _STEP if len(needle) >= 2 * _STEP - 1 else _SMALL_STEP


def _grams(needle: bytes, step: int) -> Iterator[int]:
    """Every step of a text that the needle, wherever it stands, may fill first."""
    for offset in range(min(step, len(needle) - step + 1)):
        yield int.from_bytes(needle[offset : offset + step], "little")


def _steps(text: bytes, step: int) -> list[int]:
    whole = memoryview(text)[: len(text) // step * step]
    if step == _STEP:
        return whole.cast("Q").tolist()
    return whole.cast("I").tolist()


def _views(data: bytes) -> Iterator[bytes]:
    """The data, and what it reads once its escapes are undone."""
    yield data
    plain = data
    if b"%" in data:
        plain = unquote_to_bytes(data)
        if b"%" in plain:
            plain = unquote_to_bytes(plain)
    if b"\\" in plain:
        plain = _ESCAPE.sub(lambda m: bytes.fromhex((m[1] or m[2]).decode()), plain)
    if b"&#" in plain:
        plain = _ENTITY.sub(_entity, plain)
    if plain is not data:
        yield plain


def _entity(match: re.Match[bytes]) -> bytes:
    return html.unescape(match[0].decode()).encode("utf-8", "surrogatepass")


_WRITTEN = re.compile(
    r"%25(?P<twice>[0-9a-fA-F]{2})|%(?P<percent>[0-9a-fA-F]{2})|\\u00(?P<escape>[0-9a-fA-F]{2})"
    r"|\\x(?P<hex>[0-9a-fA-F]{2})|(?P<entity>&#(?:[xX]0*[0-9a-fA-F]{2}|0*[0-9]{2,3});)"
)


def _mapped(text: str) -> Iterator[list[tuple[int, int, int]]]:
    """Both views of a text, each byte with the place in the text that it comes from."""
    for escapes in (False, True):
        units: list[tuple[int, int, int]] = []
        at = 0
        while at < len(text):
            match = _WRITTEN.match(text, at) if escapes and text[at] in "%\\&" else None
            if match is None:
                end = at + 1
                value = text[at].encode("utf-8", "surrogatepass")
            else:
                end = match.end()
                code = match["twice"] or match["percent"] or match["escape"] or match["hex"]
                value = bytes.fromhex(code) if code else _entity_of(match["entity"])
            units += [(byte, at, end) for byte in value]
            at = end
        yield units


def _entity_of(text: str) -> bytes:
    return html.unescape(text).encode("utf-8", "surrogatepass")


def _places(text: str, value: str) -> Iterator[tuple[int, int]]:
    at = text.find(value)
    while at >= 0:
        yield at, at + len(value)
        at = text.find(value, at + 1)
