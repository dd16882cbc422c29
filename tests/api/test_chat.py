# SPDX-License-Identifier: AGPL-3.0-or-later
"""The chat page's wire: nothing said is missed, nothing is shown twice."""

import json
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest

from haoya.api.history import PAGE
from tests.api.daemon import SECONDS, Daemon, ModelServer, until


class Watcher:
    """Reads the events of a room on a thread of its own."""

    def __init__(self, daemon: Daemon, room: str, after: int) -> None:
        self.events: list[tuple[str, Any]] = []
        self.ids: list[int] = [after]
        self.client = httpx2.Client(
            base_url=daemon.url, headers={"Authorization": f"Bearer {daemon.token}"}, timeout=30
        )
        request = self.client.build_request("GET", f"/api/events?room={room}&after={after}")
        self.reply = self.client.send(request, stream=True)
        assert self.reply.status_code == 200, self.reply.read()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        name = ""
        try:
            for line in self.reply.iter_lines():
                key, _, value = line.partition(": ")
                if key == "event":
                    name = value
                elif key == "id":
                    self.ids.append(int(value))
                elif key == "data":
                    self.events.append((name, json.loads(value)))
        except (httpx2.HTTPError, httpx2.StreamError, RuntimeError):
            return

    def of(self, name: str) -> list[Any]:
        return [data for kind, data in self.events if kind == name]

    def texts(self) -> list[str]:
        return [message["text"] for message in self.of("message")]


@contextmanager
def watching(daemon: Daemon, room: str, after: int = 0) -> Iterator[Watcher]:
    watcher = Watcher(daemon, room, after)
    try:
        yield watcher
    finally:
        line = watcher.reply.extensions["network_stream"].get_extra_info("socket")
        line.shutdown(socket.SHUT_RDWR)
        watcher.thread.join(SECONDS)
        watcher.client.close()


@pytest.fixture
def room() -> str:
    return uuid.uuid4().hex


def say(owner: httpx2.Client, room: str, text: str, id: str = "") -> str:
    reply = owner.post("/api/say", json={"room": room, "text": text, "id": id})
    assert reply.status_code == 200, reply.text
    return str(reply.json()["id"])


def history(owner: httpx2.Client, room: str, **more: Any) -> dict[str, Any]:
    reply = owner.get("/api/history", params={"room": room, **more})
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def test_what_is_said_is_told_with_its_answer(
    daemon: Daemon, model: ModelServer, room: str
) -> None:
    with daemon.owner() as owner, watching(daemon, room) as watcher:
        id = say(owner, room, "你好 haoya")
        until(lambda: len(watcher.of("message")) == 2)
    mine, theirs = watcher.of("message")
    assert (mine["id"], mine["who"], mine["text"]) == (id, "me", "你好 haoya")
    assert (theirs["who"], theirs["text"]) == ("haoya", "heard: 你好 haoya")
    assert theirs["answers"] == [id]
    assert mine["number"] < theirs["number"]
    assert watcher.of("busy")
    assert watcher.of("state")[0] == {"ready": True, "reason": ""}


def test_a_draft_grows_by_its_new_words_and_ends_as_the_answer(
    daemon: Daemon, model: ModelServer, room: str
) -> None:
    model.control(chunk_delay=0.03)
    with daemon.owner() as owner, watching(daemon, room) as watcher:
        say(owner, room, "long 40")
        until(lambda: len(watcher.of("message")) == 2)
    drafts = watcher.of("draft")
    assert len(drafts) > 3
    assert {draft["id"] for draft in drafts} == {watcher.of("message")[1]["id"]}
    grown = ""
    for draft in drafts:
        grown = grown + draft["text"] if draft["more"] else draft["text"]
    assert watcher.of("message")[1]["text"].startswith(grown)
    assert sum(len(draft["text"]) for draft in drafts) == len(grown), "words were sent twice"


def test_one_who_comes_back_misses_nothing_and_sees_nothing_twice(
    daemon: Daemon, model: ModelServer, room: str
) -> None:
    with daemon.owner() as owner:
        with watching(daemon, room) as first:
            say(owner, room, "one")
            until(lambda: len(first.of("message")) == 2)
        say(owner, room, "two")
        until(lambda: len(history(owner, room)["messages"]) == 4)
        with watching(daemon, room, after=max(first.ids)) as second:
            say(owner, room, "three")
            until(lambda: len(second.of("message")) == 4)
    assert second.texts() == ["two", "heard: two", "three", "heard: three"]


def test_the_history_tells_where_to_follow_on(
    daemon: Daemon, model: ModelServer, room: str
) -> None:
    with daemon.owner() as owner:
        say(owner, room, "before")
        until(lambda: len(history(owner, room)["messages"]) == 2)
        with watching(daemon, room, after=history(owner, room)["after"]) as watcher:
            say(owner, room, "behind")
            until(lambda: len(watcher.of("message")) == 2)
    assert watcher.texts() == ["behind", "heard: behind"]


