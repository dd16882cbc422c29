# SPDX-License-Identifier: AGPL-3.0-or-later
"""The official `openai` client works unchanged, with the agent and with bare models."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.api.clients import SETTINGS, WEATHER, by_openai
from tests.api.daemon import MODEL, Daemon, ModelServer

TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
FLAT: Any = {"type": "function", "name": "weather", "parameters": WEATHER, "strict": True}
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
        "1f15c4890000000d49444154789c6360000000000500010d0a2db40000000049454e44ae426082"
    )
).decode()


@pytest.fixture(scope="module")
def house(model_server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    settings = SETTINGS + MODEL.format(port=model_server.port)
    daemon = Daemon(tmp_path_factory.mktemp("home"), settings)
    yield daemon.ready()
    daemon.stop()


@pytest.fixture
def client(house: Daemon, model: ModelServer) -> Iterator[openai.OpenAI]:
    with by_openai(house) as client:
        yield client


def ask(text: str, *more: Any) -> list[Any]:
    return [{"role": "user", "content": text}, *more]


def near(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_models_are_listed_with_the_agent_first(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert names[0] == "haoya"
    assert set(names) == {"haoya", "main", "toy", "slow", "gone"}
    assert client.models.retrieve("toy").id == "toy"
    assert client.models.retrieve("local/toy").object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


@pytest.mark.parametrize("name", ["toy", "local/toy", "main"])
def test_a_bare_model_answers_whole(client: openai.OpenAI, name: str) -> None:
    said = client.chat.completions.create(model=name, messages=ask("good morning"))
    (choice,) = said.choices
    assert "good morning" in (choice.message.content or "")
    assert choice.finish_reason == "stop"
    assert choice.message.tool_calls is None
    assert said.usage and said.usage.total_tokens > 0


def test_a_bare_model_leaves_nothing_behind(client: openai.OpenAI, house: Daemon) -> None:
    def entries() -> str:
        lines = owner.get("/metrics").text.splitlines()
        return next(line for line in lines if line.startswith("haoya_journal_entries"))

    picture: Any = {"url": f"data:image/png;base64,{PIXEL}"}
    content: Any = [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": picture}]
    with house.owner() as owner:
        before = entries()
        for name in ("toy", "main"):
            client.chat.completions.create(
                model=name, messages=[{"role": "user", "content": content}]
            )
        assert entries() == before
    assert not list(house.home.glob("blobs/*/*"))


def test_a_stream_brings_thoughts_words_and_usage(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="toy",
        messages=ask("I wonder"),
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "Forty-two."
    thought = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert thought == "Hm, let me see."
    assert deltas[0].role == "assistant"
    assert chunks[-1].usage and chunks[-1].usage.completion_tokens == 1
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"


def test_the_clients_own_tools_come_back_as_calls(client: openai.OpenAI) -> None:
    messages = ask("weather in Paris")
    first = client.chat.completions.create(model="toy", messages=messages, tools=[TOOL])
    (choice,) = first.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Looking."
    (call,) = choice.message.tool_calls or ()
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    messages += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    second = client.chat.completions.create(model="toy", messages=messages, tools=[TOOL])
    assert second.choices[0].message.content == "It is sunny."


def test_calls_are_put_together_from_a_stream(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(
        model="toy", messages=ask("both"), tools=[{**TOOL, "function": {**TOOL["function"]}}]
    ) as stream:
        for _ in stream:
            pass
        said = stream.get_final_completion().choices[0]
    assert said.finish_reason == "tool_calls"
    calls = [json.loads(call.function.arguments) for call in said.message.tool_calls or ()]
    assert calls == [{"city": "Rome"}, {"city": "Oslo"}]
    assert len({call.id for call in said.message.tool_calls or ()}) == 2


def test_a_server_behind_us_gets_tools_and_gives_calls(client: openai.OpenAI) -> None:
    messages = ask('tool weather {"city": "Rome"}')
    stream = client.chat.completions.create(
        model="main", messages=messages, tools=[TOOL], stream=True
    )
    pieces = [c.choices[0].delta.tool_calls for c in stream if c.choices]
    said = "".join(p[0].function.arguments or "" for p in pieces if p and p[0].function)
    assert json.loads(said) == {"city": "Rome"}


def test_a_response_is_whole_and_its_calls_are_answered(client: openai.OpenAI) -> None:
    first = client.responses.create(model="toy", input="weather in Oslo", tools=[FLAT])
    assert [item.type for item in first.output] == ["reasoning", "message", "function_call"]
    assert first.output_text == "Looking."
    call = first.output[-1]
    assert call.type == "function_call"
    assert json.loads(call.arguments) == {"city": "Oslo"}
    assert first.usage and first.usage.total_tokens > 0
    history: list[Any] = [{"role": "user", "content": "weather in Oslo"}, *first.output]
    history.append({"type": "function_call_output", "call_id": call.call_id, "output": "rain"})
    second = client.responses.create(model="toy", input=history, tools=[FLAT])
    assert second.output_text == "It is rain."
    assert second.status == "completed"


def test_a_response_streams_in_the_official_order(client: openai.OpenAI) -> None:
    with client.responses.stream(model="toy", input="weather in Oslo", tools=[FLAT]) as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    for kind in ("response.reasoning_text.delta", "response.output_text.delta"):
        assert kinds.index(kind) < kinds.index(kind.replace("delta", "done"))
    assert "response.function_call_arguments.done" in kinds
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))
    assert final.output_text == "Looking."


def test_the_agent_goes_on_with_an_earlier_response(
    client: openai.OpenAI, model: ModelServer
) -> None:
    first = client.responses.create(model="haoya", input="I like oolong")
    assert first.output_text == "heard: I like oolong"
    second = client.responses.create(
        model="haoya", input="what do I like?", previous_response_id=first.id
    )
    assert second.output_text == "heard: what do I like?"
    assert "I like oolong" in json.dumps(model.requests()[-1]["messages"])


def test_the_agent_answers_in_a_stream_of_responses(client: openai.OpenAI) -> None:
    stream = client.responses.create(model="haoya", input="good morning", stream=True)
    words = [event.delta for event in stream if event.type == "response.output_text.delta"]
    assert "".join(words) == "heard: good morning"


def test_embeddings_are_near_where_words_are_shared(client: openai.OpenAI) -> None:
    texts = ["green tea leaves", "green tea cups", "steam engine"]
    found = client.embeddings.create(model="toy", input=texts)
    tea, cups, engine = [one.embedding for one in found.data]
    assert near(tea, cups) > near(tea, engine)
    plain = client.embeddings.create(model="toy", input=texts[0], encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(tea, abs=1e-6)
    assert found.usage.total_tokens == 8
    with pytest.raises(openai.BadRequestError, match="no embeddings"):
        client.embeddings.create(model="haoya", input="x")


def test_errors_are_raised_as_the_right_classes(house: Daemon, client: openai.OpenAI) -> None:
    chat = client.chat.completions
    with pytest.raises(openai.NotFoundError) as missing:
        chat.create(model="gpt-4o", messages=ask("x"))
    assert missing.value.code == "model_not_found"
    assert "toy" in missing.value.message
    with pytest.raises(openai.BadRequestError) as wrong:
        chat.create(model="toy", messages=ask("x"), n=2)
    assert wrong.value.param == "n"
    with pytest.raises(openai.BadRequestError, match="there are: weather"):
        chosen: Any = {"type": "function", "function": {"name": "wether"}}
        chat.create(model="toy", messages=ask("x"), tools=[TOOL], tool_choice=chosen)
    with pytest.raises(openai.BadRequestError, match="web_search"):
        client.responses.create(model="toy", input="x", tools=[{"type": "web_search"}])
    with pytest.raises(openai.InternalServerError) as gone:
        chat.create(model="gone", messages=ask("x"))
    assert gone.value.status_code == 503
    assert int(gone.value.response.headers["retry-after"]) > 0
    with by_openai(house, "wrong") as stranger, pytest.raises(openai.AuthenticationError):
        stranger.chat.completions.create(model="toy", messages=ask("x"))


def test_a_stream_that_cannot_begin_is_a_plain_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="gone", messages=ask("x"), stream=True)
    with pytest.raises(openai.InternalServerError):
        client.responses.create(model="gone", input="x", stream=True)


def test_an_answer_that_breaks_off_is_an_error_in_the_stream(
    client: openai.OpenAI, model: ModelServer
) -> None:
    model.control(die_after_chunks=4, chunk_delay=0.02)
    stream = client.chat.completions.create(model="main", messages=ask("long 40"), stream=True)
    with pytest.raises(openai.APIError):
        list(stream)
    model.control(reset=True)
    model.control(die_after_chunks=4, chunk_delay=0.02)
    events = client.responses.create(model="main", input="long 40", stream=True)
    with pytest.raises(openai.APIError):
        list(events)
