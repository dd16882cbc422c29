# SPDX-License-Identifier: AGPL-3.0-or-later
"""Texts in the form that rules read: every character in its place, in its plainest shape."""

import re

_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2043\ufe58\ufe63\uff0d\u30fc"
_BLANKS = (
    "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
)
_UNSEEN = (
    "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2069\ufeff"
)
_DOTS = "\uff0e\uff61\u2024"

_PLAIN: dict[int, int] = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F) if chr(code) not in "，；！？"},
    **{ord(c): ord("-") for c in _DASHES},
    **{ord(c): ord(" ") for c in _BLANKS + _UNSEEN},
    **{ord(c): ord(".") for c in _DOTS},
}
"""Fullwidth forms (but for what ends a phrase), dashes, blanks; and marks without width, as copied
telephone numbers have them around (U+202D, U+202C)."""

_SPECIAL = re.compile(f"[\uff01-\uff5e{_DASHES}{_BLANKS}{_UNSEEN}{_DOTS}]")
_ESCAPE = re.compile(r"\\[nrt]")


def flat(text: str) -> str:
    r"""The text for rules to read; its length and the places in it stay as they are.

    >>> flat("１３８－００１３　８０００"), flat(r"\n138")
    ('138-0013 8000', '  138')
    """
    if not text.isascii() and _SPECIAL.search(text):
        text = text.translate(_PLAIN)
    if "\\" in text:  # the text of JSON: a line end must not pass for the letter n
        text = _ESCAPE.sub("  ", text)
    return text
