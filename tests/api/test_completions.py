# SPDX-License-Identifier: AGPL-3.0-or-later
"""Any OpenAI client can talk to the agent."""

import base64
import json
import signal
import socket
from pathlib import Path
from typing import Any

import httpx2
import pytest

from haoya.api.agent import Written
from haoya.api.replies import BODY_BYTES
from tests.api.daemon import MODEL, SECONDS, Daemon, ModelServer, answer, ask, until

COMPLETE = "/v1/chat/completions"
MESSAGE = 'tool message {"to": "local//other", "text": "hi"}'


def events(reply: httpx2.Response) -> list[str]:
    """The data of a stream's events, as they came."""
    text = reply.read().decode()
    return [line[6:] for line in text.split("\n") if line.startswith("data: ")]


def words(chunks: list[str]) -> str:
    """The words of a stream."""
    deltas = [json.loads(chunk)["choices"] for chunk in chunks if chunk != "[DONE]"]
    return "".join(choices[0]["delta"].get("content", "") for choices in deltas if choices)


def test_models_are_listed_and_found_by_name(daemon: Daemon) -> None:
    with daemon.owner() as owner:
        listed = owner.get("/v1/models").json()
        assert listed["object"] == "list"
        assert owner.get("/v1/models/haoya").json() == listed["data"][0]
        missing = owner.get("/v1/models/gpt-4")
    assert missing.status_code == 404
    assert missing.json()["error"]["code"] == "model_not_found"


def test_a_completion_has_the_official_shape_and_real_usage(
    daemon: Daemon, model: ModelServer
) -> None:
    with daemon.owner() as owner:
        reply = owner.post(COMPLETE, json=ask("good morning"))
    body = reply.json()
    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    assert body["model"] == "haoya"
    (choice,) = body["choices"]
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "content": "heard: good morning"},
        "finish_reason": "stop",
    }
    usage = body["usage"]
    assert usage["prompt_tokens"] > usage["completion_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_a_stream_grows_and_ends_as_clients_expect(daemon: Daemon, model: ModelServer) -> None:
    model.control(chunk_delay=0.03)
    body = ask("long 40", stream=True, stream_options={"include_usage": True})
    with daemon.owner() as owner, owner.stream("POST", COMPLETE, json=body) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        chunks = events(reply)
    assert chunks.pop() == "[DONE]"
    usage = json.loads(chunks.pop())
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] > 0
    first, last = json.loads(chunks[0]), json.loads(chunks[-1])
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert last["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop"}
    assert len({json.loads(chunk)["id"] for chunk in chunks}) == 1
    assert len(chunks) > 4, "it came in one piece"
    assert words(chunks).split() == [f"word{n}" for n in range(1, 41)]


@pytest.mark.parametrize("stream", [False, True])
def test_chinese_words_come_through_whole(daemon: Daemon, model: ModelServer, stream: bool) -> None:
    with daemon.owner() as owner:
        reply = owner.post(COMPLETE, json=ask("你好，世界 🌏", stream=stream))
    said = words(events(reply)) if stream else answer(reply)
    assert said == "heard: 你好，世界 🌏"


@pytest.mark.parametrize("way", ["header", "user"])
def test_a_named_conversation_remembers(daemon: Daemon, model: ModelServer, way: str) -> None:
    headers = {"X-Conversation": f"tea-{way}"} if way == "header" else {}
    more = {} if way == "header" else {"user": f"tea-{way}"}
    with daemon.owner() as owner:
        first = owner.post(COMPLETE, json=ask("I like oolong", **more), headers=headers)
        owner.post(COMPLETE, json=ask("what do I like?", **more), headers=headers)
    assert first.headers["x-conversation"] == f"tea-{way}"
    seen = json.dumps(model.requests()[-1]["messages"])
    assert "I like oolong" in seen
    assert "heard: I like oolong" in seen


