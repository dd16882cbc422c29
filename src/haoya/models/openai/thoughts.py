# SPDX-License-Identifier: AGPL-3.0-or-later
"""Thoughts that a server leaves inside of the answer, taken out as it streams."""

import re

_OPENINGS = ("<think>", "<thinking>")
_CLOSING = re.compile(r"</think(?:ing)?>\s*")
_LONGEST = len("</thinking>")


class Spoken:
    """Passes on what is said and drops `<think>…</think>` before it, wherever the text is cut.

    Only blocks at the very start are thoughts; later ones are words about the tag. A block that
    never ends is dropped whole: better silence than a leak.

    >>> spoken = Spoken()
    >>> [spoken.feed(piece) for piece in ("<thi", "nk>Hm.</th", "ink>", "  Yes", ".")]
    ['', '', '', 'Yes', '.']
    """

    def __init__(self) -> None:
        self._held = ""
        self._inside = False
        self._after = False  # right behind a block: blank edges go with it
        self._through = False

    def feed(self, text: str) -> str:
        """The words that are certain to be said after this piece."""
        if self._through:
            return text
        self._held += text
        while True:
            if self._inside:
                closing = _CLOSING.search(self._held)
                if not closing:
                    self._held = self._held[-_LONGEST:]
                    return ""
                self._held = self._held[closing.end() :]
                self._inside, self._after = False, True
            start = self._held.lstrip()
            opening = next((tag for tag in _OPENINGS if start.startswith(tag)), None)
            if opening is None:
                break
            self._held = start[len(opening) :]
            self._inside = True
        if any(tag.startswith(start) for tag in _OPENINGS):
            return ""
        self._through = True
        return start if self._after else self._held

    def finish(self) -> str:
        """What was held back because it could have become a tag."""
        if self._through or self._inside:
            return ""
        return self._held.lstrip() if self._after else self._held
