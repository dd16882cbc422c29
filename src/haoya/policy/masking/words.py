# SPDX-License-Identifier: AGPL-3.0-or-later
"""The words of masking: kinds of personal data, where one stands, and what the owner wants."""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import msgspec

Kind = Literal[
    "id",
    "uscc",
    "passport",
    "permit",
    "phone",
    "card",
    "iban",
    "email",
    "ssn",
    "address",
    "plate",
    "record",
    "key",
    "ip",
    "mac",
    "birth",
    "gps",
    "account",
]
"""Identity numbers (of China, Hong Kong, Macau, Taiwan; licences and others where said so); Chinese
companies; passports; travel permits; telephones; bank cards; IBAN; e-mail; US and UK social
security; street addresses; number plates; medical records; keys, tokens and passwords; IP and MAC
addresses; dates of birth; places on the globe; accounts in chat networks and banks."""

KINDS: frozenset[str] = frozenset(get_args(Kind))


class Found(NamedTuple):
    """Personal data: characters `start` to `end` of a text. `kind` is one of `KINDS` or the name of
    a rule of the owner's."""

    start: int
    end: int
    kind: str


class Overdue(Exception):
    """A rule of the owner's took longer than it may; `rule` is its name."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


Own = Callable[[str], list[tuple[int, int]]]
"""A rule of the owner's: the stretches of a text that it matches. May raise `Overdue`."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for: every kind but `skip`, and the owner's `own` rules by name. `exempt` are
    values that may go out, in the form `canonical` gives them."""

    skip: frozenset[str] = frozenset()
    own: tuple[tuple[str, Own], ...] = ()
    exempt: frozenset[str] = frozenset()


def canonical(value: str) -> str:
    """A value without what does not tell it from others: separators, case, the country code +86.

    >>> canonical("+86 138-0013-8000") == canonical("13800138000")
    True
    >>> canonical("Ann@Example.org") == canonical("ann@example.org")
    True
    """
    bare = "".join(c for c in value.casefold() if c.isalnum() or c in "@.")
    digits = bare.replace(".", "")
    if not digits.isdecimal():
        return bare
    if len(digits) >= 13 and digits.startswith("0086"):
        return digits[4:]
    if len(digits) == 13 and digits.startswith("861"):
        return digits[2:]
    return digits if bare.count(".") != 3 else bare
