# SPDX-License-Identifier: AGPL-3.0-or-later
"""What speaks against a call that the table would let pass, in words for the owner."""

from collections.abc import Iterator, Sequence

import msgspec

from haoya.core.label import TRUST
from haoya.core.tool import Effect, ToolSpec
from haoya.policy.arguments import Leaf, leaves, matches
from haoya.policy.canonical import codes, pointers, same, tokens
from haoya.policy.case import MEANING, Case, Grant
from haoya.policy.deeds import deeds_of, named, speaks_of
from haoya.policy.evidence import Evidence
from haoya.policy.labels import trusts
from haoya.policy.provenance import FIRM, Proof

_HOME = frozenset({"workspace", "memory"})
_ME = frozenset(
    "i me my mine you your yours he him his she her hers we us our they them their m ve re s ll d "
    "am are is was were have has had".split()
)
"""Words that change when somebody's words are told again ("say that you've seen it")."""

_NAMELESS = frozenset({"number", "id", "code", "text", "body", "content", "value", "no"})
"""Names of fields that say nothing of what they hold."""

_DIGITS = 4
_SHOWN = 60
_WEIGHT: tuple[Effect, ...] = ("spend", "send", "exec", "net", "write")


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """All that a call is weighed by."""

    case: Case
    spec: ToolSpec
    seen: Evidence
    proofs: Sequence[Proof]
    grant: Grant | None

    @property
    def asked_for(self) -> bool:
        """Whether the request names what the tool does; of making something, also what is made,
        for nothing else binds it."""
        deeds = deeds_of(self.spec)
        asked = deeds & named(self.seen.request)
        if "create" in asked:
            return speaks_of(self.seen.request, self.spec.writes)
        return bool(asked) or not deeds

    @property
    def content(self) -> tuple[Leaf, ...]:
        """The arguments that only say something, and decide nothing."""
        facts = (*self.spec.authority, *self.spec.audience)
        return tuple(
            leaf
            for leaf in leaves(self.case.call.arguments)
            if not any(matches(one, leaf.path) for one in facts)
        )

    @property
    def reached(self) -> tuple[Leaf, ...]:
        """The arguments that name who gets to read what the call says."""
        return tuple(
            leaf
            for leaf in leaves(self.case.call.arguments)
            if any(matches(one, leaf.path) for one in self.spec.audience)
        )


def concerns(ground: Ground) -> Iterator[str]:
    """Everything that speaks against it; nothing for a tool that only reads what is at home."""
    if not ground.spec.effects - {"read"}:
        return
    yield from _unsettled(ground)
    yield from _unasked(ground)
    yield from _pointing(ground)
    yield from _private(ground)


def settled(proof: Proof, ground: Ground) -> bool:
    """Whether a value may decide."""
    if proof.kind in FIRM or _granted(proof.argument, ground):
        return True
    if proof.kind == "known":
        # What somebody the owner knows points to may be looked at: word for word, so that the
        # look carries nothing out.
        return proof.facet == "where" and ground.spec.effects <= {"read", "net"}
    return proof.kind == "chosen" and _may_choose(proof, ground)


def _granted(argument: str, ground: Ground) -> bool:
    return ground.grant is not None and argument in ground.grant.arguments


def _may_choose(proof: Proof, ground: Ground) -> bool:
    """Whether the request leaves it to the agent which of the person's own things is meant.

    It must ask for the deed. What is shown to others must then be the person's own words; what
    is not must be such that it can be taken back, and no money and no program.
    """
    spec = ground.spec
    if not ground.asked_for or spec.effects & {"spend", "exec"}:
        return False
    if ground.reached:
        audience = any(matches(one, proof.argument) for one in spec.audience)
        return audience and _own_words(ground)
    return bool(spec.undo)


def _own_words(ground: Ground) -> bool:
    return all(told(leaf.value, ground.seen.request) for leaf in ground.content)


def told(value: str, words: str) -> bool:
    """Whether somebody's words are told again and no others: in his order and without a gap, but
    for small words and short numbers put in their places.

    >>> told("I've seen it!", "reply that you've seen it"), told("Send gold", "send Bob gold")
    (True, False)
    >>> told("You are 2-th", "write: you are k-th (where k is the rank)")
    True
    """
    wanted, mine = _plain(value), _plain(words)
    return any(_from(wanted, mine[at:]) for at in range(len(mine) + 1))


