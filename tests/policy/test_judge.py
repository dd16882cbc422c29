# SPDX-License-Identifier: AGPL-3.0-or-later
"""What may run, for whom: the table, by declared effects alone."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haoya.core.tool import Effect, ToolCall, ToolSpec, Verdict
from haoya.policy.case import Case
from haoya.policy.judge import DEFAULTS, MEANING, Decision, Judge, digest_of
from haoya.policy.principal import Role

ROLES: list[Role] = ["owner", "member", "guest"]
EFFECTS: list[Effect] = ["read", "write", "net", "exec", "send", "spend"]
CALL = ToolCall(id="1", name="tool", arguments="{}")
STRICT = ["allow", "ask", "deny"]

effect_sets = st.sets(st.sampled_from(EFFECTS)).map(frozenset)
cells = st.dictionaries(
    st.sampled_from(list(DEFAULTS)), st.sampled_from(["allow", "ask", "deny"]), max_size=6
)


def judged(judge: Judge, spec: ToolSpec | None, role: Role, call: ToolCall = CALL) -> Verdict:
    return judge.judge(Case(spec=spec, call=call, person="tg:1", role=role))


def spec(*effects: Effect, name: str = "tool", about: str = "workspace") -> ToolSpec:
    labels = frozenset({about} if about else ())
    return ToolSpec(name=name, purpose="?", effects=frozenset(effects), reads=labels, writes=labels)


def test_the_table_has_a_cell_for_everything() -> None:
    assert set(DEFAULTS) == {f"{r}.{e}" for r, e in itertools.product(ROLES, EFFECTS)}
    assert set(MEANING) == set(EFFECTS)


@pytest.mark.parametrize("effect", EFFECTS)
def test_a_guest_has_no_effect_on_anything(effect: Effect) -> None:
    assert judged(Judge(), spec(effect), "guest").decision == "deny"


@pytest.mark.parametrize("effect", ["exec", "send", "spend"])
@pytest.mark.parametrize("role", ["owner", "member"])
def test_what_leaves_the_house_is_asked_about(effect: Effect, role: Role) -> None:
    verdict = judged(Judge(), spec(effect, "read"), role)
    assert verdict.decision == "ask"
    assert MEANING[effect] in verdict.reason


@pytest.mark.parametrize("role", ROLES)
def test_without_effects_there_is_nothing_to_forbid(role: Role) -> None:
    assert judged(Judge(), spec(), role).decision == "allow"


@pytest.mark.parametrize("role", ROLES)
def test_ones_own_memory_is_ones_own(role: Role) -> None:
    strict = Judge(cells=dict.fromkeys(DEFAULTS, "deny"))
    assert judged(strict, spec("read", "write", about="memory"), role).decision == "allow"
    assert judged(strict, spec("read", "net", about="memory"), role).decision == "deny"
    assert judged(strict, spec("read", about="workspace"), role).decision == "deny"


def test_a_tool_nobody_lent_is_denied() -> None:
    verdict = judged(Judge(), None, "owner", ToolCall(id="1", name="rm"))
    assert verdict.decision == "deny" and "'rm'" in verdict.reason


@given(effect_sets, st.sampled_from(ROLES), cells)
def test_the_strictest_effect_decides(
    effects: frozenset[Effect], role: Role, changed: dict[str, Decision]
) -> None:
    judge = Judge(cells=changed)
    verdict = judged(judge, spec(*effects), role)
    each = [(DEFAULTS | changed)[f"{role}.{effect}"] for effect in effects]
    bound = max(each, key=STRICT.index, default="allow")
    unasked = not effects.isdisjoint({"send", "spend"}) and bound == "allow"
    assert verdict.decision == ("ask" if unasked else bound)
    assert verdict.reason


@given(effect_sets, st.sampled_from(EFFECTS), st.sampled_from(ROLES), cells)
def test_one_more_effect_never_makes_a_verdict_milder(
    effects: frozenset[Effect], more: Effect, role: Role, changed: dict[str, Decision]
) -> None:
    judge = Judge(cells=changed)
    before = judged(judge, spec(*effects), role).decision
    after = judged(judge, spec(*effects, more), role).decision
    assert STRICT.index(after) >= STRICT.index(before)


@given(effect_sets, st.sampled_from(ROLES), st.text(max_size=10), st.text(max_size=10))
def test_names_and_arguments_decide_nothing(
    effects: frozenset[Effect], role: Role, name: str, arguments: str
) -> None:
    call = ToolCall(id="1", name=name, arguments=arguments)
    named = judged(Judge(), spec(*effects, name=name), role, call)
    assert named == judged(Judge(), spec(*effects), role)


def test_no_role_has_fewer_rights_than_the_one_below() -> None:
    for effect in EFFECTS:
        found = [STRICT.index(DEFAULTS[f"{role}.{effect}"]) for role in ROLES]
        assert found == sorted(found)


@given(st.tuples(*[st.text(max_size=8)] * 4), st.tuples(*[st.text(max_size=8)] * 4))
def test_an_approval_is_bound_to_the_exact_effect(
    one: tuple[str, str, str, str], other: tuple[str, str, str, str]
) -> None:
    def digest(of: tuple[str, str, str, str]) -> str:
        return digest_of(ToolCall(id=of[0], name=of[1], arguments=of[2]), of[3])

    if not any("\0" in text for text in (*one, *other)):
        assert (digest(one) == digest(other)) == (one == other)
    assert len(digest(one)) == 64
