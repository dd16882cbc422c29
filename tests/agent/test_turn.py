# SPDX-License-Identifier: AGPL-3.0-or-later
"""A turn from its first word to its last: models that fail, tools that fail, limits, questions."""

import asyncio

import pytest

from haoya.agent import turn as turning
from haoya.core.errors import Rejected, Undeliverable, Unready
from haoya.core.event import (
    ModelAnswered,
    ModelAsked,
    ModelFailed,
    ToolAsked,
    ToolJudged,
    ToolReturned,
    ToolStarted,
)
from haoya.core.phrases import Language, phrase
from haoya.core.tool import Scene, ToolResult
from haoya.runtime import broker as brokering
from tests.agent.stage import Note, Play, Scripted, Tools

ONCE = ("once", '{"what": "a"}')
AGAIN = ("again", '{"what": "b"}')
SEND = ("send", '{"what": "c"}')


def test_words_stream_and_become_the_answer() -> None:
    play = Play(models=[("main", Scripted(last="good day to you"))])
    play.hear("hello")
    assert play.go() == "good day to you"
    assert "".join(play.streamed) == "good day to you"
    (asked,), (answered,) = play.of(ModelAsked), play.of(ModelAnswered)
    assert (asked.turn, asked.step, asked.model) == (11, 1, "main")
    assert (answered.text, answered.calls) == ("good day to you", ())
    assert play.go() == ""


def test_tools_run_in_order_and_the_model_reads_their_results() -> None:
    model = Scripted([ONCE, AGAIN], last="all done")
    play = Play(models=[("main", model)])
    play.hear("do it")
    assert play.go() == "all done"
    assert play.tools.ran == {"a": 1, "b": 1}
    assert [line.role for line in model.seen[-1]] == ["system", "user", "assistant", "tool", "tool"]
    assert [line.text for line in model.seen[-1][-2:]] == ["once a", "again b"]


def test_calls_are_told_apart_though_the_model_names_them_alike() -> None:
    play = Play(models=[("main", Scripted([ONCE, ONCE], [ONCE]))])
    play.hear("do it")
    play.go()
    ids = [asked.call.id for asked in play.of(ToolAsked)]
    assert len(set(ids)) == len(ids) == 3
    assert play.tools.keys.total() == len(play.tools.keys) == 3


def test_calls_after_a_pause_are_not_mistaken_for_those_before_it() -> None:
    """A second message sent in a turn that was paused for the owner is a second message."""
    play = Play(models=[("main", Scripted([SEND], [("send", '{"what": "d"}')]))])
    play.hear("send two")
    play.go()
    play.decide(True)
    play.go()
    play.decide(True)
    assert play.go() == "done"
    ids = [asked.call.id for asked in play.of(ToolAsked)]
    assert len(set(ids)) == len(ids) == 2
    assert play.tools.ran == {"c": 1, "d": 1} and len(play.tools.keys) == 2


def test_a_question_pauses_the_turn_and_yes_runs_it_once() -> None:
    play = Play(models=[("main", Scripted([SEND]))])
    play.hear("send it")
    assert play.go() == "" and play.go() == ""
    assert not play.tools.ran
    play.decide(True)
    assert play.go() == "done"
    assert play.tools.ran == {"c": 1}
    assert [judged.verdict.decision for judged in play.of(ToolJudged)] == ["ask", "allow"]


def test_no_leaves_it_and_the_model_is_told() -> None:
    model = Scripted([SEND])
    play = Play(models=[("main", model)])
    play.hear("send it")
    play.go()
    play.decide(False)
    assert play.go() == "done"
    assert not play.tools.ran and not play.of(ToolStarted)
    assert "owner said no" in model.seen[-1][-1].text


def test_a_yes_does_not_outlive_a_change_of_the_table() -> None:
    play = Play(models=[("main", Scripted([SEND]))])
    play.hear("send it")
    play.go()
    play.decide(True)
    play.cells = {"owner.send": "deny"}
    assert play.go() == "done"
    assert not play.tools.ran
    assert "Not allowed" in play.of(ToolReturned)[0].text


