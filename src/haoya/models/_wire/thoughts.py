# SPDX-License-Identifier: AGPL-3.0-or-later
"""Thoughts that a server leaves inside of the answer, told apart as it streams."""

import re

_OPENINGS = ("<think>", "<thinking>")
_CLOSINGS = ("</think>", "</thinking>")
_CLOSING = re.compile(r"</think(?:ing)?>\s*")
_LONGEST = len("</thinking>")


class Spoken:
    """Tells `<think>…</think>` before an answer from its words, wherever the text is cut.

    Only blocks at the very start are thoughts; later ones are words about the tag. A block that
    never ends is a thought to its end: better silence than a leak.

    >>> spoken = Spoken()
    >>> [spoken.feed(piece) for piece in ("<thi", "nk>Hm.</th", "ink>", "  Yes", ".")]
    [('', ''), ('Hm.', ''), ('', ''), ('', 'Yes'), ('', '.')]
    """

    def __init__(self) -> None:
        self._held = ""
        self._inside = False
        self._after = False  # right behind a block: blank edges go with it
        self._through = False

    def feed(self, text: str) -> tuple[str, str]:
        """What is certain to be thought and what to be said after this piece."""
        if self._through:
            return "", text
        self._held += text
        thought = ""
        while True:
            if self._inside:
                closing = _CLOSING.search(self._held)
                if not closing:
                    cut = _open_end(self._held)
                    thought += self._held[:cut]
                    self._held = self._held[cut:]
                    return thought, ""
                thought += self._held[: closing.start()]
                self._held = self._held[closing.end() :]
                self._inside, self._after = False, True
            start = self._held.lstrip()
            opening = next((tag for tag in _OPENINGS if start.startswith(tag)), None)
            if opening is None:
                break
            self._held = start[len(opening) :]
            self._inside = True
        if any(tag.startswith(start) for tag in _OPENINGS):
            return thought, ""
        words, self._held = start if self._after else self._held, ""
        self._through = True
        return thought, words

    def finish(self) -> tuple[str, str]:
        """What was held back because it could have become a tag."""
        held, self._held = self._held, ""
        if self._inside:
            return held, ""
        return "", held.lstrip() if self._after else held


def _open_end(text: str) -> int:
    """Where an unfinished closing tag at the end of `text` begins."""
    start = text.rfind("<", max(0, len(text) - _LONGEST))
    if start >= 0 and any(tag.startswith(text[start:]) for tag in _CLOSINGS):
        return start
    return len(text)
