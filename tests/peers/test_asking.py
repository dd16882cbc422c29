# SPDX-License-Identifier: AGPL-3.0-or-later
"""What goes over the wire between two nodes, and what comes back."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import msgspec
import pytest

from haoya.core.errors import Rejected, Unready
from haoya.core.ports import Embeds, Warms
from haoya.core.tool import (
    CallDelta,
    Delta,
    Finish,
    Line,
    Prompt,
    Sampling,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolSpec,
)
from haoya.models.peer.link import STREAM_WINDOW
from tests.models.lent import FolderBlobs
from tests.peers.ends import Placer, Thinker, asking, echo, leaves, lending, prompt, said
from tests.runtime.waiting import run, until


def test_every_kind_of_delta_arrives_as_it_was_said(tmp_path: Path) -> None:
    call = ToolCall(id="c1", name="clock", arguments='{"zone":"北京"}')
    deltas: list[Delta] = [
        ThoughtDelta(text="嗯"),
        TextDelta(text="现在是 👩‍👩‍👧 "),
        CallDelta(call=call),
        Finish(reason="tools", model="thinker", echo="signed", notes=("waited",)),
    ]

    async def speak(_: Prompt) -> AsyncGenerator[Delta, None]:
        for delta in deltas:
            yield delta

    async def body() -> None:
        async with (
            lending(tmp_path, Thinker(speak)) as lender,
            asking(tmp_path, lender.settings()) as model,
        ):
            assert (model.name, model.context_tokens) == ("thinker", 4096)
            heard = [delta async for delta in model.stream(prompt("几点了？"))]
            assert heard[:3] == deltas[:3]
            end = heard[3]
            assert isinstance(end, Finish)
            assert (end.reason, end.echo, end.notes[0]) == ("tools", "signed", "waited")
            assert end.notes[1].startswith(f"sent to 127.0.0.1:{lender.port}: ")
            assert end.notes[1].endswith(" bytes, 1 lines") and "几点" not in end.notes[1]

    run(body)


def test_only_what_the_model_needs_leaves(tmp_path: Path) -> None:
    thinker = Thinker(echo)
    tool = ToolSpec(
        name="send",
        purpose="Send it.",
        schema=msgspec.Raw(b'{"type":"object","properties":{"b":{},"a":{}}}'),
        effects=frozenset({"send"}),
        writes=frozenset({"chat"}),
        undo="delete it",
    )
    asked = Prompt(
        lines=(
            Line(role="assistant", text="mine", model="big", echo="signed"),
            Line(role="assistant", text="other's", model="cloud", echo="secret thoughts"),
            Line(role="user", text="hello"),
        ),
        tools=(tool,),
        choice="required",
        schema=msgspec.Raw(b'{"type":"object"}'),
        sampling=Sampling(temperature=0.25, stop=("x",)),
        conversation="tg//123456",
        person="tg:123456",
        urgency="background",
    )

    async def body() -> None:
        async with (
            lending(tmp_path, thinker) as lender,
            asking(tmp_path, lender.settings()) as model,
        ):
            await said(model, asked)
            await said(model, asked)
        first, second = thinker.asked
        assert first == second
        assert first.person == "peer:small"
        assert first.conversation.startswith("peer:small/") and "123456" not in first.conversation
        assert [(line.model, line.echo) for line in first.lines] == [
            ("main", "signed"),
            ("", ""),
            ("", ""),
        ]
        bare = ToolSpec(name="send", purpose="Send it.", schema=tool.schema)
        assert first.tools == (bare,)
        kept = ("choice", "schema", "sampling", "urgency")
        assert all(getattr(first, name) == getattr(asked, name) for name in kept)

    run(body)


def test_pictures_go_along_and_are_kept_by_nobody(tmp_path: Path) -> None:
    async def body() -> None:
        seen: list[bytes] = []

        async def look(asked: Prompt) -> AsyncGenerator[Delta, None]:
            for image in asked.lines[0].images:
                seen.append(await lender.house.blobs.get(image.sha256))
                assert (image.mime, image.name) == ("image/png", "")
            yield Finish()

        thinker = Thinker(look)
        blobs = FolderBlobs(tmp_path)
        cat = await blobs.put(b"cat" * 400_000, mime="image/png", name="IMG_at_home.png")
        dog = await blobs.put(b"dog", mime="image/png")
        gone = msgspec.structs.replace(dog, sha256="0" * 64)
        async with (
            lending(tmp_path, thinker, section="vision = true") as lender,
            asking(tmp_path, lender.settings()) as model,
        ):
            _, end = await said(model, prompt("look", cat, dog, gone))
            assert seen == [b"cat" * 400_000, b"dog"]
            assert end.notes[-1].endswith("1 lines, 2 pictures")
            assert thinker.asked[0].lines[0].text == "look\n[image]"
            with pytest.raises(KeyError):
                await lender.house.blobs.get(cat.sha256)
            assert not lender.house.home.blobs.exists()

    run(body)


def test_pictures_stay_here_where_the_model_is_blind(tmp_path: Path) -> None:
    thinker = Thinker(echo)

    async def body() -> None:
        cat = await FolderBlobs(tmp_path).put(b"cat", mime="image/png")
        async with (
            lending(tmp_path, thinker) as lender,
            asking(tmp_path, lender.settings()) as model,
        ):
            await said(model, prompt("", cat))
            (line,) = thinker.asked[0].lines
            assert (line.text, line.images) == ("[image]", ())

    run(body)


def test_a_model_there_has_its_talents_here(tmp_path: Path) -> None:
    placer = Placer(echo)

    async def body() -> None:
        async with (
            lending(tmp_path, placer) as lender,
            asking(tmp_path, lender.settings()) as model,
        ):
            assert isinstance(model, Embeds) and isinstance(model, Warms)
            embedding = await model.embed(["好", "hello"])
            assert embedding.vectors == ((1.0, 0.5), (5.0, 0.5)) and embedding.tokens == 3
            await model.warm([prompt("be ready", person="tg:1")])
            assert [(one.person, one.lines[0].text) for one in placer.warmed] == [
                ("peer:small", "be ready")
            ]

    run(body)


def test_a_model_without_talents_has_none_here(tmp_path: Path) -> None:
    async def body() -> None:
        async with (
            lending(tmp_path, Thinker(echo)) as lender,
            asking(tmp_path, lender.settings()) as model,
        ):
            assert not isinstance(model, Embeds) and not isinstance(model, Warms)

    run(body)


def test_an_error_there_is_the_same_error_here(tmp_path: Path) -> None:
    async def throttled(_: Prompt) -> AsyncGenerator[Delta, None]:
        yield TextDelta(text="I was")
        raise Unready("slow down", retry_after=7.5, trouble="throttled", again=True)

    async def refused(_: Prompt) -> AsyncGenerator[Delta, None]:
        raise Rejected("the key is wrong")
        yield Finish()

    async def endless(_: Prompt) -> AsyncGenerator[Delta, None]:
        yield TextDelta(text="…")

    async def body() -> None:
        thinker = Thinker(throttled)
        async with (
            lending(tmp_path, thinker) as lender,
            asking(tmp_path, lender.settings()) as model,
        ):
            with pytest.raises(Unready, match="slow down") as told:
                await said(model, prompt("?"))
            error = told.value
            assert (error.retry_after, error.trouble, error.again) == (7.5, "throttled", True)
            lender.house.models["main"] = Thinker(refused)
            with pytest.raises(Rejected, match="the key is wrong"):
                await said(model, prompt("?"))
            lender.house.models["main"] = Thinker(endless)
            with pytest.raises(Unready, match="without an end"):
                await said(model, prompt("?"))
            del lender.house.models["main"]
            with pytest.raises(Unready, match="the model main is opening there") as told:
                await said(model, prompt("?"))
            assert told.value.trouble == "unreachable"

    run(body)


def test_a_fault_of_ours_over_there_ends_one_connection_alone(tmp_path: Path) -> None:
    async def broken(asked: Prompt) -> AsyncGenerator[Delta, None]:
        if asked.lines[0].text == "break":
            raise ZeroDivisionError
        yield TextDelta(text="well")
        yield Finish()

    async def body() -> None:
        async with (
            lending(tmp_path, Thinker(broken)) as lender,
            asking(tmp_path, lender.settings()) as model,
        ):
            with pytest.raises(BaseExceptionGroup) as told:
                async with asking(tmp_path, lender.settings()) as other:
                    await said(other, prompt("break"))
            assert Unready in {type(leaf) for leaf in leaves(told.value)}
            assert (await said(model, prompt("?")))[0] == "well"

    run(body)


def test_a_node_whose_model_is_silent_is_given_up(tmp_path: Path) -> None:
    async def silent(asked: Prompt) -> AsyncGenerator[Delta, None]:
        if asked.lines[0].text == "begin":
            yield TextDelta(text="I")
        await asyncio.Event().wait()

    async def body() -> None:
        async with lending(tmp_path, Thinker(silent)) as lender:
            settings = lender.settings(first_seconds=0.2, idle_seconds=0.1)
            async with asking(tmp_path, settings) as model:
                for words, why in (("", "not begun to answer"), ("begin", "gone silent")):
                    with pytest.raises(Unready, match=why) as told:
                        await said(model, prompt(words))
                    assert told.value.trouble == "timeout"

    run(body)


def test_a_prompt_that_is_too_large_never_leaves(tmp_path: Path) -> None:
    thinker = Thinker(echo)

    async def body() -> None:
        async with (
            lending(tmp_path, thinker) as lender,
            asking(tmp_path, lender.settings()) as model,
        ):
            with pytest.raises(Unready, match="at most") as told:
                await said(model, prompt("x" * 33_000_000))
            assert told.value.trouble == "request" and not thinker.asked
            text, _ = await said(model, prompt("y" * 3_000_000))
            assert len(text) == 3_000_001

    run(body)


def test_whoever_stops_listening_stops_the_model_there(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def talks(_: Prompt) -> AsyncGenerator[Delta, None]:
        try:
            while True:
                yield TextDelta(text="and ")
                await asyncio.sleep(0.001)
        finally:
            ended.set()

    async def body() -> None:
        async with (
            lending(tmp_path, Thinker(talks)) as lender,
            asking(tmp_path, lender.settings()) as model,
        ):
            async with aclosing(model.stream(prompt("talk"))) as deltas:
                assert await anext(deltas) == TextDelta(text="and ")
            await asyncio.wait_for(ended.wait(), 20)
            lender.house.models["main"] = Thinker(echo)
            assert (await said(model, prompt("still there")))[0] == "still there "

    run(body)


def test_fifty_prompts_share_one_connection(tmp_path: Path) -> None:
    async def body() -> None:
        async with (
            lending(tmp_path, Thinker(echo)) as lender,
            asking(tmp_path, lender.settings()) as model,
        ):
            texts = [f"第 {number} 句 {'好 ' * number}" for number in range(50)]
            answers = await asyncio.gather(*(said(model, prompt(text)) for text in texts))
            assert [text for text, _ in answers] == [f"{text} " for text in texts]
            figures = lender.house.peers.figures("small")
            assert (figures.connections, figures.asked) == (1, 50)

    run(body)


def test_a_slow_listener_holds_back_the_model_and_nobody_else(tmp_path: Path) -> None:
    sent = 0

    async def pours(asked: Prompt) -> AsyncGenerator[Delta, None]:
        nonlocal sent
        while asked.lines[0].text == "pour":
            sent += 10_000
            yield TextDelta(text="x" * 10_000)
        yield Finish()

    async def body() -> None:
        async with (
            lending(tmp_path, Thinker(pours)) as lender,
            asking(tmp_path, lender.settings()) as model,
            aclosing(model.stream(prompt("pour"))) as deltas,
        ):
            await anext(deltas)
            await until(lambda: sent >= STREAM_WINDOW)
            for _ in range(20):  # others are heard while that one waits
                await said(model, prompt("short"))
            assert sent < STREAM_WINDOW + 100_000
            before = sent
            for _ in range(30):
                await anext(deltas)
            await until(lambda: sent > before)

    run(body)


def test_the_lender_leaving_in_the_middle_is_told_as_unready(tmp_path: Path) -> None:
    async def talks(_: Prompt) -> AsyncGenerator[Delta, None]:
        yield TextDelta(text="I was")
        await asyncio.Event().wait()

    async def body() -> None:
        async with asyncio.timeout(20):
            with pytest.raises(BaseExceptionGroup) as told:
                async with lending(tmp_path, Thinker(talks)) as lender:
                    begun = asyncio.Event()

                    async def ask() -> None:
                        async with asking(tmp_path, lender.settings()) as model:
                            async for _ in model.stream(prompt("?")):
                                begun.set()

                    async with asyncio.TaskGroup() as tasks:
                        tasks.create_task(ask())
                        await begun.wait()
                        for guest in tuple(lender.house.peers.on_removed):
                            guest("small")
        assert {type(leaf) for leaf in leaves(told.value)} == {Unready}

    run(body)
