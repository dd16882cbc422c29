# SPDX-License-Identifier: AGPL-3.0-or-later
"""Known secrets are taken out of whatever is written down or shown."""

import base64
import json
import sys
from collections.abc import Iterable
from typing import TextIO, cast
from urllib.parse import quote

LEAST_LETTERS = 8
"""A shorter secret stands in ordinary words by chance; it is not looked for."""
_LINE_LETTERS = 20


class Redactor:
    """Knows the secrets by their values, and the spellings they travel in."""

    def __init__(self) -> None:
        self._named: list[tuple[str, str]] = []
        self._bytes: list[bytes] = []

    def learn(self, secrets: Iterable[tuple[str, str]]) -> None:
        """Look for these (name, value) from now on, and for no others."""
        named: dict[str, str] = {}
        for name, value in secrets:
            if len(value) >= LEAST_LETTERS:
                named |= dict.fromkeys(_spellings(value), name)
        # The longest first: one value may begin as another does.
        self._named = sorted(named.items(), key=lambda pair: -len(pair[0]))
        self._bytes = [spelling.encode() for spelling, _ in self._named]

    def finds(self, data: bytes) -> bool:
        """Whether a secret stands in it, as UTF-8."""
        return any(spelling in data for spelling in self._bytes)

    def clean(self, text: str) -> str:
        """The text with the name of each secret in the place of its value."""
        for spelling, name in self._named:
            if spelling in text:
                text = text.replace(spelling, f"[secret:{name}]")
        return text


class _Clean:
    """A stream that writes to another one, cleaned; anything else is the other one's."""

    def __init__(self, stream: TextIO, redactor: Redactor) -> None:
        self._stream = stream
        self._redactor = redactor

    def write(self, text: str) -> int:
        self._stream.write(self._redactor.clean(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        self.write("".join(lines))

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def redact_output(redactor: Redactor) -> None:
    """From now on all that this process prints is cleaned: the log, tracebacks of what crashed,
    warnings."""
    sys.stdout = cast("TextIO", _Clean(sys.stdout, redactor))
    sys.stderr = cast("TextIO", _Clean(sys.stderr, redactor))


def _spellings(value: str) -> set[str]:
    """As it is, in JSON, in a URL, in an HTTP header of basic authentication, line by line.

    >>> sorted(_spellings('pa"ss word'))
    ['cGEic3Mgd29yZA==', 'pa"ss word', 'pa%22ss%20word', 'pa\\\\"ss word']
    """
    lines = value.split("\n")
    found = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    found |= {quote(value, safe=""), base64.b64encode(value.encode()).decode()}
    if len(lines) > 1:
        found |= {line for line in lines if len(line) >= _LINE_LETTERS}
    return found
