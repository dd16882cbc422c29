# SPDX-License-Identifier: AGPL-3.0-or-later
"""Keys and tokens: by the beginnings their makers gave them, or since they look drawn by dice."""

import math
import re
from collections import Counter

from haoya.policy.masking.words import Found

_KNOWN = re.compile(
    r"""(?:
    sk-[A-Za-z0-9_-]{16,} | [rsp]k_(?:live|test)_[A-Za-z0-9]{10,} | whsec_[A-Za-z0-9+/=]{20,}
    | gh[pousr]_[A-Za-z0-9]{30,} | github_pat_[A-Za-z0-9_]{40,}
    | gl(?:pat|dt|rt|ft)-[A-Za-z0-9_-]{18,}
    | xox[abeprs]-[A-Za-z0-9-]{10,} | xapp-[A-Za-z0-9-]{20,}
    | (?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16} | LTAI[A-Za-z0-9]{12,26} | AKID[A-Za-z0-9]{28,36}
    | AIza[A-Za-z0-9_-]{35} | ya29\.[A-Za-z0-9_-]{20,} | GOCSPX-[A-Za-z0-9_-]{20,}
    | hf_[A-Za-z0-9]{30,} | npm_[A-Za-z0-9]{30,} | pypi-[A-Za-z0-9_-]{40,}
    | dckr_pat_[A-Za-z0-9_-]{20,} | SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}
    | key-[0-9a-f]{32} | shp(?:at|ss|ca)_[0-9a-fA-F]{32}
    | eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?
    | \d{8,10}:[A-Za-z0-9_-]{35} | [MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}
    | AGE-SECRET-KEY-1[0-9A-Z]{50,}
    | (?:gsk|xai|pplx|r8|nvapi|tvly|csk|fw|ms|dop_v1|lin_api)[_-][A-Za-z0-9_-]{24,}
    )(?![A-Za-z0-9])""",
    re.VERBOSE,
)
_TOKEN = re.compile(r"[A-Za-z0-9](?<![A-Za-z0-9_+/=.:-].)[A-Za-z0-9_+/=.:-]{15,}", re.ASCII)
_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:.{0,20000}?-----END [A-Z0-9 ]{0,40}-----|.*)",
    re.DOTALL,
)
_IN_URL = re.compile(r"://[^\s/:@]{0,64}:(?P<v>[^\s/@]{3,200})@")
_PIECE = re.compile(r"[A-Za-z0-9_+=-]{24,}|[A-Za-z0-9_+/=-]{32,}", re.ASCII)
_WORD = re.compile(r"[a-z]{3,}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")

LEAST_BITS = 3.6
"""Shannon entropy of a key's characters: 24 drawn from 62 have 4.2 bits in the middle and less than
3.6 once in ten thousand."""
WORDED = 0.45
"""Share of a string that is three small letters or more in a row: 0.16 where drawn from letters and
digits, most of it in namesLikeThisOne."""


def keys_in(text: str) -> list[Found]:
    """Keys and tokens that need no word beside them."""
    found: list[Found] = []
    if "-----BEGIN" in text:
        found += [Found(*match.span(), "key") for match in _BLOCK.finditer(text)]
    if "://" in text and "@" in text:
        found += [Found(*match.span("v"), "key") for match in _IN_URL.finditer(text)]
    for token in _TOKEN.finditer(text):
        word, start = token[0], token.start()
        known = [Found(start + m.start(), start + m.end(), "key") for m in _KNOWN.finditer(word)]
        if known:
            found += known
        elif len(word) >= 24:
            found += [
                Found(start + m.start(), start + m.end(), "key")
                for m in _PIECE.finditer(word)
                if is_drawn(m[0])
            ]
    return found


def is_drawn(text: str) -> bool:
    """Whether a string was drawn by dice rather than written: no word, no path, no checksum.

    >>> is_drawn("q7Zt0LbX2vKp9RsM4wYc8NdH"), is_drawn("getUserAccountByIdentifierV2Handler")
    (True, False)
    >>> is_drawn("da39a3ee5e6b4b0d3255bfef95601890afd80709")
    False
    """
    bare = text.strip("=_-+/")
    kinds = {_class(c) for c in bare}
    if len(bare) < 24 or not {"u", "l", "d"} <= kinds or _UUID.search(bare):
        return False
    worded = sum(len(run) for run in _WORD.findall(bare)) / len(bare)
    return worded < WORDED and _bits(bare) >= LEAST_BITS


def _class(c: str) -> str:
    return "d" if c.isdecimal() else "u" if c.isupper() else "l" if c.islower() else "s"


def _bits(text: str) -> float:
    size = len(text)
    return -sum(n / size * math.log2(n / size) for n in Counter(text).values())
