# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is each wire's own, and what each provider's: as it goes over the line."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest

from haoya.core.errors import HaoyaError, Rejected, Unready
from haoya.core.tool import Delta, Line, Prompt, Sampling, TextDelta, ToolCall, Usage
from haoya.models._wire.quirks import PROVIDERS, TABLE, quirks_of
from haoya.models._wire.refusal import complaint, refusal
from tests.models.canned import canned
from tests.models.test_openai_answer import DONE, call, chunk
from tests.models.wires import (
    CLOCK,
    RECALL,
    WIRES,
    asked,
    calls,
    finish,
    opened,
    prompt,
    results,
    said,
    spoken,
    talking,
    thought,
)
from tests.servers import running
from tests.servers.strict.life import Faults

OPENAI, RESPONSES, ANTHROPIC, OLLAMA = WIRES
OPEN = msgspec.Raw(b'{"type":"object","properties":{"ok":{"type":"boolean"}}}')
CLOSED = msgspec.Raw(b'{"type":"object","properties":{},"additionalProperties":false}')


def sent(wire: Any, folder: Path, *prompts: Prompt, **settings: Any) -> list[dict[str, Any]]:
    """The bodies of these prompts as a server that believes anything gets them."""

    async def go() -> list[dict[str, Any]]:
        end = {
            "openai": chunk({"content": "x"}, "stop") + DONE,
            "responses": b'data: {"type":"response.completed","response":{}}\n\n',
            "anthropic": b'data: {"type":"message_stop"}\n\n',
            "ollama": b'{"message":{"content":"x"},"done":true}\n',
        }[wire.name]
        async with (
            canned(end) as server,
            opened(wire, folder, server.port, **settings) as model,
        ):
            for one in prompts:
                await asked(model, one)
            return [json.loads(body) for body in server.bodies]

    return asyncio.run(go())


def answered(wire: Any, folder: Path, *events: object, **settings: Any) -> list[Delta]:
    """The deltas of an answer made of these events."""

    async def go() -> list[Delta]:
        data = b"".join(b"data: " + msgspec.json.encode(event) + b"\n\n" for event in events)
        async with (
            canned(data) as server,
            opened(wire, folder, server.port, **settings) as model,
        ):
            return await asked(model, "hi")

    return asyncio.run(go())


ALL = Sampling(temperature=0.5, top_p=0.9, seed=3, max_tokens=99, stop=("END",))


@pytest.mark.parametrize(
    ("provider", "model", "there", "gone"),
    [
        ("plain", "m", {"max_tokens", "temperature", "seed", "stop"}, {"prompt_cache_key"}),
        ("openai", "gpt-4o", {"max_completion_tokens", "temperature", "seed"}, {"max_tokens"}),
        ("openai", "o3-mini", {"max_completion_tokens"}, {"temperature", "top_p", "seed", "stop"}),
        ("mistral", "small", {"random_seed", "max_tokens"}, {"seed", "stream_options"}),
        ("deepseek", "chat", {"temperature", "stop"}, {"seed"}),
    ],
)
def test_a_provider_gets_the_names_it_knows(
    tmp_path: Path, provider: str, model: str, there: set[str], gone: set[str]
) -> None:
    given = prompt("hi", sampling=ALL, conversation="tg//7")
    (body,) = sent(OPENAI, tmp_path, given, provider=provider, model=model)
    assert there <= body.keys()
    assert not gone & body.keys()
    assert "tg//7" not in json.dumps(body)


def test_every_provider_of_the_table_is_found_by_its_address() -> None:
    for row in TABLE:
        for host in row.hosts:
            for model in row.models:
                assert quirks_of("", host, model) == row.quirks
                assert quirks_of(row.provider, "localhost", model) == row.quirks
                assert quirks_of("", f"eu.{host}", model) == row.quirks
            assert quirks_of("", f"not{host}", "x") == quirks_of("plain", "localhost", "x")
    assert set(PROVIDERS) == {row.provider for row in TABLE}


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="there are: openai"):
        OPENAI.plugin.settings(base_url="http://h/v1", model="m", provider="opnai")


def test_ids_of_calls_are_made_to_fit_and_still_pair_up(tmp_path: Path) -> None:
    line = Line(role="assistant", calls=(ToolCall(id="12.1.0", name="clock"),))
    given = prompt("hi", *results(line, "noon"), tools=[CLOCK], choice="required")
    (body,) = sent(OPENAI, tmp_path, given, provider="mistral")
    made = body["messages"][1]["tool_calls"][0]["id"]
    assert len(made) == 9
    assert made.isalnum()
    assert body["messages"][2]["tool_call_id"] == made
    assert body["tool_choice"] == "any"


