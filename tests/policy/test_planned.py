# SPDX-License-Identifier: AGPL-3.0-or-later
"""Plan first: a call is the plan's next step or none."""

import json

from haoya.core.tool import ToolCall
from haoya.policy.planned import Plan, Step, faults, strays
from tests.policy.cases import TOOLS, Told

PLAN = Plan(
    steps=(
        Step(tool="mailbox", constants={"query": ("bill",)}),
        Step(tool="page", constants={"url": ("a.org", "b.org")}, repeat=2),
        Step(tool="send", constants={"to": ("bob@x.com",)}, open=frozenset({"text"})),
    )
)
MAILBOX = ("mailbox", {"query": "bill"})
PAGE = ("page", {"url": ["a.org", "b.org"]})
SEND = ("send", {"to": "bob@x.com", "text": "anything read"})


def after(*calls: tuple[str, object]) -> str:
    made = [
        ToolCall(id=str(at), name=name, arguments=json.dumps(arguments))
        for at, (name, arguments) in enumerate(calls)
    ]
    return strays(PLAN, made[:-1], made[-1])


def test_the_steps_in_their_order_lie_in_the_plan() -> None:
    assert after(MAILBOX) == ""
    assert after(MAILBOX, PAGE, PAGE, SEND) == ""
    assert after(MAILBOX, SEND) == ""
    assert after(SEND) == ""


def test_anything_else_strays() -> None:
    assert after(("delete", {"id": "1"})) == "delete is not in what was planned"
    assert after(MAILBOX, MAILBOX) == "mailbox is not in what was planned"
    assert after(PAGE, PAGE, PAGE) == "page is not in what was planned"
    assert after(SEND, MAILBOX) == "mailbox is not in what was planned"
    assert after(("mailbox", {"query": "all"})) == "the plan says otherwise of query"
    assert after(("page", {"url": ["b.org", "a.org"]})) == "the plan says otherwise of url"
    assert after(("page", {"url": ["a.org"]})) == "the plan says otherwise of url"
    assert after(("send", {"text": "x"})) == "the plan says otherwise of to"
    more = ("send", {"to": "bob@x.com", "text": "x", "file": "13"})
    assert after(more) == "the plan does not speak of file"
    deeper = ("send", {"to": "bob@x.com", "text": {"a": "x"}})
    assert after(deeper) == ""


def test_a_call_outside_the_plan_before_does_not_open_it() -> None:
    assert after(("delete", {}), MAILBOX, SEND) == ""
    assert after(SEND, ("delete", {}), MAILBOX) != ""


def test_a_plan_fixes_whom_it_hits() -> None:
    assert faults(PLAN, TOOLS) == ()
    loose = Plan(
        steps=(
            Step(tool="send", open=frozenset({"text", "to"})),
            Step(tool="page", open=frozenset({"url"})),
            Step(tool="gone"),
            Step(tool="contacts", open=frozenset({"name"})),
        )
    )
    assert faults(loose, TOOLS) == (
        "send: to must be fixed in the plan",
        "page: url must be fixed in the plan",
        "the plan names 'gone', but there is no such tool",
    )


def test_the_judge_keeps_to_the_plan() -> None:
    told = Told("send bob@x.com what the bill says").having(plan=PLAN)
    assert told.verdict("delete", id="1").reason == "delete is not in what was planned"
    told.read("mailbox", [{"id": "1", "subject": "bill", "body": "12"}], query="bill")
    assert told.wish("send", to="bob@x.com", text="12") == "allow"
    assert told.wish("mailbox", query="bill") == "deny"
