# SPDX-License-Identifier: AGPL-3.0-or-later
"""Text without signs that nobody sees: they are where instructions hide."""

_INVISIBLE = [
    *range(0x20), *range(0x7F, 0xA0), 0xAD, 0x200B, 0x200E, 0x200F, *range(0x2028, 0x202F),
    *range(0x2060, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080),
    *range(0xE0100, 0xE01F0),
]  # fmt: skip
"""Control signs, marks of direction, tags and fillers (Unicode's categories Cc and Cf); those that
join signs into others (U+200C, U+200D) stay."""

_TABLE: dict[int, None] = {sign: None for sign in _INVISIBLE if chr(sign) not in "\n\t"}


def plain(text: str) -> str:
    """The text as it is seen.

    >>> plain("a\\u200bb\\u202ec\\U000e0041")
    'abc'
    """
    return text.translate(_TABLE)
