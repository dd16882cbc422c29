# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which model answers: rules first, then what was measured. Pure; clock and dice are passed in.

The rules say who may be asked at all. Among those a bandit chooses: of each model's worth, a number
between 0 and 1, we hold a belief. To choose, one number is drawn from each belief and the highest
wins (Thompson sampling), so a model is tried as often as it may well be the best. The belief has
two halves: how good its answers are when they come (a mean and a variance, kept by a Kalman filter
of a random walk) and how often they come (a Beta distribution). Servers change, so both grow vaguer
with every request that goes elsewhere and with every hour: news outweigh what is long past.
"""

import math
from collections import deque
from collections.abc import Mapping, Sequence
from random import Random
from typing import Literal

import msgspec

from haoya.core.tool import Place
from haoya.inference.spending import Price

Talent = Literal["images", "tools", "schema"]
Bar = Literal["place", "budget", "images", "tools", "schema", "context"]
"""Why a rule keeps a model from being asked."""

FAR: dict[Place, int] = {"here": 0, "own": 1, "outside": 2}

FIRST_HALF_SECONDS = 1.0
"""A wait for the first word that is worth half; waits of a second interrupt a train of thought
(Miller 1968, Nielsen 1993)."""
RATE_HALF = 15.0
"""Tokens a second that are worth half; people read four to eight."""
ANSWER_TOKENS = 300
"""What an answer is taken to cost where price is weighed before it is known."""

PRIOR_MEAN = 0.6
ORDER_STEP = 0.05
"""A model never measured is taken to be this much worth, less a step for each place in the owner's
order: the order decides until something is known, and between equals."""
PRIOR_SPREAD = 0.2
"""The standard deviation of that guess, and the vaguest a belief grows."""
NOISE_SPREAD = 0.18
LEAST_NOISE = 0.03
"""Standard deviation of single measurements: the first guess, and the least that is believed."""
NOISE_MEMORY = 20.0
"""Measurements over which noise is averaged."""
DRIFT = 0.012
"""How far (standard deviation) a model's worth may wander from one request to the next; after a
swap of two models the new best is found in some 30 requests."""
DRIFT_HOUR = 0.03
"""The same by the clock: after two days of silence little is known."""
SURE_ANSWERS = 3.0
SURE_FAILURES = 0.3
"""A model never measured is taken to have answered and failed so often."""
FATE_MEMORY = 40.0
"""Outcomes of one model that count; older ones fade."""
FATE_STEPS = 500.0
"""Requests after which an outcome counts little even if that model was never asked again."""
LIKING_MEMORY = 50.0
"""Feedback counts that are kept; older ones fade."""
HISTORY = 500
"""Measurements kept to weigh them anew when the owner's weights change."""


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """How much each goal counts: first word, tokens a second, price, and that it answers well."""

    first: float = 0.3
    rate: float = 0.2
    price: float = 0.2
    success: float = 0.3


PREFER: dict[str, Weights] = {
    "balance": Weights(),
    "speed": Weights(first=0.45, rate=0.3, price=0.05, success=0.2),
    "price": Weights(first=0.1, rate=0.1, price=0.6, success=0.2),
}


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A model as the rules see it. `left` is the money that may still be spent on it."""

    name: str
    place: Place = "outside"
    price: Price = Price()
    context_tokens: int = 8192
    lacks: frozenset[Talent] = frozenset()
    left: float = math.inf


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """What a request asks for. `within` is how far its words may go, `tokens` the least room it
    needs (its prompt cut to the bone)."""

    within: Place = "outside"
    talents: frozenset[Talent] = frozenset()
    tokens: int = 0


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A model in its place: `worth` as believed, `drawn` as it fell this time, `tries` measured."""

    name: str
    worth: float
    drawn: float
    tries: int


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What one request showed. `first` seconds to the first word, `rate` in tokens a second (0:
    not measured)."""

    name: str
    at: float
    ok: bool
    first: float = 0.0
    rate: float = 0.0


class Belief(msgspec.Struct):
    """What is held about one model: see the module's words."""

    mean: float
    variance: float
    noise: float
    at: float
    step: int
    tries: int = 0
    answered: float = 0.0
    failed: float = 0.0
    good: float = 0.0
    bad: float = 0.0


def barred(candidate: Candidate, need: Need) -> Bar | None:
    """The first rule that keeps a model from being asked, None where it may be.

    >>> barred(Candidate(name="cloud", place="outside"), Need(within="own"))
    'place'
    """
    if FAR[candidate.place] > FAR[need.within]:
        return "place"
    price = candidate.price
    if (price.into or price.out) and (
        candidate.left <= 0 or price.of(need.tokens, 0) > candidate.left
    ):
        return "budget"
    for talent in sorted(need.talents & candidate.lacks):
        return talent
    return "context" if need.tokens > candidate.context_tokens else None


def quality(measured: Measured, weights: Weights) -> float:
    """What an answer was worth, 0 to 1, all but its price."""
    parts = [(weights.success, 1.0)]
    parts.append((weights.first, FIRST_HALF_SECONDS / (FIRST_HALF_SECONDS + measured.first)))
    if measured.rate:
        parts.append((weights.rate, measured.rate / (measured.rate + RATE_HALF)))
    total = sum(weight for weight, _ in parts)
    return sum(weight * value for weight, value in parts) / total if total else 1.0


