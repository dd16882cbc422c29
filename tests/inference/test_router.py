# SPDX-License-Identifier: AGPL-3.0-or-later
"""The router: rules are never broken, the best is found, and found again when things change."""

import math
from random import Random
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haoya.inference.router import (
    PREFER,
    Candidate,
    Measured,
    Need,
    Router,
    Weights,
    barred,
    quality,
)
from haoya.inference.spending import Price
from tests.inference.market import (
    MARKETS,
    PLACES,
    TALENTS,
    Market,
    break_rules,
    breaks,
    trade,
)

SEEDS = range(8)


@pytest.mark.parametrize("market", MARKETS, ids=lambda market: market.name)
def test_within_a_twentieth_of_the_best_fixed_choice_after_500_requests(market: Market) -> None:
    outcomes = [trade(market, seed) for seed in SEEDS]
    assert max(outcome.regret for outcome in outcomes) <= 0.05
    assert max(outcome.later_regret for outcome in outcomes) <= 0.05


@pytest.mark.parametrize("market", MARKETS, ids=lambda market: market.name)
def test_adapts_within_100_requests_when_speeds_swap(market: Market) -> None:
    steps = [trade(market, seed).adapt_steps for seed in SEEDS]
    assert max(steps) <= 100
    assert median(steps) <= 50


@pytest.mark.parametrize("seed", range(5))
def test_no_rule_is_broken_while_learning(seed: int) -> None:
    made, broken = break_rules(seed)
    assert made > 300
    assert broken == 0


candidates = st.builds(
    Candidate,
    name=st.sampled_from("abcdef"),
    place=st.sampled_from(PLACES),
    price=st.builds(Price, into=st.floats(0, 100), out=st.floats(0, 100)),
    context_tokens=st.integers(256, 200_000),
    lacks=st.frozensets(st.sampled_from(TALENTS)),
    left=st.floats(-1, 10) | st.just(math.inf),
)
needs = st.builds(
    Need,
    within=st.sampled_from(PLACES),
    talents=st.frozensets(st.sampled_from(TALENTS)),
    tokens=st.integers(0, 300_000),
)
measures = st.builds(
    Measured,
    name=st.sampled_from("abcdef"),
    at=st.floats(0, 1e7),
    ok=st.booleans(),
    first=st.floats(0, 1e6),
    rate=st.floats(0, 1e6),
)
weighings = st.builds(Weights, **{goal: st.floats(0, 10) for goal in Weights.__struct_fields__})


@settings(max_examples=200, deadline=None)
@given(
    st.lists(candidates, max_size=6, unique_by=lambda one: one.name),
    needs,
    st.lists(measures, max_size=30),
    weighings,
    st.integers(0, 2**32),
)
def test_whatever_was_measured_only_those_are_chosen_whom_the_rules_allow(
    offered: list[Candidate], need: Need, measured: list[Measured], weights: Weights, seed: int
) -> None:
    router = Router(Random(seed), weights)
    for one in measured:
        router.learn(one)
        router.feedback(one.name, one.ok)
    chosen = [choice.name for choice in router.order(offered, need, 1e7)]
    assert sorted(chosen) == sorted(one.name for one in offered if not breaks(one, need))


def test_each_rule_has_its_name() -> None:
    cloud = Candidate(name="c", price=Price(into=1), lacks=frozenset({"images"}), left=0.5)
    assert barred(cloud, Need()) is None
    assert barred(cloud, Need(within="here")) == "place"
    assert barred(cloud, Need(tokens=600_000)) == "budget"
    assert barred(cloud, Need(talents=frozenset({"images"}))) == "images"
    assert barred(cloud, Need(tokens=9000)) == "context"


def test_before_anything_is_known_the_owners_order_is_the_likeliest() -> None:
    offered = [Candidate(name=name) for name in "abc"]
    firsts = [Router(Random(seed)).order(offered, Need(), 0)[0].name for seed in range(600)]
    assert firsts.count("a") > firsts.count("b") > firsts.count("c")
    router = Router(Random(0))
    assert [c.worth for c in sorted(router.order(offered, Need(), 0), key=lambda c: c.name)] == (
        sorted((c.worth for c in router.order(offered, Need(), 0)), reverse=True)
    )


def test_a_price_weighs_as_the_owner_likes() -> None:
    offered = [Candidate(name="free"), Candidate(name="dear", price=Price(into=5, out=20))]

    def first(weights: Weights) -> str:
        router = Router(Random(1), weights)
        for _ in range(60):
            router.learn(Measured(name="free", at=0, ok=True, first=2.0, rate=8))
            router.learn(Measured(name="dear", at=0, ok=True, first=0.2, rate=90))
        return router.order(offered, Need(), 0)[0].name

    assert first(PREFER["price"]) == "free"
    assert first(PREFER["speed"]) == "dear"


def test_other_weights_judge_what_was_measured_before() -> None:
    offered = [Candidate(name="prompt"), Candidate(name="fluent")]
    router = Router(Random(1), Weights(first=1, rate=0, price=0, success=0))
    for _ in range(60):
        router.learn(Measured(name="prompt", at=0, ok=True, first=0.1, rate=5))
        router.learn(Measured(name="fluent", at=0, ok=True, first=5, rate=200))
    assert router.order(offered, Need(), 0)[0].name == "prompt"
    router.weigh(Weights(first=0, rate=1, price=0, success=0))
    assert router.order(offered, Need(), 0)[0].name == "fluent"


def test_feedback_moves_the_choice_between_equals() -> None:
    offered = [Candidate(name="a"), Candidate(name="b")]
    router = Router(Random(3))
    for _ in range(100):
        for name in "ab":
            router.learn(Measured(name=name, at=0, ok=True, first=0.5, rate=30))
    for _ in range(5):
        router.feedback("a", good=False)
        router.feedback("b", good=True)
    chosen = [router.order(offered, Need(), 0)[0].name for _ in range(50)]
    assert chosen.count("b") > 45


def test_worth_is_bounded_whatever_was_measured() -> None:
    for first in (0.0, 1e-9, 1e9):
        for rate in (0.0, 1e-9, 1e9):
            assert (
                0
                <= quality(Measured(name="", at=0, ok=True, first=first, rate=rate), Weights())
                <= 1
            )
