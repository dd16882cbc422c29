# SPDX-License-Identifier: AGPL-3.0-or-later
"""Talking: through pipes, at a real pseudo-terminal, and across a daemon's death."""

import io
import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from haoya.cli.growing import Growing
from haoya.cli.talk import Talk
from haoya.core.errors import Unready
from tests.cli.conftest import HAOYA, SECONDS, Daemon, Screen

Show = Callable[..., Screen]


def piped(*arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HAOYA, *arguments],
        input=said, capture_output=True, text=True, timeout=SECONDS * 2, check=False,
    )  # fmt: skip


def test_ask_prints_the_answer_and_nothing_else(daemon: Daemon) -> None:
    done = piped("ask", "你好", "呀")
    assert (done.returncode, done.stdout, done.stderr) == (0, "you said: 你好 呀\n", "")
    assert daemon.heard() == ["你好 呀"]


def test_ask_reads_what_is_piped_in_below_the_question(daemon: Daemon) -> None:
    assert piped("ask", "sum up:", said="a\nb\n").stdout == "you said: sum up:\n\na\nb\n"
    assert piped("ask", said="only this\n").stdout == "you said: only this\n"
    nothing = piped("ask")
    assert nothing.returncode == 1
    assert "nothing to ask" in nothing.stderr


def test_ask_answers_programs_in_json(daemon: Daemon) -> None:
    answer = json.loads(piped("ask", "--json", "hi").stdout)
    assert answer["answer"] == "you said: hi"
    assert set(answer) == {"id", "answer", "seconds"}


def test_ask_puts_an_answer_in_pieces_together(daemon: Daemon) -> None:
    assert piped("ask", "pieces").stdout == "one\ntwo\n"
    assert json.loads(piped("ask", "pieces", "--json").stdout)["answer"] == "one\ntwo"


def test_ask_streams_to_a_person(daemon: Daemon, screen: Show) -> None:
    person = screen("ask", "hello there")
    person.reads("you said: hello there")
    assert person.leave() == 0
    assert "you said" not in person.text  # once, not once per draft


def test_ask_gives_up_in_time_and_says_why(daemon: Daemon) -> None:
    done = piped("ask", "wait", "--timeout", "0.3")
    assert done.returncode == 1
    assert "no answer within" in done.stderr
    assert "it waits for the model" in done.stderr


def test_ask_tells_of_a_daemon_that_died_on_the_way(daemon: Daemon) -> None:
    done = piped("ask", "die")
    assert done.returncode == 1
    assert "the daemon went away" in done.stderr
    assert "haoya up" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_question_of_the_house_is_not_taken_for_the_answer(daemon: Daemon) -> None:
    with subprocess.Popen(
        [*HAOYA, "ask", "may I"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as asking:  # fmt: skip
        assert asking.stderr is not None
        assert asking.stdout is not None
        assert asking.stderr.readline() == "may I write?\n"
        assert asking.stderr.readline() == "[Yes: yes]\n"
        assert piped("ask", "yes").returncode == 0
        assert asking.stdout.read() == "you said: may I\n"
        assert asking.wait(SECONDS) == 0


def test_chat_through_a_pipe_answers_line_by_line(daemon: Daemon) -> None:
    done = piped("chat", said="one\n\n二\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "you said: one\nyou said: 二\n"


def test_chat_through_a_pipe_can_answer_the_house(daemon: Daemon) -> None:
    done = piped("chat", said="may I\nyes\n")
    lines = done.stdout.splitlines()
    assert lines[:2] == ["may I write?", "[Yes: yes]"]
    assert sorted(lines[2:]) == ["you said: may I", "you said: yes"]


def test_chat_at_a_terminal_streams_and_leaves_on_ctrl_d(daemon: Daemon, screen: Show) -> None:
    person = screen("chat")
    person.reads("Ctrl-D leaves")
    person.reads("› ")
    person.type("早上好\n")
    person.reads("you said: 早上好")
    assert "you said" not in person.reads("› ")
    person.type("may I\n")
    person.reads("[Yes: yes]")
    person.reads("› ")
    person.type("yes\n")
    person.reads("you said: may I")
    person.reads("› ")
    person.type("\x04")
    assert person.leave() == 0


def test_chat_leaves_on_ctrl_c_even_while_it_waits(daemon: Daemon, screen: Show) -> None:
    person = screen("chat")
    person.reads("› ")
    person.type("wait\n")
    until((daemon.home / "journal.jsonl").exists)
    person.process.send_signal(signal.SIGINT)
    assert person.leave() == 0


def test_what_others_say_appears_above_the_line_being_typed(daemon: Daemon, screen: Show) -> None:
    person = screen("chat")
    person.reads("› ")
    person.type("half a thou")
    person.reads("half a thou")
    assert piped("ask", "from elsewhere").returncode == 0
    person.reads("you said: from elsewhere")
    person.reads("› half a thou")
    person.type("ght\n")
    person.reads("you said: half a thought")


def test_what_is_written_while_the_daemon_is_away_arrives_once(
    daemon: Daemon, screen: Show
) -> None:
    person = screen("chat")
    person.reads("› ")
    daemon.kill()
    person.reads("what you write is kept")
    person.reads("› ")
    person.type("kept for you\n")
    daemon.start()
    person.reads("the daemon is back")
    person.reads("you said: kept for you")
    assert daemon.heard() == ["kept for you"]


def test_a_piped_chat_outlives_a_daemon_killed_after_storing(daemon: Daemon) -> None:
    with subprocess.Popen(
        [*HAOYA, "chat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as chatting:
        assert chatting.stdin is not None
        assert chatting.stdout is not None
        chatting.stdin.write("die\nafter\n")
        chatting.stdin.close()
        daemon.died()
        daemon.start()
        assert chatting.stdout.read() == "you said: die\nyou said: after\n"
        assert chatting.wait(SECONDS) == 0
    assert daemon.heard() == ["die", "after"]


def test_nothing_is_lost_or_doubled_over_many_deaths(home: Path, daemon: Daemon) -> None:
    talk = Talk(home, "cli")
    assert talk.connect()
    answers: list[str] = []
    for n in range(40):
        talk.say(f"m{n}")
        if n % 8 == 5:
            daemon.kill()
            talk.say(f"into the dark {n}")
            daemon.start()
        while len(talk.awaited) > 3:
            listen(talk, answers)
    while talk.awaited:
        listen(talk, answers)
    talk.close()
    heard = daemon.heard()
    assert len(heard) == len(set(heard)) == 45
    assert sorted(answers) == sorted(f"you said: {text}" for text in heard)


def listen(talk: Talk, answers: list[str]) -> None:
    try:
        outbound = talk.hear(0.2)
    except Unready:
        until(talk.connect)
        return
    if outbound and outbound.finality == "final":
        answers.append(outbound.parts[0].text)  # type: ignore[union-attr]


def until(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("states", "final", "seen"),
    [
        (["a", "ab"], "abc", "abc\n"),
        ([], "abc", "abc\n"),
        (["let me look"], "found it", "let me look\nfound it\n"),
        (["abc", "ab"], "abcd", "abcd\n"),
        (["one", "two"], "two three", "one\ntwo three\n"),
    ],
)
def test_an_answer_grows_without_moving_what_stands(
    states: list[str], final: str, seen: str
) -> None:
    out = io.StringIO()
    growing = Growing(out)
    for state in states:
        growing.grow(state)
    growing.finish(final)
    assert out.getvalue() == seen
