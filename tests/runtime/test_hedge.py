# SPDX-License-Identifier: AGPL-3.0-or-later
"""Two models race for the first word: one answer, one line of the journal, nobody left running."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

import pytest

from haoya.core.errors import Rejected, Unready
from haoya.core.event import ModelAnswered, ModelAsked, ModelFailed
from haoya.core.ports import Hedges
from haoya.core.tool import Delta, Finish, Line, Prompt, TextDelta
from haoya.runtime.hedge import Failure, Hedged
from tests.agent.stage import Play, Scripted
from tests.runtime.waiting import run

PROMPT = Prompt(lines=(Line(role="user", text="hi"),))


class Runner:
    """A model that begins when `go` is set, and says whether it was let end."""

    context_tokens = 1000

    def __init__(self, name: str, *, fails: Failure | None = None, late: bool = False) -> None:
        self.name = name
        self.fails = fails
        self.late = late
        self.go = asyncio.Event()
        self.asked = asyncio.Event()
        self.ended = ""

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        self.asked.set()
        try:
            await self.go.wait()
            if self.fails and not self.late:
                raise self.fails
            yield TextDelta(text=f"{self.name} ")
            if self.fails:
                raise self.fails
            yield TextDelta(text="speaks")
            yield Finish(model=self.name, notes=("own note",))
            self.ended = "whole"
        except asyncio.CancelledError:
            self.ended = "cancelled"
            raise
        finally:
            self.ended = self.ended or "failed"


class Race:
    """Two runners, and what was told of their failures."""

    def __init__(self, one: Runner, two: Runner, seconds: float = 0.01) -> None:
        self.one = one
        self.two = two
        self.covered: list[str] = []
        self.model = Hedged(
            (one.name, one), (two.name, two), seconds, lambda name, _: self.covered.append(name)
        )

    async def ask(self, meanwhile: Callable[[], Awaitable[None]] | None = None) -> list[Delta]:
        """The whole answer; `meanwhile` happens while it is awaited."""
        aside = asyncio.ensure_future(meanwhile()) if meanwhile else None
        try:
            return [delta async for delta in self.model.stream(PROMPT)]
        finally:
            if aside:
                await aside


def words(answer: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in answer if isinstance(delta, TextDelta))


def notes(answer: Sequence[Delta]) -> tuple[str, ...]:
    return next(delta.notes for delta in answer if isinstance(delta, Finish))


def test_who_begins_in_time_answers_alone() -> None:
    async def body() -> None:
        race = Race(Runner("one"), Runner("two"), seconds=30)
        race.one.go.set()
        answer = await race.ask()
        assert words(answer) == "one speaks"
        assert notes(answer) == ("own note",)
        assert not race.two.asked.is_set()
        assert race.model.speaker == "one"

    run(body)


def test_the_second_begins_where_the_first_is_slow_and_the_loser_is_cancelled() -> None:
    async def body() -> None:
        race = Race(Runner("one"), Runner("two"))
        race.two.go.set()
        answer = await race.ask()
        assert words(answer) == "two speaks"
        assert notes(answer)[1] == "hedged: one had not begun after 0.01 s, two was first to begin"
        assert race.one.ended == "cancelled"
        assert isinstance(race.model, Hedges)
        assert race.model.speaker == "two"

    run(body)


def test_the_first_may_still_win_the_race() -> None:
    async def body() -> None:
        race = Race(Runner("one"), Runner("two"))

        async def later() -> None:
            await race.two.asked.wait()
            race.one.go.set()

        answer = await race.ask(later)
        assert words(answer) == "one speaks"
        assert "one was first to begin" in notes(answer)[1]
        assert race.two.ended == "cancelled"

    run(body)


def test_a_failure_before_the_second_began_is_the_firsts_own() -> None:
    async def body() -> None:
        race = Race(Runner("one", fails=Rejected("no key")), Runner("two"), seconds=30)
        race.one.go.set()
        with pytest.raises(Rejected, match="no key"):
            await race.ask()
        assert not race.two.asked.is_set()
        assert race.covered == []

    run(body)


def test_one_failing_in_the_race_leaves_it_to_the_other() -> None:
    async def body() -> None:
        race = Race(Runner("one", fails=Unready("down")), Runner("two"))

        async def later() -> None:
            await race.two.asked.wait()
            race.one.go.set()
            while race.one.ended != "failed":
                await asyncio.sleep(0)
            race.two.go.set()

        assert words(await race.ask(later)) == "two speaks"
        assert race.covered == ["one"]

    run(body)


def test_where_both_fail_the_first_ones_failure_is_raised() -> None:
    async def body() -> None:
        race = Race(Runner("one", fails=Unready("first")), Runner("two", fails=Unready("second")))

        async def later() -> None:
            await race.two.asked.wait()
            race.two.go.set()
            while race.two.ended != "failed":
                await asyncio.sleep(0)
            race.one.go.set()

        with pytest.raises(Unready, match="first"):
            await race.ask(later)
        assert race.model.speaker == "one"

    run(body)


def test_leaving_early_leaves_nobody_running() -> None:
    async def body() -> None:
        race = Race(Runner("one"), Runner("two"))
        race.two.go.set()
        async with aclosing(race.model.stream(PROMPT)) as deltas:
            await anext(deltas)
        assert race.one.ended == "cancelled"
        assert len(asyncio.all_tasks()) == 1

    run(body)


def test_the_journal_names_who_spoke_and_has_one_answer() -> None:
    slow = Hanging()
    quick = Scripted(last="here I am")
    play = Play(models=[("slow", hedged(slow, quick)), ("quick", quick)])
    play.hear("hello")
    assert play.go() == "here I am"
    assert [asked.model for asked in play.of(ModelAsked)] == ["slow"]
    (answered,) = play.of(ModelAnswered)
    assert answered.model == "quick"
    assert "hedged" in answered.notes[0]
    assert play.of(ModelFailed) == []


def test_the_winner_is_asked_first_in_the_turns_next_step() -> None:
    slow = Hanging()
    quick = Scripted([("again", '{"what": "b"}')], last="done")
    play = Play(models=[("slow", hedged(slow, quick)), ("quick", quick)])
    play.hear("hello")
    assert play.go() == "done"
    assert [asked.model for asked in play.of(ModelAsked)] == ["slow", "quick"]
    assert slow.asked == 1


def test_a_winner_that_breaks_off_is_the_one_that_failed() -> None:
    slow, quick = Hanging(), Scripted(words="well", breaks=Unready("broke off"), times=1)
    play = Play(models=[("slow", hedged(slow, quick)), ("quick", quick)])
    play.hear("hello")
    assert play.go() == "welldone"
    (failed,) = play.of(ModelFailed)
    assert failed.model == "quick"
    assert "<retracted>" in play.streamed


class Hanging:
    """A model that never begins."""

    name = "hanging"
    context_tokens = 100_000

    def __init__(self) -> None:
        self.asked = 0

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        self.asked += 1
        await asyncio.Event().wait()
        yield Finish()


def hedged(slow: Hanging, quick: Scripted) -> Hedged:
    return Hedged(("slow", slow), ("quick", quick), 0.01, lambda *_: None)
