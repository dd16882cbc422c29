# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whatever a client sends, it gets an answer or an error of its own making, never a 500."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.daemon import Daemon

TOY = '[models.toy]\nuse = "script"\n[agent]\nmodel = "toy"\n'
PATHS = [
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/embeddings",
]
WORDS = st.sampled_from(
    "x text auto none tool user assistant function json_schema image é😀 \x00 resp_78_1 "
    "data:image/png;base64, data:image/png;base64,aGVsbG8=".split(" ")
) | st.just("")
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS
KEYS = st.sampled_from(
    "type role content text image_url url name arguments function id tool_calls call_id output "
    "input source data media_type tool_use_id schema json_schema format parameters".split()
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
PIECES = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            "text image_url image tool_use tool_result thinking input_text output_text message "
            "input_image function_call function_call_output reasoning document nonsense".split()
        )
    },
    optional={
        "text": WORDS | JSON,
        "content": WORDS | JSON,
        "role": st.sampled_from(["user", "assistant"]),
        "image_url": JSON,
        "source": JSON,
        "input": JSON,
        "call_id": WORDS,
        "name": WORDS,
        "arguments": WORDS,
        "output": WORDS | JSON,
    },
)
MESSAGES = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "user", "assistant", "tool", "developer", "wizard"]),
        "content": WORDS | st.lists(PIECES, max_size=3) | JSON,
    },
    optional={"tool_calls": JSON, "tool_call_id": JSON},
)
TOOLS = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["function", "custom", "web_search"])},
        optional={
            "name": WORDS,
            "function": JSON,
            "parameters": JSON,
            "input_schema": JSON,
        },
    ),
    max_size=2,
)
BODIES = st.fixed_dictionaries(
    {
        "model": st.sampled_from(
            ["toy", "toy", "toy", "local/toy", "haoya", "nobody", "", "local/"]
        ),
        "messages": st.lists(MESSAGES, max_size=3) | JSON,
        "input": WORDS | st.lists(PIECES, max_size=3) | JSON,
    },
    optional={
        "max_tokens": st.integers(1, 50) | JSON,
        "stream": st.booleans() | JSON,
        "stream_options": JSON,
        "tools": TOOLS | JSON,
        "tool_choice": JSON,
        "response_format": JSON,
        "text": JSON,
        "system": JSON,
        "instructions": WORDS | JSON,
        "temperature": st.floats(0, 2) | JSON,
        "seed": st.integers() | JSON,
        "stop": JSON,
        "stop_sequences": JSON,
        "metadata": JSON,
        "user": WORDS | JSON,
        "previous_response_id": WORDS,
        "encoding_format": st.sampled_from(["float", "base64", "int"]),
    },
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("home"), TOY)
    yield daemon.ready()
    daemon.stop()


FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def check(house: Daemon, path: str, body: bytes) -> None:
    with house.owner() as owner:
        reply = owner.post(path, content=body)
    assert reply.status_code in (200, 400, 404), reply.text
    if reply.status_code != 200:
        assert reply.json()["error"]["message"]


@pytest.mark.parametrize("path", PATHS)
@FUZZ
@given(body=BODIES)
def test_no_body_makes_us_fail(house: Daemon, path: str, body: Any) -> None:
    check(house, path, json.dumps(body).encode())


@pytest.mark.parametrize("path", PATHS)
@FUZZ
@given(body=st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_request_is_refused(house: Daemon, path: str, body: bytes) -> None:
    check(house, path, body)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "part",
    [
        b'"\xff"',
        b'"\\ud800"',
        b'"\xed\xa0\x80"',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"1e999",
        b"123456789012345678901234567890",
        b"NaN",
    ],
)
def test_json_at_its_edges_is_refused_or_read(house: Daemon, path: str, part: bytes) -> None:
    for place in (b"metadata", b"tools", b"seed", b"unheard_of"):
        body = b'{"model":"toy","max_tokens":9,"input":"x","messages":[{"role":"user","content":'
        check(house, path, body + b'"x"}],"%b":%b}' % (place, part))
    tool = b'{"type":"function","name":"f","input_schema":%b,"parameters":%b,"function":{"name":"f"'
    tool = tool % (part, part) + b',"parameters":%b}}' % part
    body = b'{"model":"toy","max_tokens":9,"input":"x","messages":[{"role":"user","content":"x"}]'
    check(house, path, body + b',"tools":[%b]}' % tool)