def test_calls_before_a_question_are_not_run_again_after_it() -> None:
    play = Play(models=[("main", Scripted([ONCE, SEND, AGAIN]))])
    play.hear("all three")
    play.go()
    assert play.tools.ran == {"a": 1}
    play.decide(True)
    assert play.go() == "done"
    assert play.tools.ran == {"a": 1, "b": 1, "c": 1}


def test_a_denied_call_and_an_unknown_tool_are_results_too() -> None:
    tools = Tools()
    tools.add("buy", "spend")
    model = Scripted([("buy", '{"what": "x"}'), ("nothing", "{}")])
    play = Play(tools=tools, models=[("main", model)])
    play.hear("buy")
    assert play.go() == "done"
    assert not tools.ran and not play.of(ToolStarted)
    assert [result.ok for result in play.of(ToolReturned)] == [False, False]
    assert all("Not allowed" in line.text for line in model.seen[-1][-2:])


@pytest.mark.parametrize("arguments", ["", "{}", "{", '{"what": 1}', "[]", "null", "\x00"])
def test_arguments_that_do_not_fit_are_told_to_the_model(arguments: str) -> None:
    play = Play(models=[("main", Scripted([("once", arguments)]))])
    play.hear("do it")
    assert play.go() == "done"
    (result,) = play.of(ToolReturned)
    assert not result.ok and "do not fit once" in result.text
    assert not play.tools.ran


async def _break(note: Note, scene: Scene) -> ToolResult:
    raise ZeroDivisionError("by zero")


async def _complain(note: Note, scene: Scene) -> ToolResult:
    raise Undeliverable("room gone")


async def _sleep(note: Note, scene: Scene) -> ToolResult:
    await asyncio.sleep(3600)
    return ToolResult(text="never")


