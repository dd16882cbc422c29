# SPDX-License-Identifier: Apache-2.0
"""What a channel can do, declared per account; the conformance suite proves each cell."""

from typing import Literal

from haoya.core.message import Word

LengthUnit = Literal["utf8", "chars", "utf16"]


class Capabilities(Word, frozen=True, kw_only=True):
    """One account's abilities. The defaults are the poorest network imaginable.

    `max_length` counts in `unit`. `multiline` is false where a line end ends the message: each
    line is then a piece of its own. `edit_seconds` is how long a sent message may be changed
    (0: never). `draft_seconds` is the least time between two steps of a streamed answer (0: no
    streaming). `rate` is messages a second the network takes from us in one conversation, 0
    for no limit. `idempotent_send`: `native` when the network drops a second sending with our
    id, `query` when it can be asked, `none` when neither. `ack`: whether the network is told
    that we have a message `after_commit` (it redelivers what we lost) or `before`.
    """

    max_length: int = 400
    unit: LengthUnit = "chars"
    multiline: bool = True
    markup: Literal["none", "spans", "markdown"] = "none"
    hears: frozenset[str] = frozenset({"text"})
    says: frozenset[str] = frozenset({"text"})
    max_bytes: int = 0
    edit_seconds: float = 0
    draft_seconds: float = 0
    typing: bool = False
    buttons: bool = False
    threads: bool = False
    history: bool = False
    idempotent_send: Literal["native", "query", "none"] = "none"
    rate: float = 0
    ack: Literal["after_commit", "before"] = "before"


def length(text: str, unit: LengthUnit) -> int:
    """How long the network thinks `text` is.

    >>> length("好😀", "utf8"), length("好😀", "chars"), length("好😀", "utf16")
    (7, 2, 3)
    """
    if unit == "chars" or text.isascii():
        return len(text)
    if unit == "utf8":
        return len(text.encode("utf-8", "surrogatepass"))
    return len(text) + sum(character > "\uffff" for character in text)