def test_where_no_tool_can_be_chosen_only_the_one_is_shown(tmp_path: Path) -> None:
    given = prompt("hi", tools=[CLOCK, RECALL], choice="recall")
    (body,) = sent(OPENAI, tmp_path, given, provider="moonshot")
    assert [tool["function"]["name"] for tool in body["tools"]] == ["recall"]
    assert "tool_choice" not in body


def test_lines_alternate_where_a_provider_insists(tmp_path: Path) -> None:
    lines = [
        Line(role="system", text="one"),
        Line(role="assistant", text="early"),
        Line(role="user", text="a"),
        Line(role="user", text="b"),
        Line(role="system", text="two"),
    ]
    (body,) = sent(OPENAI, tmp_path, prompt(*lines), provider="alternating")
    told = [(line["role"], line["content"]) for line in body["messages"]]
    assert told[0] == ("system", "one\n\ntwo")
    assert [role for role, _ in told[1:]] == ["user", "assistant", "user"]
    assert told[-1][1] == "a\n\nb"


def test_a_provider_without_schemas_is_told_in_words(tmp_path: Path) -> None:
    system = Line(role="system", text="Be kind.")
    (body,) = sent(OPENAI, tmp_path, prompt(system, "hi", schema=OPEN), provider="deepseek")
    assert body["response_format"] == {"type": "json_object"}
    assert '"properties"' in body["messages"][1]["content"]
    (body,) = sent(OPENAI, tmp_path, prompt("hi", schema=OPEN))
    assert body["response_format"]["json_schema"]["strict"] is False
    (body,) = sent(OPENAI, tmp_path, prompt("hi", schema=CLOSED))
    assert body["response_format"]["json_schema"]["strict"] is True


def test_thoughts_go_back_within_the_tool_loop_where_a_provider_wants_them(
    tmp_path: Path,
) -> None:
    answer = (
        chunk({"reasoning_content": "Ask the "})
        + chunk({"reasoning_content": "clock."})
        + chunk(call(0, "c1", name="clock", arguments="{}"))
        + chunk({}, "tool_calls")
        + DONE
    )

    async def go() -> tuple[list[Delta], list[dict[str, Any]]]:
        async with (
            canned(answer) as server,
            opened(OPENAI, tmp_path, server.port, provider="deepseek") as model,
        ):
            deltas = await asked(model, "hi")
            loop = results(spoken(deltas), "noon")
            await asked(model, prompt("hi", *loop))
            await asked(model, prompt("hi", *loop, Line(role="assistant", text="x"), "more"))
            return deltas, [json.loads(body) for body in server.bodies]

    deltas, bodies = asyncio.run(go())
    assert thought(deltas) == "Ask the clock."
    assert bodies[1]["messages"][1]["reasoning_content"] == "Ask the clock."
    assert "reasoning_content" not in bodies[2]["messages"][1]


def test_signatures_of_calls_go_back_as_they_came(tmp_path: Path) -> None:
    extra = {"google": {"thought_signature": "c2ln"}}
    piece = call(0, "c1", name="clock", arguments="{}")
    piece["tool_calls"][0]["extra_content"] = extra
    answer = (
        chunk({"reasoning_details": [{"type": "reasoning.text", "text": "a"}]})
        + chunk(piece)
        + chunk(call(1, "c2", name="recall", arguments="{}"))
        + chunk({}, "tool_calls")
        + DONE
    )

    async def go() -> dict[str, Any]:
        async with canned(answer) as server, opened(OPENAI, tmp_path, server.port) as model:
            line = spoken(await asked(model, "hi"))
            await asked(model, prompt("hi", *results(line, "noon", "tea")))
            return json.loads(server.bodies[-1])

    message = asyncio.run(go())["messages"][1]
    assert message["tool_calls"][0]["extra_content"] == extra
    assert "extra_content" not in message["tool_calls"][1]
    assert message["reasoning_details"] == [{"type": "reasoning.text", "text": "a"}]


def test_marks_for_the_cache_stand_behind_what_stays(tmp_path: Path) -> None:
    lines = [Line(role="system", text="Be kind."), Line(role="user", text="hi")]
    given = {"provider": "openrouter", "model": "anthropic/claude"}
    (body,) = sent(OPENAI, tmp_path, prompt(*lines), **given)
    marked = [message["content"][-1]["cache_control"] for message in body["messages"]]
    assert marked == [{"type": "ephemeral"}] * 2