async def _talk(note: Note, scene: Scene) -> ToolResult:
    return ToolResult(text="x" * (turning.RESULT_CHARACTERS + 7))


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (_break, "tool failed: ZeroDivisionError: by zero"),
        (_complain, "tool: room gone"),
        (_sleep, "tool took over"),
    ],
)
def test_a_tool_that_fails_is_a_result_not_an_end(
    run: object, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(brokering, "TOOL_SECONDS", 0.05)
    tools = Tools()
    tools.add("tool", "read", run=run)  # type: ignore[arg-type]
    play = Play(tools=tools, models=[("main", Scripted([("tool", '{"what": "x"}')]))])
    play.hear("do it")
    assert play.go() == "done"
    (result,) = play.of(ToolReturned)
    assert not result.ok and result.known and words in result.text


def test_a_long_result_is_cut_and_says_so() -> None:
    tools = Tools()
    tools.add("tool", "read", run=_talk)
    play = Play(tools=tools, models=[("main", Scripted([("tool", '{"what": "x"}')]))])
    play.hear("do it")
    play.go()
    (result,) = play.of(ToolReturned)
    assert result.text.endswith("[7 more characters are left out]")
    assert len(result.text) < turning.RESULT_CHARACTERS + 50


def test_a_cancelled_tool_cancels_the_turn() -> None:
    """Only faults become results; the house's own stop is none."""

    async def cancel(note: Note, scene: Scene) -> ToolResult:
        raise asyncio.CancelledError

    tools = Tools()
    tools.add("tool", "read", run=cancel)
    play = Play(tools=tools, models=[("main", Scripted([("tool", '{"what": "x"}')]))])
    play.hear("do it")
    with pytest.raises(asyncio.CancelledError):
        play.go()
    assert not play.of(ToolReturned)


def test_the_next_model_answers_when_the_first_breaks_off() -> None:
    dead = Scripted(words="Well, I", breaks=Unready("hung up"))
    play = Play(models=[("first", dead), ("second", Scripted(last="hello"))])
    play.hear("hi")
    assert play.go() == "hello"
    assert play.streamed == ["Well, I", "<retracted>", "hello"]
    (failed,) = play.of(ModelFailed)
    assert (failed.model, failed.error) == ("first", "hung up")
    assert [asked.model for asked in play.of(ModelAsked)] == ["first", "second"]
    assert play.of(ModelAnswered)[0].text == "hello"


def test_a_model_that_broke_before_a_word_takes_nothing_back() -> None:
    play = Play(models=[("a", Scripted(breaks=Rejected("no key"))), ("b", Scripted())])
    play.hear("hi")
    assert play.go() == "done"
    assert play.streamed == ["done"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_when_all_models_are_dead_the_person_hears_why(language: Language) -> None:
    models = [(name, Scripted(breaks=Unready(f"{name} is gone"))) for name in ("a", "b")]
    play = Play(models=models, language=language)
    play.hear("hi")
    assert play.go() == phrase("model-down", language, reason="a is gone", number=11)
    assert len(play.of(ModelFailed)) == 2 and play.said() and play.go() == ""


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_refused_key_is_named_before_a_dead_server(language: Language) -> None:
    models = [("a", Scripted(breaks=Unready("gone"))), ("b", Scripted(breaks=Rejected("bad key")))]
    play = Play(models=models, language=language)
    play.hear("hi")
    assert play.go() == phrase("model-refused", language, reason="bad key")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_without_a_model_the_person_hears_what_to_do(language: Language) -> None:
    play = Play(models=[], language=language)
    play.hear("hi")
    assert play.go() == phrase("no-model", language)
    parked = Play(models=[], language=language, trouble="[models.main] needs 'base_url'")
    parked.hear("hi")
    reason = "[models.main] needs 'base_url'"
    assert parked.go() == phrase("model-parked", language, reason=reason)


@pytest.mark.parametrize("last", ["", "  "])
def test_a_model_without_words_is_excused(last: str) -> None:
    play = Play(models=[("main", Scripted(last=last))], language="zh")
    play.hear("hi")
    assert play.go() == phrase("empty", "zh")


def test_a_turn_ends_after_its_steps() -> None:
    play = Play(models=[("main", Scripted(*[[AGAIN]] * 9))], max_steps=3)
    play.hear("for ever")
    assert play.go() == phrase("steps", "en", steps=3)
    assert len(play.of(ModelAsked)) == 3 and play.tools.ran == {"b": 3}


def test_questions_do_not_give_a_turn_new_steps() -> None:
    play = Play(models=[("main", Scripted(*[[SEND]] * 9))], max_steps=3)
    play.hear("for ever")
    for _ in range(3):
        assert play.go() == ""
        play.decide(True)
    assert play.go() == phrase("steps", "en", steps=3)
    assert play.tools.ran == {"c": 3}


def test_a_model_that_forgets_to_finish_has_still_answered() -> None:
    play = Play(models=[("main", Scripted(finish=False))])
    play.hear("hi")
    assert play.go() == "done"


def test_the_prompt_of_a_small_model_leaves_the_oldest_words_out() -> None:
    model = Scripted(context_tokens=600)
    play = Play(models=[("main", model)])
    for i in range(12):
        play.hear(f"message {i} " + "word " * 40)
        play.go()
    last = model.seen[-1]
    assert last[0].role == "system" and last[-1].text.startswith("message 11")
    assert len(last) < 12
    assert play.of(ModelAsked)[-1].since > play.entries[0].number


def test_long_results_never_drive_the_question_out_of_the_prompt() -> None:
    tools = Tools()
    tools.add("tool", "read", run=_talk)
    model = Scripted(*[[("tool", '{"what": "x"}')]] * 3, context_tokens=8000)
    play = Play(tools=tools, models=[("main", model)], max_steps=3)
    play.hear("what stands in the three files?")
    play.go()
    assert all("three files" in lines[1].text for lines in model.seen)
    assert {asked.since for asked in play.of(ModelAsked)} == {11}