def test_other_rooms_are_not_told(daemon: Daemon, model: ModelServer, room: str) -> None:
    with daemon.owner() as owner, watching(daemon, room) as watcher:
        say(owner, f"{room}-other", "elsewhere")
        until(lambda: len(history(owner, f"{room}-other")["messages"]) == 2)
        say(owner, room, "here")
        until(lambda: len(watcher.of("message")) == 2)
    assert watcher.texts() == ["here", "heard: here"]


def test_the_same_id_is_taken_once(daemon: Daemon, model: ModelServer, room: str) -> None:
    with daemon.owner() as owner, watching(daemon, room) as watcher:
        for _ in range(3):
            say(owner, room, "only once", id=f"once-{room}")
        say(owner, room, "next")
        until(lambda: "heard: next" in watcher.texts())
    assert watcher.texts().count("only once") == 1
    assert watcher.texts().count("heard: only once") == 1


def test_a_long_conversation_comes_in_pages(daemon: Daemon, model: ModelServer, room: str) -> None:
    count = PAGE + 5
    with daemon.owner() as owner:
        for number in range(count // 2 + 1):
            say(owner, room, f"message {number}")
            answered = f"heard: message {number}"
            until(lambda last=answered: history(owner, room)["messages"][-1]["text"] == last)
        last = history(owner, room)
        assert len(last["messages"]) == PAGE
        assert last["more"] is True
        first = history(owner, room, before=last["messages"][0]["number"])
    assert first["more"] is False
    numbers = [message["number"] for message in first["messages"] + last["messages"]]
    assert numbers == sorted(set(numbers))
    assert first["messages"][0]["text"] == "message 0"


def test_a_question_is_told_with_its_buttons_and_closes_when_decided(
    daemon: Daemon, model: ModelServer, room: str
) -> None:
    wish = 'tool message {"to": "local//elsewhere", "text": "hi"}'
    with daemon.owner() as owner, watching(daemon, room) as watcher:
        say(owner, room, wish)
        asked = until(lambda: watcher.of("asked"))[0]
        question = watcher.of("message")[-1]
        assert asked["id"] == question["id"]
        words = [button["value"].split()[0] for button in question["buttons"]]
        assert words == ["yes", "no", "always"]
        assert "[Yes]" not in question["text"]
        assert history(owner, room)["messages"][-1]["ask"] == asked["number"]
        decided = owner.post("/api/call/decide", json={"number": asked["number"], "yes": False})
        assert decided.status_code == 200
        assert until(lambda: watcher.of("decided"))[0] == {"number": asked["number"], "yes": False}
        until(lambda: watcher.texts()[-1].startswith("done"))
        shown = history(owner, room)["messages"]
    assert [message["ask"] for message in shown if message["buttons"]] == [0]


def test_a_tool_is_named_while_it_runs(daemon: Daemon, model: ModelServer, room: str) -> None:
    with daemon.owner() as owner, watching(daemon, room) as watcher:
        say(owner, room, 'tool clock {"zone": "Asia/Tokyo"}')
        until(lambda: len(watcher.of("message")) == 2)
    assert {"tool": "clock"} in watcher.of("busy")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/say", {}),
        ("/api/say", {"text": ""}),
        ("/api/say", {"text": "  \n "}),
        ("/api/say", {"text": "x", "room": ""}),
        ("/api/say", {"text": "x", "room": "a\nb"}),
        ("/api/say", {"text": "x", "room": "r" * 201}),
        ("/api/say", {"text": "x", "extra": 1}),
        ("/api/say", {"text": "x", "id": "i" * 129}),
        ("/api/say", []),
        ("/api/call/status", []),
        ("/api/call/nonsense", {}),
        ("/api/call/runs_show", {"turn": "seven"}),
    ],
)
def test_a_wrong_request_is_refused_with_a_reason(daemon: Daemon, path: str, body: Any) -> None:
    with daemon.owner() as owner:
        reply = owner.post(path, json=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"]


@pytest.mark.parametrize(
    "path",
    ["/api/history?before=x", "/api/events?after=-1", "/api/events?room=", "/api/history?room="],
)
def test_a_wrong_address_is_refused_with_a_reason(daemon: Daemon, path: str) -> None:
    with daemon.owner() as owner:
        reply = owner.get(path)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"]


def test_the_verbs_answer_as_they_do_in_the_terminal(
    daemon: Daemon, model: ModelServer, room: str
) -> None:
    with daemon.owner() as owner:
        id = say(owner, room, "tell me why")
        until(lambda: len(history(owner, room)["messages"]) == 2)
        status = owner.post("/api/call/status", json={}).json()
        why = owner.post("/api/call/why", json={"message": f"local:{id}"}).json()
        unknown = owner.post("/api/call/why", json={"message": "local:none"})
    assert status["api"]["url"] == daemon.url
    assert why["conversation"] == f"local//{room}"
    error = unknown.json()["error"]
    assert unknown.status_code == 400
    assert error["kind"] == "ConfigError"
    assert error["cure"]
