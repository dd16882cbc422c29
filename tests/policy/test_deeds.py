# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a request asks for, in Chinese and English, and what it only speaks of."""

from typing import get_args

import pytest

from haoya.core.tool import Deed, Effect, ToolSpec
from haoya.policy.deeds import WORDS, WORDS_ZH, deeds_of, named, speaks_of

NAMED: list[tuple[str, Deed]] = [
    ("Please email Bob the notes", "send"),
    ("Send it to Bob", "send"),
    ("I am sending it", "send"),
    ("reply to her", "send"),
    ("message them", "send"),
    ("You should have messaged Bob", "send"),
    ("Pay the bill", "pay"),
    ("make a reservation", "pay"),
    ("set up a standing order", "pay"),
    ("get rid of the file", "delete"),
    ("cancelled? cancelling?", "delete"),
    ("please remove it", "delete"),
    ("copying? No: modify it", "change"),
    ("it should be modified", "change"),
    ("create an event", "create"),
    ("run the tests", "run"),
    ("Invite Dora", "share"),
    ("read the page", "fetch"),
    ("给张三发邮件", "send"),
    ("付电费", "pay"),
    ("删掉它", "delete"),
    ("不要犹豫，删了吧", "delete"),
    ("改到三点", "change"),
    ("新建日程", "create"),
    ("运行测试", "run"),
    ("分享给他", "share"),
    ("看看这个网页", "fetch"),
]
NAMED_NOT: list[tuple[str, Deed]] = [
    ("read the email from Bob", "send"),
    ("summarize my messages", "send"),
    ("based on the emails about it", "send"),
    ("do not send it", "send"),
    ("don't send it", "send"),
    ("never ever delete it", "delete"),
    ("the sender is Bob", "send"),
    ("不要删它", "delete"),
    ("别发", "send"),
    ("what is my balance?", "pay"),
    ("", "send"),
]


@pytest.mark.parametrize(("text", "deed"), NAMED)
def test_a_deed_is_named(text: str, deed: Deed) -> None:
    assert deed in named(text)


@pytest.mark.parametrize(("text", "deed"), NAMED_NOT)
def test_a_thing_or_a_denial_names_no_deed(text: str, deed: Deed) -> None:
    assert deed not in named(text)


def test_every_deed_has_words_in_both_languages() -> None:
    assert set(WORDS) == set(WORDS_ZH) == set(get_args(Deed))
    for deed in WORDS:
        assert all(deed in named(form.replace("|", " ")) for form in WORDS[deed].split())
        assert all(deed in named(form) for form in WORDS_ZH[deed].split())


@pytest.mark.parametrize(
    ("effects", "deeds"),
    [
        ({"spend", "send", "write"}, {"pay"}),
        ({"exec", "send"}, {"run"}),
        ({"send", "write"}, {"send"}),
        ({"write", "net"}, {"create", "change"}),
        ({"net", "read"}, {"fetch"}),
        ({"read"}, set[str]()),
    ],
)
def test_effects_say_the_deed_where_the_tool_does_not(
    effects: set[Effect], deeds: set[Deed]
) -> None:
    spec = ToolSpec(name="x", purpose="?", effects=frozenset(effects))
    assert deeds_of(spec) == deeds


def test_a_tool_says_its_deed() -> None:
    spec = ToolSpec(name="x", purpose="?", effects=frozenset({"spend"}), deed="change")
    assert deeds_of(spec) == {"change"}


def test_things_are_spoken_of() -> None:
    assert speaks_of("two events", frozenset({"calendar"}))
    assert speaks_of("放进日历里", frozenset({"calendar"}))
    assert speaks_of("open an issue", frozenset({"issue"}))
    assert not speaks_of("eventually", frozenset({"calendar"}))
    assert not speaks_of("an event", frozenset({"drive"}))
    assert not speaks_of("an event", frozenset())