class Router:
    """Learns what models are worth and puts those that the rules allow in order."""

    def __init__(self, random: Random, weights: Weights | None = None) -> None:
        self.random = random
        self.weights = weights or Weights()
        self.beliefs: dict[str, Belief] = {}
        self.history: deque[Measured] = deque(maxlen=HISTORY)
        self.step = 0

    def learn(self, measured: Measured) -> None:
        """Take in what a request showed."""
        self.history.append(measured)
        self._learn(measured)

    def weigh(self, weights: Weights) -> None:
        """Judge by other weights from now on, and what was measured before by them too."""
        if weights == self.weights:
            return
        self.weights = weights
        likings = {name: (belief.good, belief.bad) for name, belief in self.beliefs.items()}
        self.beliefs.clear()
        for measured in self.history:
            self._learn(measured)
        for name, (good, bad) in likings.items():
            belief = self._belief(name)
            belief.good, belief.bad = good, bad

    def feedback(self, name: str, good: bool) -> None:
        """Somebody liked an answer of this model, or did not."""
        belief = self._belief(name)
        fade = 1 - 1 / LIKING_MEMORY
        belief.good, belief.bad = belief.good * fade + good, belief.bad * fade + (not good)

    def order(self, candidates: Sequence[Candidate], need: Need, now: float) -> list[Choice]:
        """Those that the rules allow, the most promising first. `candidates` stand in the owner's
        order, which decides between equals."""
        allowed = [(i, one) for i, one in enumerate(candidates) if barred(one, need) is None]
        dear = _dearness([one for _, one in allowed], need)
        choices: list[tuple[float, int, Choice]] = []
        for i, one in allowed:
            worth, drawn = self._judge(one.name, i, dear[one.name], now)
            tries = self.beliefs[one.name].tries if one.name in self.beliefs else 0
            choice = Choice(name=one.name, worth=worth, drawn=drawn, tries=tries)
            choices.append((-drawn, i, choice))
        return [choice for _, _, choice in sorted(choices, key=lambda row: row[:2])]

    def _judge(self, name: str, position: int, dear: float, now: float) -> tuple[float, float]:
        """A model's worth as believed, and one drawn from the belief; price and feedback are known
        and not drawn."""
        belief = self.beliefs.get(name) or self._new()
        weights = self.weights
        total = weights.first + weights.rate + weights.price + weights.success or 1.0
        spread = math.sqrt(self._variance(belief, now))
        mean = belief.mean - ORDER_STEP * min(position, 10) * (spread / PRIOR_SPREAD)
        fade = math.exp((belief.step - self.step) / FATE_STEPS)
        fate = (SURE_ANSWERS + belief.answered * fade, SURE_FAILURES + belief.failed * fade)
        liking = (belief.good - belief.bad) / (belief.good + belief.bad + 4)
        known = (weights.price * (1 - dear) + 0.5 * weights.success * liking) / total
        learned = 1 - weights.price / total
        drawn = self.random.gauss(mean, spread) * self.random.betavariate(*fate)
        return learned * mean * fate[0] / sum(fate) + known, learned * drawn + known

    def _learn(self, measured: Measured) -> None:
        self.step += 1
        belief = self._belief(measured.name)
        variance = self._variance(belief, measured.at)
        fade = (1 - 1 / FATE_MEMORY) * math.exp((belief.step - self.step + 1) / FATE_STEPS)
        belief.answered = belief.answered * fade + measured.ok
        belief.failed = belief.failed * fade + (not measured.ok)
        if measured.ok:
            off = quality(measured, self.weights) - belief.mean
            if belief.answered > 1:
                # What the belief's doubt does not explain is noise; outliers count as three.
                unexplained = min(off * off, 9 * (belief.noise + variance)) - variance
                belief.noise += (max(unexplained, 0.0) - belief.noise) / NOISE_MEMORY
                belief.noise = max(belief.noise, LEAST_NOISE**2)
            gain = variance / (variance + belief.noise)
            belief.mean += gain * off
            variance *= 1 - gain
        belief.variance, belief.at = variance, measured.at
        belief.step, belief.tries = self.step, belief.tries + 1

    def _belief(self, name: str) -> Belief:
        return self.beliefs.setdefault(name, self._new())

    def _new(self) -> Belief:
        """What is believed of a model never measured."""
        return Belief(
            mean=PRIOR_MEAN,
            variance=PRIOR_SPREAD**2,
            noise=NOISE_SPREAD**2,
            at=0.0,
            step=self.step,
        )

    def _variance(self, belief: Belief, now: float) -> float:
        """How vague a belief is by now."""
        hours = max(0.0, now - belief.at) / 3600 if belief.tries else 0.0
        grown = DRIFT**2 * (self.step - belief.step) + DRIFT_HOUR**2 * hours
        return min(belief.variance + grown, PRIOR_SPREAD**2)


def _dearness(candidates: Sequence[Candidate], need: Need) -> Mapping[str, float]:
    """What each would cost as a share of the dearest, 0 to 1."""
    tokens = need.tokens or 3 * ANSWER_TOKENS
    costs = {one.name: one.price.of(tokens, ANSWER_TOKENS) for one in candidates}
    most = max(costs.values(), default=0.0)
    return {name: cost / most if most else 0.0 for name, cost in costs.items()}
