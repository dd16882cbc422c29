# SPDX-License-Identifier: AGPL-3.0-or-later
"""An assistant's line in the order it was spoken: thoughts, words and calls, mixed.

Providers that sign thoughts want them back where they stood. `Finish.echo` keeps the thoughts
themselves, and of words and calls only their places, for `Line` has them already.
"""

import msgspec

from haoya.core.tool import Line, ToolCall

Spoken = str | ToolCall | msgspec.Raw
"""Words, a call, or a thought as the provider's JSON."""


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """One stretch: a number of characters of the text, a call's index, or a thought as it came."""

    words: int = 0
    call: int = -1
    thought: msgspec.Raw = msgspec.Raw(b"")


class Order:
    """Notes the places of one answer while it arrives."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._calls = 0

    def word(self, text: str) -> None:
        """More words were said."""
        last = self._places[-1] if self._places else Place()
        if last.words:
            self._places[-1] = Place(words=last.words + len(text))
        elif text:
            self._places.append(Place(words=len(text)))

    def call(self) -> None:
        """The next call was made."""
        self._places.append(Place(call=self._calls))
        self._calls += 1

    def thought(self, raw: bytes) -> None:
        """A thought ended; `raw` is the JSON the provider wants back."""
        self._places.append(Place(thought=msgspec.Raw(raw)))

    def echo(self) -> str:
        """The text to keep; empty where no thought stands in it."""
        if not any(bytes(place.thought) for place in self._places):
            return ""
        return msgspec.json.encode(self._places).decode()


_PLACES = msgspec.json.Decoder(list[Place])


def ordered(line: Line, part: str) -> list[Spoken]:
    """What an assistant's line is made of, with the thoughts if it was `part` that spoke it.

    Where the words are no longer those that were spoken, the thoughts stand before them.
    """
    places: list[Place] = []
    if line.echo and line.model == part:
        try:
            places = _PLACES.decode(line.echo)
        except msgspec.DecodeError:
            places = []
    while places and bytes(places[-1].thought):
        places.pop()  # thoughts that came to nothing are refused
    thoughts = [place.thought for place in places if bytes(place.thought)]
    calls = [place.call for place in places if place.call >= 0]
    same = sum(place.words for place in places) == len(line.text)
    if not (same and calls == list(range(len(line.calls)))):
        said: list[Spoken] = [line.text] if line.text else []
        return [*thoughts, *said, *line.calls]
    found: list[Spoken] = []
    at = 0
    for place in places:
        if bytes(place.thought):
            found.append(place.thought)
        elif place.words:
            found.append(line.text[at : at + place.words])
            at += place.words
        else:
            found.append(line.calls[place.call])
    return found
