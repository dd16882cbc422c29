# SPDX-License-Identifier: AGPL-3.0-or-later
"""An answer as it grows: words, thoughts and calls told apart by the marks between them."""

import codecs
from collections.abc import Iterator
from typing import Literal

import msgspec

THINK, THOUGHT = "<think>", "</think>"

Kind = Literal["text", "thought", "call"]


class Heard(msgspec.Struct, frozen=True):
    """More of an answer; a `call` comes whole, as the JSON between its marks."""

    kind: Kind
    text: str


class Speech:
    """Takes the bytes of tokens one after the other and says what they mean.

    `opens` and `closes` are the marks around a call, empty where no tool may be called; without
    `closes` a call goes to the end. Nothing is let out that may turn out to be the beginning of a
    mark, a stop string, or a character whose last bytes have not come.

    >>> speech = Speech(stops=("END",))
    >>> [heard.text for piece in (b"a E", b"N", b"D b") for heard in speech.hear(piece)]
    ['a ']
    >>> speech.stopped
    True
    """

    def __init__(
        self,
        *,
        opens: str = "",
        closes: str = "",
        stops: tuple[str, ...] = (),
        thinking: bool = False,
    ) -> None:
        self.state: Kind = "thought" if thinking else "text"
        self.stopped = False
        self._opens, self._closes, self._stops = opens, closes, stops
        self._bytes = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._begun = False

    def hear(self, piece: bytes) -> list[Heard]:
        """What is certain now that `piece` has come."""
        return list(self._hear(self._bytes.decode(piece)))

    def finish(self) -> list[Heard]:
        """What was held back; nothing more will come."""
        heard = list(self._hear(self._bytes.decode(b"", final=True)))
        unclosed = self.state == "call" and self._closes
        if self._held.strip() and not self.stopped and not unclosed:
            heard.append(Heard(self.state, self._held))
        self._held = ""
        return heard

    def _hear(self, text: str) -> Iterator[Heard]:
        if self.stopped:
            return
        self._held += text
        while (found := self._mark()) is not None:
            at, mark = found
            before, self._held = self._held[:at], self._held[at + len(mark) :]
            yield from self._say(before)
            if self._pass(mark):
                return
        if self.state != "call":
            sure = len(self._held) - _overhang(self._held, self._marks())
            said, self._held = self._held[:sure], self._held[sure:]
            yield from self._say(said)

    def _say(self, text: str) -> Iterator[Heard]:
        if self.state == "text" and not self._begun:
            text = text.lstrip()
        if text:
            self._begun = True
            yield Heard(self.state, text)

    def _marks(self) -> tuple[str, ...]:
        opens = (self._opens,) if self._opens else ()
        if self.state == "call":
            return (self._closes,) if self._closes else ()
        if self.state == "thought":
            return (THOUGHT, *opens)
        return (*self._stops, *opens, *(() if self._begun else (THINK,)))

    def _mark(self) -> tuple[int, str] | None:
        places = [(self._held.find(mark), mark) for mark in self._marks()]
        found = [(at, mark) for at, mark in places if at >= 0]
        # A thought stands before all words; later the mark is a word like others.
        blank = len(self._held) - len(self._held.lstrip())
        return min((one for one in found if one[1] != THINK or one[0] <= blank), default=None)

    def _pass(self, mark: str) -> bool:
        """Go on behind a mark; whether the answer ends at it."""
        if self.state == "text" and mark in self._stops:
            self.stopped = True
            self._held = ""
        elif mark == THINK:
            self.state = "thought"
        elif mark == self._opens and self.state != "call":
            self.state = "call"
        else:
            self.state, self._begun = "text", False
        return self.stopped


def _overhang(text: str, marks: tuple[str, ...]) -> int:
    """How many characters at the end may be the beginning of a mark."""
    most = max((len(mark) for mark in marks), default=1) - 1
    for size in range(min(most, len(text)), 0, -1):
        tail = text[-size:]
        if any(mark.startswith(tail) for mark in marks):
            return size
    return 0
