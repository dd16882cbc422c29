# SPDX-License-Identifier: AGPL-3.0-or-later
"""Labels only join: nothing put together is trusted more, or may be read by more people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haoya.core.label import OWNER, TRUST, Author, Label, joined
from haoya.core.message import Blob, Button, Code, File, Link, Mention, Part, Quote, Text
from haoya.core.tool import Line, ToolCall, ToolResult, ToolSpec
from haoya.policy.labels import (
    label_of,
    label_of_answer,
    label_of_message,
    label_of_result,
    pieces,
    trusts,
)
from haoya.policy.principal import Role

AUTHORS: list[Author] = list(TRUST)
people = st.none() | st.frozensets(st.sampled_from(["a", "b", "c"]))
labels = st.builds(
    Label,
    author=st.sampled_from(AUTHORS),
    readers=people,
    sources=st.frozensets(st.sampled_from(["x", "y"])),
)


def no_more_than(low: Label, high: Label) -> bool:
    readers = high.readers is None or (low.readers is not None and low.readers <= high.readers)
    return TRUST[low.author] <= TRUST[high.author] and readers


@given(labels, labels, labels)
def test_joining_obeys_its_laws(one: Label, two: Label, three: Label) -> None:
    assert one | two == two | one
    assert (one | two) | three == one | (two | three)
    assert one | one == one
    assert one | OWNER == one
    assert no_more_than(one | two, one) and no_more_than(one | two, two)
    assert (one | two).sources == one.sources | two.sources
    assert joined([one, two, three]) == one | two | three


@given(labels, st.frozensets(st.sampled_from(["a", "b", "c"])))
def test_who_may_read(label: Label, some: frozenset[str]) -> None:
    assert label.may_read(some) == (label.readers is None or some <= label.readers)


@pytest.mark.parametrize(
    ("role", "author"), [("owner", "owner"), ("member", "paired"), ("guest", "untrusted")]
)
def test_what_somebody_types_is_his(role: Role, author: Author) -> None:
    assert label_of("tg:1", role) == Label(author=author, sources=frozenset({"tg:1"}))


def test_what_is_shown_is_not_the_senders_word() -> None:
    blob = Blob(sha256="0", size=1)
    parts: list[Part] = [
        Text(text="look"),
        Quote(text="pay Eve"),
        Link(url="https://a.org", title="Free money"),
        Link(url="https://b.org"),
        File(blob=blob, caption="invoice"),
        Mention(id="5", name="Bob"),
        Button(label="yes", value="yes"),
        Code(text="ls"),
    ]
    found = list(pieces(parts, "tg:1", "owner"))
    own = [one.text for one in found if one.label.author == "owner"]
    strange = [one.text for one in found if one.label.author == "untrusted"]
    assert own[:3] == ["look", "https://a.org", "https://b.org"]
    assert len(own) == 6
    assert [text for text in strange if "pay Eve" in text] and "Free money" in strange
    assert len(strange) == 3
    assert all(one.label.sources != {"tg:1"} for one in found if one.text in strange)
    assert label_of_message(parts, "tg:1", "owner").author == "untrusted"
    assert label_of_message(parts[:1], "tg:1", "owner") == label_of("tg:1", "owner")
    assert label_of_message([], "tg:1", "member") == label_of("tg:1", "member")


def result(text: str, asked: Label, label: Label | None = None, **facts: object) -> Label:
    spec = ToolSpec(name="t", purpose="?", **facts)  # pyright: ignore
    call = ToolCall(id="1", name="t", arguments='{"q":"Evil word","n":1}')
    return label_of_result(spec, call, ToolResult(text=text, label=label), "tg:1", asked)


def test_a_result_is_what_its_tool_promises() -> None:
    low = Label(author="untrusted", readers=frozenset())
    assert result("fine", low, author="owner") == Label(author="owner", sources=frozenset({"t"}))
    assert result("fine", low, author="owner", private=True).readers == {"tg:1"}
    assert result("fine", low).author == "untrusted"


def test_an_echo_is_no_more_than_what_asked_for_it() -> None:
    low = Label(author="untrusted", readers=frozenset())
    echoed = result("found: EVIL  word!", low, author="owner")
    assert echoed.author == "untrusted" and echoed.readers == frozenset()
    assert result("found: 1", low, author="owner").author == "owner"


@given(labels, labels, st.sampled_from(AUTHORS), st.booleans(), st.sampled_from(["x", "evil word"]))
def test_a_result_never_rises(
    asked: Label, lowered: Label, author: Author, private: bool, text: str
) -> None:
    plain = result(text, asked, author=author, private=private)
    lower = result(text, asked, lowered, author=author, private=private)
    assert no_more_than(lower, plain) and no_more_than(lower, lowered)
    assert TRUST[plain.author] <= TRUST[author]
    if private:
        assert plain.readers is not None and plain.readers <= {"tg:1"}


@given(st.lists(labels, max_size=4), labels)
def test_an_answer_is_of_all_that_was_read(read: list[Label], past: Label) -> None:
    answer = label_of_answer([Line(role="user", label=one) for one in read], past)
    assert no_more_than(answer, past)
    assert all(no_more_than(answer, one) for one in read)


def test_whose_words_decide_for_whom() -> None:
    table = {
        role: [author for author in AUTHORS if trusts(Label(author=author), role)]
        for role in ("owner", "member", "guest")
    }
    assert table == {
        "owner": ["owner"],
        "member": ["owner", "paired"],
        "guest": ["owner", "paired", "known", "untrusted"],
    }
