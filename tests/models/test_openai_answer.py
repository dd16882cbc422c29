# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is understood of an answer, however it is cut and whoever wrote it."""

import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haoya.core.errors import Unready
from haoya.core.tool import CallDelta, Delta, Finish, TextDelta, Usage
from haoya.models._wire.thoughts import Spoken
from haoya.models.openai.answer import Answer


def chunk(delta: dict[str, Any] | None = None, reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": reason}
    event = {"model": "m", "choices": [choice], **more}
    return f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def call(index: int | None = None, id: str | None = None, **function: Any) -> dict[str, Any]:
    piece = {"index": index, "id": id, "function": function}
    return {"tool_calls": [{k: v for k, v in piece.items() if v is not None}]}


def read(*pieces: bytes, taken: frozenset[str] = frozenset()) -> list[Delta]:
    answer = Answer("host:1", "asked", taken)
    deltas: list[Delta] = []
    for piece in pieces:
        deltas += answer.feed(piece)
    return deltas + answer.finish()


def said(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def calls(deltas: list[Delta]) -> list[tuple[str, str]]:
    found = [delta.call for delta in deltas if isinstance(delta, CallDelta)]
    return [(one.name, one.arguments) for one in found]


DONE = b"data: [DONE]\n\n"
FULL = (
    b": waiting\r\n\r\n"
    + chunk({"role": "assistant", "content": ""})
    + chunk({"reasoning_content": "secret thought", "reasoning": "another"})
    + chunk({"content": "<think>hidden 想</think>\n\n你好, "})
    + chunk({"content": "friend 😀"})
    + chunk(call(0, "c1", name="clock", arguments=""))
    + chunk(call(0, arguments='{"zo'))
    + chunk(call(0, arguments='ne":"上海"}'))
    + chunk(call(1, "c2", name="recall", arguments='{"query":"x"}'))
    + chunk({}, "tool_calls")
    + b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5,'
    + b'"prompt_tokens_details":{"cached_tokens":3}}}\r\n\r\n'
    + DONE
)


@settings(deadline=None)
@given(st.lists(st.integers(0, len(FULL)), max_size=40))
def test_cutting_the_bytes_anywhere_changes_no_delta(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(FULL)]
    pieces = [FULL[a:b] for a, b in itertools.pairwise(edges)]
    assert read(*pieces) == read(FULL)


def test_byte_by_byte_is_the_same_as_at_once() -> None:
    deltas = read(*[FULL[i : i + 1] for i in range(len(FULL))])
    assert said(deltas) == "你好, friend 😀"
    assert calls(deltas) == [("clock", '{"zone":"上海"}'), ("recall", '{"query":"x"}')]
    usage = Usage(prompt=7, completion=5, cached=3)
    assert deltas[-1] == Finish(reason="tools", usage=usage, model="m")


@settings(deadline=None)
@given(
    st.sampled_from(["", "\n", "<think>a<b</think>", " <think>\nx</think>\n\n<think></think>"]),
    st.text(alphabet="ab <>/thinkTHINK\n", max_size=20),
    st.lists(st.integers(0, 60), max_size=8),
)
def test_thoughts_are_dropped_however_the_text_is_cut(
    thoughts: str, words: str, cuts: list[int]
) -> None:
    text = thoughts + words
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    at_once, in_pieces = Spoken(), Spoken()
    whole = at_once.feed(text)[1] + at_once.finish()[1]
    cut = "".join(in_pieces.feed(text[a:b])[1] for a, b in itertools.pairwise(edges))
    assert cut + in_pieces.finish()[1] == whole
    if "<think" not in words:
        assert whole == (words.lstrip() if "</think>" in thoughts else text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<think>never closed", ""),
        ("<thinking>x</thinking>yes", "yes"),
        ("<thinker> is a word", "<thinker> is a word"),
        ("say <think>this</think>", "say <think>this</think>"),
        ("<thi", "<thi"),
        ("  indented", "  indented"),
    ],
)
def test_only_blocks_at_the_start_are_thoughts(text: str, words: str) -> None:
    spoken = Spoken()
    assert "".join(spoken.feed(letter)[1] for letter in text) + spoken.finish()[1] == words


@pytest.mark.parametrize(
    "answer",
    [
        chunk({"content": "hi"}) + chunk({}, "stop"),
        chunk({"content": "hi"}, "stop") + DONE,
        chunk({"content": "hi"}) + DONE,
        chunk({"content": "hi"}, "stop").rstrip(),
        b'data:{"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}\n',
        b'event: x\nid: 1\ndata: {"choices":\ndata: [{"delta":{"content":"hi"},\n'
        b'data: "finish_reason":"stop"}]}\n\n',
        chunk({"content": None, "tool_calls": None}) + chunk({"content": "hi"}, "eos", usage=None),
        b'data: {"choices":null}\n\n' + chunk({"content": "hi"}, "stop") + b"\n\n\n",
        b'data: {"id":"x"}\n' + chunk({"content": "hi"}, "stop").replace(b"\n\n", b"\n"),
        chunk({"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "hi"}]})
        + DONE,
        b'{"choices":[{"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}',
        b'\n {"choices":[{"message":{"content":"<think>no</think>hi"}}]}\n',
    ],
)
def test_every_way_of_saying_hi_is_understood(answer: bytes) -> None:
    deltas = read(answer)
    assert said(deltas) == "hi"
    assert isinstance(deltas[-1], Finish)
    assert deltas[-1].reason == "stop"


@pytest.mark.parametrize(
    "pieces",
    [
        [call(None, "a", name="f", arguments='{"x":1}'), call(None, "b", name="g", arguments="{}")],
        [call(None, None, name="f", arguments='{"x"'), call(arguments=":1}"), call(name="g")],
        [call(0, "a", name="f", arguments='{"x":1}'), call(0, "b", name="g", arguments="{}")],
        [call(0, None, name="f", arguments='{"x":1}'), call(0, None, name="g", arguments="{}")],
        [call(0, "a", name="f", arguments={"x": 1}), call(1, "b", name="g", arguments={})],
        [call(0, "a", name="f"), call(1, "b", name="g"), call(0, arguments='{"x":1}')],
        [
            call(0, "a", name="f", arguments=""),
            call(0, "a", name="f", arguments='{"x":1}'),
            call(0, "a", name="f", arguments=""),
            call(1, "", name="g", arguments=None),
        ],
        [call(0, "r1", name="f"), call(0, "r2", arguments='{"x":1}'), call(1, name="g")],
        [call(id="r1", name="f"), call(id="r2", arguments='{"x":1}'), call(id="b", name="g")],
    ],
)
def test_calls_are_put_together_without_ids_or_indexes(pieces: list[dict[str, Any]]) -> None:
    deltas = read(*[chunk(piece) for piece in pieces], chunk({}, "stop"))
    found = [(name, json.loads(arguments)) for name, arguments in calls(deltas)]
    assert found == [("f", {"x": 1}), ("g", {})]
    ids = [delta.call.id for delta in deltas if isinstance(delta, CallDelta)]
    assert all(ids)
    assert len(set(ids)) == 2
    assert isinstance(deltas[-1], Finish)
    assert deltas[-1].reason == "tools"


def test_two_calls_of_one_tool_without_id_or_index_stay_two() -> None:
    one = call(name="f", arguments='{"x":1}')
    assert len(calls(read(chunk(one), chunk(one), DONE))) == 2


def test_an_id_used_before_in_the_conversation_is_replaced() -> None:
    one = chunk(call(0, "call_0", name="f", arguments="{}"))
    deltas = read(one, DONE, taken=frozenset({"call_0"}))
    assert isinstance(deltas[0], CallDelta)
    assert deltas[0].call.id not in ("", "call_0")


@pytest.mark.parametrize(
    ("reason", "ours"),
    [("length", "length"), ("content_filter", "filter"), ("tool_calls", "stop"), ("odd", "stop")],
)
def test_reasons_are_translated(reason: str, ours: str) -> None:
    last = read(chunk({"content": "x"}, reason), DONE)[-1]
    assert isinstance(last, Finish)
    assert last.reason == ours


@pytest.mark.parametrize(
    ("more", "usage"),
    [
        ({"usage": {"prompt_tokens": 9, "completion_tokens": None}}, Usage(prompt=9)),
        ({"usage": {"prompt_tokens": 9, "prompt_cache_hit_tokens": 4}}, Usage(prompt=9, cached=4)),
        ({"usage": {"prompt_tokens": 9}, "timings": {"cache_n": 5}}, Usage(prompt=9, cached=5)),
        ({"usage": {}}, Usage()),
    ],
)
def test_usage_is_read_in_each_dialect(more: dict[str, Any], usage: Usage) -> None:
    last = read(chunk({"content": "x"}, "stop", **more))[-1]
    assert isinstance(last, Finish)
    assert last.usage == usage


@pytest.mark.parametrize(
    "answer",
    [
        chunk({"content": "hal"}),
        b"",
        b"<html>a page</html>",
        b'data: {"choices": [{"delta": \n\n',
        b'data: {"choices": 7}\n\n',
        b'{"choices": [{"mess',
    ],
)
def test_what_breaks_off_or_is_no_answer_is_told(answer: bytes) -> None:
    with pytest.raises(Unready, match="host:1 sent no Chat Completions answer"):
        read(answer)


def test_broken_utf8_is_replaced() -> None:
    data = chunk({"content": "ab"}, "stop").replace(b"ab", b"a\xffb")
    assert said(read(data)) == "a\ufffdb"


@settings(deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_noise_never_raises_anything_else(noise: bytes, event: bool) -> None:
    with contextlib.suppress(Unready):
        read(b"data: " + noise + b"\n\n" if event else noise)