def test_without_a_name_the_request_is_all_there_is(daemon: Daemon, model: ModelServer) -> None:
    body = ask("and now?")
    body["messages"][:0] = [
        {"role": "system", "content": "Answer in rhymes."},
        {"role": "user", "content": [{"type": "text", "text": "first question"}]},
        {"role": "assistant", "content": "first answer"},
    ]
    with daemon.owner() as owner:
        one, two = owner.post(COMPLETE, json=body), owner.post(COMPLETE, json=ask("hello"))
        quoted, alone = [json.dumps(each["messages"]) for each in model.requests()[-2:]]
        assert one.headers["x-conversation"] != two.headers["x-conversation"]
        for line in ("system: Answer in rhymes.", "user: first question", "first answer"):
            assert line in quoted
            assert line not in alone
        name = {"X-Conversation": two.headers["x-conversation"]}
        assert answer(owner.post(COMPLETE, json=ask("on"), headers=name))
    assert "hello" in json.dumps(model.requests()[-1]["messages"])


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_idempotency_key_is_answered_once_and_told_twice(
    daemon: Daemon, model: ModelServer, stream: bool
) -> None:
    headers = {"Idempotency-Key": f"key-{stream}"}
    with daemon.owner() as owner:
        replies = [
            owner.post(COMPLETE, json=ask("only once", stream=stream), headers=headers)
            for _ in range(3)
        ]
        said = {words(events(one)) if stream else answer(one) for one in replies}
        other = owner.post(COMPLETE, json=ask("x"), headers={**headers, "X-Conversation": "other"})
    assert said == {"heard: only once"}
    assert len(model.requests()) == 1
    assert other.status_code == 400
    assert "Idempotency-Key" in other.json()["error"]["message"]


def test_words_before_a_tool_are_parted_from_the_answer_by_a_blank_line() -> None:
    written = Written()
    steps = [("Let me look", False), ("", False), ("It is", False), ("It is five.", True)]
    assert "".join(written.more(text, final=end) for text, end in steps) == (
        "Let me look\n\nIt is five."
    )
    assert Written().more("whole", final=True) == "whole"
    trimmed = Written()
    assert trimmed.more("five. \n") + trimmed.more("five.", final=True) == "five. \n"
    begun_anew = Written()
    assert begun_anew.more("It was") + begun_anew.more("It is", final=True) == "It was\n\nIt is"


def test_a_tool_runs_and_its_result_is_in_the_answer(daemon: Daemon, model: ModelServer) -> None:
    body = ask('tool clock {"zone": "Asia/Tokyo"}', stream=True)
    with daemon.owner() as owner:
        said = words(events(owner.post(COMPLETE, json=body)))
    assert said.startswith("done: ")


@pytest.mark.parametrize(("stream", "yes"), [(False, True), (True, False)])
def test_a_question_is_the_answer_and_the_next_message_decides_it(
    daemon: Daemon, model: ModelServer, stream: bool, yes: bool
) -> None:
    name = {"X-Conversation": f"question-{stream}"}

    def say(text: str) -> str:
        reply = owner.post(COMPLETE, json=ask(text, stream=stream), headers=name)
        return words(events(reply)) if stream else answer(reply)

    with daemon.owner() as owner:
        question = say(MESSAGE)
        assert "local//other" in question
        asks = owner.post("/api/call/asks", json={}).json()
        assert [one["conversation"] for one in asks] == [f"local//api:{name['X-Conversation']}"]
        said = say("yes" if yes else "no")
        assert said.startswith("done: ")
        assert owner.post("/api/call/asks", json={}).json() == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_value"),
        (b'{"model": "haoya"}', 400, "invalid_value"),
        (b'{"messages": []}', 400, "invalid_value"),
        (b'{"model": "haoya", "messages": []}', 400, "invalid_value"),
        (b'{"model": "haoya", "messages": [{"role": "wizard", "content": ""}]}', 400, None),
        (b'{"model": "haoya", "messages": [{"role": "system", "content": "x"}]}', 400, None),
        (b'{"model": "haoya", "messages": [{"role": "user", "content": " "}]}', 400, None),
        (b'{"model": "haoya", "messages": [{"role": "user", "content": null}]}', 400, None),
        (json.dumps(ask("x", n=2)).encode(), 400, "invalid_value"),
        (json.dumps(ask("x", user="a\nb")).encode(), 400, "invalid_value"),
        (json.dumps(ask([{"type": "input_audio"}])).encode(), 400, "invalid_value"),
        (json.dumps({**ask("x"), "model": "gpt-4o"}).encode(), 404, "model_not_found"),
    ],
)
def test_what_cannot_be_understood_is_named(
    daemon: Daemon, body: bytes, status: int, code: str | None
) -> None:
    with daemon.owner() as owner:
        reply = owner.post(COMPLETE, content=body)
    error = reply.json()["error"]
    assert reply.status_code == status
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert code in (None, error["code"])


