# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which token comes next: drawn here, so that one cache serves requests of all temperatures."""

import msgspec
import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]

UNLIKELY = 20.0
"""Tokens this many nats behind the best are never drawn: together they weigh under 0.1 %."""


class Draw(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are drawn: `temperature` 0 takes the likeliest, `top_k` 0 keeps all, a
    `penalty` over 1 makes what was said already less likely."""

    temperature: float = 0
    top_p: float = 1
    top_k: int = 0
    penalty: float = 1
    seed: int | None = None


class Sampler:
    """Draws the tokens of one answer; with a seed the same ones every time."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._random = np.random.default_rng(draw.seed)
        self._said: set[int] = set()

    def pick(self, logits: Logits, mask: bytes | None) -> int:
        """The next token; `mask` has one bit for each token that may come."""
        token = self._pick(logits.copy(), mask)
        self._said.add(token)
        return token

    def _pick(self, scores: Logits, mask: bytes | None) -> int:
        draw = self._draw
        if draw.penalty != 1 and self._said:
            seen = np.fromiter(self._said, np.int64)
            scores[seen] *= np.where(scores[seen] > 0, 1 / draw.penalty, draw.penalty)
        if mask is not None:
            _forbid(scores, mask)
        best = int(np.argmax(scores))
        if draw.temperature <= 0:
            return best
        near = np.flatnonzero(scores >= scores[best] - UNLIKELY * draw.temperature)
        order = near[np.argsort(-scores[near], kind="stable")]
        if draw.top_k:
            order = order[: draw.top_k]
        behind = np.asarray(scores[order] - scores[best], np.float64)
        weights = np.exp(behind / draw.temperature)
        sums: NDArray[np.float64] = np.cumsum(weights / weights.sum())
        kept = int(np.searchsorted(sums, draw.top_p)) + 1
        sums = sums[:kept]
        at = self._random.random() * float(sums[-1])
        place = int(np.searchsorted(sums, at, side="right"))
        return int(order[min(place, len(sums) - 1)])


def _forbid(scores: Logits, mask: bytes) -> None:
    bits = np.unpackbits(np.frombuffer(mask, np.uint8), bitorder="little")
    allowed = bits[: len(scores)]
    scores[: len(allowed)][allowed == 0] = -np.inf
    scores[len(allowed) :] = -np.inf
