# SPDX-License-Identifier: AGPL-3.0-or-later
"""Precision by load: shorter contexts, then a lighter model file, while the machine is strained.

Pure. A model keeps a `Standing` and asks `adapt` before each request; what the owner has not
allowed does not happen.
"""

import msgspec

STRAINED_LOAD = 2.0
"""Requests for each seat from which one waits as long as it runs."""

EASED_LOAD = 0.75
"""Below this there is a free seat; the gap between both keeps decisions from swinging."""

EASED_ROOM = 1.5
"""Times the memory floor that must be free again before more is used."""

WORSE_SECONDS = 10.0
"""The soonest after one step that another one down is taken: its effect must show first."""

BETTER_SECONDS = 120.0
"""The soonest that a step back up is taken: a changed context costs the cached prompts, another
file their recomputation."""


class Allowance(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner allows under strain: contexts down to `min_context_tokens` (0: not cut), and
    the model file `lighter` ("" for none)."""

    min_context_tokens: int = 0
    lighter: str = ""


class Strain(msgspec.Struct, frozen=True, kw_only=True):
    """`load` as `Lane.load` gives it; `room` is the available memory over its floor (1: at the
    floor), None where the system does not tell."""

    load: float
    room: float | None = None

    @property
    def high(self) -> bool:
        """Whether less should be done for each request."""
        return self.load > STRAINED_LOAD or (self.room is not None and self.room < 1)

    @property
    def low(self) -> bool:
        """Whether more may be done again."""
        return self.load < EASED_LOAD and (self.room is None or self.room > EASED_ROOM)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a model stands: so many steps down from what it is set to, `since` when."""

    rung: int = 0
    since: float = 0.0


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """What to use on a step: so much context, of the lighter file or the model's own."""

    context_tokens: int
    lighter: bool = False


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The decision: `use` now, keep `standing` for the next time, put `notes` into the answer's
    notes."""

    use: Rung
    standing: Standing
    notes: tuple[str, ...] = ()


def rungs(context_tokens: int, allowed: Allowance) -> tuple[Rung, ...]:
    """The ladder from what is set down to the least allowed; half the context at each step.

    >>> [r.context_tokens for r in rungs(8192, Allowance(min_context_tokens=3000))]
    [8192, 4096, 3000]
    >>> rungs(4096, Allowance(lighter="small"))[-1].lighter
    True
    """
    steps = [Rung(context_tokens=context_tokens)]
    least = allowed.min_context_tokens
    while least and steps[-1].context_tokens > least:
        half = max(least, steps[-1].context_tokens // 2)
        steps.append(Rung(context_tokens=half))
    if allowed.lighter:
        steps.append(Rung(context_tokens=steps[-1].context_tokens, lighter=True))
    return tuple(steps)


def adapt(
    standing: Standing, context_tokens: int, strain: Strain, allowed: Allowance, now: float
) -> Choice:
    """What to use at `now` (seconds of a clock that does not go back): at most one step from
    where it stands, and none while the last one is too young to be judged.

    >>> choice = adapt(Standing(), 8192, Strain(load=3), Allowance(min_context_tokens=2048), 60)
    >>> choice.use.context_tokens, choice.notes
    (4096, ('context cut to 4096 of 8192 tokens: 3.0 requests a seat',))
    """
    ladder = rungs(context_tokens, allowed)
    at = min(standing.rung, len(ladder) - 1)
    age = now - standing.since
    if strain.high and at < len(ladder) - 1 and (at == 0 or age >= WORSE_SECONDS):
        standing = Standing(rung=at + 1, since=now)
    elif strain.low and at > 0 and age >= BETTER_SECONDS:
        standing = Standing(rung=at - 1, since=now)
    else:
        standing = Standing(rung=at, since=standing.since)
    use = ladder[standing.rung]
    return Choice(use=use, standing=standing, notes=_notes(use, context_tokens, strain, allowed))


def _notes(use: Rung, context_tokens: int, strain: Strain, allowed: Allowance) -> tuple[str, ...]:
    why = f"{strain.load:.1f} requests a seat"
    if strain.room is not None and strain.room < 1:
        why += ", memory is short"
    elif not strain.high:
        why = "the machine was strained a moment ago"
    notes: list[str] = []
    if use.context_tokens < context_tokens:
        cut = f"context cut to {use.context_tokens} of {context_tokens} tokens"
        notes.append(f"{cut}: {why}")
    if use.lighter:
        notes.append(f"answered by the lighter {allowed.lighter}: {why}")
    return tuple(notes)