def test_a_picture_is_taken_from_the_request_and_never_fetched(
    daemon: Daemon, model: ModelServer
) -> None:
    def picture(url: str) -> dict[str, Any]:
        parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": url}}]
        return ask(parts)

    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 40).decode()
    with daemon.owner() as owner:
        taken = owner.post(COMPLETE, json=picture(f"data:image/png;base64,{data}"))
        assert taken.status_code == 200
        for url in ("http://127.0.0.1:1/x.png", "file:///etc/passwd", "data:text/html;base64,AA"):
            reply = owner.post(COMPLETE, json=picture(url))
            assert reply.json()["error"]["code"] == "invalid_image_url"
        broken = owner.post(COMPLETE, json=picture("data:image/png;base64,@@@"))
    assert broken.status_code == 400


def test_a_body_over_the_limit_is_refused_without_being_read(daemon: Daemon) -> None:
    def forever() -> Any:
        for _ in range(BODY_BYTES // 100_000 + 50):
            yield b"x" * 100_000

    with daemon.owner() as owner:
        try:
            reply = owner.post(COMPLETE, content=forever())
        except httpx2.WriteError:
            return  # The server closed before we had finished, as it may.
        assert reply.status_code == 413


def test_a_body_that_says_it_is_too_large_is_refused_at_once(daemon: Daemon) -> None:
    head = f"POST {COMPLETE} HTTP/1.1\r\nHost: 127.0.0.1:{daemon.port}\r\n"
    head += f"Authorization: Bearer {daemon.token}\r\nContent-Length: {BODY_BYTES + 1}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=SECONDS) as line:
        line.sendall(head.encode())
        assert line.recv(100).startswith(b"HTTP/1.1 413")


def test_a_client_that_hangs_up_leaves_its_answer_in_the_conversation(
    daemon: Daemon, model: ModelServer
) -> None:
    model.control(chunk_delay=0.05)
    name = {"X-Conversation": "hung-up"}
    with daemon.owner() as owner:
        body = ask("long 30", stream=True)
        with owner.stream("POST", COMPLETE, json=body, headers=name) as reply:
            next(reply.iter_lines())

        def stored() -> bool:
            page = owner.get("/api/history", params={"room": "api:hung-up"}).json()
            return any("word30" in message["text"] for message in page["messages"])

        until(stored)


def test_a_daemon_that_stops_says_so_in_the_stream_and_is_gone_quickly(
    model: ModelServer, tmp_path: Path
) -> None:
    model.control(chunk_delay=0.2)
    daemon = Daemon(tmp_path / "home", MODEL.format(port=model.port)).ready()
    with (
        daemon.owner() as owner,
        owner.stream("POST", COMPLETE, json=ask("long 200", stream=True)) as reply,
    ):
        lines = reply.iter_lines()
        until(lambda: "word1" in next(lines))
        daemon.process.send_signal(signal.SIGTERM)
        rest = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    assert rest[-1]["error"]["code"] == "unready"
    assert daemon.stop() < 2


def test_while_the_journal_is_shut_clients_are_told_to_come_back(
    model: ModelServer, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    (home / "journal.db").mkdir(parents=True)
    daemon = Daemon(home, MODEL.format(port=model.port))
    try:
        with daemon.owner() as owner:
            for stream in (False, True):
                reply = owner.post(COMPLETE, json=ask("hello", stream=stream))
                assert reply.status_code == 503
                assert int(reply.headers["retry-after"]) > 0
                assert reply.json()["error"]["type"] == "service_unavailable_error"
            assert owner.post("/api/say", json={"text": "x"}).status_code == 503
            assert owner.get("/api/history").status_code == 503
            assert owner.get("/healthz").status_code == 200
            assert owner.get("/metrics").status_code == 200
            ready = owner.get("/readyz")
            assert ready.status_code == 503
            assert ready.json()["reason"] not in ("", "not ready")
        with daemon.client() as stranger:
            assert stranger.get("/readyz").json() == {"ready": False, "reason": "not ready"}
    finally:
        daemon.stop()


def test_many_conversations_are_served_at_once(daemon: Daemon, model: ModelServer) -> None:
    model.control(first_delay=0.3)
    with daemon.owner() as owner:
        opened = []
        for number in range(8):
            body = ask(f"number {number}", stream=True)
            opened.append(owner.send(owner.build_request("POST", COMPLETE, json=body), stream=True))
        said = [words(events(reply)) for reply in opened]
    assert said == [f"heard: number {number}" for number in range(8)]
