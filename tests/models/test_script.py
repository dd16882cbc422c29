# SPDX-License-Identifier: AGPL-3.0-or-later
"""The `script` model: rules in, deltas out."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pydantic
import pytest

from haoya.core.tool import CallDelta, Delta, Finish, Line, Prompt, TextDelta, ToolCall
from haoya.models.script import ScriptSettings, plugin
from tests.models.lent import context

RULES: list[dict[str, Any]] = [
    {
        "match": r"time in (?P<zone>\S+)",
        "say": "Looking. ",
        "calls": [
            {"name": "clock", "arguments": {"zone": "{zone}", "deep": [{"x": "{1}"}, 7]}},
            {"name": "recall"},
        ],
        "after": "It is {results} in {zone}.",
    },
    {"match": "(?i)^hello( there)?", "say": "{0}! {1}{unknown}"},
]


def answered(folder: Path, *lines: Line, **settings: Any) -> list[Delta]:
    async def run() -> list[Delta]:
        given = ScriptSettings.model_validate({"rules": RULES, **settings})
        async with context(folder) as lent, plugin.open(given, lent) as model:
            return [delta async for delta in model.stream(Prompt(lines=tuple(lines)))]

    return asyncio.run(run())


def said(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def user(text: str) -> Line:
    return Line(role="user", text=text)


def test_without_a_rule_it_says_what_it_heard_word_by_word(tmp_path: Path) -> None:
    deltas = answered(tmp_path, user("three small  words"))
    assert [delta.text for delta in deltas if isinstance(delta, TextDelta)] == [
        "three ",
        "small  ",
        "words",
    ]
    assert isinstance(deltas[-1], Finish)
    assert deltas[-1].usage.prompt == 3


def test_groups_fill_the_answer_and_unknown_holes_stay(tmp_path: Path) -> None:
    assert said(answered(tmp_path, user("Hello there"))) == "Hello there!  there{unknown}"
    assert said(answered(tmp_path, user("hello"))) == "hello! {unknown}"


def test_a_rule_calls_tools_then_tells_their_results(tmp_path: Path) -> None:
    question = user("what time in Paris")
    deltas = answered(tmp_path, question)
    calls = [delta.call for delta in deltas if isinstance(delta, CallDelta)]
    assert said(deltas) == "Looking. "
    assert json.loads(calls[0].arguments) == {"zone": "Paris", "deep": [{"x": "Paris"}, 7]}
    assert [(call.id, call.name) for call in calls] == [("call_1", "clock"), ("call_2", "recall")]
    assert isinstance(deltas[-1], Finish)
    assert deltas[-1].reason == "tools"
    after = (
        question,
        Line(role="assistant", calls=tuple(calls)),
        Line(role="tool", call="call_1", text="noon"),
        Line(role="tool", call="call_2", text="none"),
    )
    assert said(answered(tmp_path, *after)) == "It is noon\nnone in Paris."
    again = answered(tmp_path, *after, user("and time in Rome"))
    assert [d.call.id for d in again if isinstance(d, CallDelta)] == ["call_3", "call_4"]


def test_a_prompt_without_a_person_is_answered_with_nothing(tmp_path: Path) -> None:
    assert said(answered(tmp_path, Line(role="system", text="Be kind."))) == ""


def test_results_of_a_rule_that_is_gone_are_still_told(tmp_path: Path) -> None:
    call = ToolCall(id="c", name="x")
    lines = (
        user("q"),
        Line(role="assistant", calls=(call,)),
        Line(role="tool", call="c", text="r"),
    )
    assert said(answered(tmp_path, *lines, rules=[])) == "r"


def test_a_broken_expression_is_named(tmp_path: Path) -> None:
    with pytest.raises(pydantic.ValidationError, match="not a regular expression"):
        ScriptSettings.model_validate({"rules": [{"match": "("}]})
