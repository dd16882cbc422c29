# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether an engine says what another one says, and how much faster, on one model in one run.

Two builds of the same program round differently: their numbers agree to some digits only, and
where two words are almost equally likely either may come first. So the second engine is led along
the first one's words: at each it must choose the same word, or hold it for almost as likely as its
own choice. An engine whose arithmetic is wrong is found out within a few words.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from haoya.core.errors import Unready
from haoya.inference.built import Proof
from haoya.inference.engine import Engine, Launch, usable_cores
from haoya.inference.machine import examine
from haoya.inference.process import launched
from haoya.inference.wire import request

Shape = TypeVar("Shape")

TEXTS = (
    "The sun rises in the east because",
    "请用三句话介绍一下长江：",
    'Answer with JSON only. {"name": "weather", "arguments": {"city": "',
)
WORDS = 40
"""Tokens compared after each text."""

TIE = 0.1
"""How much less likely (natural logarithm) a word may be than the best one to count as a tie."""

APART = 0.3
"""How far the two may differ in a chosen word's likelihood (natural logarithm); two sound builds
are 0.01 apart on a 4-bit model."""

PROMPT_TOKENS, ANSWER_TOKENS, RUNS = 256, 24, 5
TURN = (200, 100)
"""Tokens read and written in the turn that `ratio` is about."""

FASTER = 1.03
"""Less than this is measuring noise."""

PROOF_SECONDS = 3600.0
"""A 7B model on two cores needs three minutes, on a busy machine many times that."""

REPACK_SPACE = 3.5
"""Free memory, in sizes of the model, from which on weights are reordered as for real use: each
engine then has a copy of its own beside the mapped file."""


class Chance(msgspec.Struct, frozen=True):
    """A token and the natural logarithm of its likelihood."""

    id: int
    logprob: float


class Word(msgspec.Struct, frozen=True):
    """A token that was said, and the likeliest ones in its place."""

    id: int
    logprob: float
    top_logprobs: tuple[Chance, ...] = ()


class Timings(msgspec.Struct, frozen=True):
    """Tokens a second, as the engine counts them."""

    prompt_per_second: float = 0
    predicted_per_second: float = 0


class Completion(msgspec.Struct, frozen=True):
    """The answer of `/completion` (README of llama.cpp's server)."""

    completion_probabilities: tuple[Word, ...] = ()
    timings: Timings = Timings()


class Tokens(msgspec.Struct, frozen=True):
    """The answer of `/tokenize`."""

    tokens: tuple[int, ...]


class Heard(msgspec.Struct, frozen=True):
    """What the first engine read and said."""

    read: tuple[int, ...]
    said: tuple[Word, ...]


class Comparison(msgspec.Struct, frozen=True):
    """How two engines agree; `reason` is empty where they do."""

    tokens: int
    ties: int
    reason: str = ""


async def prove(first: Engine, second: Engine, model: Path, log: Path) -> Proof:
    """Compare two engines. Both are up, and measured in turns: what else the machine does then
    falls on both alike.

    Raises as `process.launched` does where one of them cannot run the model, and `Unready` where
    it takes more than `PROOF_SECONDS`.
    """
    try:
        async with asyncio.timeout(PROOF_SECONDS):
            return await _compare(first, second, model, log)
    except TimeoutError:
        raise Unready(
            f"comparing the engines on {model.name} took longer than {PROOF_SECONDS / 60:.0f} "
            "minutes; run it again when the machine has less to do, or name a smaller model"
        ) from None


async def _compare(first: Engine, second: Engine, model: Path, log: Path) -> Proof:
    repack, busy = _has_room(model), _busy()
    async with (
        _up(first, model, repack, log) as one,
        _up(second, model, repack, log.with_suffix(".second.log")) as other,
    ):
        heard = [await _hear(one, text) for text in TEXTS]
        compared = [await _follow(other, words) for words in heard]
        before, after = await _speeds(one, other)
    tokens, ties = (sum(getattr(one, name) for one in compared) for name in ("tokens", "ties"))
    wrong = next((one.reason for one in compared if one.reason), "")
    ratio = _turn_seconds(before) / _turn_seconds(after)
    slow = f"it is not faster here: {ratio:.2f} times the {first.name}'s speed{busy}"
    return Proof(
        model=model.name,
        at=round(time.time(), 1),
        equal=not wrong,
        tokens=tokens,
        ties=ties,
        prompt_ratio=round(after.prompt_per_second / before.prompt_per_second, 2),
        answer_ratio=round(after.predicted_per_second / before.predicted_per_second, 2),
        ratio=round(ratio, 2),
        reason=wrong or ("" if ratio >= FASTER else slow),
    )


