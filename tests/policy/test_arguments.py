# SPDX-License-Identifier: AGPL-3.0-or-later
"""JSON taken apart, and its one canonical form."""

import json

from hypothesis import given
from hypothesis import strategies as st

from haoya.policy.arguments import canonical, declared, is_object, leaves, matches, parsed

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def test_every_value_has_its_path_and_its_objects() -> None:
    found = leaves('{"a":{"b":[1,true,{"c":"x"}]},"d":["y",""],"e":null,"f":1.50}')
    assert [(leaf.path, leaf.value, leaf.records, leaf.text) for leaf in found] == [
        ("a.b", "1", (0, 1), False),
        ("a.b", "true", (0, 1), False),
        ("a.b.c", "x", (0, 1, 2), True),
        ("d", "y", (0,), True),
        ("f", "1.5", (0,), False),
    ]
    assert [leaf.path for leaf in leaves('["a","b"]')] == ["", ""]
    assert leaves('["a"]')[0].records == ()


def test_what_is_no_json_has_no_values() -> None:
    for text in ("", "{", "hello", '{"a":}', "[" * 100_000):
        assert leaves(text) == ()
        assert parsed(text) is None
        assert not is_object(text)
    assert is_object("{}") and not is_object("[]") and not is_object('"{}"')


def test_a_declared_path_means_all_below_it() -> None:
    assert matches("to", "to") and matches("to", "to.address") and matches("*", "x")
    assert matches("to.*.x", "to.a.x") and matches("*", "")
    assert not matches("to.address", "to") and not matches("to", "too") and not matches("to", "")
    facts = {"*": "a", "to": "b", "to.name": "c", "*.name": "d"}
    assert [declared(facts, path) for path in ("x", "to", "to.name", "x.name", "to.x")] == [
        *("a", "b", "c", "d", "b")
    ]
    assert declared({"to": "b"}, "from") is None


def test_the_canonical_form() -> None:
    assert canonical('{ "b": 1, "a": [ 2 ] }') == '{"a":[2],"b":1}'
    assert canonical("not json") == "not json"
    assert canonical("null") == "null"
    twice = '{"to":"a","to":"b"}'
    assert canonical(twice) == twice
    tricky = '{"a:\\"b":"c:d"}'
    assert canonical(f" {tricky} ") == tricky
    nested = '{"a":[{"b":1,"b":2}]}'
    assert canonical(nested) == nested


@given(json_values)
def test_the_same_json_has_the_same_form(value: object) -> None:
    compact = json.dumps(value, separators=(",", ":"))
    wide = json.dumps(value, indent=3, ensure_ascii=False)
    assert canonical(compact) == canonical(wide) or value is None
    assert parsed(canonical(wide)) == value
