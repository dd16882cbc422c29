# SPDX-License-Identifier: AGPL-3.0-or-later
"""Where the values come from that decide whom, where or what an effect hits.

A model may be fooled, or be an attacker's from the start; so nothing it says counts. What counts
is that the very value stands in the words of the person who asks, or in a source that nobody else
can write into, or that the person was shown it and said yes.
"""

import re
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Literal

import msgspec

from haoya.core.label import TRUST
from haoya.core.tool import Facet, Origin, ToolSpec
from haoya.policy.amounts import amount, amounts, reckoned
from haoya.policy.arguments import declared, leaves, matches
from haoya.policy.canonical import fold, same, tokens
from haoya.policy.case import Case
from haoya.policy.evidence import Evidence, Result, Value, calls_it, equal
from haoya.policy.labels import trusts
from haoya.policy.moments import apart, said

Kind = Literal[
    "said",
    "linked",
    "approved",
    "default",
    "reckoned",
    "data",
    "chosen",
    "known",
    "strange",
    "none",
]
"""In the person's own words; bound by a record to a name in them; seen and approved by an owner;
the tool's own default; reckoned from amounts in them; in a source that is the person's alone;
one of the things a listing of his vouches for, chosen by the model; in the words of somebody he
knows; in those of a stranger; nowhere."""

FIRM: frozenset[Kind] = frozenset({"said", "linked", "approved", "default", "reckoned", "data"})
"""What decides by itself."""

_FACETS: dict[str, Facet] = {
    "who": "who", "where": "where", "which": "which", "amount": "amount", "when": "when"
}  # fmt: skip
_ID = re.compile(r"(^|[._])id_?$")
_MARK = r"(?:id|no\.?|nr\.?|number|#|编号|号码|第|['\"(])\W{0,3}"
_FORM = re.compile(r"['\"“‘「]([^'\"“”‘’「」]*\{[^{}]+\}[^'\"“”‘’「」]*)['\"”’」]")
_SHORT = 3


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Where one value of one argument comes from."""

    argument: str
    value: str
    facet: Facet
    kind: Kind
    source: str

    @property
    def origin(self) -> Origin:
        """As the owner is shown it."""
        return Origin(
            argument=self.argument,
            value=self.value,
            source=self.source,
            trusted=self.kind in FIRM,
        )


def prove(case: Case, spec: ToolSpec, seen: Evidence) -> tuple[Proof, ...]:
    """Where each value comes from that stands in an argument with authority."""
    defaults = _defaults(spec)
    found: list[Proof] = []
    for leaf in leaves(case.call.arguments):
        name = declared(spec.authority, leaf.path)
        if name is None:
            continue
        facet = _FACETS[name]
        if defaults.get(leaf.path) == leaf.value:
            kind, source = "default", "the tool's own default"
        else:
            reached = facet == "who" or any(matches(one, leaf.path) for one in spec.audience)
            words = seen.request if reached and _wary(seen, case) else seen.own
            kind, source = _origin(leaf.value, facet, words, case, seen)
        if facet == "when" and kind not in FIRM and _follows(leaf.value, found):
            kind, source = "reckoned", "shortly after the time you named"
        found.append(
            Proof(argument=leaf.path, value=leaf.value, facet=facet, kind=kind, source=source)
        )
    return tuple(found)


def _defaults(spec: ToolSpec) -> dict[str, str]:
    """The defaults of a schema, by argument."""
    text = bytes(spec.schema).decode()
    return {
        leaf.path.removeprefix("properties.").removesuffix(".default"): leaf.value
        for leaf in leaves(text)
        if leaf.path.startswith("properties.") and leaf.path.endswith(".default")
    }


def _follows(value: str, found: list[Proof]) -> bool:
    """Whether a moment comes within a day after one of the same call that is proven."""
    gaps = (apart(one.value, value) for one in found if one.facet == "when" and one.kind in FIRM)
    return any(gap is not None and timedelta(0) < gap <= timedelta(days=1) for gap in gaps)


def _origin(value: str, facet: Facet, words: str, case: Case, seen: Evidence) -> tuple[Kind, str]:
    """The best that speaks for a value, and in whose words."""
    if _stands(value, facet, words, case.now):
        return "said", "your words"
    if fold(value) in seen.approved:
        return "approved", "what you approved in this run"
    best: tuple[Kind, str] = ("none", "nowhere: the model chose it")
    for kind, source in _from_results(value, facet, words, case, seen):
        if _RANK[kind] < _RANK[best[0]]:
            best = kind, source
    if facet == "amount" and best[0] not in FIRM and _reckoned(value, words, case, seen):
        return "reckoned", "reckoned from the amounts you named"
    return best


_RANK: dict[Kind, int] = {
    "linked": 0, "data": 1, "chosen": 2, "known": 3, "strange": 4, "none": 5, "said": 0,
    "approved": 0, "default": 0, "reckoned": 0,
}  # fmt: skip


def _wary(seen: Evidence, case: Case) -> bool:
    """Whether whom to reach must stand in this very request: once a stranger's words or private
    things have been read, what was named for something else yesterday is no leave."""
    return not trusts(seen.read, case.role) or seen.read.readers is not None


def _stands(value: str, facet: Facet, words: str, now: float) -> bool:
    """Whether a person's words name a value, in the way that its facet is named."""
    if facet == "when":
        return said(value, words, now) or same(value, words)
    number = amount(value)
    if facet == "amount" and number is not None:
        return number in amounts(words)
    if facet == "which" and filled(value, words):
        return True
    if len(value) <= _SHORT and value.isdigit():
        return re.search(_MARK + value + r"(?![a-z0-9_:-]|\.\d)", fold(words)) is not None
    return same(value, words)


