# SPDX-License-Identifier: AGPL-3.0-or-later
"""The ONNX engine: a real child process, a real (tiny) model, the words of llama.cpp's server."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.inference.onnx_child import SECONDS, Onnx, deadline, onnx, spawn
from tests.servers import tiny_onnx

TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look into a folder.",
        "parameters": {
            "type": "object",
            "properties": {"path": {"enum": ["家", "docs 😀"]}},
            "required": ["path"],
            "additionalProperties": False,
        },
    },
}


def const(text: str) -> dict[str, Any]:
    """A format that allows one answer only: this text as JSON."""
    schema = {"name": "one", "schema": {"const": text}}
    return {"response_format": {"type": "json_schema", "json_schema": schema}, "max_tokens": 99}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_onnx.make(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that calls tools whenever it may."""
    return tiny_onnx.make(tmp_path_factory.mktemp("caller"), "<tool_call>")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Onnx]:
    with onnx(folder, "--sessions", "2") as running:
        yield running


def test_the_likeliest_answer_is_the_one_numpy_works_out(engine: Onnx) -> None:
    body = {"messages": [{"role": "user", "content": "hello 你好😀"}]}
    prompt = engine.tokens(engine.post(body, "/apply-template").json()["prompt"])
    wanted = tiny_onnx.Reference().greedy(prompt, 24)
    answer = engine.chat("hello 你好😀", max_tokens=24)
    text = engine.post({"tokens": wanted}, "/detokenize").json()["content"]
    assert answer["choices"][0]["message"]["content"] == text.lstrip()
    assert answer["usage"]["prompt_tokens"] == len(prompt)
    assert answer["usage"]["completion_tokens"] == len(wanted)


def test_what_the_engine_is_stands_in_its_properties(engine: Onnx) -> None:
    props = engine.http.get("/props").json()
    assert props["total_slots"] == 2
    assert props["default_generation_settings"]["n_ctx"] == 8192
    assert props["chat_template"] == tiny_onnx.TEMPLATE


def test_signs_that_span_tokens_come_whole(engine: Onnx) -> None:
    text = "你好,世界 😀 the naïve end"
    pieces = [
        event["choices"][0]["delta"].get("content", "")
        for event in engine.stream("say it", **const(text))
        if event["choices"]
    ]
    assert json.loads("".join(pieces)) == text
    assert not any("\ufffd" in piece for piece in pieces)
    assert len(pieces) > len(text.split())


def test_a_stream_says_what_the_whole_answer_says(engine: Onnx) -> None:
    whole = engine.say("tell me", max_tokens=40, temperature=0.8, seed=7)
    more = {"max_tokens": 40, "temperature": 0.8, "seed": 7}
    events = list(engine.stream("tell me", stream_options={"include_usage": True}, **more))
    told = "".join(e["choices"][0]["delta"].get("content", "") for e in events if e["choices"])
    assert told == whole
    assert events[-2]["choices"][0]["finish_reason"] == "length"
    assert events[-1]["usage"]["completion_tokens"] == 40


def test_an_answer_ends_before_a_stop_string(engine: Onnx) -> None:
    answer = engine.chat("x", **const("one two three"), stop=["two", "never"])["choices"][0]
    assert answer["message"]["content"] == '"one '
    assert answer["finish_reason"] == "stop"


def test_an_answer_ends_after_as_many_tokens_as_asked(engine: Onnx) -> None:
    answer = engine.chat("x", max_tokens=5)
    assert answer["usage"]["completion_tokens"] == 5
    assert answer["choices"][0]["finish_reason"] == "length"


def test_a_prompt_can_be_read_without_an_answer(engine: Onnx) -> None:
    text = "read me " * 9
    assert engine.chat(text, max_tokens=0)["usage"]["completion_tokens"] == 0
    usage = engine.chat(text)["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] == usage["prompt_tokens"] - 1


def test_an_answer_without_a_limit_ends_where_the_context_does(folder: Path) -> None:
    with onnx(folder, "--context", "300") as engine:
        answer = engine.chat("on", max_tokens=None, ignore_eos=True)
        assert answer["usage"]["total_tokens"] == 300
        assert answer["choices"][0]["finish_reason"] == "length"


def test_the_same_seed_draws_the_same_answer(engine: Onnx) -> None:
    drawn = [engine.say("x", max_tokens=30, temperature=1, seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_an_answer_keeps_to_its_schema(engine: Onnx) -> None:
    schema = {
        "type": "object",
        "properties": {"mood": {"enum": ["好", "bad"]}, "sure": {"type": "boolean"}},
        "required": ["mood", "sure"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "mood", "schema": schema}}
    for seed in range(5):
        more = {"temperature": 1.5, "seed": seed, "max_tokens": 200}
        said = json.loads(engine.say("how?", response_format=form, **more))
        assert set(said) == {"mood", "sure"}
        assert said["mood"] in ("好", "bad")


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "look"}}])
def test_a_call_that_must_come_comes(engine: Onnx, choice: Any) -> None:
    more = {"tools": [TOOL], "tool_choice": choice, "max_tokens": 200}
    answer = engine.chat("look", **more)["choices"][0]
    (call,) = answer["message"]["tool_calls"]
    assert answer["finish_reason"] == "tool_calls"
    assert call["function"]["name"] == "look"
    assert json.loads(call["function"]["arguments"])["path"] in ("家", "docs 😀")


