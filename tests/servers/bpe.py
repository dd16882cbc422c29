# SPDX-License-Identifier: AGPL-3.0-or-later
"""Byte-level byte-pair encodings: one learned from a small text of our own.

Bytes are written as printable characters, as GPT-2 does it; text is split as Qwen2 splits it.
"""

import heapq
from collections import Counter, defaultdict

import msgspec
import regex

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Where a token never reaches over (the `pre_tokenizer` of Qwen2's tokenizer.json)."""

Pair = tuple[str, str]


class Encoding(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens in the order of their ids, and the pairs joined, the earliest first."""

    tokens: tuple[str, ...]
    merges: tuple[Pair, ...]


def alphabet() -> dict[int, str]:
    """The character that stands for each byte, in the order of the ids."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {byte: chr(byte) for byte in shown}
    for byte in range(256):
        if byte not in table:
            table[byte] = chr(256 + len(table) - len(shown))
    return table


def written(text: str) -> str:
    """Text in the characters of the alphabet.

    >>> written("a 好")
    'aĠå¥½'
    """
    table = alphabet()
    return "".join(table[byte] for byte in text.encode())


def learn(text: str, size: int) -> Encoding:
    """An encoding of at most `size` tokens; the most frequent pair is joined first, of several
    the one that sorts first."""
    table = alphabet()
    words = Counter(regex.findall(SPLIT, text))
    pieces = [[table[byte] for byte in word.encode()] for word in words]
    counts = list(words.values())
    pairs: Counter[Pair] = Counter()
    where: defaultdict[Pair, set[int]] = defaultdict(set)

    def tell(index: int, sign: int) -> set[Pair]:
        there = list(zip(pieces[index], pieces[index][1:], strict=False))
        for pair in there:
            pairs[pair] += sign * counts[index]
            where[pair].add(index)
        return set(there)

    for index in range(len(pieces)):
        tell(index, 1)
    heap = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(heap)
    tokens, merges = dict.fromkeys(table.values()), list[Pair]()
    while heap and len(tokens) < size:
        count, best = heapq.heappop(heap)
        if not count or -count != pairs[best]:
            continue  # The count has changed since, and stands in the heap again.
        merges.append(best)
        tokens[best[0] + best[1]] = None
        changed: set[Pair] = set()
        for index in where.pop(best):
            changed |= tell(index, -1)
            pieces[index] = joined(pieces[index], best)
            changed |= tell(index, 1)
        for pair in changed:
            heapq.heappush(heap, (-pairs[pair], pair))
    return Encoding(tokens=tuple(tokens), merges=tuple(merges))


def joined(word: list[str], pair: Pair) -> list[str]:
    """A word with every occurrence of a pair made one, from the left.

    >>> joined(["a", "a", "a"], ("a", "a"))
    ['aa', 'a']
    """
    out: list[str] = []
    index = 0
    while index < len(word):
        if tuple(word[index : index + 2]) == pair:
            out.append(pair[0] + pair[1])
            index += 2
        else:
            out.append(word[index])
            index += 1
    return out
