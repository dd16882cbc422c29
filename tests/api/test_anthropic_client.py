# SPDX-License-Identifier: AGPL-3.0-or-later
"""The official `anthropic` client works unchanged, with the agent and with bare models."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from tests.api.clients import SETTINGS, WEATHER, by_anthropic
from tests.api.daemon import MODEL, Daemon, ModelServer

TOOL: Any = {"name": "weather", "description": "Tells it", "input_schema": WEATHER}


@pytest.fixture(scope="module")
def house(model_server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    settings = SETTINGS + MODEL.format(port=model_server.port)
    daemon = Daemon(tmp_path_factory.mktemp("home"), settings)
    yield daemon.ready()
    daemon.stop()


@pytest.fixture
def client(house: Daemon, model: ModelServer) -> Iterator[anthropic.Anthropic]:
    with by_anthropic(house) as client:
        yield client


def ask(content: Any) -> dict[str, Any]:
    return {"max_tokens": 100, "messages": [{"role": "user", "content": content}]}


def test_models_are_listed(client: anthropic.Anthropic) -> None:
    listed = [model.id for model in client.models.list()]
    assert listed[0] == "haoya"
    assert "toy" in listed
    assert client.models.retrieve("toy").display_name == "toy"


@pytest.mark.parametrize("name", ["toy", "main", "haoya"])
def test_a_message_is_answered(client: anthropic.Anthropic, name: str) -> None:
    said = client.messages.create(model=name, system="Be kind.", **ask("good morning"))
    assert said.type == "message"
    assert said.stop_reason == "end_turn"
    (block,) = said.content
    assert block.type == "text"
    assert "good morning" in block.text
    assert said.usage.input_tokens > 0


@pytest.mark.parametrize("name", ["toy", "main", "haoya"])
def test_a_message_streams(client: anthropic.Anthropic, name: str) -> None:
    with client.messages.stream(model=name, **ask("good morning")) as stream:
        words = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert "good morning" in words
    assert final.stop_reason == "end_turn"
    assert final.usage.input_tokens > 0
    assert final.usage.output_tokens > 0


def test_thoughts_words_and_calls_are_blocks_of_their_own(client: anthropic.Anthropic) -> None:
    with client.messages.stream(model="toy", tools=[TOOL], **ask("weather in Rome")) as stream:
        kinds = [event.type for event in stream]
        said = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert [block.type for block in said.content] == ["thinking", "text", "tool_use"]
    thinking, text, call = said.content
    assert thinking.type == "thinking"
    assert thinking.thinking == "They ask about Rome."
    assert text.type == "text"
    assert text.text == "Looking."
    assert call.type == "tool_use"
    assert call.input == {"city": "Rome"}
    assert said.stop_reason == "tool_use"


@pytest.mark.parametrize("form", ["text", "blocks"])
def test_a_tools_result_is_read(client: anthropic.Anthropic, form: str) -> None:
    given = ask("weather in Rome")
    first = client.messages.create(model="toy", tools=[TOOL], **given)
    call = first.content[-1]
    assert call.type == "tool_use"
    content: Any = "hot" if form == "text" else [{"type": "text", "text": "hot"}]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": content}
    given["messages"] += [
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result]},
    ]
    second = client.messages.create(model="toy", tools=[TOOL], **given)
    assert second.content[0].type == "text"
    assert second.content[0].text == "It is hot."


def test_a_tool_can_be_called_through_a_server_that_speaks_another_wire(
    client: anthropic.Anthropic, model: ModelServer
) -> None:
    given = ask('tool weather {"city": "Oslo"}')
    said = client.messages.create(model="main", tools=[TOOL], **given)
    call = said.content[-1]
    assert call.type == "tool_use"
    assert call.input == {"city": "Oslo"}
    sent = model.requests()[-1]
    assert sent["tools"][0]["function"]["parameters"] == WEATHER


def test_tokens_are_counted_before_asking(client: anthropic.Anthropic) -> None:
    given = ask("one two three " * 100)
    del given["max_tokens"]
    few = client.messages.count_tokens(
        model="toy", messages=[{"role": "user", "content": "one two three"}]
    )
    many = client.messages.count_tokens(model="toy", tools=[TOOL], **given)
    assert 3 <= few.input_tokens < 20
    assert many.input_tokens > 300


def test_errors_are_raised_as_the_right_classes(house: Daemon, client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(model="claude-5", **ask("x"))
    body: Any = missing.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "not_found_error"
    with pytest.raises(anthropic.BadRequestError, match="web_search"):
        tool: Any = {"type": "web_search_20250305", "name": "web_search"}
        client.messages.create(model="toy", tools=[tool], **ask("x"))
    for stream in (False, True):
        with pytest.raises(anthropic.InternalServerError) as gone:
            client.messages.create(model="gone", stream=stream, **ask("x"))
        assert gone.value.status_code == 503
    with by_anthropic(house, "wrong") as stranger:
        with pytest.raises(anthropic.AuthenticationError) as unknown:
            stranger.messages.create(model="toy", **ask("x"))
        assert "x-api-key" in unknown.value.message


def test_an_answer_that_breaks_off_is_an_error_in_the_stream(
    client: anthropic.Anthropic, model: ModelServer
) -> None:
    model.control(die_after_chunks=4, chunk_delay=0.02)
    with (
        pytest.raises(anthropic.APIStatusError),
        client.messages.stream(model="main", **ask("long 40")) as stream,
    ):
        stream.until_done()


def test_a_picture_is_shown_to_the_agent(client: anthropic.Anthropic) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "what is it?"}]
    said = client.messages.create(model="haoya", **ask(content))
    assert said.content[0].type == "text"
    with pytest.raises(anthropic.BadRequestError, match="fetches no addresses"):
        away = {"type": "image", "source": {"type": "url", "url": "http://example.org/x.png"}}
        client.messages.create(model="toy", **ask([away]))