def test_a_call_that_the_model_begins_itself_is_kept_to_the_tools(caller: Path) -> None:
    with onnx(caller, "--sessions", "1") as engine:
        events = list(engine.stream("look", tools=[TOOL], max_tokens=200))
        deltas = [event["choices"][0]["delta"] for event in events if event["choices"]]
        calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
        assert len(calls) > 1
        assert [call["index"] for call in calls] == list(range(len(calls)))
        assert json.loads(calls[0]["function"]["arguments"])["path"] in ("家", "docs 😀")
        assert "tool_call" not in "".join(delta.get("content", "") for delta in deltas)
        silent = engine.chat("look", tools=[TOOL], tool_choice="none")["choices"][0]["message"]
        assert "tool_calls" not in silent
        assert silent["content"]


def test_a_model_whose_template_knows_no_tools_is_told_of_them(tmp_path: Path) -> None:
    plain = (
        "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    with onnx(tiny_onnx.make(tmp_path, template=plain), "--sessions", "1") as engine:
        called = {"id": "1", "function": {"name": "look", "arguments": '{"path":"家"}'}}
        talk = [
            {"role": "user", "content": "what is there?"},
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "1", "content": "two cats"},
        ]
        body = {"messages": talk, "tools": [TOOL]}
        prompt = engine.post(body, "/apply-template").json()["prompt"]
        assert '"name":"look"' in prompt
        assert '[assistant] <tool_call>{"name": "look", "arguments": {"path":"家"}}' in prompt
        assert "[user] <tool_response>two cats</tool_response>" in prompt
        answer = engine.chat("look", tools=[TOOL], tool_choice="required", max_tokens=200)
        assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "look"


def test_thoughts_are_told_apart(tmp_path: Path) -> None:
    asked = "<|im_start|>assistant\n"
    thinking = tiny_onnx.TEMPLATE.replace(asked, f"{asked}<think>\n")
    with onnx(tiny_onnx.make(tmp_path, template=thinking), "--sessions", "1") as engine:
        message = engine.chat("hm", max_tokens=20)["choices"][0]["message"]
        assert message["reasoning_content"]
        assert not message["content"]
        assert json.loads(engine.say("hm", **const("sure"))) == "sure"


def test_two_conversations_keep_their_caches(engine: Onnx) -> None:
    talks = [[{"role": "user", "content": f"{word} " * 50}] for word in ("the", "you")]
    for round_ in range(3):
        for slot, talk in enumerate(talks):
            body = {"messages": talk, "id_slot": slot, "max_tokens": 6}
            answer = engine.post(body).json()
            usage = answer["usage"]
            if round_:
                assert usage["prompt_tokens_details"]["cached_tokens"] > 50
            # What was said is bytes that are no text, so its tokens may differ when read again.
            talk += [{"role": "assistant", "content": "re"}, {"role": "user", "content": "on"}]


def test_two_answers_grow_at_the_same_time(folder: Path) -> None:
    with onnx(folder, "--sessions", "2", "--context", "32768") as engine:
        long = engine.stream("a long one", max_tokens=30_000, ignore_eos=True)
        next(long)
        assert engine.say("a short one")
        for _ in deadline():  # the short one's slot is free a moment after its last word
            busy = [slot["is_processing"] for slot in engine.http.get("/slots").json()]
            if sorted(busy) == [False, True]:
                break
        else:
            raise AssertionError(busy)
        long.close()


def test_an_answer_nobody_hears_is_stopped(folder: Path) -> None:
    with onnx(folder, "--sessions", "1", "--context", "32768") as engine:
        stream = engine.stream("a long one", max_tokens=30_000, ignore_eos=True)
        next(stream)
        stream.close()
        for _ in deadline():
            (slot,) = engine.http.get("/slots").json()
            if not slot["is_processing"]:
                break
        assert slot["n_cached"] < 30_000


def test_whoever_waits_and_leaves_is_not_answered(folder: Path) -> None:
    with onnx(folder, "--sessions", "1", "--context", "32768") as engine:
        first = engine.stream("a long one", max_tokens=30_000, ignore_eos=True)
        next(first)
        impatient = httpx2.Client(transport=httpx2.HTTPTransport(uds=engine.path), timeout=0.3)
        with impatient, pytest.raises(httpx2.ReadTimeout):
            body = {"messages": [{"role": "user", "content": "the " * 300}]}
            impatient.post("http://engine/v1/chat/completions", json=body)
        first.close()
        assert engine.chat("the")["usage"]["prompt_tokens_details"]["cached_tokens"] < 50


