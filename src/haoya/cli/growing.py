# SPDX-License-Identifier: AGPL-3.0-or-later
"""An answer that grows on the terminal, told by its newest words only."""

from typing import TextIO


class Growing:
    """Writes each state of a text as what it adds to the one before.

    A state that takes back words already shown begins on a new line: nothing on the terminal is
    ever moved or erased, so it reads well in a log, in a screen reader and beside an input
    method.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._shown = ""

    @property
    def begun(self) -> bool:
        """Whether part of an answer stands on the line."""
        return bool(self._shown)

    def grow(self, text: str) -> None:
        """Show the answer so far."""
        if not text.startswith(self._shown):
            if self._shown.startswith(text):
                return  # An older state came late.
            self._out.write("\n")
            self._shown = ""
        self._out.write(text[len(self._shown) :])
        self._out.flush()
        self._shown = text

    def finish(self, text: str) -> None:
        """Show the whole answer and end its line."""
        if self._shown and self._shown != text and not text.startswith(self._shown):
            self._out.write("\n")
            self._shown = ""
        self._out.write(text[len(self._shown) :] + "\n")
        self._out.flush()
        self._shown = ""

    def interrupt(self) -> None:
        """End the line where something else is about to be written."""
        if self._shown:
            self._out.write("\n")
            self._shown = ""
