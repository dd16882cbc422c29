# SPDX-License-Identifier: AGPL-3.0-or-later
"""How much memory a model takes, and whether a machine has it.

The parts, and where their formulas come from:

- weights: the tensors' own bytes; they are mapped, so the system may drop and read them again.
- repacked weights: a second copy of the tensors the processor back-end repacks (ggml's
  `ggml-cpu/repack.cpp`), in memory of its own.
- key-value cache: for each token, session and layer with attention, kv heads x (key length +
  value length) values of the cache's type (llama.cpp's `llama_kv_cache`; one latent vector with
  MLA).
- compute buffers: measured with the engine (2026.10, flash attention, batches of 512 tokens)
  as 512 x (3 feed-forward + 5 embedding lengths) x 4 bytes, and 2 bytes for each of 512 tokens
  and each token of one session's context (the mask).
- the engine itself: 64 MiB and 300 bytes for each word of the vocabulary, measured likewise.
"""

import math
from typing import Literal

from haoya.core.errors import ConfigError
from haoya.core.message import Word
from haoya.inference.ggml import NAMED
from haoya.inference.gguf import Gguf

BATCH_TOKENS = 512
ENGINE_BYTES = 64 << 20
WORD_BYTES = 300
CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
REPACKED = frozenset({"Q4_0", "Q4_K", "Q2_K", "IQ4_NL", "Q8_0", "Q5_K", "Q6_K"})
"""Types that some processor has a repacked form for: the most it can be."""
EASY_SHARE = 0.85
"""A model fits where it takes no more of what is free than this: other programs live on."""
LEAST_CONTEXT = 2048
"""A context shorter than this is of no use to an agent."""

Verdict = Literal["fits", "tight", "too big"]
Cure = Literal["", "context", "cache", "model"]


class Fit(Word, frozen=True, kw_only=True):
    """Bytes a model takes with `sessions` conversations of `context_tokens` each."""

    context_tokens: int
    sessions: int
    cache_type: str
    weights: int
    repacked: int
    cache: int
    compute: int
    engine: int
    token: int
    """What one more token of context costs in all sessions together."""
    trained: int
    """The context it was trained for, 0 where the file does not say."""

    @property
    def resident(self) -> int:
        """What must stay in memory; the weights themselves can be read again."""
        return self.repacked + self.cache + self.compute + self.engine

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.resident

    def context_within(self, bytes: int) -> int:
        """The most tokens of context a session can have within so many bytes, 0 for none."""
        fixed = self.total - self.token * self.context_tokens
        if not self.token:
            return self.trained if fixed <= bytes else 0
        most = max(0, bytes - fixed) // self.token
        return min(most, self.trained) if self.trained else most


class Advice(Word, frozen=True, kw_only=True):
    """Whether a model fits into `available` bytes, and what would help where it does not.

    `cure` is `context` (with `context_tokens` it fits), `cache` (with an 8-bit cache it does),
    or `model` (a smaller one or a smaller quantisation).
    """

    verdict: Verdict
    available: int
    cure: Cure = ""
    context_tokens: int = 0


def estimate(
    gguf: Gguf,
    *,
    context_tokens: int,
    sessions: int = 1,
    cache_type: str = "f16",
    repack: bool = False,
) -> Fit:
    """What a model takes; `context_tokens` is for each of the `sessions`."""
    if cache_type not in CACHE_TYPES:
        raise ConfigError(
            f"no cache type is named {cache_type!r}; there are: {', '.join(CACHE_TYPES)}",
            cure="use f16, or q8_0 for half the room",
        )
    context = min(context_tokens, gguf.context_tokens or context_tokens)
    kind = NAMED[cache_type.upper()]
    each = sum(
        heads * (gguf.key_length + gguf.value_length) if not gguf.latent_length else 0
        for heads in gguf.kv_heads
    )
    each += gguf.latent_length * gguf.layers
    token_cache = math.ceil(each * kind.size / kind.block) * sessions
    mask = BATCH_TOKENS * 2
    work = BATCH_TOKENS * 4 * (3 * gguf.feed_forward_length + 5 * gguf.embedding_length)
    return Fit(
        context_tokens=context,
        sessions=sessions,
        cache_type=cache_type,
        weights=sum(tensor.bytes for tensor in gguf.tensors),
        repacked=_repacked(gguf) if repack else 0,
        cache=token_cache * context,
        compute=work + mask * context,
        engine=ENGINE_BYTES + WORD_BYTES * gguf.vocabulary,
        token=token_cache + mask,
        trained=gguf.context_tokens,
    )


def advise(gguf: Gguf, fit: Fit, *, available: int, memory: int) -> Advice:
    """Whether a fit goes into `available` of the machine's `memory` bytes, and what would help.

    Tight is what goes in only if nothing else grows, or only while the system drops and reads
    weights again.
    """
    easy = int(available * EASY_SHARE)
    if fit.total <= easy:
        return Advice(verdict="fits", available=available)
    possible = fit.total <= available or (
        fit.resident <= available // 2 and fit.total <= memory * EASY_SHARE
    )
    verdict: Verdict = "tight" if possible else "too big"
    if (context := fit.context_within(easy)) >= LEAST_CONTEXT:
        return Advice(verdict=verdict, available=available, cure="context", context_tokens=context)
    small = estimate(
        gguf,
        context_tokens=min(fit.context_tokens, LEAST_CONTEXT),
        sessions=fit.sessions,
        cache_type="q8_0",
    )
    cure: Cure = "cache" if small.total <= easy and fit.cache_type != "q8_0" else "model"
    return Advice(verdict=verdict, available=available, cure=cure)


def _repacked(gguf: Gguf) -> int:
    """Matrices only; embeddings are looked up, not multiplied, and stay as they are."""
    return sum(
        tensor.bytes
        for tensor in gguf.tensors
        if tensor.type in REPACKED
        and len(tensor.shape) > 1
        and not tensor.name.startswith(("token_embd", "per_layer_token_embd"))
    )