@pytest.mark.parametrize(
    ("delta", "usage", "thoughts"),
    [
        ({"reasoning": "hm"}, {"prompt_tokens": 5, "cached_tokens": 3}, "hm"),
        (
            {"content": "<think>hm</think>"},
            {"prompt_tokens": 5, "prompt_cache_hit_tokens": 3},
            "hm",
        ),
        (
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
            {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 3}},
            "hm",
        ),
    ],
)
def test_thoughts_and_usage_are_found_where_servers_put_them(
    tmp_path: Path, delta: dict[str, Any], usage: dict[str, Any], thoughts: str
) -> None:
    events = [
        {"choices": [{"delta": delta}]},
        {"choices": [{"delta": {"content": "yes"}, "finish_reason": "stop", "usage": usage}]},
    ]
    deltas = answered(OPENAI, tmp_path, *events)
    assert (thought(deltas), said(deltas)) == (thoughts, "yes")
    assert finish(deltas).usage == Usage(prompt=5, cached=3)


def test_a_reasoning_model_of_openais_hands_out_sealed_thoughts(tmp_path: Path) -> None:
    given = prompt(Line(role="system", text="Be kind."), "hi", conversation="irc//x")
    (body,) = sent(RESPONSES, tmp_path, given, provider="openai", model="gpt-5", effort="low")
    assert body["include"] == ["reasoning.encrypted_content"]
    assert body["store"] is False
    assert body["reasoning"] == {"effort": "low"}
    assert body["instructions"] == "Be kind."
    assert len(body["prompt_cache_key"]) == 32
    (body,) = sent(RESPONSES, tmp_path, given)
    assert not {"include", "prompt_cache_key", "reasoning"} & body.keys()


def test_a_failed_response_has_the_kind_of_its_error(tmp_path: Path) -> None:
    for code, kind in (("rate_limit_exceeded", "throttled"), ("server_error", "broken")):
        error = {"code": code, "message": "no"}
        failed = {"type": "response.failed", "response": {"status": "failed", "error": error}}
        with pytest.raises(Unready) as caught:
            answered(RESPONSES, tmp_path, failed)
        assert caught.value.trouble == kind


def test_a_response_cut_by_a_filter_says_so(tmp_path: Path) -> None:
    why = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
    events = [
        {"type": "response.refusal.delta", "output_index": 0, "delta": "I cannot."},
        {"type": "response.incomplete", "response": why},
    ]
    deltas = answered(RESPONSES, tmp_path, *events)
    assert said(deltas) == "I cannot."
    assert finish(deltas).reason == "filter"


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("refusal", "filter"),
        ("of tomorrow", "stop"),
    ],
)
def test_reasons_of_messages_are_translated(tmp_path: Path, reason: str, ours: str) -> None:
    events = [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "x"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    ]
    last = finish(answered(ANTHROPIC, tmp_path, *events))
    assert last.reason == ours
    assert last.usage.completion == 4


def test_a_thinking_model_keeps_its_thoughts_through_a_tool_loop(tmp_path: Path) -> None:
    async def go() -> None:
        settings = {"provider": "anthropic", "model": "claude-sonnet-4-5", "thinking": True}
        async with talking(ANTHROPIC, tmp_path, temperature=0.2, **settings) as (model, life):
            life.faults = Faults(thoughts="The clock knows.")
            question = Line(role="user", text="tool clock {}")
            deltas = await asked(model, prompt(question, tools=[CLOCK]))
            body = json.loads(life.bodies[-1])
            assert body["thinking"] == {"type": "enabled", "budget_tokens": 4096}
            assert "temperature" not in body
            loop = results(spoken(deltas), "noon")
            assert said(await asked(model, prompt(question, *loop, tools=[CLOCK]))) == "done: noon"
            kinds = [
                block["type"] for block in json.loads(life.bodies[-1])["messages"][1]["content"]
            ]
            assert kinds == ["thinking", "redacted_thinking", "tool_use"]
            # a loop that another model began goes on without thoughts
            foreign = msgspec.structs.replace(loop[0], model="another")
            given = prompt(question, foreign, *loop[1:], tools=[CLOCK])
            assert said(await asked(model, given)) == "done: noon"
            assert "thinking" not in json.loads(life.bodies[-1])
            # a forced call, too
            await asked(model, prompt("hello", tools=[CLOCK], choice="required"))
            assert "thinking" not in json.loads(life.bodies[-1])

    asyncio.run(go())


