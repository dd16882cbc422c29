# SPDX-License-Identifier: AGPL-3.0-or-later
"""The words of a text as they are indexed and looked for; pure."""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"(?P<cjk>[{_CJK}]+)|[^\W_{_CJK}]+")
_ACCENTS = re.compile("[\u0300-\u036f]")


def words_of(text: str, *, sought: bool = False) -> list[str]:
    """Folded words in order: no case, no accents, no English plural.

    Chinese, Japanese and Korean write without spaces, so each run becomes its pairs of signs,
    and for storing also its single signs; of what is `sought` only a lone sign stays single.

    >>> words_of("Two Cafés, 北京市")
    ['two', 'cafe', '北京', '京市', '北', '京', '市']
    >>> words_of("北京 茶", sought=True)
    ['北京', '茶']
    """
    found: list[str] = []
    for match in _WORD.finditer(_folded(text)):
        run = match[0]
        if match["cjk"] is None:
            found.append(_singular(run))
            continue
        found += [run[i : i + 2] for i in range(len(run) - 1)]
        if len(run) == 1 or not sought:
            found += run
    return found


def ranked(query: Sequence[str], texts: Sequence[Sequence[str]]) -> list[float]:
    """How well each text (its words) answers the query; rare words weigh more than common ones.

    The weights come from these texts alone: a person's memos are few, and others' are not asked.
    """
    sets = [set(text) for text in texts]
    counts = Counter(word for one in sets for word in one)
    weights = {word: math.log(1 + len(texts) / max(1, counts[word])) for word in set(query)}
    return [round(sum(w for word, w in weights.items() if word in one), 6) for one in sets]


def _folded(text: str) -> str:
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFKC", bare.casefold())


def _singular(word: str) -> str:
    """The "S stemmer" of D. Harman, "How effective is suffixing?" (JASIS 42, 1991)."""
    if len(word) < 4 or not word.isascii():
        return word
    if word.endswith("ies") and word[-4] not in "ae":
        return f"{word[:-3]}y"
    if word.endswith("es") and word[-3] not in "aeo":
        return word[:-1]
    if word.endswith("s") and word[-2] not in "us":
        return word[:-1]
    return word
