# SPDX-License-Identifier: AGPL-3.0-or-later
"""What every wire to a model server does alike, against a strict stand-in of its provider."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from haoya.core.errors import HaoyaError, Rejected, Trouble, Unready
from haoya.core.message import Blob
from haoya.core.ports import Embeds, Model, Relays
from haoya.core.tool import Finish, Line, Sampling, TextDelta, ThoughtDelta
from tests.models.lent import FolderBlobs
from tests.models.wires import (
    CLOCK,
    RECALL,
    WIRES,
    Wire,
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
from tests.servers.rote import Message
from tests.servers.strict.asked import PNG, Asked
from tests.servers.strict.life import Faults, Life, serving

KEY = "sk-very-secret-key"
TEXT = "你好，世界 😀👩‍👩‍👧 naïve"
SCHEMA = msgspec.Raw(
    b'{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"],'
    b'"additionalProperties":false}'
)
QUESTION = "the very private question"

EACH = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)


def run(
    wire: Wire,
    folder: Path,
    ask: Callable[[Model, Life], Awaitable[None]],
    faults: Faults | None = None,
    **settings: Any,
) -> None:
    async def go() -> None:
        async with talking(wire, folder, **settings) as (model, life):
            life.faults = faults or Faults()
            await ask(model, life)

    asyncio.run(go())


def failure(wire: Wire, folder: Path, faults: Faults, **settings: Any) -> HaoyaError:
    """What an answer under these faults raises; it shows neither the key nor the question."""
    caught: list[HaoyaError] = []

    async def ask(model: Model, life: Life) -> None:
        with pytest.raises(HaoyaError) as raised:
            await asked(model, f"{QUESTION} long 30")
        caught.append(raised.value)

    run(wire, folder, ask, msgspec.structs.replace(faults), **settings)
    assert KEY not in str(caught[0])
    assert "private" not in str(caught[0])
    return caught[0]


@EACH
@pytest.mark.parametrize("cut", [0, 1, 7])
def test_words_stream_whole_wherever_the_line_cuts_them(
    wire: Wire, tmp_path: Path, cut: int
) -> None:
    async def ask(model: Model, life: Life) -> None:
        deltas = await asked(model, TEXT)
        assert said(deltas) == f"heard: {TEXT}"
        assert len(deltas) > 5
        end = finish(deltas)
        assert (end.reason, end.model) == ("stop", "m")
        assert end.usage.prompt > 0
        assert end.usage.completion > 0
        assert end.usage.cached == (0 if wire.name == "ollama" else 2)

    run(wire, tmp_path, ask, Faults(cut=cut))


@EACH
@pytest.mark.parametrize("split", [1, 2, 100])
def test_calls_go_out_and_their_results_come_back(wire: Wire, tmp_path: Path, split: int) -> None:
    async def ask(model: Model, life: Life) -> None:
        question = Line(role="user", text='tools clock {"zone": "上海"} ; recall {}')
        system = Line(role="system", text="Be kind.")
        tools = [CLOCK, RECALL]
        deltas = await asked(model, prompt(system, question, tools=tools))
        made = [(call.name, json.loads(call.arguments)) for call in calls(deltas)]
        assert made == [("clock", {"zone": "上海"}), ("recall", {})]
        assert finish(deltas).reason == "tools"
        assert len({call.id for call in calls(deltas)}) == 2
        again = results(spoken(deltas), "noon", "茶")
        deltas = await asked(model, prompt(system, question, *again, tools=tools))
        assert said(deltas) == "done: noon ; 茶"
        more = [Line(role="assistant", text=said(deltas)), Line(role="user", text="thanks")]
        deltas = await asked(model, prompt(system, question, *again, *more, tools=tools))
        assert said(deltas) == "heard: thanks"

    run(wire, tmp_path, ask, Faults(split=split))


@EACH
def test_a_broken_call_of_the_past_is_sent_as_an_object(wire: Wire, tmp_path: Path) -> None:
    async def ask(model: Model, life: Life) -> None:
        question = Line(role="user", text="tool clock {broken")
        line = spoken([*(await asked(model, 'tool clock {"a": 1}'))])
        call = msgspec.structs.replace(line.calls[0], arguments='{"zo')
        line = msgspec.structs.replace(line, calls=(call,))
        given = prompt(question, *results(line, "not JSON"), tools=[CLOCK])
        assert said(await asked(model, given)) == "done: not JSON"

    run(wire, tmp_path, ask)


@EACH
def test_the_choice_of_tools_is_kept(wire: Wire, tmp_path: Path) -> None:
    async def ask(model: Model, life: Life) -> None:
        tools = [CLOCK, RECALL]
        none = await asked(model, prompt("hello", tools=tools, choice="none"))
        assert not calls(none)
        named = await asked(model, prompt("tool recall {}", tools=tools, choice="recall"))
        assert [call.name for call in calls(named)] == ["recall"]
        sent = json.loads(life.bodies[-1])
        if wire.name == "ollama":
            assert [tool["function"]["name"] for tool in sent["tools"]] == ["recall"]
            return
        required = await asked(model, prompt("hello", tools=tools, choice="required"))
        assert [call.name for call in calls(required)] == ["clock"]
        named = await asked(model, prompt("hello", tools=tools, choice="recall"))
        assert [call.name for call in calls(named)] == ["recall"]

    run(wire, tmp_path, ask)


@EACH
def test_an_answer_is_held_to_a_schema(wire: Wire, tmp_path: Path) -> None:
    async def ask(model: Model, life: Life) -> None:
        deltas = await asked(model, prompt("fill it in", schema=SCHEMA))
        assert json.loads(said(deltas))["ok"] is True
        assert finish(deltas).reason == "stop"
        assert not calls(deltas)
        assert b'"additionalProperties":false' in life.bodies[-1]

    run(wire, tmp_path, ask)


@EACH
def test_sampling_is_sent_or_its_loss_is_noted(wire: Wire, tmp_path: Path) -> None:
    sampling = Sampling(temperature=0.3, top_p=0.9, seed=7, max_tokens=9, stop=("END",))

    async def ask(model: Model, life: Life) -> None:
        deltas = await asked(model, prompt("hi", sampling=sampling))
        sent, notes = life.bodies[-1].decode(), " ".join(finish(deltas).notes)
        for name, written in {
            "temperature": '"temperature":0.3',
            "top_p": '"top_p":0.9',
            "seed": '"seed":7',
            "stop": '["END"]',
        }.items():
            assert (written in sent) != (name in notes), name
        names = ("max_tokens", "max_output_tokens", "num_predict")
        assert any(f'"{name}":9' in sent for name in names)

    run(wire, tmp_path, ask, temperature=0.8, max_tokens=50)


@EACH
def test_the_settings_stand_where_a_prompt_says_nothing(wire: Wire, tmp_path: Path) -> None:
    async def ask(model: Model, life: Life) -> None:
        deltas = await asked(model, "hi")
        sent = life.bodies[-1].decode()
        assert '"temperature":0.8' in sent
        assert finish(deltas).notes == ()

    run(wire, tmp_path, ask, temperature=0.8, max_tokens=50)


@EACH
def test_a_limit_that_was_reached_is_told(wire: Wire, tmp_path: Path) -> None:
    async def ask(model: Model, life: Life) -> None:
        deltas = await asked(model, prompt("long 90", sampling=Sampling(max_tokens=10)))
        assert finish(deltas).reason == "length"

    run(wire, tmp_path, ask)


@EACH
def test_pictures_go_only_to_a_model_that_sees(wire: Wire, tmp_path: Path) -> None:
    async def ask(model: Model, life: Life) -> None:
        blob = await FolderBlobs(tmp_path).put(PNG + b"x", mime="image/png", name="cat.png")
        gone = Blob(sha256="00", size=1, mime="image/png", name="dog.png")
        look = Line(role="user", text="look", images=(blob, gone))
        assert "+1 images" in said(await asked(model, prompt(look)))
        assert b"dog.png is no longer there" in life.bodies[-1]
        bare = Line(role="user", images=(blob,))
        assert "+1 images" in said(await asked(model, prompt(bare)))
        async with opened(wire, tmp_path, life.port) as blind:
            assert said(await asked(blind, prompt(look))) == "heard: look"
            assert said(await asked(blind, prompt(bare))) == "heard: [image]"

    run(wire, tmp_path, ask, vision=True)


@EACH
def test_thoughts_are_told_apart_from_words(wire: Wire, tmp_path: Path) -> None:
    async def ask(model: Model, life: Life) -> None:
        deltas = await asked(model, "hello")
        assert thought(deltas) == "嗯，the person says hello"
        assert said(deltas) == "heard: hello"
        kinds = [type(delta) for delta in deltas[:-1]]
        assert kinds.index(TextDelta) == kinds.count(ThoughtDelta)

    run(wire, tmp_path, ask, Faults(thoughts="嗯，the person says hello"))


@EACH
def test_what_a_model_thought_goes_back_to_it_and_to_no_other(wire: Wire, tmp_path: Path) -> None:
    async def ask(model: Model, life: Life) -> None:
        question = Line(role="user", text="tool recall {}")
        deltas = await asked(model, prompt(question, tools=[RECALL]))
        line = spoken(deltas)
        given = prompt(question, *results(line, "tea"), tools=[RECALL])
        assert said(await asked(model, given)) == "done: tea"
        back = b"signed1" in life.bodies[-1] or b"sealed1" in life.bodies[-1]
        assert back == (wire.name in ("anthropic", "responses"))
        foreign = msgspec.structs.replace(line, model="another")
        given = prompt(question, *results(foreign, "tea"), tools=[RECALL])
        assert said(await asked(model, given)) == "done: tea"
        assert b"signed1" not in life.bodies[-1]
        assert b"sealed1" not in life.bodies[-1]
        changed = msgspec.structs.replace(line, text="other words")
        given = prompt(question, *results(changed, "tea"), tools=[RECALL])
        assert said(await asked(model, given)) == "done: tea"
        broken = msgspec.structs.replace(line, echo='{"of": "an older version"}')
        given = prompt(question, *results(broken, "tea"), tools=[RECALL])
        assert said(await asked(model, given)) == "done: tea"

    run(wire, tmp_path, ask, Faults(thoughts="Recall it."))


def _short(given: Faults | Trouble) -> str:
    if isinstance(given, str):
        return given
    usual, told = msgspec.structs.asdict(Faults()), msgspec.structs.asdict(given)
    return "-".join(f"{name}={told[name]}" for name in told if told[name] != usual[name])


TROUBLES: list[tuple[Faults, Trouble]] = [
    (Faults(status=429, retry_after="7"), "throttled"),
    (Faults(status=529), "overloaded"),
    (Faults(status=503, retry_after="2.5"), "overloaded"),
    (Faults(status=500), "broken"),
    (Faults(status=504), "timeout"),
    (Faults(status=400), "request"),
    (Faults(status=413), "request"),
    (Faults(context=3), "request"),
    (Faults(die_after=0), "broken"),
    (Faults(die_after=3), "broken"),
    (Faults(bad_after=3), "broken"),
    (Faults(hang_after=0), "timeout"),
    (Faults(hang_after=3), "timeout"),
    (Faults(hang_up=1), "broken"),
]


@EACH
@pytest.mark.parametrize(("faults", "trouble"), TROUBLES, ids=_short)
def test_each_failure_has_its_kind(
    wire: Wire, tmp_path: Path, faults: Faults, trouble: Trouble
) -> None:
    error = failure(wire, tmp_path, faults, first_seconds=0.3, idle_seconds=0.3)
    assert isinstance(error, Unready)
    assert error.trouble == trouble
    wait = float(faults.retry_after) if faults.retry_after else None
    assert error.retry_after == wait
    assert error.again == bool(faults.hang_up)


@EACH
def test_an_error_in_the_middle_of_an_answer_has_its_kind(wire: Wire, tmp_path: Path) -> None:
    error = failure(wire, tmp_path, Faults(error_after=3))
    assert isinstance(error, Unready)
    assert error.trouble == ("broken" if wire.name == "ollama" else "overloaded")


@EACH
def test_a_closed_port_is_unreachable_and_nothing_was_sent(wire: Wire, tmp_path: Path) -> None:
    async def go() -> None:
        async with serving(wire.dialect()) as life:
            port = life.port
        async with opened(wire, tmp_path, port) as model:
            with pytest.raises(Unready, match="no model server at") as caught:
                await asked(model, "hi")
        assert caught.value.trouble == "unreachable"
        assert not caught.value.reached

    asyncio.run(go())


@EACH
def test_a_wrong_key_and_an_unknown_model_are_the_owners(wire: Wire, tmp_path: Path) -> None:
    async def go() -> None:
        async with talking(wire, tmp_path, key=KEY, api_key="wrong") as (model, life):
            with pytest.raises(Rejected, match="correct api_key"):
                await asked(model, "hi")
            async with opened(wire, tmp_path, life.port, api_key=KEY, model="none") as other:
                with pytest.raises(Rejected, match=r"no model 'none'; there are: m, large") as told:
                    await asked(other, "hi")
            assert ("ollama pull none" in str(told.value)) == (wire.name == "ollama")
            async with opened(wire, tmp_path, life.port, api_key=KEY) as right:
                assert said(await asked(right, "hi")) == "heard: hi"

    asyncio.run(go())


@EACH
def test_an_answer_that_is_left_closes_its_line(wire: Wire, tmp_path: Path) -> None:
    async def ask(model: Model, life: Life) -> None:
        stream = model.stream(prompt("long 50"))
        while not isinstance(await anext(stream), TextDelta):
            pass
        await stream.aclose()
        async with asyncio.timeout(5):
            while not life.lost:
                await asyncio.sleep(0.01)

    run(wire, tmp_path, ask, Faults(hang_after=9))


@EACH
def test_an_answer_in_one_piece_is_taken_too(wire: Wire) -> None:
    dialect, given = wire.dialect(), Asked(model="m", messages=[Message("user", TEXT)])
    reader = wire.reader("here", "m")
    data = dialect.whole(given, given.answered(), Faults())
    deltas = [delta for byte in data for delta in reader.feed(bytes([byte]))]
    deltas += reader.finish()
    assert said(deltas) == f"heard: {TEXT}"
    assert finish(deltas).reason == "stop"


@EACH
def test_a_request_is_passed_on_as_it_is(wire: Wire, tmp_path: Path) -> None:
    if wire.name == "ollama":
        return

    async def ask(model: Model, life: Life) -> None:
        assert isinstance(model, Relays)
        await asked(model, f"{TEXT} long 9")
        (name,) = model.wires
        body = life.bodies[-1].replace(b'"model":"m"', b'"model": "local/x"')
        async with model.relay(name, body) as relayed:
            data = b"".join([piece async for piece in relayed.pieces])
        assert life.bodies[-1] == life.bodies[-2]
        assert relayed.status == 200
        assert relayed.mime.startswith("text/event-stream")
        reader = wire.reader("here", "m")
        assert said([*reader.feed(data), *reader.finish()]) == said(
            await asked(model, f"{TEXT} long 9")
        )

    run(wire, tmp_path, ask)


@EACH
def test_a_refusal_of_a_relayed_request_is_passed_on_without_the_key(
    wire: Wire, tmp_path: Path
) -> None:
    if wire.name == "ollama":
        return

    async def ask(model: Model, life: Life) -> None:
        assert isinstance(model, Relays)
        (name,) = model.wires
        life.faults = Faults(status=429, words=f"slow down, {KEY}", retry_after="7")
        async with model.relay(name, b'{"model":"x"}') as relayed:
            data = b"".join([piece async for piece in relayed.pieces])
        assert (relayed.status, relayed.retry_after) == (429, "7")
        assert b"slow down, ***" in data
        for faults, trouble in (
            (Faults(hang_up=1), "broken"),
            (Faults(hang_after=2), "timeout"),
            (Faults(die_after=2), "broken"),
        ):
            await asked(model, "hi")
            body, life.faults = life.bodies[-1], faults
            with pytest.raises(Unready) as caught:
                async with model.relay(name, body) as relayed:
                    async for _ in relayed.pieces:
                        pass
            assert caught.value.trouble == trouble
            life.faults = Faults()
        with pytest.raises(Unready, match="no JSON object"):
            async with model.relay(name, b"[1]"):
                pass

    run(wire, tmp_path, ask, key=KEY, api_key=KEY, idle_seconds=0.3)


@EACH
def test_texts_become_vectors_in_their_order(wire: Wire, tmp_path: Path) -> None:
    if not wire.dialect().embedding:
        return

    async def ask(model: Model, life: Life) -> None:
        assert isinstance(model, Embeds)
        found = await model.embed(["a", "好😀", "ccc"])
        assert [vector[0] for vector in found.vectors] == [1.0, 2.0, 3.0]
        assert found.tokens == 6
        many = await model.embed(["x" * (i % 7 + 1) for i in range(600)])
        assert [vector[0] for vector in many.vectors] == [i % 7 + 1 for i in range(600)]
        assert (await model.embed([])).vectors == ()
        with pytest.raises(Unready) as caught:
            await model.embed([""])
        assert caught.value.trouble == "request"

    run(wire, tmp_path, ask)


@EACH
def test_many_answers_stream_at_a_time(wire: Wire, tmp_path: Path) -> None:
    async def ask(model: Model, life: Life) -> None:
        answers = await asyncio.gather(*(asked(model, f"n {i}") for i in range(20)))
        assert [said(one) for one in answers] == [f"heard: n {i}" for i in range(20)]
        assert all(isinstance(one[-1], Finish) for one in answers)

    run(wire, tmp_path, ask)
