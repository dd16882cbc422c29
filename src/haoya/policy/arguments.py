# SPDX-License-Identifier: AGPL-3.0-or-later
"""JSON taken apart: every single value of arguments or of a result, with its path."""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import count
from typing import cast

import msgspec

from haoya.core.message import Word

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
Json = str | int | float | bool | dict[str, "Json"] | list["Json"] | None


class Leaf(Word, frozen=True, kw_only=True):
    """One value. `path` joins names with dots and leaves positions in lists out; `records` are
    the objects it stands in, outermost first, each by a number of its own."""

    path: str
    value: str
    records: tuple[int, ...] = ()
    text: bool = True
    """Whether it was a string; numbers and truth values are written as in JSON."""


@lru_cache(maxsize=256)
def leaves(text: str) -> tuple[Leaf, ...]:
    """All values of a JSON text but null, "" and empty lists; nothing for what is no JSON.

    >>> [(leaf.path, leaf.value) for leaf in leaves('{"to":["a","b"],"item":{"n":1}}')]
    [('to', 'a'), ('to', 'b'), ('item.n', '1')]
    """
    root = parsed(text)
    return tuple(_walk(root, "", (), count()))


def parsed(text: str) -> Json:
    """The JSON value of a text; None for what is no JSON."""
    try:
        return cast(Json, msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError):
        return None


def is_object(text: str) -> bool:
    """Whether a text is a JSON object."""
    return isinstance(parsed(text), dict)


def _walk(
    node: Json, path: str, records: tuple[int, ...], numbers: Iterator[int]
) -> Iterator[Leaf]:
    match node:
        case dict():
            inside = (*records, next(numbers))
            for name, inner in node.items():
                yield from _walk(inner, f"{path}.{name}" if path else name, inside, numbers)
        case list():
            for inner in node:
                yield from _walk(inner, path, records, numbers)
        case None | "":
            return
        case str():
            yield Leaf(path=path, value=node, records=records)
        case _:
            written = msgspec.json.encode(node).decode()
            yield Leaf(path=path, value=written, records=records, text=False)


def matches(pattern: str, path: str) -> bool:
    """Whether a path of a leaf is meant by a declared one (`*` stands for any one name, and a
    declared path for all below it).

    >>> matches("*.id", "mail.id"), matches("to", "to.address"), matches("to", "total")
    (True, True, False)
    """
    wanted, found = pattern.split("."), path.split(".") if path else [""]
    return len(found) >= len(wanted) and all(
        one in ("*", other) for one, other in zip(wanted, found, strict=False)
    )


def declared(facts: Mapping[str, str], path: str) -> str | None:
    """What a tool declares for a path: under the longest declared path that means it."""
    found = [pattern for pattern in facts if matches(pattern, path)]
    return facts[max(found, key=lambda one: (one.count("."), "*" not in one))] if found else None


def canonical(text: str) -> str:
    """A JSON text with sorted keys and no spaces, or the text itself where it is no JSON, or
    where it says the same name twice (readers differ on which of them counts)."""
    root = parsed(text)
    if root is None:
        return text
    written = msgspec.json.encode(root, order="sorted").decode()
    return written if _names(text) == _count(root) else text


def _names(text: str) -> int:
    """How many names the objects of a JSON text give, those said twice counted twice."""
    return _STRING.sub("", text).count(":")


def _count(node: Json) -> int:
    match node:
        case dict():
            return len(node) + sum(_count(inner) for inner in node.values())
        case list():
            return sum(_count(inner) for inner in node)
        case _:
            return 0