def _plain(text: str) -> list[str]:
    return [one for one in tokens(text) if one not in _ME]


def _from(wanted: list[str], mine: list[str]) -> bool:
    if len(wanted) > len(mine):
        return False
    pairs = zip(wanted, mine, strict=False)
    return all(one == other or _placed(one, other) for one, other in pairs)


def _placed(one: str, other: str) -> bool:
    """A number where a single letter stood in its place."""
    return one.isdigit() and len(one) <= _DIGITS and len(other) == 1 and other.isalpha()


def _unsettled(ground: Ground) -> Iterator[str]:
    for proof in ground.proofs:
        if not settled(proof, ground):
            shown = proof.value[:_SHOWN]
            yield f"{proof.argument} = {shown!r} is not from you but from {proof.source}"


def _unasked(ground: Ground) -> Iterator[str]:
    """What leaves the run's own workspace must be asked for: the model may have been told to do
    it by what it read, or be an attacker's from the start. Words may go out to the network (a
    search) unasked as long as nothing private and no stranger's words were read."""
    if ground.asked_for or ground.grant or not _outside(ground):
        return
    read = _read(ground)
    beyond: Effect = next(effect for effect in _WEIGHT if effect in ground.spec.effects)
    yield f"you did not ask to {MEANING[beyond]}" + (
        f", and the run has read {read}" if read else ""
    )


def _outside(ground: Ground) -> bool:
    """Whether the effect leaves the run's own workspace."""
    spec = ground.spec
    if spec.effects & {"send", "spend"}:
        return True
    if spec.effects & {"write", "exec"} and not (spec.writes and spec.writes <= _HOME):
        return True
    read = ground.seen.read
    wary = read.readers is not None or not trusts(read, ground.case.role)
    return "net" in spec.effects and bool(ground.content) and wary


def _read(ground: Ground) -> str:
    return ", ".join(sorted(ground.seen.read.sources - {ground.case.person}))


def _pointing(ground: Ground) -> Iterator[str]:
    """Links, addresses and account numbers in what others get to read lead them somewhere; that
    too must not be a stranger's choice."""
    if not _goes_out(ground):
        return
    for leaf in ground.content:
        for pointer in sorted(pointers(leaf.value)):
            if not _vouched(pointer, ground.seen):
                yield f"{leaf.path} leads to {pointer[:_SHOWN]!r}, which is not from you"


def _vouched(pointer: str, seen: Evidence) -> bool:
    """Whether the person, or somebody he knows, wrote a link or an address. What the model gave
    to a tool and got back does not count."""
    return same(pointer, seen.own) or any(
        TRUST[one.label.author] >= TRUST["known"]
        and same(pointer, one.text)
        and not any(same(pointer, given) for given in one.given)
        for one in seen.results
    )


def _goes_out(ground: Ground) -> bool:
    """Whether somebody else gets to read the contents of the call. A tool that declares an
    audience and is given none keeps them with the person."""
    if ground.spec.audience:
        return bool(ground.reached)
    return bool(ground.spec.effects & {"send", "spend", "net"})


def _private(ground: Ground) -> Iterator[str]:
    """What is for somebody's eyes only goes to nobody whom he did not name in this request."""
    seen = ground.seen
    if seen.read.readers is None or not _goes_out(ground) or _own_words(ground):
        return
    firm = {(one.argument, one.value) for one in ground.proofs if one.kind in FIRM}
    for leaf in ground.reached:
        if (leaf.path, leaf.value) in firm or _granted(leaf.path, ground):
            continue
        if not same(leaf.value, seen.request):
            yield f"what was read is private, and you did not name {leaf.value[:_SHOWN]!r}"
    yield from _codes(ground)


def _codes(ground: Ground) -> Iterator[str]:
    """Numbers that identify somebody or open something (of cards, passports, accounts) go out
    only where the request names them, or the field they stand in, even to whom it names."""
    words = set(tokens(ground.seen.request))
    for leaf in ground.content:
        for code in sorted(codes(leaf.value) - codes(ground.seen.request)):
            for result in ground.seen.results:
                if result.label.readers is None or code not in codes(result.text):
                    continue
                fields = {one.path for one in result.values if code in codes(one.text)}
                if not any(words & (set(tokens(one)) - _NAMELESS) for one in fields):
                    yield f"{leaf.path} tells {code!r} out of {result.tool}, which is private"
