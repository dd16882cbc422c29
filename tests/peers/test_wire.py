# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whatever comes over the wire is a word, or refused; nothing else happens."""

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haoya.core.message import Blob
from haoya.core.tool import Finish, Line, Prompt, TextDelta
from haoya.models.peer.wire import (
    Ask,
    Fault,
    Frames,
    framed,
    offers_of,
    reply_of,
    request_of,
)
from tests.peers.ends import Thinker, asking, echo, lending, prompt, raw, said
from tests.runtime.waiting import run

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TEXTS = st.text(st.characters(exclude_categories=("Cs",)))
DEEP = b"[" * 20_000


@given(st.lists(st.binary(max_size=60)), st.lists(st.integers(0, 50)))
def test_frames_are_put_together_wherever_they_were_cut(
    bodies: list[bytes], cuts: Sequence[int]
) -> None:
    wire = b"".join(framed(body) for body in bodies)
    frames, found, place = Frames(), list[bytes](), 0
    for cut in [*cuts, len(wire)]:
        found += frames.feed(wire[place : place + cut])
        place += cut
    assert found == bodies and not frames.broken_off


@given(TEXTS, TEXTS)
def test_words_are_the_same_at_the_other_end(first: str, second: str) -> None:
    ask = Ask(model=first, prompt=Prompt(lines=(Line(role="user", text=second),)))
    assert request_of(framed(ask)[4:]) == ask
    for word in (TextDelta(text=first), Finish(notes=(first, second)), Fault(message=second)):
        assert reply_of(framed(word)[4:]) == word


@given(st.binary() | TEXTS.map(str.encode))
def test_what_is_no_word_is_refused(data: bytes) -> None:
    for read in (request_of, reply_of):
        with pytest.raises(ValueError, match="not a word"):
            read(data)


def test_what_is_no_word_is_refused_however_deep_it_is() -> None:
    for read in (request_of, reply_of, offers_of):
        with pytest.raises(ValueError, match="not a word"):
            read(DEEP)


def test_a_frame_longer_than_may_be_is_refused_before_it_arrives() -> None:
    with pytest.raises(ValueError, match="at most 10 may be"):
        Frames(10).feed((11).to_bytes(4, "big"))


def test_strange_bytes_end_one_connection_and_harm_nobody(tmp_path: Path) -> None:
    async def body() -> None:
        async with (
            lending(tmp_path, Thinker(echo)) as lender,
            asking(tmp_path, lender.settings()) as model,
        ):

            @settings(max_examples=60, deadline=None)
            @given(st.binary(max_size=200), st.booleans())
            def strange(data: bytes, greeted: bool) -> None:
                wires.append(PREFACE + data if greeted else data)

            wires: list[bytes] = []
            strange()
            for data in itertools.chain(wires, [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" * 99]):
                reader, writer = await asyncio.open_connection("127.0.0.1", lender.port)
                writer.write(data)
                writer.write_eof()
                async with asyncio.timeout(20):
                    await reader.read()
                writer.close()
            assert (await said(model, prompt("still here")))[0] == "still here "

    run(body)


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        ([b""], "it ends in the middle"),
        ([b"\0\0\0\x09{}"], "it ends in the middle"),
        ([b"\xff\xff\xff\xff"], "a frame of 4294967295 bytes"),
        ([framed(b"{}")], "not a word"),
        ([framed(b"\xff\xfe")], "not a word"),
        ([framed(DEEP)], "not a word"),
        (
            [framed(Ask(model="main", prompt=prompt("x"))), framed(b"a picture")],
            "its pictures are not those it names",
        ),
        (
            [framed(Ask(model="main", prompt=prompt("x", Blob(sha256="0" * 64, size=1))))],
            "its pictures are not those it names",
        ),
    ],
)
def test_a_question_that_is_none_is_answered_with_a_fault(
    tmp_path: Path, frames: list[bytes], why: str
) -> None:
    async def body() -> None:
        thinker = Thinker(echo)
        async with lending(tmp_path, thinker) as lender:
            fault = reply_of((await raw(lender, b"".join(frames)))[4:])
            assert isinstance(fault, Fault) and why in fault.message
            assert fault.trouble == "request" and not thinker.asked

    run(body)


def test_a_model_that_was_not_named_is_not_lent(tmp_path: Path) -> None:
    async def body() -> None:
        async with lending(tmp_path, Thinker(echo)) as lender:
            lender.house.models["other"] = Thinker(echo)
            ask = framed(Ask(model="other", prompt=prompt("x")))
            fault = reply_of((await raw(lender, ask))[4:])
            assert fault == Fault(
                message="no model 'other' is lent to this node; there are: main", rejected=True
            )

    run(body)


def test_another_path_is_not_found(tmp_path: Path) -> None:
    async def body() -> None:
        async with lending(tmp_path, Thinker(echo)) as lender:
            assert await raw(lender, b"", path="/v1/models") == b"404"

    run(body)


def test_an_old_node_understands_a_newer_word() -> None:
    newer = msgspec.json.encode({"type": "finish", "mood": "good", "model": "x"})
    assert reply_of(newer) == Finish(model="x")
