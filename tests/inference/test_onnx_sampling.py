# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tokens are drawn as asked: from the best few, from what a grammar allows, by chance or not."""

import pytest

np = pytest.importorskip("numpy", reason="numpy comes with haoya[onnx]")

from haoya.inference.onnx.sampling import Draw, Sampler  # noqa: E402

LOGITS = np.array([0.0, 3.0, 2.0, -1.0, 2.5, *[-30.0] * 95], np.float32)


def drawn(draw: Draw, mask: bytes | None = None, times: int = 2000) -> list[float]:
    """How often each of the first five tokens came."""
    picks = [Sampler(Draw(**{**_fields(draw), "seed": n})).pick(LOGITS, mask) for n in range(times)]
    return [picks.count(token) / times for token in range(5)]


def _fields(draw: Draw) -> dict[str, object]:
    return {name: getattr(draw, name) for name in draw.__struct_fields__}


def test_chance_follows_the_temperature() -> None:
    for temperature in (0.5, 1.0, 2.0):
        weights = np.exp(LOGITS.astype(float) / temperature)
        wanted = weights / weights.sum()
        got = drawn(Draw(temperature=temperature))
        assert all(abs(ours - theirs) < 0.05 for ours, theirs in zip(got, wanted[:5], strict=True))


def test_the_likeliest_comes_without_temperature() -> None:
    assert drawn(Draw(), times=3)[1] == 1
    assert drawn(Draw(temperature=1, top_k=1), times=30)[1] == 1
    assert drawn(Draw(temperature=1, top_p=0), times=30)[1] == 1


def test_only_the_best_few_are_drawn() -> None:
    got = drawn(Draw(temperature=3, top_k=2), times=300)
    assert got[1] + got[4] == 1
    assert min(got[1], got[4]) > 0.2
    assert drawn(Draw(temperature=3, top_p=0.3), times=300)[1] == 1


def test_only_what_a_grammar_allows_is_drawn() -> None:
    allowed = bytes([0b1001]) + bytes(12)
    got = drawn(Draw(temperature=1), allowed, times=300)
    assert got[0] + got[3] == 1


def test_what_was_said_becomes_less_likely() -> None:
    sampler = Sampler(Draw(penalty=1.3))
    assert [sampler.pick(LOGITS, None) for _ in range(2)] == [1, 4]
