# SPDX-License-Identifier: AGPL-3.0-or-later
"""What is found in words, what stands for it, and that it comes back however it is cut."""

import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from haoya.core.tool import Line, Prompt, ToolCall
from haoya.policy.masking.find import find
from haoya.policy.masking.mask import NOTE, Finds, Mask
from haoya.policy.masking.placeholder import Names, Restoring, restored
from haoya.policy.masking.words import KINDS, Rules, canonical
from tests.policy.personal import handwritten, harmless, personal

RULES = Rules()
KEY = b"k" * 32


def mask(rules: Rules = RULES, *, key: bytes = KEY, conversation: str = "tg//7") -> Mask:
    return Mask(Finds(rules), key, conversation)


def kinds(text: str, rules: Rules = RULES, heading: str = "") -> list[tuple[str, str]]:
    return [(one.kind, text[one.start : one.end]) for one in find(text, rules, heading)]


def test_nearly_all_that_is_planted_is_found_and_nearly_nothing_else() -> None:
    missed: dict[str, int] = {}
    for sample in personal(Random(7), 12):
        covered = {i for one in find(sample.text, RULES) for i in range(one.start, one.end)}
        for start, end, kind in sample.planted:
            if any(i not in covered for i in range(start, end) if sample.text[i].isalnum()):
                missed[kind] = missed.get(kind, 0) + 1
    assert sum(missed.values()) <= 2, missed
    wrong = [s.text for s in harmless(Random(8), 12) if find(s.text, RULES)]
    assert len(wrong) <= 3, wrong


def test_most_of_what_was_written_by_hand_is_found() -> None:
    planted = missed = wrong = 0
    for sample in handwritten():
        found = find(sample.text, RULES)
        covered = {i for one in found for i in range(one.start, one.end)}
        planted += len(sample.planted)
        for start, end, _ in sample.planted:
            missed += any(i not in covered for i in range(start, end) if sample.text[i].isalnum())
        wrong += sum(
            not any(one.start < end and start < one.end for start, end, _ in sample.planted)
            for one in found
        )
    assert planted > 50 and missed <= 4 and wrong <= 1


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        (
            "我的身份证１１０１０１１９８８０３０５１２３４",
            "id",
            "１１０１０１１９８８０３０５１２３４",
        ),
        ("打一三八零零一三八零零零", "phone", "一三八零零一三八零零零"),
        ("他：\u202d139 1234 5678\u202c", "phone", "139 1234 5678"),
        (r'{"t":"call\n13912345678"}', "phone", "13912345678"),
        ("rescheduled, ring me on 07911 123456 please", "phone", "07911 123456"),
        ("香港九龍彌敦道100號5樓B室", "address", "香港九龍彌敦道100號5樓B室"),
        ("ann dot smith at gmail dot com", "email", "ann dot smith at gmail dot com"),
        ("postgres://admin:s3cr3t!@db/app", "key", "s3cr3t!"),
        ("他出生于一九八八年三月五日", "birth", "一九八八年三月五日"),
        ("银行账户 6228 4800 1234 5678 919", "card", "6228 4800 1234 5678 919"),
        ("My SSN is 078 05 1120", "ssn", "078 05 1120"),
        ("京AD12345在哪", "plate", "京AD12345"),
        ("fe80::1ff:fe23:4567:890a%eth0", "ip", "fe80::1ff:fe23:4567:890a%eth0"),
        ("31°14'22.5\"N 121°28'12.3\"E 这里", "gps", "31°14'22.5\"N 121°28'12.3\"E"),
    ],
)
def test_a_value_is_found_however_it_is_written(text: str, kind: str, value: str) -> None:
    assert kinds(text) == [(kind, value)]


@pytest.mark.parametrize(
    "text",
    [
        "今天 2026-10-11，股价 139.12 元，成交 1391234567 股",
        "订单 13912345678901 已发货",
        "我在5号楼，你在哪；二楼三号桌；3路车；13号线",
        "a::b::c foo::bar::baz abc::def",
        "the password is required; token limit is 4096; secret santa 2026",
        "https://github.com/a/b/blob/3f786850e387550fdab836ed7e6dc881de23001b/x.py",
        "中国移动10086，110，127.0.0.1:8642",
        "150 200 300 40",
    ],
)
def test_numbers_of_daily_life_stay(text: str) -> None:
    assert kinds(text) == []


def test_the_key_of_an_object_says_what_its_value_is() -> None:
    masked = mask()
    text = masked.json('{"password": "correct-horse-9", "size": 4096, "userPhone": 13912345678}')
    assert "correct" not in text and "13912345678" not in text and "4096" in text
    assert set(masked.counts) == {"key", "phone"}
    assert mask().json('{"a": 1}') == '{"a": 1}'
    escaped = '{"t": "\\u0031\\u0033912345678"}'
    assert "912345678" not in mask().json(escaped)


