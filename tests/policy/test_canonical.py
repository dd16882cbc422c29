# SPDX-License-Identifier: AGPL-3.0-or-later
"""A value stands in a text whole, however it is written, and never as a piece of a longer one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haoya.policy.canonical import (
    accounts,
    codes,
    fold,
    link,
    links,
    mails,
    phones,
    pointers,
    same,
    stands,
    tokens,
)

STANDS = [
    ("bob@x.com", "write to bob@x.com, please"),
    ("bob@x.com", "Write to BOB@X.COM."),
    ("bob@x.com", "(bob@x.com)"),
    ("Bob", "Bob's house"),
    ("Ｂｏｂ", "bob"),
    ("B\u200bob", "bob"),
    ("general", "the 'general' channel"),
    ("a b", "a\n  b"),
    ("bob", "给bob发邮件"),
    ("张三", "发给张三"),
    ("张三", "把它给张三，谢谢"),
    ("张三", "张三和李四"),
    ("www.a.com", "on her site: www.a.com"),
    ("report", "the report."),
    ("x.com", "see x.com... later"),
    ("1200", "rent is 1200"),
    ("bob", "bob. Then more"),
    ("bob", "bob.然后"),
]
STANDS_NOT = [
    ("bob@x.com", "bob@x.com.evil.net"),
    ("bob@x.com", "bob@x.community"),
    ("bob@x.com", "evil-bob@x.com"),
    ("bob@x.com", "a.bob@x.com"),
    ("bob@x.com", "a+bob@x.com"),
    ("x.com", "bob@x.com"),
    ("x.com", "x.com/evil"),
    ("x.com", "x.com:8080"),
    ("www.a.com", "www.a.com?b=c"),
    ("general", "general-chat"),
    ("general", "generally"),
    ("general", "ageneral"),
    ("120", "1200"),
    ("1200", "1200.50"),
    ("张三", "张三丰"),
    ("三丰", "张三丰"),
    ("", "anything"),
    (" .,;", "anything"),
    ("bob", ""),
    ("x.com", "x.com//evil"),
]


@pytest.mark.parametrize(("value", "text"), STANDS)
def test_a_value_stands_where_it_is_written(value: str, text: str) -> None:
    assert stands(value, text)


@pytest.mark.parametrize(("value", "text"), STANDS_NOT)
def test_a_piece_of_something_longer_is_something_else(value: str, text: str) -> None:
    assert not stands(value, text)


@given(st.text(min_size=1, max_size=12), st.sampled_from("abz09._-@/"), st.booleans())
def test_nobody_makes_a_value_his_by_writing_on(value: str, more: str, before: bool) -> None:
    text = f"{more}x{value}" if before else f"{value}x{more}"
    if value.strip(" .,;")[:1].isascii() and value.isalnum() and value.isascii():
        assert not stands(value, text) or value in text.replace(value, "", 1)


def test_folding_keeps_what_can_be_told_apart() -> None:
    assert fold("  A\t‘b’ – “C”\u00ad ") == "a 'b' - \"c\""
    assert fold("раураl") != fold("paypal")


def test_tokens_are_words_numbers_and_single_han() -> None:
    assert tokens("Re-open A1 2张 é été_x") == ("re", "open", "a1", "2", "张", "é", "été", "x")


LINKS = [
    ("https://Example.org/A/", "example.org/A"),
    ("HTTP://example.org:80", "example.org"),
    ("https://example.org:443/x", "example.org/x"),
    ("https://example.org:8443/x", "example.org:8443/x"),
    ("www.a.com.", "www.a.com"),
    ("a.com/b,", "a.com/b"),
]


@pytest.mark.parametrize(("written", "same_as"), LINKS)
def test_a_link_has_one_form(written: str, same_as: str) -> None:
    assert link(written) == same_as


def test_links_are_found_and_files_are_none() -> None:
    text = "See https://a.org/x?q=1, www.b.com (c.net/d) or notes.txt, v1.2, e.g. report.final.docx"
    assert links(text) == {"a.org/x?q=1", "www.b.com", "c.net/d"}
    assert links("bob@a.org") == frozenset()
    assert links("sub.domain.example.co:8080/p") == {"sub.domain.example.co:8080/p"}
    assert links("看www.b.com，好") == {"www.b.com"}
    assert links("http://notes.txt") == {"notes.txt"}
    assert links("HTTP://EVIL.ORG/Path") == {"evil.org/Path"}


def test_addresses_accounts_and_phones_are_found() -> None:
    assert mails("A.B+c@X.org., d@e.co") == {"a.b+c@x.org", "d@e.co"}
    assert accounts("GB29 NWBK 6016 1331 9268 19 or de89370400440532013000") == {
        "gb29nwbk60161331926819",
        "de89370400440532013000",
    }
    assert phones("call +1 (555) 010-9999 or 13800138000, not 2024-05-01 10:00 or 12345") == {
        "+15550109999",
        "13800138000",
    }
    assert phones("1" * 17) == frozenset()
    assert pointers("a@b.co, c.org, 13800138000, GB29NWBK60161331926819") >= {
        "a@b.co",
        "c.org",
        "13800138000",
        "gb29nwbk60161331926819",
    }
    assert pointers("plain words, 12 of them on 2024-05-01") == frozenset()


def test_the_same_value_in_another_form_is_the_same() -> None:
    assert same("GB29NWBK60161331926819", "to GB29 NWBK 6016 1331 9268 19.")
    assert same("+8613800138000", "+86 138 0013 8000")
    assert same("https://a.org/x/", "see a.org/x")
    assert same("a.org/x", "see <https://a.org/x>")
    assert not same("a.org/x", "see a.org/y")
    assert not same("GB29NWBK60161331926819", "GB29 NWBK 6016 1331 9268 18")
    assert not same("pay bob@x.com now", "bob@x.com")
    assert not same("13800138000 ext 5", "138 0013 8000")
    assert not same("a@b.co c@d.co", "c@d.co a@b.co")
    assert not same("", "x")
    assert same("bob@x.com", "mailto <BOB@x.com>")


def test_codes_are_what_could_open_something() -> None:
    assert codes("HGK137803 and 4237-4252-7456-2574, 463820") == {
        "hgk137803",
        "4237425274562574",
        "463820",
    }
    assert codes("GB29 NWBK 6016 1331 9268 19") == {"gb29nwbk60161331926819"}
    assert codes("in 2024, on 2024-05-01 at 10:00 for 1200.50, abcdefgh, a-b-c-d-e") == frozenset()


def test_what_cannot_be_seen_does_not_count() -> None:
    hidden = [0xAD, 0x34F, 0x61C, *range(0x200B, 0x2010), *range(0x202A, 0x202F)]
    hidden += [*range(0x2060, 0x206A), 0xFEFF]
    assert all(fold(f"bo{chr(one)}b") == "bob" for one in hidden)
    assert all(fold(f"bo{chr(one)}b") != "bob" for one in (0xAE, 0x350, 0x61D, 0x2010, 0x202F))
    assert link(f"a{chr(0xFEFF)}.org") == "a.org"


def test_edges_of_texts_and_sizes_of_numbers() -> None:
    assert stands("a.org/", "a.org/") and stands("x", "x") and stands("x", ".x.")
    assert not stands("b", "a.b") and not stands("b", "b.a")
    assert phones("1234567") == {"1234567"} and phones("123 456") == frozenset()
    assert len(phones("1234567890123456")) == 1 and not phones("12345678901234567")
    assert codes("a-1234") == codes("abc123") == frozenset()
    assert codes("ab1234") == {"ab1234"} and codes("a12345") == {"a12345"}
    assert codes("abc12345") == {"abc12345"} and codes("12-34") == frozenset()
    assert links("see http://a and b.md or c/d") == {"a"}
    assert links("www.notes.txt") == {"www.notes.txt"}
    assert links("a.org/notes.txt") == {"a.org/notes.txt"}
    assert not same("x13800138000", "138 0013 8000") and same("138-0013-8000", "13800138000")
    assert not same("a1380013800", "1380013800")