def test_a_schema_is_a_form_where_there_is_nothing_better(tmp_path: Path) -> None:
    async def go() -> None:
        settings = {"provider": "anthropic", "model": "claude-3-small", "thinking": True}
        async with talking(ANTHROPIC, tmp_path, **settings) as (model, life):
            for tools, choice in (((), "auto"), ((CLOCK,), "auto"), ((CLOCK,), "none")):
                given = prompt("fill it in", tools=tools, choice=choice, schema=CLOSED)
                deltas = await asked(model, given)
                assert json.loads(said(deltas)) == {"ok": True, "说": "好😀"}
                assert (finish(deltas).reason, calls(deltas)) == ("stop", [])
                body = json.loads(life.bodies[-1])
                free = tools and choice == "auto"
                assert body["tool_choice"]["type"] == ("any" if free else "tool")
        settings["model"] = "claude-new"
        async with talking(ANTHROPIC, tmp_path, effort="low", **settings) as (model, life):
            await asked(model, prompt("fill it in", schema=CLOSED))
            body = json.loads(life.bodies[-1])
            assert body["output_config"]["format"]["type"] == "json_schema"
            assert body["output_config"]["effort"] == "low"
            assert body["thinking"] == {"type": "adaptive"}
            await asked(model, prompt("fill it in", schema=OPEN))
            assert "tool_choice" in json.loads(life.bodies[-1])

    asyncio.run(go())


def test_claude_is_asked_for_its_cache_unless_told_otherwise(tmp_path: Path) -> None:
    system = Line(role="system", text="Be kind.")
    given = prompt(system, "a", Line(role="assistant", text="b"), "c", tools=[CLOCK])
    (body,) = sent(ANTHROPIC, tmp_path, given)
    assert body["system"][-1]["cache_control"] == {"type": "ephemeral"}
    marked = ["cache_control" in message["content"][-1] for message in body["messages"]]
    assert marked == [True, False, True]
    (body,) = sent(ANTHROPIC, tmp_path, given, cache=False)
    assert "cache_control" not in json.dumps(body)


def test_odd_conversations_are_made_to_fit_claude(tmp_path: Path) -> None:
    lines = [
        Line(role="assistant", text="I was first."),
        Line(role="user", text=" "),
        Line(role="system", text="late"),
        Line(role="assistant", text=" "),
        Line(role="user", text="hello"),
    ]

    async def go() -> None:
        async with talking(ANTHROPIC, tmp_path) as (model, _):
            assert said(await asked(model, prompt(*lines))) == "heard: hello"

    asyncio.run(go())


def test_ollama_is_told_of_room_memory_and_thoughts(tmp_path: Path) -> None:
    given = {"context_tokens": 16_000, "keep_alive": "10m", "think": "off"}
    (body,) = sent(OLLAMA, tmp_path, prompt("hi", tools=[RECALL], choice="none"), **given)
    assert body["options"] == {"num_ctx": 16_000}
    assert (body["keep_alive"], body["think"]) == ("10m", False)
    assert "tools" not in body
    (body,) = sent(OLLAMA, tmp_path, prompt("hi"), keep_alive="-1", think="high")
    assert (body["keep_alive"], body["think"]) == (-1, "high")
    with pytest.raises(pydantic.ValidationError):
        OLLAMA.plugin.settings(model="m", keep_alive="long")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (429, '{"error":{"code":"insufficient_quota","message":"no"}}', Rejected),
        (400, '{"error":{"type":"x","message":"Your credit balance is too low"}}', Rejected),
        (403, '{"error":{"message":"Input was flagged by moderation"}}', "request"),
        (422, '{"detail":[{"msg":"bad"}]}', "request"),
        (502, "<html>", "broken"),
        (524, "", "timeout"),
        (302, "", Rejected),
    ],
)
def test_no_strangers_message_parks_a_model_and_no_bill_is_waited_for(
    status: int, body: str, kind: type[HaoyaError] | str
) -> None:
    error = refusal("here", "m", status, complaint(body.encode(), "", ()))
    if isinstance(kind, str):
        assert isinstance(error, Unready)
        assert error.trouble == kind
    else:
        assert isinstance(error, kind)


def test_a_stand_in_runs_as_a_process_of_its_own(tmp_path: Path) -> None:
    async def go(port: int) -> None:
        async with opened(ANTHROPIC, tmp_path, port, api_key="k") as model:
            first = await anext(model.stream(prompt("hello")))
            assert isinstance(first, TextDelta)

    with running("strict", "--wire", "messages", "--key", "k") as port:
        asyncio.run(go(port))
