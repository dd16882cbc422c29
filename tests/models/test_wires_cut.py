# SPDX-License-Identifier: AGPL-3.0-or-later
"""However the bytes of an answer are cut, each wire reads the same of it."""

import contextlib
import itertools
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haoya.core.errors import Unready
from haoya.core.tool import CallDelta, Delta
from tests.models.wires import WIRES, Wire, calls, finish, said, thought
from tests.servers.rote import Answer, Function, Message
from tests.servers.strict.asked import Asked
from tests.servers.strict.life import Faults

EACH = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="<"), min_size=1, max_size=12)
ARGUMENTS = st.dictionaries(WORDS, WORDS | st.integers() | st.none(), max_size=4)
CUTS = st.lists(st.integers(0, 4000), max_size=30)


def events(wire: Wire, text: str, made: Sequence[Function], faults: Faults) -> list[bytes]:
    """The official events of an answer with these words and calls."""
    words = Answer(text=text, calls=list(made), prompt=9, completion=5, cut=False)
    given = Asked(model="m", messages=[Message("user", "hi")])
    return list(wire.dialect().events(given, words, faults))


def read(wire: Wire, pieces: Sequence[bytes]) -> list[Delta]:
    reader = wire.reader("here:1", "m")
    deltas = [delta for piece in pieces for delta in reader.feed(piece)]
    return deltas + reader.finish()


def unnamed(deltas: list[Delta]) -> list[Delta]:
    """The deltas with the ids that we gave to calls without one left out."""
    return [
        CallDelta(call=msgspec.structs.replace(delta.call, id=""))
        if isinstance(delta, CallDelta)
        else delta
        for delta in deltas
    ]


FULL = Faults(thoughts="想一想 😀 hm", split=2)
MADE = [Function("clock", '{"zone":"上海 😀"}'), Function("recall", '{"q":{"a":[1,"\\""]}}')]


@EACH
@settings(deadline=None, max_examples=60)
@given(cuts=CUTS)
def test_cutting_the_bytes_anywhere_changes_no_delta(wire: Wire, cuts: list[int]) -> None:
    data = b"".join(events(wire, "你好，😀👩‍👧 friend", MADE, FULL))
    edges = [0, *sorted(cut * len(data) // 4000 for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    assert unnamed(read(wire, pieces)) == unnamed(read(wire, [data]))


@EACH
def test_byte_by_byte_it_is_the_same_as_at_once(wire: Wire) -> None:
    data = b"".join(events(wire, "你好，😀 friend", MADE, FULL))
    deltas = read(wire, [bytes([byte]) for byte in data])
    assert said(deltas) == "你好，😀 friend"
    assert thought(deltas) == FULL.thoughts
    made = [(call.name, msgspec.json.decode(call.arguments)) for call in calls(deltas)]
    assert made == [(one.name, msgspec.json.decode(one.arguments)) for one in MADE]
    assert finish(deltas).reason == "tools"


@EACH
@settings(deadline=None, max_examples=60)
@given(tools=st.lists(ARGUMENTS, min_size=1, max_size=3), split=st.integers(1, 40), text=WORDS)
def test_arguments_split_anywhere_come_whole(
    wire: Wire, tools: list[dict[str, object]], split: int, text: str
) -> None:
    made = [Function("f", msgspec.json.encode(one).decode()) for one in tools]
    deltas = read(wire, events(wire, text, made, Faults(split=split)))
    assert [msgspec.json.decode(call.arguments) for call in calls(deltas)] == tools
    assert len({call.id for call in calls(deltas)}) == len(tools)
    assert said(deltas) == text


@EACH
@settings(deadline=None, max_examples=60)
@given(keep=st.integers(0, 4000))
def test_an_answer_that_breaks_off_is_never_taken_for_whole(wire: Wire, keep: int) -> None:
    found = events(wire, "some words of an answer", MADE, FULL)
    head = b"".join(found[:-1])
    with contextlib.suppress(Unready):
        deltas = read(wire, [head[: keep * len(head) // 4000]])
        assert said(deltas) == "some words of an answer"
        assert len(calls(deltas)) == len(MADE)


@EACH
@settings(deadline=None, max_examples=100)
@given(noise=st.binary(max_size=200), at=st.integers(0, 12), event=st.booleans())
def test_noise_raises_nothing_but_unready(wire: Wire, noise: bytes, at: int, event: bool) -> None:
    found = events(wire, "some words", MADE, FULL)
    found.insert(at, b"data: " + noise + b"\n\n" if event else noise)
    with contextlib.suppress(Unready):
        read(wire, found)


SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "x", "function_call"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "type delta index content_block message item response usage choices error text "
                "content tool_calls function arguments done stop_reason input partial_json".split()
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)
TYPES = st.sampled_from(
    "content_block_start content_block_delta content_block_stop message_start message_delta error "
    "response.output_text.delta response.output_item.added response.output_item.done "
    "response.completed response.function_call_arguments.delta message".split()
)


@EACH
@settings(deadline=None, max_examples=150)
@given(shape=SHAPES, kind=TYPES)
def test_events_of_a_strange_shape_raise_nothing_but_unready(
    wire: Wire, shape: object, kind: str
) -> None:
    told = {**shape, "type": kind} if isinstance(shape, dict) else shape
    with contextlib.suppress(Unready):
        read(wire, [b"data: " + msgspec.json.encode(told) + b"\n\n"])
    with contextlib.suppress(Unready):
        read(wire, [msgspec.json.encode(told) + b"\n"])