@pytest.mark.parametrize("end", ["stdin", "SIGTERM"])
def test_it_ends_when_told_and_takes_its_socket_along(folder: Path, end: str) -> None:
    with onnx(folder) as engine:
        process, stdin = engine.process, engine.process.stdin
        stream = engine.stream("on and on", max_tokens=8000, ignore_eos=True)
        next(stream)
        if end == "stdin":
            assert stdin
            stdin.close()
        else:
            process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
        assert not Path(engine.path).exists()
        assert process.stdout
        assert process.stdout.read() == b""


def test_an_input_that_is_no_pipe_does_not_end_it(folder: Path, tmp_path: Path) -> None:
    process = spawn(folder, str(tmp_path / "s"), stdin=subprocess.DEVNULL)
    try:
        engine = Onnx(process, str(tmp_path / "s"))
        engine.wait()
        assert engine.say("hello")
        engine.http.close()
    finally:
        process.kill()
        process.communicate()


def test_killed_and_back_at_the_same_place(folder: Path) -> None:
    with onnx(folder) as engine:
        stream = engine.stream("on and on", max_tokens=8000, ignore_eos=True)
        next(stream)
        engine.process.kill()
        engine.process.wait()
        with pytest.raises(httpx2.TransportError):
            list(stream)
        again = spawn(folder, engine.path)
        try:
            second = Onnx(again, engine.path)
            second.wait()
            assert second.say("and now?")
            second.http.close()
        finally:
            again.kill()
            again.communicate()


def test_it_leaves_nothing_behind_and_calls_nobody(folder: Path, tmp_path: Path) -> None:
    """The package would report to its maker; see `haoya.inference.onnx`."""
    with onnx(folder, home=tmp_path) as engine:
        assert engine.say("hello")
        descriptors = Path(f"/proc/{engine.process.pid}/fd")
        if descriptors.is_dir():
            open_ = {_link(one) for one in descriptors.iterdir()}
            tables = Path(f"/proc/{engine.process.pid}/net")
            lines = "".join((tables / name).read_text() for name in ("tcp", "tcp6", "udp", "udp6"))
            nodes = {f"socket:[{line.split()[9]}]" for line in lines.splitlines() if ":" in line}
            assert not open_ & nodes
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except FileNotFoundError:
        return ""


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    process = spawn(tmp_path, str(tmp_path / "s"))
    _, error = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert f"cannot load the model in {tmp_path}" in error.decode()
    assert "Traceback" not in error.decode()


MESSAGES = '{"messages":[{"role":"user","content":"x"}]'
HOSTILE = {
    "nothing": b"",
    "half": b'{"messages":[',
    "a list": b"[]",
    "numbers for messages": b'{"messages":3}',
    "no text": b'{"messages":[{"role":"user","content":[{"type":"image_url"}]}]}',
    "bytes that are no text": b'{"messages":[{"role":"user","content":"\xff\xfe"}]}',
    "deep": b"[" * 500_000,
    "deep inside": b'{"messages":[],"x":' + b"[" * 500_000,
    "a deep schema": f'{MESSAGES},"json_schema":{"[" * 50_000}}}'.encode(),
    "no schema": f'{MESSAGES},"json_schema":{{"type":"nope"}}}}'.encode(),
    "a text for a schema": f'{MESSAGES},"json_schema":"x"}}'.encode(),
    "no such tool": f'{MESSAGES},"tool_choice":{{"function":{{"name":"x"}}}}}}'.encode(),
    "no such slot": f'{MESSAGES},"id_slot":99}}'.encode(),
    "many stops": f'{MESSAGES},"stop":{json.dumps(["x"] * 99)}}}'.encode(),
    "too long": json.dumps({"messages": [{"role": "user", "content": "x " * 9000}]}).encode(),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_a_request_that_cannot_be_is_refused_with_its_reason(engine: Onnx, body: bytes) -> None:
    answer = engine.post(body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert engine.say("still there?")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x00\xff\n\n", b""),
        (b"GET /nothing HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /v1/chat/completions HTTP/1.1\r\n\r\n", b"411"),
        (b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"411"),
        (b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 99\r\n\r\n{}", None),
        (b"POST /v1/embeddings HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", b"501"),
        (b"GET /" + b"a" * 99_999 + b" HTTP/1.1\r\n\r\n", b"414"),
    ],
)
def test_bytes_that_are_no_request_harm_nobody(
    engine: Onnx, data: bytes, status: bytes | None
) -> None:
    answer = engine.raw(data)
    if status is None:
        assert answer == b""
    elif status:
        assert answer.split(b" ", 2)[1] == status
    assert engine.say("still there?")


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)
FIELDS = [
    *("stream", "tools", "tool_choice", "response_format", "json_schema", "temperature", "top_p"),
    *("top_k", "seed", "max_completion_tokens", "stop", "id_slot", "cache_prompt", "messages"),
]


@given(st.dictionaries(st.sampled_from(FIELDS), JUNK, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_stands_in_the_fields_there_is_an_answer(
    engine: Onnx, fields: dict[str, Any]
) -> None:
    body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 2, **fields}
    answer = engine.post(body)
    assert answer.status_code in (200, 400)
