# SPDX-License-Identifier: AGPL-3.0-or-later
"""Standing leaves: only an owner's, only exactly what they name, only so long and so often."""

import msgspec
import pytest

from haoya.core.event import Entry, Event, Granted, Revoked, Stopped, ToolJudged
from haoya.core.tool import Verdict
from haoya.policy.case import Grant
from haoya.policy.grants import Grants, covering, exact_arguments
from tests.policy.cases import ME, NOON, SEND, Told

GIVEN = Granted(
    person=ME, where="tg//1", tool="send", arguments={"to": "bob@x.com"}, by="tg:9", limit=2
)


def entries(*events: Event) -> list[Entry]:
    return [
        Entry(number=number, at=0, conversation="haoya//grants", event=event)
        for number, event in enumerate(events, 1)
    ]


def used(number: int, decision: str = "allow") -> ToolJudged:
    verdict = Verdict(decision=decision, grant=number)  # pyright: ignore
    return ToolJudged(turn=1, call="c", verdict=verdict)


def test_a_leave_counts_its_uses() -> None:
    grants = Grants(entries(GIVEN, Stopped(turn=1, reason="")))
    assert [one.used for one in grants.of(ME, "tg//1", NOON)] == [0]
    grants.note(entries(used(1, "ask"))[0])
    grants.note(entries(used(7))[0])
    grants.note(entries(used(0))[0])
    assert [one.used for one in grants.all(NOON)] == [0]
    grants.note(entries(used(1))[0])
    assert [one.used for one in grants.of(ME, "tg//1", NOON)] == [1]
    grants.note(entries(used(1))[0])
    assert grants.of(ME, "tg//1", NOON) == grants.all(NOON) == ()


def test_a_leave_is_for_one_person_in_one_place() -> None:
    grants = Grants(entries(GIVEN, msgspec.structs.replace(GIVEN, where="*", person="tg:2")))
    assert len(grants.of(ME, "tg//1", NOON)) == 1
    assert grants.of(ME, "tg//2", NOON) == ()
    assert len(grants.of("tg:2", "tg//2", NOON)) == 1


def test_a_leave_ends() -> None:
    grants = Grants(entries(msgspec.structs.replace(GIVEN, expires=NOON, limit=0)))
    assert len(grants.all(NOON - 1)) == 1
    assert grants.all(NOON) == ()
    grants.note(Entry(number=2, at=0, conversation="", event=Revoked(of=1, by="tg:9")))
    assert grants.all(0) == ()


def test_only_an_owner_gives_and_takes() -> None:
    def owners(key: str) -> bool:
        return key == "tg:9"

    grants = Grants(entries(GIVEN, msgspec.structs.replace(GIVEN, by="tg:1")), owners)
    assert [one.number for one in grants.all(NOON)] == [1]
    grants.note(Entry(number=3, at=0, conversation="", event=Revoked(of=1, by="tg:1")))
    assert [one.number for one in grants.all(NOON)] == [1]
    assert Grants(entries(msgspec.structs.replace(GIVEN, by=""))).all(NOON) == ()


LEAVE = Grant(number=7, person=ME, where="tg//1", tool="send", arguments={"to": "bob@x.com"})


def covered(leave: Grant, **arguments: object) -> int:
    grant = covering(Told("hi").having(grants=(leave,)).case("send", arguments))
    return grant.number if grant else 0


def test_a_leave_covers_exactly_what_it_names() -> None:
    assert covered(LEAVE, to="bob@x.com", text="hi") == 7
    assert covered(LEAVE, to=["BOB@x.com"]) == 7
    assert covered(LEAVE, to="eve@x.com") == 0
    assert covered(LEAVE, to=["bob@x.com", "eve@x.com"]) == 0
    assert covered(LEAVE, text="hi") == 0


def test_a_leave_for_several_covers_all_of_them() -> None:
    two = msgspec.structs.replace(LEAVE, arguments={"to": "bob@x.com\nann@x.com"})
    assert covered(two, to=["ann@x.com", "bob@x.com"]) == 7
    assert covered(two, to=["ann@x.com"]) == 0
    assert covered(two, to=["ann@x.com", "bob@x.com", "eve@x.com"]) == 0
    case = Told("hi").case("send", {"to": ["bob@x.com", "ann@x.com"], "text": "x"})
    assert exact_arguments(SEND, case.call) == two.arguments


@pytest.mark.parametrize(
    "other",
    [
        {"person": "tg:2"},
        {"tool": "pay"},
        {"where": "tg//2"},
        {"limit": 1, "used": 1},
        {"expires": NOON - 1},
    ],
)
def test_a_leave_for_something_else_covers_nothing(other: dict[str, object]) -> None:
    assert covered(msgspec.structs.replace(LEAVE, **other), to="bob@x.com") == 0


def test_a_leave_for_everywhere_and_the_first_that_fits() -> None:
    anywhere = msgspec.structs.replace(
        LEAVE, where="*", number=8, expires=NOON + 1, limit=2, used=1
    )
    assert covered(anywhere, to="bob@x.com") == 8


def test_a_leave_answers_the_question() -> None:
    told = Told("what is new?").read("mailbox", [{"id": "1", "subject": "hi", "body": "send it"}])
    assert told.wish("send", to="bob@x.com", text="fine") == "ask"
    told.having(grants=(LEAVE,))
    verdict = told.verdict("send", to="bob@x.com", text="fine")
    assert (verdict.decision, verdict.grant) == ("allow", 7)
    assert told.wish("send", to="eve@x.com", text="fine") == "ask"
    assert told.wish("send", to="bob@x.com", file="13", text="fine") == "ask"
    assert told.verdict("send", {"owner.send": "deny"}, to="bob@x.com").decision == "deny"
    hard = told.verdict("send", {"owner.send": "ask"}, to="bob@x.com", text="fine")
    assert (hard.decision, hard.grant) == ("allow", 7)


def test_a_leave_that_was_not_needed_is_not_used() -> None:
    told = Told("send bob@x.com 'fine'").having(grants=(LEAVE,))
    verdict = told.verdict("send", to="bob@x.com", text="fine")
    assert (verdict.decision, verdict.grant) == ("allow", 0)
