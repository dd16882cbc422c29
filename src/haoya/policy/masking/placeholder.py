# SPDX-License-Identifier: AGPL-3.0-or-later
"""What stands for a value that stays at home: `[PHONE-7KQ2]`.

Plain ASCII in brackets, since every tokenizer knows it and models copy it letter by letter; no
underscore, which Markdown takes for emphasis; no quote or backslash, so that it is the same inside
JSON. The four characters follow from a secret key, the conversation and the value: the same value
has the same name in a conversation, before and after a restart and wherever the prompt begins
(a provider's prompt cache goes on to hold), another name elsewhere, and nobody without the key can
try out all telephone numbers. They are drawn from half a million: a model that errs in one of them
does not hit another value.
"""

import hashlib
import re
from collections.abc import Iterable

import msgspec

from haoya.policy.masking.words import canonical

LETTERS = "23456789BCDFGHJKMNPQRSTVWXZ"
"""No vowels (no words come out), and nothing that is mistaken for something else."""
SIZE = 4
LONGEST = 12
"""Letters of the longest kind."""

_CODE = re.compile(rf"-(?<=[A-Za-z]{{2}}-)([0-9A-Za-z]{{{SIZE}}})(?![0-9A-Za-z])", re.ASCII)
_NAME = re.compile(
    r"(?:(?P<open>\\?\[|%5B)|(?<![0-9A-Za-z]))"
    rf"(?P<name>[A-Za-z]{{2,{LONGEST}}}-[0-9A-Za-z]{{{SIZE}}})"
    r"(?:(?P<close>\\?\]|%5D)|(?![0-9A-Za-z]))",
    re.ASCII | re.IGNORECASE,
)
_HELD = 2 * 3 + LONGEST + 1 + SIZE
"""Characters of the longest form in which a placeholder comes back, its brackets included."""


class Names:
    """The placeholders of one conversation, and the values they stand for."""

    def __init__(self, key: bytes, conversation: str) -> None:
        self.key = key
        self._conversation = conversation
        self._codes: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()
        self.values: dict[str, str] = {}
        """By name without brackets."""

    def reserve(self, texts: Iterable[str]) -> None:
        """Give no name that stands in one of these texts already: whatever comes back under a name
        of ours was meant by it."""
        for text in texts:
            if "-" in text:
                self._taken.update(code.upper() for code in _CODE.findall(text))

    def name(self, kind: str, value: str) -> str:
        """The placeholder for a value; the form in which it was seen first is the one that comes
        back."""
        same = (kind, canonical(value) or value)
        if same not in self._codes:
            code = self._code(*same)
            self._taken.add(code)
            self._codes[same] = name = f"{_word(kind)}-{code}"
            self.values[name] = value
        return f"[{self._codes[same]}]"

    def _code(self, kind: str, value: str) -> str:
        turn = 0
        while True:
            facts = f"{self._conversation}\0{kind}\0{value}\0{turn}"
            drawn = hashlib.blake2s(facts.encode("utf-8", "surrogatepass"), key=self.key).digest()
            number, code = int.from_bytes(drawn[:8], "big"), ""
            for _ in range(SIZE):
                number, place = divmod(number, len(LETTERS))
                code += LETTERS[place]
            if code not in self._taken:
                return code
            turn += 1


def restored(text: str, values: dict[str, str], *, json: bool = False) -> str:
    """The text with the values in place of their names, in brackets or without, in capitals or
    not, also as Markdown and web addresses escape them. What is no name of ours stays as it is.
    In `json`, values are written as JSON writes them within a string.

    >>> restored("call [PHONE-7KQ2] or (phone-7kq2)", {"PHONE-7KQ2": "138"})
    'call 138 or (138)'
    """
    if not values or "-" not in text:
        return text

    def put_back(match: "re.Match[str]") -> str:
        value = values.get(match["name"].upper())
        if value is None:
            return match[0]
        value = _escaped(value) if json else value
        opened, closed = match["open"] or "", match["close"] or ""
        return value if opened and closed else opened + value + closed

    return _NAME.sub(put_back, text)


class Restoring:
    """An answer that comes in pieces: names are put back even where they are cut in two."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values
        self._held = ""
        self._last = ""
        self._beginnings: frozenset[str] | None = None

    def feed(self, piece: str) -> str:
        """What can be said now; what may be the beginning of a name waits for more."""
        if not self._values:
            return piece
        text = self._held + piece
        place = self._hold_from(text)
        self._held = text[place:]
        return self._said(text[:place])

    def rest(self) -> str:
        """What was held back, at the end."""
        held, self._held = self._held, ""
        return self._said(held)

    def _said(self, text: str) -> str:
        """Names put back; no name begins right behind a letter that was said before."""
        before, last = self._last, text[-1:]
        if text:
            self._last = "0" if last.isascii() and last.isalnum() else ""
        return restored(before + text, self._values)[len(before) :]

    def _hold_from(self, text: str) -> int:
        if self._beginnings is None:
            self._beginnings = _beginnings(self._values)
        size = len(text)
        for place in range(max(0, size - _HELD), size):
            before = text[place - 1] if place else self._last
            if text[place].isalnum() and before.isascii() and before.isalnum():
                continue
            if text[place:].upper() in self._beginnings:
                return place
        return size


def _beginnings(names: Iterable[str]) -> frozenset[str]:
    """All that a name may begin with, in each form it may come back in, and up to its end."""
    forms = [opened + name for name in names for opened in ("", "[", "\\[", "%5B")]
    closing = ("\\", "%", "%5")
    return frozenset(
        [form[:size] for form in forms for size in range(1, len(form) + 1)]
        + [form + closed for form in forms for closed in closing]
    )


def _word(kind: str) -> str:
    """The kind as a name shows it.

    >>> _word("phone"), _word("staff-no 2")
    ('PHONE', 'STAFFNO')
    """
    letters = "".join(c for c in kind.upper() if c.isascii() and c.isalpha())[:LONGEST]
    return letters if len(letters) >= 2 else "OWN"


def _escaped(value: str) -> str:
    r"""A value as JSON writes it within a string.

    >>> _escaped('a"b\n')
    'a\\"b\\n'
    """
    return msgspec.json.encode(value).decode()[1:-1]