def test_kinds_may_be_left_out_values_exempted_and_own_rules_added() -> None:
    text = "打13912345678或者10.1.2.3，工号 EMP-0042"
    assert [k for k, _ in kinds(text)] == ["phone", "ip"]
    rules = Rules(
        skip=frozenset({"ip"}),
        exempt=frozenset({canonical("139-1234-5678")}),
        own=(("staff", lambda plain: [(plain.index("EMP"), plain.index("EMP") + 8)]),),
    )
    assert kinds(text, rules) == [("staff", "EMP-0042")]
    assert mask(rules).text(text).endswith("]") and "[STAFF-" in mask(rules).text(text)


def test_overlapping_finds_are_put_away_as_one() -> None:
    rules = Rules(own=(("a", lambda _: [(2, 5)]), ("b", lambda _: [(0, 3), (5, 6)])))
    assert kinds("0123456", rules) == [("a", "01234"), ("b", "5")]
    text = "地址：北京市朝阳区建国路88号13912345678"
    assert "13912345678" not in mask().text(text) and "88" not in mask().text(text)


def test_a_value_has_the_same_name_in_a_conversation_and_another_elsewhere() -> None:
    one, again = mask(), mask()
    first = one.text("打13912345678")
    assert again.text("他的号码是 +86 139-1234-5678。").count(first[1:]) == 1
    assert mask(conversation="tg//8").text("打13912345678") != first
    assert mask(key=b"x" * 32).text("打13912345678") != first


def test_no_name_is_given_that_somebody_wrote_before() -> None:
    name = mask().text("13912345678")
    forged = Prompt(
        lines=(Line(role="user", text=f"send {name} to me; {name[1:-1].lower()}; 13912345678"),),
        conversation="tg//7",
    )
    masked = mask()
    (_, line) = masked.prompt(forged).lines
    assert name in line.text and "139" not in line.text
    assert name[1:-1] not in masked.pairs


def test_a_prompt_leaves_without_names_of_people_and_with_a_note() -> None:
    call = ToolCall(id="1", name="dial", arguments='{"to": "13912345678"}')
    prompt = Prompt(
        lines=(
            Line(role="system", text="Be kind."),
            Line(role="user", text="hello"),
            Line(role="assistant", calls=(call,), echo="signed"),
            Line(role="tool", text="rang 13912345678", call="1"),
        ),
        conversation="tg//7",
        person="tg:7",
    )
    masked = mask()
    sent = masked.prompt(prompt)
    assert NOTE in sent.lines[0].text and sent.lines[2].echo == "signed"
    assert "13912345678" not in str(sent) and "tg" not in (sent.conversation + sent.person)
    assert masked.counts == {"phone": 1}
    assert masked.restored(sent.lines[2].calls[0]).arguments == '{"to":"13912345678"}'
    plain = Prompt(lines=(Line(role="user", text="hello"),))
    assert mask().prompt(plain).lines == plain.lines


def test_what_is_no_name_of_ours_stays() -> None:
    values = {"PHONE-7KQ2": "138"}
    for text in ("[PHONE-7KQ3]", "[PHONE-7KQ22]", "XPHONE-7KQ2", "ISO-8859", "[PHONE-", "-", ""):
        assert restored(text, values) == text
    assert restored("\\[PHONE-7KQ2\\] %5Bphone-7kq2%5D [PHONE-7KQ2", values) == "138 138 [138"


@settings(max_examples=200, deadline=None)
@given(
    values=st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=5, unique=True),
    between=st.lists(st.text(alphabet="ab [\\]-PHONE7%5B好", max_size=8), min_size=6, max_size=6),
    cuts=st.lists(st.integers(0, 120), max_size=12),
)
def test_an_answer_is_the_same_wherever_it_is_cut(
    values: list[str], between: list[str], cuts: list[int]
) -> None:
    names = Names(KEY, "c")
    names.reserve(between)
    written = "".join(
        between[i] + names.name("phone", value)[i % 2 :] for i, value in enumerate(values)
    )
    written += between[-1]
    whole = restored(written, names.values)
    stream, out, at = Restoring(names.values), "", 0
    for cut in [*sorted(cut for cut in cuts if cut < len(written)), len(written)]:
        out += stream.feed(written[at:cut])
        at = cut
    assert out + stream.rest() == whole


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_comes_back_as_it_was(text: str) -> None:
    vowels = Rules(
        own=(("vowel", lambda t: [(i, i + 1) for i, c in enumerate(t) if c in "aeiou"]),)
    )
    for rules in (RULES, vowels):
        masked = mask(rules)
        masked.names.reserve([text])
        out = masked.text(text)
        if not any(canonical(v) != v for v in masked.pairs.values()):
            assert restored(out, masked.pairs) == text


def test_values_come_back_into_json_as_json_writes_them() -> None:
    values = {"KEY-7KQ2": 'a"b\\c\n'}
    text = restored('{"k": "[KEY-7KQ2]"}', values, json=True)
    assert json.loads(text) == {"k": 'a"b\\c\n'}


def test_every_kind_has_a_name_that_fits() -> None:
    names = Names(KEY, "c")
    for kind in [*KINDS, "我的规则", "a", "a-very-long-rule-of-mine"]:
        name = names.name(kind, f"value of {kind}")
        assert restored(f"x{name}y", names.values) == f"xvalue of {kind}y"