def filled(value: str, words: str) -> bool:
    """Whether a value is a form that the person gave, with its places filled in.

    >>> filled("Dinner at Miznon", "call it 'Dinner at {restaurant}'"), filled("Pay", "'{x} now'")
    (True, False)
    """
    for one in _FORM.findall(words):
        # split keeps no places, so what lies between its pieces is what was filled in
        pieces = [re.escape(fold(piece)) for piece in re.split(r"\{[^{}]*\}", one)]
        if any(pieces) and re.fullmatch(r" ?.{1,60} ?".join(pieces), fold(value)):
            return True
    return False


def _from_results(
    value: str, facet: Facet, words: str, case: Case, seen: Evidence
) -> Iterator[tuple[Kind, str]]:
    for result in seen.results:
        if any(equal(value, given) or same(value, given) for given in result.given):
            continue
        yield from _from_values(value, facet, words, case, result)
        if not result.values and trusts(result.label, case.role):
            if _stands(value, facet, result.text, case.now):
                named = _line_names(value, result, words)
                yield "linked" if named else _plain(facet), result.tool
        elif same(value, result.text):
            known = TRUST[result.label.author] >= TRUST["known"]
            yield ("known" if known else "strange"), f"the result of {result.tool}"


def _from_values(
    value: str, facet: Facet, words: str, case: Case, result: Result
) -> Iterator[tuple[Kind, str]]:
    names = frozenset(name for one in result.values for name, _ in one.names)
    for one in result.values:
        if not equal(value, one.text):
            continue
        mine = trusts_author(one, case)
        others = names or frozenset(two.text for two in result.values if two.path == one.path)
        named = _named(one, words, others, case, facet)
        if named and (mine if facet == "who" else TRUST[one.author] >= TRUST["known"]):
            yield "linked", f"{result.tool}: {named}"
        elif mine:
            yield _plain(facet), f"one of those in {result.tool}"
        elif one.vouched and TRUST[one.author] >= TRUST["known"]:
            yield "chosen", f"one of those in {result.tool}"


def _plain(facet: Facet) -> Kind:
    """What a value in a source of the person's own is, where nothing binds it to the request:
    good as a figure, but only one of many where it says whom, where or which."""
    return "data" if facet in ("amount", "when") else "chosen"


def trusts_author(value: Value, case: Case) -> bool:
    """Whether a value of a result may decide for the asking person."""
    rank = {"owner": TRUST["owner"], "member": TRUST["paired"], "guest": TRUST["owner"] + 1}
    return TRUST[value.author] >= rank[case.role]


def _named(one: Value, words: str, others: frozenset[str], case: Case, facet: Facet) -> str:
    """The name in the person's words by which he meant the thing that a value belongs to."""
    for name, author in one.names:
        if facet == "who" and not trusts_author(msgspec.structs.replace(one, author=author), case):
            continue
        if calls_it(name, words, others):
            return name
    # A listed thing may also be called by its own value ("the channel starting with External").
    return one.text if not one.names and calls_it(one.text, words, others) else ""


def _line_names(value: str, result: Result, words: str) -> bool:
    """Whether the line of a trusted text that bears a value also bears a word of the request."""
    mine = {one for one in tokens(words) if len(one) > _SHORT}
    return any(
        same(value, line) and mine & (set(tokens(line)) - set(tokens(value)))
        for line in result.text.splitlines()
    )


def _reckoned(value: str, words: str, case: Case, seen: Evidence) -> bool:
    number = amount(value)
    if number is None:
        return False
    known: set[Decimal] = set()
    for result in seen.results:
        for one in result.values:
            if trusts_author(one, case) and not _ID.search(one.path):
                known |= {found for found in (amount(one.text),) if found is not None}
        if not result.values and trusts(result.label, case.role):
            known |= amounts(result.text)
    return reckoned(number, words, known)
