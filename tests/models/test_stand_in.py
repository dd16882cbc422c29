# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the stand-in of a model server says; other tests and benchmarks count on it."""

import msgspec
import pytest

from tests.servers.rote import Answer, Body, Message, answer, tokens


def said(*messages: Message, max_tokens: int | None = None) -> Answer:
    return answer(Body(messages=list(messages), max_tokens=max_tokens))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hello", "heard: hello"),
        ("the tool is blunt", "heard: the tool is blunt"),
        ("long 3", "word1 word2 word3"),
        ("Ann: long 2", "word1 word2"),
        ("#t7 long 2", "word1 word2 #t7"),
        ("#t7 hello", "heard: #t7 hello"),
    ],
)
def test_words_follow_from_the_last_user_line(text: str, words: str) -> None:
    assert said(Message("user", "before"), Message("user", text)).text == words


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('tool a {"x": {"y": ";"}}', [("a", '{"x": {"y": ";"}}')]),
        ('[Ann] tools a {} ; b.c-d {"x":1}', [("a", "{}"), ("b.c-d", '{"x":1}')]),
        ("tool a {broken", [("a", "{broken")]),
    ],
)
def test_calls_follow_from_the_last_user_line(text: str, calls: list[tuple[str, str]]) -> None:
    made = said(Message("user", text))
    assert [(call.name, call.arguments) for call in made.calls] == calls
    assert made.reason == "tool_calls"
    results = [Message("tool", f"r{i}") for i in range(len(calls))]
    done = said(Message("user", text), Message("assistant"), *results)
    assert done.text == "done: " + " ; ".join(f"r{i}" for i in range(len(calls)))


def test_a_tag_ends_the_answer_to_a_result_too() -> None:
    lines = [Message("user", "#t7 tool a {}"), Message("assistant"), Message("tool", "r")]
    assert said(*lines).text == "done: r #t7"


def test_forever_never_answers() -> None:
    lines = [Message("user", "forever a {}"), Message("assistant"), Message("tool", "r")]
    assert said(*lines).calls


def test_tokens_are_counted_over_messages_and_tools() -> None:
    assert tokens("Hello, world 2026 你好") == 7
    bare = said(Message("user", "hi")).prompt
    tools = msgspec.Raw(b'[{"name":"a"}]')
    assert answer(Body(messages=[Message("user", "hi")], tools=tools)).prompt > bare
    assert said(Message("user", "long 99"), max_tokens=10).reason == "length"
