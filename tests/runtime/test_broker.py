# SPDX-License-Identifier: AGPL-3.0-or-later
"""The broker: judged right before the deed, recorded before it, an owner's yes for one effect."""

import asyncio
from typing import Any

import msgspec
import pytest

from haoya.agent.lent import Read
from haoya.agent.transcript import Approval
from haoya.core.errors import Unready
from haoya.core.label import OWNER, Label
from haoya.core.message import Address
from haoya.core.ports import Tool
from haoya.core.tool import Effect, Line, Scene, ToolCall, ToolResult, ToolSpec
from haoya.policy.case import Rights
from haoya.policy.judge import Decision, Judge
from haoya.policy.principal import Role
from haoya.runtime.broker import Act, Broker, Lease, rights_of

HERE = Address(channel="tg", room="7")
SCENE = Scene(address=HERE, person="tg:7", turn=3, call="")
NOTHING = Read(lines=(), past=OWNER)
PAGE = Label(author="untrusted", sources=frozenset({"web:evil.example"}))
CELLS: dict[str, Decision] = {"owner.send": "ask"}


class Sent(msgspec.Struct):
    """A message."""

    to: str = ""
    text: str = ""


class Ground:
    """A broker over tools that count; the clock and the table can be changed."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.cells: dict[str, Decision] = dict(CELLS)
        self.done: list[str] = []
        self.acts: list[Act] = []
        self.refuses: Exception | None = None
        self.broker = Broker(
            lambda: Judge(cells=dict(self.cells)), lambda: self.now, record=self.record
        )
        self.add("send", "send")
        self.add("again", "send", idempotent=True)
        self.add("note", "write", "read")
        self.add("fetch", "net")

    async def record(self, act: Act) -> None:
        if self.refuses:
            raise self.refuses
        assert not self.done or len(self.acts) >= len(self.done)
        self.acts.append(act)

    def add(self, name: str, *effects: Effect, idempotent: bool = False, **more: Any) -> None:
        async def run(sent: Sent, scene: Scene) -> ToolResult:
            self.done.append(f"{name} {sent.to} {sent.text}".strip())
            return ToolResult(text=f"{name} done")

        spec = ToolSpec(
            name=name,
            purpose="?",
            effects=frozenset(effects),
            writes=frozenset({"workspace"}),
            idempotent=idempotent,
            authority={"to": "who"},
            **more,
        )
        kept = [one for one in self.broker.parts.get("tools", []) if one.spec.name != name]
        self.broker.parts["tools"] = [*kept, Tool(spec=spec, arguments=Sent, run=run)]

    def lease(self, role: Role = "owner") -> Lease:
        return self.broker.chat(SCENE, role, ["tools"])

    def approval(self, lease: Lease, call: ToolCall, of: int = 5) -> Approval:
        digest = lease.digest(lease.specs[call.name], call)
        return Approval(of=of, digest=digest, expires=self.now + 60, by="tg:7")


def call(name: str = "send", to: str = "ann", id: str = "3.1.0") -> ToolCall:
    arguments = msgspec.json.encode({"to": to, "text": "hi"}).decode()
    return ToolCall(id=id, name=name, arguments=arguments)


def go(lease: Lease, made: ToolCall, approval: Approval | None = None) -> ToolResult:
    return asyncio.run(lease.call(lease.specs[made.name], made, NOTHING, approval))


def test_a_yes_counts_for_the_very_effect_and_once() -> None:
    ground = Ground()
    lease = ground.lease()
    approval = ground.approval(lease, call())
    assert lease.judge(lease.specs["send"], call(), NOTHING).decision == "ask"
    assert lease.judge(lease.specs["send"], call(), NOTHING, approval).decision == "allow"
    assert go(lease, call(), approval).ok
    again = go(lease, call(), approval)
    assert not again.ok and "for one time" in again.text
    assert ground.done == ["send ann hi"]
    (act,) = ground.acts
    assert (act.approval, act.digest, act.tool) == (5, approval.digest, "send")


@pytest.mark.parametrize(
    "other",
    [
        call(to="eve"),
        call(id="3.2.0"),
        call(name="again"),
        ToolCall(id="3.1.0", name="send", arguments='{"to":"ann","text":"hi","text":"bye"}'),
    ],
)
def test_what_was_swapped_after_the_yes_is_refused(other: ToolCall) -> None:
    ground = Ground()
    lease = ground.lease()
    result = go(lease, other, ground.approval(lease, call()))
    assert not result.ok and "for another effect" in result.text
    assert not ground.done and not ground.acts


def test_a_yes_for_another_effect_is_refused_though_none_is_needed() -> None:
    ground = Ground()
    lease = ground.lease()
    approval = ground.approval(lease, call())
    other = call(name="note", to="")
    assert go(lease, other).ok
    assert not go(lease, other, approval).ok


def test_a_yes_of_somebody_else_or_for_another_form_of_the_tool_is_refused() -> None:
    ground = Ground()
    lease = ground.lease()
    approval = ground.approval(lease, call())
    scene = msgspec.structs.replace(SCENE, person="tg:8")
    other = ground.broker.chat(scene, "owner", ["tools"])
    assert not go(other, call(), approval).ok
    ground.add("send", "send", undo="take it back")
    assert not go(ground.lease(), call(), approval).ok
    assert not ground.done


def test_a_yes_runs_out() -> None:
    ground = Ground()
    lease = ground.lease()
    approval = ground.approval(lease, call())
    ground.now = approval.expires
    result = go(lease, call(), approval)
    assert not result.ok and "has run out" in result.text and not ground.done


def test_a_tool_that_may_repeat_goes_on_after_a_crash_with_the_same_yes() -> None:
    ground = Ground()
    lease = ground.lease()
    again = call(name="again")
    approval = ground.approval(lease, again)
    assert go(lease, again, approval).ok and go(lease, again, approval).ok


def test_it_is_judged_again_right_before_the_deed() -> None:
    ground = Ground()
    lease = ground.lease()
    approval = ground.approval(lease, call())
    assert lease.judge(lease.specs["send"], call(), NOTHING, approval).decision == "allow"
    ground.cells["owner.send"] = "deny"
    result = go(lease, call(), approval)
    assert not result.ok and "Not allowed" in result.text and not ground.done


def test_a_deed_that_cannot_be_recorded_is_not_done() -> None:
    ground = Ground()
    ground.refuses = Unready("the audit log cannot be written")
    result = go(ground.lease(), call("note", to=""))
    assert not result.ok and "audit log" in result.text and not ground.done
    ground.refuses = ValueError("broken")
    assert not go(ground.lease(), call("note", to="")).ok and not ground.done


def test_a_tool_that_changed_or_left_is_not_run() -> None:
    ground = Ground()
    lease = ground.lease()
    spec = lease.specs["note"]
    ground.add("note", "write", "read", undo="take it back")
    result = asyncio.run(lease.call(spec, call("note", to=""), NOTHING))
    assert not result.ok and "changed" in result.text
    ground.broker.parts.clear()
    assert not asyncio.run(lease.call(spec, call("note", to=""), NOTHING)).ok
    assert not ground.done


def test_rights_come_from_the_role_and_what_the_table_rules_out() -> None:
    assert rights_of("owner", {}).effects == rights_of("member", {}).effects
    assert rights_of("guest", {}).effects == {"read", "write"}
    assert "send" in rights_of("guest", {"guest.send": "ask"}).effects
    assert "net" not in rights_of("owner", {"owner.net": "deny"}).effects


def test_a_run_that_another_one_starts_has_less_and_never_more() -> None:
    ground = Ground()
    lease = ground.lease()
    asked = Rights(effects=frozenset({"read", "write", "net", "spend"}))
    part = lease.part(asked)
    assert set(part.specs) == {"note", "fetch"}
    assert go(part, call("note", to="")).ok
    made = call()
    result = asyncio.run(
        part.call(lease.specs["send"], made, NOTHING, ground.approval(lease, made))
    )
    assert not result.ok and "may not send" in result.text
    below = part.part(Rights(effects=frozenset({"send", "write", "read"}), tools=frozenset()))
    assert not below.specs and below.rights.effects == {"read", "write"}
    guest = ground.lease("guest").part(lease.rights)
    assert "send" not in guest.rights.effects


def test_a_result_is_labelled_by_its_tool_and_never_above() -> None:
    ground = Ground()
    ground.add("mine", "read", author="owner", private=True)
    ground.add("page", "read")
    assert go(ground.lease(), call("mine", to="")).label == Label(
        author="owner", readers=frozenset({"tg:7"})
    )
    page = go(ground.lease(), call("page", to="")).label
    assert page and page.author == "untrusted" and page.sources == {"page"}


def test_a_tools_own_word_lowers_the_label_and_never_raises_it() -> None:
    for author, own, outcome in (
        ("owner", PAGE, "untrusted"),
        ("untrusted", OWNER, "untrusted"),
        ("owner", OWNER, "owner"),
    ):

        async def run(sent: Sent, scene: Scene, own: Label = own) -> ToolResult:
            return ToolResult(text="x", label=own)

        ground = Ground()
        spec = ToolSpec(name="t", purpose="?", author=author)  # type: ignore[arg-type]
        ground.broker.parts["tools"] = [Tool(spec=spec, arguments=Sent, run=run)]
        label = go(ground.lease(), ToolCall(id="1", name="t")).label
        assert label and label.author == outcome


def test_what_a_refusal_repeats_is_as_little_trusted_as_the_run() -> None:
    ground = Ground()
    ground.add("mine", "read", author="owner")
    read = Read(lines=(Line(role="user", text="evil", label=PAGE),), past=OWNER)
    lease = ground.lease()
    made = ToolCall(id="1", name="mine", arguments='{"to": 1}')
    result = asyncio.run(lease.call(lease.specs["mine"], made, read))
    assert not result.ok and result.label and result.label.author == "untrusted"


def test_a_tool_learns_what_its_arguments_rest_on() -> None:
    seen: list[Label] = []

    async def run(sent: Sent, scene: Scene) -> ToolResult:
        seen.append(scene.label)
        return ToolResult(text="x")

    ground = Ground()
    spec = ToolSpec(name="t", purpose="?")
    ground.broker.parts["tools"] = [Tool(spec=spec, arguments=Sent, run=run)]
    lease = ground.lease()
    read = Read(lines=(), past=PAGE)
    asyncio.run(lease.call(spec, ToolCall(id="1", name="t"), read))
    assert seen == [PAGE]
