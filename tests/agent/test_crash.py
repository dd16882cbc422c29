# SPDX-License-Identifier: AGPL-3.0-or-later
"""A turn that dies after any of its writes, once or twice, and is taken up again."""

import contextlib
from collections.abc import Callable

import msgspec
import pytest

from haoya.agent.transcript import UNKNOWN
from haoya.core.errors import Unready
from haoya.core.event import Asked, ModelAsked, Said, ToolAsked, ToolReturned, ToolStarted
from tests.agent.stage import Died, Play, Scripted, Tools

SCRIPT = (
    [("once", '{"what": "a"}'), ("again", '{"what": "b"}')],
    [("send", '{"what": "c"}'), ("once", '{"what": "d"}')],
)


def fresh(tools: Tools) -> Play:
    """Two tools, a question, another tool, an answer; the first model dies in the middle."""
    flaky = Scripted(words="Hm", breaks=Unready("gone"))
    return Play(tools=tools, models=[("flaky", flaky), ("main", Scripted(*SCRIPT))])


def live(play: Play, *, until: Callable[[], bool] = lambda: False) -> None:
    """Run, and answer the question as soon as it is there, until all is said."""
    for _ in range(10):
        play.go()
        if play.of(Said) or until():
            return
        if _asked(play):
            play.decide(True)
    raise AssertionError("it never comes to an end")


def _asked(play: Play) -> bool:
    return len(play.of(Asked)) > sum(e.event.__class__.__name__ == "Decided" for e in play.entries)


def whole() -> int:
    """How many writes an undisturbed turn takes."""
    play = fresh(Tools())
    play.hear("go")
    live(play)
    return play.writes


WRITES = whole()


def die(play: Play, after: int) -> None:
    """Let the process end after so many further writes (the effect of a tool that was running
    has happened, its result is lost)."""
    play.die_after = play.writes + after
    with contextlib.suppress(Died):
        live(play)
    play.die_after = None


def check(play: Play, deaths: int) -> None:
    """What must hold when all is over."""
    assert play.said() == ["done"] and play.go() == ""
    results = play.of(ToolReturned)
    assert len({result.call for result in results}) == len(results) == 4
    asked = [question.call for question in play.of(Asked)]
    assert asked == ["11.2.0"]
    for call in (one.call for one in play.of(ToolAsked)):
        what = msgspec.json.decode(call.arguments)["what"]
        starts = sum(started.call == call.id for started in play.of(ToolStarted))
        (result,) = (one for one in results if one.call == call.id)
        if call.name == "again":
            assert result.known and 1 <= play.tools.ran[what] == starts <= 1 + deaths
        else:
            assert play.tools.ran[what] == starts == 1
            assert result.known == result.ok == bool(result.text)


@pytest.mark.parametrize("after", range(1, WRITES))
def test_killed_once_after_any_write(after: int) -> None:
    play = fresh(Tools())
    play.hear("go")
    die(play, after)
    live(play)
    check(play, 1)


def test_killed_twice_after_any_two_writes() -> None:
    for first in range(1, WRITES):
        for second in range(WRITES):
            play = fresh(Tools())
            play.hear("go")
            die(play, first)
            if not play.of(Said):
                die(play, second)
            if not play.of(Said):
                live(play)
            check(play, 2)


def test_what_a_dead_tool_did_is_told_as_not_known() -> None:
    model = Scripted([("once", '{"what": "a"}')])
    play = Play(models=[("main", model)])
    play.hear("go")
    _die_in_tool(play)
    assert play.go() == "done"
    (result,) = play.of(ToolReturned)
    assert not result.known and not result.ok
    assert model.seen[-1][-1].text == UNKNOWN
    assert play.tools.ran == {"a": 1}


def test_a_tool_that_may_run_again_does() -> None:
    play = Play(models=[("main", Scripted([("again", '{"what": "b"}')]))])
    play.hear("go")
    _die_in_tool(play)
    assert play.go() == "done"
    (result,) = play.of(ToolReturned)
    assert result.known and result.ok
    assert play.tools.ran == {"b": 2} and list(play.tools.keys.values()) == [2]


def test_a_tool_that_is_gone_since_is_not_run_again() -> None:
    play = Play(models=[("main", Scripted([("again", '{"what": "b"}')]))])
    play.hear("go")
    _die_in_tool(play)
    play.broker.parts["test"] = [play.tools.lent["once"]]
    assert play.go() == "done"
    assert not play.of(ToolReturned)[0].known


def test_an_answer_is_not_asked_for_again() -> None:
    play = Play()
    play.hear("go")
    live(play)
    asked = len(play.of(ModelAsked))
    assert play.go() == "" and len(play.of(ModelAsked)) == asked == 1


def _die_in_tool(play: Play) -> None:
    play.die_after = play.writes + 3  # asked, answered, started; the result is never written
    with pytest.raises(Died):
        play.go()
    assert play.of(ToolStarted) and not play.of(ToolReturned)
    play.die_after = None
