# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a bare model is asked, and that it stops when nobody listens any more."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from haoya.api.answering import complain
from haoya.api.bare import addressed
from haoya.api.replies import Refusal, fault_of
from haoya.api.wires.chat import CHAT
from haoya.api.wires.messages import MESSAGES
from haoya.api.wires.responses import RESPONSES
from haoya.api.wires.words import Ask, Dialect
from haoya.core.errors import Rejected, Trouble, Unready
from haoya.core.tool import Line, Sampling, ToolCall
from haoya.models.openai.client import OpenaiModel
from tests.api.daemon import MODEL, SECONDS, Daemon, ModelServer, ask

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
PICTURE = "data:image/png;base64,aGVsbG8="
RELAYS = hasattr(OpenaiModel, "relay")


def read(dialect: Dialect, body: dict[str, Any]) -> Ask:
    return dialect.read(json.dumps({"model": "m", **body}).encode())


def test_a_chat_becomes_a_prompt() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    asked = read(
        CHAT,
        {
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "a"}, picture("image_url")]},
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c1", "content": "seen"},
            ],
            "tools": [{"type": "function", "function": {"name": "look", "parameters": SCHEMA}}],
            "tool_choice": {"type": "function", "function": {"name": "look"}},
            "response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}},
            "temperature": 0.5,
            "top_p": 1,
            "seed": 7,
            "stop": "END",
            "max_completion_tokens": 9,
            "prompt_cache_key": "p",
        },
    )
    system, user, assistant, tool = asked.prompt.lines
    assert (system.role, system.text) == ("system", "Be brief.")
    assert (user.text, user.images[0].mime, user.images[0].size) == ("a", "image/png", 5)
    assert assistant.calls == (ToolCall(id="c1", name="look", arguments="{}"),)
    assert (tool.role, tool.call, tool.text) == ("tool", "c1", "seen")
    assert asked.prompt.choice == "look"
    assert msgspec.json.decode(asked.prompt.tools[0].schema) == SCHEMA
    assert msgspec.json.decode(asked.prompt.schema) == SCHEMA
    assert asked.prompt.sampling == Sampling(
        temperature=0.5, top_p=1, seed=7, max_tokens=9, stop=("END",)
    )
    assert asked.pin == "p"
    assert asked.pictures[0][1] == b"hello"


def test_a_message_becomes_a_prompt() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}
    image = {"type": "image", "source": source}
    asked = read(
        MESSAGES,
        {
            "max_tokens": 9,
            "system": [{"type": "text", "text": "Be brief.", "cache_control": {}}],
            "messages": [
                {"role": "user", "content": "a"},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "thinking", "thinking": "hm", "signature": "s"},
                        {"type": "text", "text": "b"},
                        {"type": "tool_use", "id": "c1", "name": "look", "input": {"city": "x"}},
                    ],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": "c1", "content": [image]},
                        {"type": "text", "text": "and now?"},
                    ],
                },
            ],
            "tools": [{"name": "look", "input_schema": SCHEMA}],
            "tool_choice": {"type": "any"},
            "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
            "stop_sequences": ["END"],
            "metadata": {"user_id": "u"},
        },
    )
    assert [line.role for line in asked.prompt.lines] == [
        "system",
        "user",
        "assistant",
        "tool",
        "user",
    ]
    assistant, tool, user = asked.prompt.lines[2:]
    assert assistant.text == "b"
    assert json.loads(assistant.calls[0].arguments) == {"city": "x"}
    assert tool.call == "c1"
    assert (user.text, len(user.images)) == ("and now?", 1)
    assert asked.prompt.choice == "required"
    assert msgspec.json.decode(asked.prompt.schema) == SCHEMA
    assert asked.prompt.sampling == Sampling(max_tokens=9, stop=("END",))
    assert asked.name == asked.pin == "u"


def test_the_items_of_a_response_become_a_prompt() -> None:
    asked = read(
        RESPONSES,
        {
            "instructions": "Be brief.",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
                {"type": "reasoning", "id": "r", "summary": []},
                {
                    "type": "message",
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "b", "annotations": []}],
                },
                {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
                {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c1", "output": "seen"},
                {"type": "function_call_output", "call_id": "c2", "output": "seen"},
            ],
            "tools": [{"type": "function", "name": "look", "parameters": SCHEMA}],
            "tool_choice": "none",
            "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
            "max_output_tokens": 9,
        },
    )
    roles = [line.role for line in asked.prompt.lines]
    assert roles == ["system", "user", "assistant", "tool", "tool"]
    assert [call.id for call in asked.prompt.lines[2].calls] == ["c1", "c2"]
    assert asked.prompt.lines[2].text == "b"
    assert asked.prompt.choice == "none"
    assert msgspec.json.decode(asked.prompt.schema) == SCHEMA
    assert asked.prompt.sampling.max_tokens == 9


