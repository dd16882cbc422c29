# SPDX-License-Identifier: AGPL-3.0-or-later
"""Stand-ins of models as the router meets them: noisy waits, noisy speeds, prices, failures.

What a choice is really worth is worked out here from the servers' true figures, not from what the
router believes.
"""

import statistics
from collections.abc import Sequence
from random import Random

import msgspec

from haoya.core.tool import Place
from haoya.inference.router import (
    Candidate,
    Measured,
    Need,
    Router,
    Talent,
    Weights,
    quality,
)
from haoya.inference.spending import Price

SPACING = 30.0
"""Seconds between two requests."""
DRAWS = 400
"""Requests from which a server's true worth is averaged."""
ADAPTED = 20
"""So many choices in a row must be worth, on average, 95 % of the best."""


class Server(msgspec.Struct):
    """A model server: typical seconds to the first word (log-normal, sigma 0.5), tokens a second
    (sigma 0.25), price for a million tokens, share of requests that fail."""

    first: float
    rate: float
    price: float = 0.0
    fails: float = 0.0


class Market(msgspec.Struct):
    """Servers of which two swap their speeds in the middle."""

    name: str
    servers: list[Server]
    swap: tuple[int, int]


MARKETS = (
    Market("near and far", [Server(0.3, 40), Server(1.5, 15)], (0, 1)),
    Market(
        "four of all kinds",
        [Server(0.8, 25), Server(0.3, 60), Server(1.5, 15), Server(3.0, 8)],
        (1, 3),
    ),
    Market("free or quick", [Server(1.2, 12), Server(0.4, 60, 1), Server(2.5, 20, 1.2)], (1, 2)),
    Market(
        "one that breaks", [Server(0.3, 50, fails=0.4), Server(0.6, 40), Server(2.0, 15)], (1, 2)
    ),
)


class Outcome(msgspec.Struct):
    """How the router fared: shares of the best fixed choice's worth that were lost, before and
    (from the hundredth request on) after the swap, requests until it had adapted, and mean
    seconds to an answer against the best's before the swap."""

    regret: float
    later_regret: float
    adapt_steps: int
    seconds_ratio: float


def trade(market: Market, seed: int, *, requests: int = 500, after: int = 300) -> Outcome:
    """Let a router choose `requests` times, swap two servers' speeds, and let it go on."""
    weights = Weights()
    router = Router(Random(seed), weights)
    world = Random(seed + 1_000_000)
    servers = [msgspec.structs.replace(server) for server in market.servers]
    names = [f"m{i}" for i in range(len(servers))]
    candidates = [
        Candidate(name=name, price=Price(into=one.price, out=4 * one.price))
        for name, one in zip(names, servers, strict=True)
    ]
    now = 0.0

    def choose() -> int:
        nonlocal now
        now += SPACING
        name = router.order(candidates, Need(), now)[0].name
        chosen = names.index(name)
        router.learn(request(servers[chosen], name, now, world))
        return chosen

    worth = true_worth(servers, weights)
    chosen = [choose() for _ in range(requests)]
    regret = 1 - statistics.fmean(worth[i] for i in chosen) / max(worth)
    waits = [one.first + 100 / one.rate for one in servers]
    ratio = statistics.fmean(waits[i] for i in chosen) / waits[worth.index(max(worth))]
    one, other = servers[market.swap[0]], servers[market.swap[1]]
    one.first, one.rate, other.first, other.rate = other.first, other.rate, one.first, one.rate
    worth = true_worth(servers, weights)
    shares = [worth[choose()] / max(worth) for _ in range(after)]
    adapted = (
        k for k in range(after - ADAPTED) if statistics.fmean(shares[k : k + ADAPTED]) >= 0.95
    )
    return Outcome(regret, 1 - statistics.fmean(shares[100:]), next(adapted, after), ratio)


def request(server: Server, name: str, now: float, world: Random) -> Measured:
    """One request to a server."""
    return Measured(
        name=name,
        at=now,
        ok=world.random() >= server.fails,
        first=server.first * world.lognormvariate(0, 0.5),
        rate=server.rate * world.lognormvariate(0, 0.25),
    )


def true_worth(servers: Sequence[Server], weights: Weights) -> list[float]:
    """What an average request to each is worth, price included."""
    world = Random(7)
    dearest = max(server.price for server in servers) or 1.0
    total = weights.first + weights.rate + weights.price + weights.success
    share = weights.price / total
    found: list[float] = []
    for server in servers:
        draws = [request(server, "", 0, world) for _ in range(DRAWS)]
        served = statistics.fmean(quality(one, weights) if one.ok else 0.0 for one in draws)
        found.append((1 - share) * served + share * (1 - server.price / dearest))
    return found


PLACES: tuple[Place, ...] = ("here", "own", "outside")
TALENTS: tuple[Talent, ...] = ("images", "tools", "schema")


def break_rules(seed: int, requests: int = 500) -> tuple[int, int]:
    """Choices among all kinds of models for all kinds of requests, money running out: how many
    were made, and how many broke a rule."""
    world = Random(seed)
    router = Router(Random(seed + 1))
    money = {f"m{i}": world.uniform(0, 2) for i in range(6)}
    prices = {name: world.choice([0.0, 1.0, 5.0]) for name in money}
    made = broken = 0
    fixed = [
        Candidate(
            name=name,
            place=world.choice(PLACES),
            price=Price(into=prices[name], out=4 * prices[name]),
            context_tokens=world.choice([2048, 8192, 128_000]),
            lacks=frozenset(talent for talent in TALENTS if world.random() < 0.3),
        )
        for name in money
    ]
    for step in range(requests):
        candidates = [msgspec.structs.replace(one, left=money[one.name]) for one in fixed]
        need = Need(
            within=world.choice(PLACES),
            talents=frozenset(talent for talent in TALENTS if world.random() < 0.2),
            tokens=world.choice([200, 4000, 50_000]),
        )
        for choice in router.order(candidates, need, step * SPACING):
            one = next(c for c in candidates if c.name == choice.name)
            made += 1
            broken += breaks(one, need)
        if order := router.order(candidates, need, step * SPACING):
            name = order[0].name
            money[name] -= prices[name] * (need.tokens + 4 * 300) / 1e6
            server = Server(world.uniform(0.1, 3), 30, fails=0.1)
            router.learn(request(server, name, step * SPACING, world))
    return made, broken


def breaks(one: Candidate, need: Need) -> bool:
    """The rules once more, in other words than the router's."""
    reach: dict[Place, tuple[Place, ...]] = {
        "here": ("here",),
        "own": ("here", "own"),
        "outside": ("here", "own", "outside"),
    }
    costs = one.price.into * need.tokens / 1e6
    broke = one.price.out > 0 and (one.left <= 0 or one.left < costs)
    return (
        one.place not in reach[need.within]
        or broke
        or bool(one.lacks & need.talents)
        or need.tokens > one.context_tokens
    )
