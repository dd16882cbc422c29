# SPDX-License-Identifier: AGPL-3.0-or-later
"""Kept answers: given again to the same question alone, never where a deed hangs on them."""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from haoya.core.errors import Unready
from haoya.core.tool import (
    CallDelta,
    Delta,
    Finish,
    Line,
    Prompt,
    Sampling,
    TextDelta,
    ToolCall,
    ToolSpec,
    Usage,
)
from haoya.inference.answers import Answers, Remembering, question

COLD = Sampling(temperature=0)
LOOK = ToolSpec(name="look", purpose="?")
SEND = ToolSpec(name="send", purpose="?", effects=frozenset({"send"}))


class Counting:
    """A model that numbers its answers, and calls what it is told to."""

    name = "counting"
    context_tokens = 1000

    def __init__(self, *calls: str, reason: str = "stop") -> None:
        self.calls = calls
        self.reason = reason
        self.asked = 0
        self.breaks = False

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        self.asked += 1
        yield TextDelta(text=f"answer {self.asked}")
        for name in self.calls:
            yield CallDelta(call=ToolCall(id="1", name=name))
        if self.breaks:
            raise Unready("broke off")
        reason = "length" if self.reason == "length" else "stop"
        yield Finish(reason=reason, usage=Usage(prompt=9, completion=3), echo="e")


def prompt(text: str = "hi", **more: object) -> Prompt:
    usual: dict[str, object] = {"sampling": COLD, "tools": (LOOK, SEND)}
    return Prompt(lines=(Line(role="user", text=text),), **{**usual, **more})  # pyright: ignore[reportArgumentType]


def ask(model: Remembering, *prompts: Prompt) -> list[Sequence[Delta]]:
    async def each() -> list[Sequence[Delta]]:
        return [[delta async for delta in model.stream(one)] for one in prompts]

    return asyncio.run(each())


def words(answer: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in answer if isinstance(delta, TextDelta))


def remembering(
    inner: Counting, *, drawn: bool = False, size: int = 10_000
) -> tuple[Remembering, Answers, list[float]]:
    now = [0.0]
    answers = Answers(size, lambda: now[0])
    return Remembering("main", inner, answers, drawn=drawn), answers, now


def test_the_same_question_is_asked_once_and_the_note_says_so() -> None:
    inner = Counting()
    model, _, now = remembering(inner)
    (first,) = ask(model, prompt())
    now[0] = 12.0
    (second,) = ask(model, prompt(conversation="elsewhere"))
    assert words(first) == words(second) == "answer 1"
    assert inner.asked == 1
    end = second[-1]
    assert isinstance(end, Finish)
    assert end.notes == ("remembered answer, 12 s old",)
    assert (end.usage, end.echo) == (Usage(), "e")


def test_every_fact_the_answer_follows_from_makes_another_question() -> None:
    inner = Counting()
    model, _, _ = remembering(inner)
    others = [
        prompt(),
        prompt("hi!"),
        prompt(tools=()),
        prompt(choice="none"),
        prompt(sampling=Sampling(temperature=0, seed=1)),
    ]
    ask(model, *others)
    assert inner.asked == len(others)
    assert question("a", "m", prompt()) != question("b", "m", prompt())


def test_drawn_answers_are_kept_only_where_allowed() -> None:
    drawn = prompt(sampling=Sampling())
    inner = Counting()
    ask(remembering(inner)[0], drawn, drawn)
    assert inner.asked == 2
    inner = Counting()
    ask(remembering(inner, drawn=True)[0], drawn, drawn)
    assert inner.asked == 1


def test_an_answer_with_a_deed_half_an_answer_and_a_failure_are_not_kept() -> None:
    for inner in (Counting("send"), Counting("unknown"), Counting(reason="length")):
        ask(remembering(inner)[0], prompt(), prompt())
        assert inner.asked == 2
    inner = Counting("look")
    ask(remembering(inner)[0], prompt(), prompt())
    assert inner.asked == 1
    inner = Counting()
    inner.breaks = True
    model, answers, _ = remembering(inner)
    try:
        ask(model, prompt())
    except Unready:
        assert answers.bytes == 0


def test_answers_grow_old() -> None:
    inner = Counting()
    model, answers, now = remembering(inner)
    ask(model, prompt())
    now[0] = 3601.0
    ask(model, prompt())
    assert inner.asked == 2
    answers.clear()
    ask(model, prompt())
    assert inner.asked == 3


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3000)), max_size=60))
def test_the_store_never_holds_more_than_it_may_and_the_latest_stay(
    kept: list[tuple[int, int]],
) -> None:
    answers = Answers(5000, lambda: 0.0)
    for key, size in kept:
        answers.keep(b"%d" % key, [TextDelta(text="x" * size)])
        assert 0 <= answers.bytes <= 5000
        assert answers.find(b"%d" % key)
    for key in range(21):
        answers.keep(b"%d" % key, [TextDelta(text="x" * 9000)])
    assert answers.bytes == 0