@asynccontextmanager
async def _up(engine: Engine, model: Path, repack: bool, log: Path) -> AsyncGenerator[str, None]:
    launch = Launch(model=str(model), socket="", context_tokens=1024, sessions=1, repack=repack)
    async with launched(engine, launch, log) as running:
        yield running.socket


def _has_room(model: Path) -> bool:
    return examine().available > REPACK_SPACE * model.stat().st_size


def _busy() -> str:
    """A remark where others use so much of the machine that speeds say little."""
    load = os.getloadavg()[0]
    if load < usable_cores() / 2:
        return ""
    return f", but the machine was busy (load {load:.1f}); run it again when it is at rest"


async def _hear(socket: str, text: str) -> Heard:
    body = msgspec.json.encode({"content": text})
    read = (await _post(socket, "/tokenize", body, Tokens)).tokens
    said = await _complete(socket, read, WORDS)
    return Heard(read, said.completion_probabilities)


async def _follow(socket: str, heard: Heard) -> Comparison:
    """Lead an engine along the words of another, one by one."""
    led, ties = heard.read, 0
    for done, wanted in enumerate(heard.said):
        own = (await _complete(socket, led, 1, cached=True)).completion_probabilities
        if not own:
            return Comparison(done, ties, "it said nothing")
        near = _likelihood(own[0], wanted.id)
        if near is None or own[0].logprob - near > TIE or abs(near - wanted.logprob) > APART:
            return Comparison(done, ties, f"it says something else after {done} words")
        ties += own[0].id != wanted.id
        led = (*led, wanted.id)
    return Comparison(len(heard.said), ties)


def _likelihood(word: Word, id: int) -> float | None:
    """How likely a token was in a word's place, None where it is not among the likeliest."""
    if word.id == id:
        return word.logprob
    return next((one.logprob for one in word.top_logprobs if one.id == id), None)


async def _speeds(*sockets: str) -> list[Timings]:
    """The best of several runs of each, as the work of others only ever slows one down."""
    text = msgspec.json.encode({"content": " ".join(TEXTS) * 16})
    read = (await _post(sockets[0], "/tokenize", text, Tokens)).tokens[:PROMPT_TOKENS]
    runs: list[list[Timings]] = []
    for _ in range(RUNS):
        runs.append([(await _complete(one, read, ANSWER_TOKENS)).timings for one in sockets])
    best = [
        Timings(
            max(run.prompt_per_second for run in own), max(run.predicted_per_second for run in own)
        )
        for own in zip(*runs, strict=True)
    ]
    if any(one.prompt_per_second <= 0 or one.predicted_per_second <= 0 for one in best):
        raise Unready("an engine does not tell how fast it is")
    return best


async def _complete(
    socket: str, read: tuple[int, ...], count: int, *, cached: bool = False
) -> Completion:
    wish = {
        "prompt": read,
        "n_predict": count,
        "temperature": 0,
        "n_probs": 5,
        "ignore_eos": True,
        "cache_prompt": cached,
        "id_slot": 0,
    }
    return await _post(socket, "/completion", msgspec.json.encode(wish), Completion)


async def _post(socket: str, path: str, body: bytes, shape: type[Shape]) -> Shape:
    async with request(socket, "POST", path, body) as reply:
        said = await reply.body()
    if reply.status != 200:
        raise Unready(f"the engine refuses {path}: {said[:200].decode('utf-8', 'replace')}")
    try:
        return msgspec.json.decode(said, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unready(f"the engine answers {path} in a form of its own: {error}") from None


def _turn_seconds(speed: Timings) -> float:
    read, written = TURN
    return read / speed.prompt_per_second + written / speed.predicted_per_second
