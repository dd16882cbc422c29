# SPDX-License-Identifier: AGPL-3.0-or-later
"""How much a model is shown: small prompts with a stable prefix, cut in large steps."""

import math
import re
from collections.abc import Sequence

import msgspec

from haoya.core.tool import Line, ToolSpec

PROMPT_SHARE = 0.75
"""Of a model's context for the prompt; the rest is left for the answer."""

KEPT_SHARE = 0.5
"""When history outgrows its room, the oldest lines leave until this share is left, so that the
prefix (and with it the server's prompt cache) then stays stable for many turns."""

LINE_TOKENS = 4
"""What chat templates add to every message: role and separators (ChatML has 4)."""

IMAGE_TOKENS = 800
"""A picture in the middle of what vision models take (256 to 1,600)."""

LETTERS_PER_TOKEN = 3.6
"""English prose has 4 to 4.5 characters a token, JSON 3 to 3.5 (byte-pair vocabularies of
100,000 and more entries)."""

MOST_GROUPS = 100
"""However short they are, more lines than this make a prompt slow to read and to build."""

_WIDE = re.compile(r"[^\x00-\u2e7f]")


def tokens_of(text: str) -> int:
    """An estimate without the model's own tokenizer, meant to err upwards by some per cent.

    A CJK character or emoji counts one, other characters one for each `LETTERS_PER_TOKEN`.

    >>> tokens_of("hello world"), tokens_of("你好，世界")
    (4, 5)
    """
    wide = 0 if text.isascii() else len(_WIDE.findall(text))
    return wide + math.ceil((len(text) - wide) / LETTERS_PER_TOKEN)


def line_tokens(line: Line) -> int:
    """Estimated tokens of one line with its calls and pictures."""
    calls = sum(tokens_of(call.name) + tokens_of(call.arguments) + 8 for call in line.calls)
    return LINE_TOKENS + tokens_of(line.text) + calls + IMAGE_TOKENS * len(line.images)


def tools_tokens(tools: Sequence[ToolSpec]) -> int:
    """Estimated tokens of the tools as they stand in the prompt."""
    return sum(
        tokens_of(tool.name) + tokens_of(tool.purpose) + tokens_of(bytes(tool.schema).decode()) + 16
        for tool in tools
    )


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Lines that stay or leave together (a call and its results); `number` is the journal
    number of the first."""

    number: int
    lines: tuple[Line, ...]

    @property
    def tokens(self) -> int:
        """Estimated tokens of the whole group."""
        return sum(line_tokens(line) for line in self.lines)


def fit(groups: Sequence[Group], room: int) -> Sequence[Group]:
    """The youngest groups that fit into `room` tokens and `MOST_GROUPS`.

    All of them while they fit; otherwise the oldest leave until `KEPT_SHARE` of both is filled.
    The last group stays whatever it costs.
    """
    sizes = [group.tokens for group in groups]
    total = sum(sizes)
    if total <= room and len(groups) <= MOST_GROUPS:
        return groups
    first = max(0, len(groups) - int(MOST_GROUPS * KEPT_SHARE))
    total -= sum(sizes[:first])
    while first < len(groups) - 1 and total > room * KEPT_SHARE:
        total -= sizes[first]
        first += 1
    return groups[first:]
