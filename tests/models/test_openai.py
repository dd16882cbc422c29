# SPDX-License-Identifier: AGPL-3.0-or-later
"""The `openai` model against the stand-in as a process, and against canned bytes."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pydantic
import pytest

from haoya.core.errors import ConfigError, HaoyaError, Rejected, Unready
from haoya.core.message import Blob
from haoya.core.ports import Model
from haoya.core.tool import CallDelta, Delta, Finish, Line, Prompt, TextDelta, ToolCall, ToolSpec
from haoya.models.openai import plugin
from haoya.models.openai.client import OpenaiSettings
from tests.models.canned import canned
from tests.models.lent import FolderBlobs, context
from tests.models.test_openai_answer import DONE, chunk
from tests.servers import running

KEY = "sk-very-secret-key"
SPEC = ToolSpec(
    name="clock", purpose="Tell the time.", schema=msgspec.Raw(b'{"type":"object","x":1}')
)


@asynccontextmanager
async def model(folder: Path, port: int, **settings: Any) -> AsyncGenerator[Model, None]:
    given = {"base_url": f"http://127.0.0.1:{port}/v1", "model": "m", **settings}
    async with context(folder) as lent, plugin.open(OpenaiSettings(**given), lent) as opened:
        yield opened


async def asked(opened: Model, *lines: Line | str, tools: Sequence[ToolSpec] = ()) -> list[Delta]:
    asked = [Line(role="user", text=line) if isinstance(line, str) else line for line in lines]
    return [delta async for delta in opened.stream(Prompt(lines=tuple(asked), tools=tuple(tools)))]


def said(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))


def calls(deltas: list[Delta]) -> list[ToolCall]:
    return [delta.call for delta in deltas if isinstance(delta, CallDelta)]


def control(port: int, **changes: Any) -> None:
    httpx2.post(f"http://127.0.0.1:{port}/control", json=changes, trust_env=False)


def requests(port: int) -> list[dict[str, Any]]:
    url = f"http://127.0.0.1:{port}/control/requests"
    return httpx2.get(url, trust_env=False).json()["requests"]


def failure(folder: Path, port: int, *lines: Line | str, **settings: Any) -> HaoyaError:
    async def run() -> None:
        async with model(folder, port, **settings) as opened:
            await asked(opened, *(lines or ("the very private question",)))

    with pytest.raises(HaoyaError) as caught:
        asyncio.run(run())
    assert KEY not in str(caught.value)
    assert "private" not in str(caught.value)
    return caught.value


def test_an_answer_streams_in_pieces_and_ends_with_its_cost(tmp_path: Path) -> None:
    async def run(port: int) -> None:
        async with model(tmp_path, port) as opened:
            deltas = await asked(opened, "one two three four")
        assert said(deltas) == "heard: one two three four"
        assert len(deltas) > 3
        assert isinstance(deltas[-1], Finish)
        assert deltas[-1].usage.prompt > 0
        assert deltas[-1].model == "m"

    with running("openai") as port:
        asyncio.run(run(port))


def test_the_first_words_come_before_the_last_are_thought(tmp_path: Path) -> None:
    async def run(port: int) -> None:
        async with model(tmp_path, port) as opened:
            stream = opened.stream(Prompt(lines=(Line(role="user", text="long 40"),)))
            first = await anext(stream)
            assert first == TextDelta(text="word1 word2 ")
            await stream.aclose()
            assert said(await asked(opened, "again")) == "heard: again"

    with running("openai", "--delay", "0.2") as port:
        asyncio.run(run(port))


def test_calls_go_out_and_their_results_come_back(tmp_path: Path) -> None:
    async def run(port: int) -> None:
        async with model(tmp_path, port) as opened:
            question = Line(
                role="user", text='tools clock {"zone": "UTC"} ; recall {"query": "茶"}'
            )
            deltas = await asked(opened, question, tools=[SPEC])
            made = calls(deltas)
            assert [(call.name, json.loads(call.arguments)) for call in made] == [
                ("clock", {"zone": "UTC"}),
                ("recall", {"query": "茶"}),
            ]
            assert isinstance(deltas[-1], Finish)
            assert deltas[-1].reason == "tools"
            answered = [
                question,
                Line(role="assistant", calls=tuple(made)),
                Line(role="tool", call=made[0].id, text="noon"),
                Line(role="tool", call=made[1].id, text="tea"),
            ]
            assert said(await asked(opened, *answered, tools=[SPEC])) == "done: noon ; tea"

    with running("openai") as port:
        asyncio.run(run(port))


def test_the_request_begins_with_the_same_bytes_when_a_line_is_added(tmp_path: Path) -> None:
    async def run() -> None:
        async with (
            canned(chunk({"content": "x"}, "stop"), DONE) as server,
            model(tmp_path, server.port, temperature=0.5, max_tokens=9) as opened,
        ):
            system = Line(role="system", text="Be kind.")
            await asked(opened, system, "hi", tools=[SPEC])
            await asked(opened, system, "hi", Line(role="assistant", text="x"), "more")
        first, second = server.bodies
        assert second.startswith(first[: first.index(b'"hi"') + 4])
        body = json.loads(first)
        assert list(body) == [
            "model", "messages", "tools", "stream", "stream_options", "max_tokens", "temperature",
        ]  # fmt: skip
        assert b'"parameters":{"type":"object","x":1}' in first
        assert body["stream_options"] == {"include_usage": True}

    asyncio.run(run())


def test_a_broken_call_of_the_past_is_sent_as_json(tmp_path: Path) -> None:
    past = Line(role="assistant", calls=(ToolCall(id="c", name="clock", arguments='{"zo'),))

    async def run(port: int) -> None:
        async with model(tmp_path, port) as opened:
            await asked(opened, "hm", past, Line(role="tool", call="c", text="not JSON"))
        sent = requests(port)[-1]["messages"]
        function = sent[1]["tool_calls"][0]["function"]
        assert json.loads(function["arguments"]) == {"invalid": '{"zo'}
        assert sent[2] == {"role": "tool", "content": "not JSON", "tool_call_id": "c"}

    with running("openai") as port:
        asyncio.run(run(port))


def test_pictures_go_only_to_a_model_that_sees(tmp_path: Path) -> None:
    async def run(port: int) -> None:
        blob = await FolderBlobs(tmp_path).put(b"\x89PNG", mime="image/png", name="cat.png")
        gone = Blob(sha256="00", size=1, name="dog.png")
        look = Line(role="user", text="look", images=(blob, gone))
        async with model(tmp_path, port, vision=True) as opened:
            assert said(await asked(opened, look)).endswith("(+1 images)")
        async with model(tmp_path, port) as opened:
            assert said(await asked(opened, look)) == "heard: look"
        seeing = requests(port)[0]["messages"][0]["content"]
        url = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()
        assert seeing[1] == {"type": "image_url", "image_url": {"url": url}}
        assert seeing[2]["text"] == "[image dog.png is no longer there]"

    with running("openai") as port:
        asyncio.run(run(port))


def test_a_wrong_key_is_rejected_with_the_servers_words(tmp_path: Path) -> None:
    with running("openai", "--key", "right") as port:
        error = failure(tmp_path, port, api_key=KEY)
        assert isinstance(error, Rejected)
        assert f"127.0.0.1:{port}" in str(error)
        assert "Incorrect API key provided" in str(error)


def test_a_key_goes_to_the_server_and_into_no_error(tmp_path: Path) -> None:
    echo = json.dumps({"error": {"message": f"bad key {KEY}!"}}).encode()

    async def run() -> str:
        async with (
            canned(echo, status="403 Forbidden") as server,
            model(tmp_path, server.port, api_key=KEY) as opened,
        ):
            with pytest.raises(Rejected) as caught:
                await asked(opened, "hi")
        assert f"authorization: Bearer {KEY}".lower() in server.heads[0].lower()
        return str(caught.value)

    assert "bad key ***!" in asyncio.run(run())


def test_an_unknown_model_names_those_that_are_there(tmp_path: Path) -> None:
    with running("openai", "--models", "small,large") as port:
        error = failure(tmp_path, port)
        assert isinstance(error, Rejected)
        assert str(error) == f"127.0.0.1:{port} has no model 'm'; there are: small, large"


def test_a_wrong_path_says_how_addresses_end(tmp_path: Path) -> None:
    with running("openai") as port:
        error = failure(tmp_path, port, base_url=f"http://127.0.0.1:{port}")
        assert isinstance(error, Rejected)
        assert "usually ends in /v1" in str(error)


def test_a_prompt_too_long_does_not_park_the_model(tmp_path: Path) -> None:
    with running("openai", "--context", "20") as port:
        error = failure(tmp_path, port, "private word " * 50)
        assert isinstance(error, Unready)
        assert "too long" in str(error)
        assert "context_tokens" in str(error)


@pytest.mark.parametrize(("status", "retry"), [(429, "7"), (503, ""), (500, "2.5")])
def test_trouble_is_unready_with_the_pause_asked_for(
    tmp_path: Path, status: int, retry: str
) -> None:
    with running("openai") as port:
        control(port, fail={"status": status, "retry_after": retry})
        error = failure(tmp_path, port)
        assert isinstance(error, Unready)
        assert f"HTTP {status}" in str(error)
        assert error.retry_after == (float(retry) if retry else None)


def test_a_pause_given_as_a_date_is_counted_from_our_clock(tmp_path: Path) -> None:
    async def run() -> float | None:
        head = "Retry-After: Thu, 01 Jan 2026 00:01:30 GMT\r\n"
        async with (
            canned(b"busy", status="503 Busy", head=head) as server,
            model(tmp_path, server.port) as opened,
        ):
            with pytest.raises(Unready) as caught:
                await asked(opened, "hi")
        return caught.value.retry_after

    assert asyncio.run(run()) == 90


def test_words_that_repeat_the_prompt_are_left_out(tmp_path: Path) -> None:
    for text in ("the private question of a person", "private"):
        echo = json.dumps({"error": {"message": f"invalid: {text}"}}).encode()

        async def run(echo: bytes = echo, text: str = text) -> str:
            async with (
                canned(echo, status="422 No") as server,
                model(tmp_path, server.port) as opened,
            ):
                with pytest.raises(Unready) as caught:
                    await asked(opened, text)
            return str(caught.value)

        assert "private" not in asyncio.run(run())


def test_a_closed_port_is_unready_and_named(tmp_path: Path) -> None:
    with running("openai") as port:
        pass
    error = failure(tmp_path, port)
    assert isinstance(error, Unready)
    assert f"no model server at 127.0.0.1:{port}" in str(error)


def test_a_server_that_dies_in_the_middle_is_unready(tmp_path: Path) -> None:
    with running("openai") as port:
        control(port, die_after_chunks=2)
        error = failure(tmp_path, port)
        assert isinstance(error, Unready)
        assert "broke off" in str(error)


def test_a_server_killed_and_back_answers_again(tmp_path: Path) -> None:
    async def run() -> None:
        with ExitStack() as first:
            port = first.enter_context(running("openai"))
            async with model(tmp_path, port) as opened:
                assert said(await asked(opened, "one")) == "heard: one"
                first.close()
                with pytest.raises(Unready):
                    await asked(opened, "two")
                with running("openai", "--port", str(port)):
                    assert said(await asked(opened, "three")) == "heard: three"

    asyncio.run(run())


def test_silence_before_and_within_an_answer_is_told_apart(tmp_path: Path) -> None:
    with running("openai") as port:
        control(port, hang=30)
        error = failure(tmp_path, port, first_seconds=0.2)
        assert isinstance(error, Unready)
        assert "not begun to answer for 0.2 s" in str(error)
        control(port, chunk_delay=30)
        error = failure(tmp_path, port, idle_seconds=0.2)
        assert isinstance(error, Unready)
        assert "silent in the middle" in str(error)


def test_a_line_left_open_after_the_end_does_not_hold_the_answer(tmp_path: Path) -> None:
    async def run(*pieces: bytes) -> list[Delta]:
        async with (
            canned(*pieces, holds=True) as server,
            model(tmp_path, server.port) as opened,
            asyncio.timeout(20),
        ):
            return await asked(opened, "hi")

    assert said(asyncio.run(run(chunk({"content": "x"}, "stop"), DONE))) == "x"
    assert said(asyncio.run(run(chunk({"content": "x"}, "stop")))) == "x"


@pytest.mark.parametrize(
    ("piece", "words"),
    [
        (b'data: {"error": {"message": "out of memory", "code": 500}}\n\n', "out of memory"),
        (b'{"error": "model is loading"}', "model is loading"),
        (b'error: {"message": "slot gone"}\n\n', "slot gone"),
    ],
)
def test_an_error_inside_of_an_answer_is_unready(tmp_path: Path, piece: bytes, words: str) -> None:
    async def run() -> str:
        async with canned(piece) as server, model(tmp_path, server.port) as opened:
            with pytest.raises(Unready) as caught:
                await asked(opened, "hi")
        return str(caught.value)

    assert words in asyncio.run(run())


def test_a_page_of_something_else_names_base_url(tmp_path: Path) -> None:
    async def run() -> str:
        async with canned(b"<html></html>") as server, model(tmp_path, server.port) as opened:
            with pytest.raises(Unready) as caught:
                await asked(opened, "hi")
        return str(caught.value)

    assert "correct base_url" in asyncio.run(run())


def test_fifty_answers_stream_at_a_time_over_kept_connections(tmp_path: Path) -> None:
    async def run(port: int) -> None:
        async with model(tmp_path, port) as opened:
            for _ in range(2):
                answers = await asyncio.gather(*(asked(opened, f"n {i}") for i in range(50)))
                assert [said(one) for one in answers] == [f"heard: n {i}" for i in range(50)]

    with running("openai") as port:
        asyncio.run(run(port))


@pytest.mark.parametrize(
    "wrong",
    [
        {"base_url": "127.0.0.1:8081"},
        {"base_url": "ftp://host/v1"},
        {"base_url": "http://user:password@host/v1"},
        {"base_url": "http://h/v1", "model": ""},
        {"base_url": "http://h/v1", "tokens": 3},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        OpenaiSettings.model_validate({"model": "m", **wrong})


def test_a_missing_secret_is_the_owners_to_mend(tmp_path: Path) -> None:
    async def run() -> None:
        async with model(tmp_path, 1, api_key="secret:none"):
            pass

    with pytest.raises(ConfigError):
        asyncio.run(run())
