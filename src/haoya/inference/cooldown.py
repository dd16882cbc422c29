# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who rests after a failure, and how long: by the kind of failure, doubling, then one probe."""

import math

import msgspec

FIRST_SECONDS: dict[str, float] = {
    "unreachable": 5.0,
    "broken": 5.0,
    "overloaded": 10.0,
    "throttled": 10.0,
    "timeout": 30.0,
}
"""The first pause after each kind of trouble; a timeout has cost somebody that long already."""

CAP_SECONDS = 600.0
"""Pauses double up to this: a server that comes back is used again within ten minutes."""

ASKED_CAP_SECONDS = 86_400.0
"""A pause the other side asks for is kept up to a day; more is a fault of its clock or ours."""

PROBE_SECONDS = 180.0
"""A probe that has told nothing for so long is lost (its turn was ended); another may go."""


class Rest(msgspec.Struct):
    """One model's pause: Unix seconds until it ends, how often it failed in a row, why, and since
    when a probe is on its way (0: none)."""

    until: float
    times: int
    trouble: str
    probed: float = 0.0


class Cooldown:
    """The pauses of all models; time is passed in."""

    def __init__(self) -> None:
        self.resting: dict[str, Rest] = {}

    def failed(self, name: str, trouble: str, now: float, retry_after: float = 0) -> None:
        """A request failed. A `request` that is too much for a model says nothing about others;
        `refused` lasts until `forget`. Failures within a pause (they were under way when it
        began) make it no longer, unless the other side asks for it."""
        if trouble == "request":
            self.settled(name, now)
            return
        rest = self.resting.get(name)
        if trouble == "refused":
            self.resting[name] = Rest(until=math.inf, times=1, trouble=trouble)
            return
        asked = min(max(retry_after, 0.0), ASKED_CAP_SECONDS)
        if rest and now < rest.until:
            rest.until = max(rest.until, now + asked)
            return
        times = rest.times + 1 if rest else 1
        first = FIRST_SECONDS.get(trouble, FIRST_SECONDS["broken"])
        # 2**30 pauses would be centuries; the exponent stays small for the float's sake.
        grown = min(first * 2.0 ** min(times - 1, 30), CAP_SECONDS)
        pause = asked if trouble == "throttled" and asked else max(grown, asked)
        self.resting[name] = Rest(until=now + pause, times=times, trouble=trouble)

    def asked(self, name: str, now: float) -> None:
        """A request goes to it; after a pause it is the probe, and others wait for its outcome."""
        rest = self.resting.get(name)
        if rest and now >= rest.until:
            rest.probed = now

    def settled(self, name: str, now: float) -> None:
        """A probe ended without saying how the model is: the next request is the probe."""
        rest = self.resting.get(name)
        if rest and now >= rest.until:
            rest.probed = 0.0

    def forget(self, name: str) -> None:
        """It answered, or its settings changed: nothing is held against it."""
        self.resting.pop(name, None)

    def until(self, name: str, now: float) -> float:
        """When it may be asked again, Unix seconds; 0 where it may be asked now."""
        rest = self.resting.get(name)
        if rest is None:
            return 0.0
        if now < rest.until:
            return rest.until
        lost = rest.probed + PROBE_SECONDS
        return lost if rest.probed and now < lost else 0.0

    def trouble(self, name: str) -> str:
        """Why it rests, "" where it does not."""
        rest = self.resting.get(name)
        return rest.trouble if rest else ""
