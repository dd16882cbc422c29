# SPDX-License-Identifier: AGPL-3.0-or-later
"""What may leave: the strictest rule counts, and nobody's words leave by another's rule."""

from hypothesis import given
from hypothesis import strategies as st

from haoya.core.message import Address
from haoya.core.tool import Place
from haoya.policy.leave import STRICTNESS, Talk, is_rule, leave_faults, reach

PLACES: tuple[Place, ...] = ("here", "own", "outside")
GROUP = Address(channel="tg", room="-7", kind="group")


def within(rules: dict[str, Place], *people: str, urgency: str = "chat") -> Place:
    background = urgency == "background"
    talk = Talk(
        address=GROUP,
        people=frozenset(people),
        urgency="background" if background else "chat",
    )
    return reach(rules, talk).within


def test_without_rules_words_may_go_anywhere() -> None:
    assert within({}) == "outside"


def test_the_general_rule_counts_where_no_other_does() -> None:
    assert within({"*": "here"}) == "here"
    assert within({"*": "here", "tg": "outside"}) == "outside"
    assert within({"*": "here", "irc": "outside"}) == "here"


def test_conversation_channel_urgency_and_people_can_be_named() -> None:
    assert within({"tg//-7": "own"}) == "own"
    assert within({"tg": "own"}) == "own"
    assert within({"background": "own"}) == "outside"
    assert within({"background": "own"}, urgency="background") == "own"
    assert within({"tg:1": "here"}, "tg:1") == "here"
    assert within({"tg:1": "here"}, "tg:2") == "outside"


def test_one_persons_words_keep_a_whole_prompt_at_home() -> None:
    assert within({"tg": "outside", "tg:1": "here"}, "tg:1", "tg:2") == "here"


rules = st.dictionaries(
    st.sampled_from(["*", "tg", "tg//-7", "chat", "tg:1", "tg:2", "irc"]),
    st.sampled_from(PLACES),
)


@given(rules, st.frozensets(st.sampled_from(["tg:1", "tg:2"])))
def test_no_rule_that_names_a_talk_is_ever_outdone(
    given_rules: dict[str, Place], people: frozenset[str]
) -> None:
    found = reach(given_rules, Talk(address=GROUP, people=people))
    for name in {"tg", "tg//-7", "chat", *people} & given_rules.keys():
        assert STRICTNESS[found.within] <= STRICTNESS[given_rules[name]]
    if found.rule:
        assert given_rules[found.rule] == found.within


def test_keys_that_can_name_nothing_are_told() -> None:
    good = ["*", "tg", "chat", "tg:123", "irc:bob!b@host", "irc//#kitchen", "tg//-7/12", "local"]
    assert all(is_rule(key) for key in good)
    assert not any(is_rule(key) for key in ["", "a b", ":x", "tg:", "a/b", "/x/y", "tg//a/b/c"])


def test_a_misspelt_channel_and_a_rule_that_no_model_satisfies_are_told() -> None:
    channels = frozenset({"tg"})
    fine: dict[str, Place] = {"*": "here", "tg:1": "here", "tg//-7": "own", "local": "own"}
    assert list(leave_faults(fine, {"main": "here"}, channels)) == []
    ((message, cure),) = leave_faults({"tq:1": "here"}, {"main": "here"}, channels)
    assert "no channel 'tq'" in message
    assert cure == "the channels are: tg"
    ((message, _),) = leave_faults({"tg": "own"}, {"main": "outside"}, channels)
    assert "no model in [agent] model is own" in message
    assert list(leave_faults({"tg": "own"}, {}, channels)) == []