@pytest.mark.parametrize(
    ("dialect", "body", "param"),
    [
        (CHAT, {"messages": []}, "messages"),
        (CHAT, {"messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        (CHAT, {"messages": [{"role": "user"}], "temperature": 3}, "temperature"),
        (CHAT, {"messages": [{"role": "user"}], "seed": 2**70}, "seed"),
        (CHAT, {"messages": [{"role": "user"}], "logprobs": True}, "logprobs"),
        (CHAT, {"messages": [{"role": "user"}], "tool_choice": "required"}, "tool_choice"),
        (CHAT, {"messages": [{"role": "user"}], "tools": [{"type": "custom"}]}, "tools"),
        (MESSAGES, {"messages": [{"role": "user", "content": "x"}]}, "max_tokens"),
        (MESSAGES, {"max_tokens": 0, "messages": [{"role": "user", "content": ""}]}, "max_tokens"),
        (RESPONSES, {"input": "x", "background": True}, "background"),
        (RESPONSES, {"input": []}, "input"),
        (RESPONSES, {"input": "x", "previous_response_id": "resp_0"}, "previous_response_id"),
    ],
)
def test_what_is_wrong_is_named(dialect: Dialect, body: dict[str, Any], param: str) -> None:
    with pytest.raises(Refusal) as refused:
        read(dialect, body)
    assert refused.value.status == 400
    assert refused.value.param == param


def test_a_conversation_keeps_its_place_as_it_grows(daemon: Daemon, tmp_path: Path) -> None:
    class Somewhere:
        channel = "local"

    begun = read(CHAT, {"messages": [{"role": "user", "content": "first"}]}).prompt
    grown = msgspec.structs.replace(begun, lines=(*begun.lines, Line(role="assistant", text="a")))
    longer = msgspec.structs.replace(grown, lines=(*grown.lines, Line(role="user", text="b")))
    places = [addressed(Somewhere(), prompt, "") for prompt in (grown, longer)]  # pyright: ignore
    assert len({place.conversation for place in places}) == 1
    assert places[0].person == "owner"
    pinned = [addressed(Somewhere(), prompt, pin) for prompt in (begun, longer) for pin in "ab"]  # pyright: ignore
    assert len({place.conversation for place in pinned}) == 2


@pytest.mark.parametrize(
    ("trouble", "chat", "messages", "kind"),
    [
        ("throttled", 429, 429, "rate_limit_error"),
        ("overloaded", 503, 529, "overloaded_error"),
        ("unreachable", 503, 503, "api_error"),
        ("broken", 503, 503, "api_error"),
        ("timeout", 504, 504, "timeout_error"),
        ("request", 400, 400, "invalid_request_error"),
    ],
)
def test_every_trouble_has_its_status_and_shape(
    trouble: Trouble, chat: int, messages: int, kind: str
) -> None:
    error = Unready("the model is away", trouble=trouble, retry_after=6.2)
    for dialect, status in ((CHAT, chat), (RESPONSES, chat), (MESSAGES, messages)):
        sent: list[Any] = []

        async def send(message: Any, sent: list[Any] = sent) -> None:
            sent.append(message)

        asyncio.run(complain(dialect, error, send))
        head, body = sent
        assert head["status"] == status
        wait = dict(head["headers"]).get(b"retry-after")
        assert wait == (b"7" if status in (429, 503, 529) else None)
        told = json.loads(body["body"])
        assert told["error"]["message"] == "the model is away"
        if dialect is MESSAGES:
            assert (told["type"], told["error"]["type"]) == ("error", kind)


def test_a_refused_key_of_ours_is_not_the_clients_fault() -> None:
    status, fault = fault_of(Rejected("example.org refuses the key; correct api_key"))
    assert (status, fault.code) == (502, "model_refused")


@pytest.mark.skipif(not RELAYS, reason="the openai wire does not relay yet")
@pytest.mark.parametrize("path", ["chat/completions", "messages", "responses"])
def test_a_server_that_asks_for_a_pause_is_passed_on(
    daemon: Daemon, model: ModelServer, path: str
) -> None:
    model.control(fail={"status": 429, "times": 2, "retry_after": "9"})
    body = {**ask("x"), "input": "x", "model": "main", "max_tokens": 9}
    with daemon.owner() as owner:
        for stream in (False, True):
            reply = owner.post(f"/v1/{path}", json={**body, "stream": stream})
            assert (reply.status_code, reply.headers["retry-after"]) == (429, "9")


@pytest.mark.skipif(not RELAYS, reason="the openai wire does not relay yet")
def test_a_request_in_the_servers_own_wire_is_passed_on_as_it_is(
    daemon: Daemon, model: ModelServer
) -> None:
    body = ask("good morning", unheard_of={"deep": [1, 2.50]}, logit_bias={"50256": -100})
    path = "/v1/chat/completions"
    with daemon.owner() as owner:
        reply = owner.post(path, json={**body, "model": "main"})
        assert model.requests()[-1] == {**body, "model": "stand-in"}
        assert reply.json()["model"] == "stand-in"
        streamed = owner.post(
            "/v1/chat/completions", json={**body, "model": "main", "stream": True}
        )
        assert streamed.text.endswith("data: [DONE]\n\n")
        model.control(fail={"status": 418, "body": '{"error": {"message": "a teapot"}}'})
        refused = owner.post(path, json={**body, "model": "main"})
    assert (refused.status_code, refused.json()) == (418, {"error": {"message": "a teapot"}})


FIRST = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    b'data: {"choices":[{"index":0,"delta":{"content":"word"}}]}\n\n'
)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["chat/completions", "messages", "responses"])
def test_a_client_that_hangs_up_ends_the_models_work(
    tmp_path: Path, stream: bool, path: str
) -> None:
    body = {**ask("x"), "input": "x", "model": "main", "stream": stream, "max_tokens": 9}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS)
        daemon = Daemon(tmp_path / "home", MODEL.format(port=listener.getsockname()[1])).ready()
        try:
            with socket.create_connection(("127.0.0.1", daemon.port), SECONDS) as client:
                client.sendall(request(daemon, f"/v1/{path}", body))
                server, _ = listener.accept()
                server.settimeout(SECONDS)
                assert server.recv(100_000)
                server.sendall(FIRST)
                if stream:
                    assert b" 200 " in client.recv(100)
            while server.recv(100_000):
                pass  # the rest of the request, then the end
            server.close()
        finally:
            daemon.stop()


def request(daemon: Daemon, path: str, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{daemon.port}\r\n"
    head += f"x-api-key: {daemon.token}\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def picture(kind: str) -> dict[str, Any]:
    return {"type": kind, "image_url": {"url": PICTURE}}
