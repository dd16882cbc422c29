# SPDX-License-Identifier: AGPL-3.0-or-later
"""Markdown as plain words with styled spans, for any text a model may write."""

import pytest
from hypothesis import example, given

from haoya.core.markdown import spans_of
from haoya.core.message import Span
from tests.core.words import markdowns

Styled = list[tuple[str, str]]


def styled(markdown: str) -> tuple[str, Styled]:
    """The words, and each style with the words it lies on."""
    text, spans = spans_of(markdown)
    return text, [(s.style, text[s.start : s.start + s.length]) for s in spans]


@given(markdowns)
@example("**a&nbsp;**")
@example("[a](\ud800)")
@example("> > > > > > > > > > > > > > > > > > > > > > - x")
@example("[" * 300)
@example("&#0; &#xd800; &#x110000;")
def test_any_text_becomes_words_with_spans_inside_them(markdown: str) -> None:
    text, spans = spans_of(markdown)
    for span in spans:
        assert 0 <= span.start < span.start + span.length <= len(text)
    assert list(spans) == sorted(spans, key=lambda s: (s.start, -s.length))


@given(markdowns)
def test_spans_nest_and_never_cross(markdown: str) -> None:
    _, spans = spans_of(markdown)
    for one in spans:
        for other in spans:
            if one.start < other.start < one.start + one.length:
                assert other.start + other.length <= one.start + one.length


@given(markdowns)
def test_letters_survive(markdown: str) -> None:
    """What people read stays: Han signs are never marks of Markdown."""
    text, spans = spans_of(markdown)
    known = text + "".join(span.value for span in spans)
    assert all(known.count(sign) >= 1 for sign in set("你好世界") & set(markdown))


CASES: list[tuple[str, str, Styled]] = [
    ("plain words", "plain words", []),
    ("a **b** c", "a b c", [("bold", "b")]),
    ("__b__ *i* _i_", "b i i", [("bold", "b"), ("italic", "i"), ("italic", "i")]),
    ("***both***", "both", [("bold", "both"), ("italic", "both")]),
    ("**b _i_ b**", "b i b", [("bold", "b i b"), ("italic", "i")]),
    ("~~gone~~", "gone", [("strike", "gone")]),
    ("`x = *1*`", "x = *1*", [("code", "x = *1*")]),
    ("[here](http://x.y)", "here", [("link", "here")]),
    ("<http://x.y>", "http://x.y", [("link", "http://x.y")]),
    ("![a cat](cat.png)", "a cat", [("link", "a cat")]),
    ("# Title\n\ntext", "Title\n\ntext", [("bold", "Title")]),
    ("Title\n=====\ntext", "Title\n\ntext", [("bold", "Title")]),
    ("> so be it", "so be it", [("quote", "so be it")]),
    ("> a\n> b\n\nc", "a\nb\n\nc", [("quote", "a\nb")]),
    ("- a\n- b", "• a\n• b", []),
    ("1. a\n2. b", "1. a\n2. b", []),
    ("3. a\n3. b", "3. a\n4. b", []),
    ("0. a\n1. b", "0. a\n1. b", []),
    ("- a\n  - b\n- c", "• a\n  • b\n• c", []),
    ("- a\n\n  more\n- b", "• a\nmore\n• b", []),
    ("text\n- a\n\nafter", "text\n\n• a\n\nafter", []),
    ("```py\nx = 1\n\ny\n```", "x = 1\n\ny", [("pre", "x = 1\n\ny")]),
    ("    indented", "indented", [("pre", "indented")]),
    ("a\n\n---\n\nb", "a\n\n———\n\nb", []),
    ("a  \nb", "a  \nb", []),
    ("**a**  \nb", "a\nb", [("bold", "a")]),
    ("| a | b |\n|---|---|\n| 1 | 2 |", "a | b\n1 | 2", []),
    ("2 * 3 * 4", "2 * 3 * 4", []),
    (r"\*not italic\*", "*not italic*", []),
    ("AT&amp;T", "AT&T", []),
    ("<b>raw</b>", "<b>raw</b>", []),
    ("snake_case_name", "snake_case_name", []),
    ("**粗体**文字", "粗体文字", [("bold", "粗体")]),
    ("> > > > - x", "• x", [("quote", "• x")] * 4),
    ("a\n\n> > > > > - x", "a\n\n• x", [("quote", "• x")] * 5),
]


@pytest.mark.parametrize(("markdown", "text", "spans"), CASES, ids=[case[0] for case in CASES])
def test_commonmark(markdown: str, text: str, spans: Styled) -> None:
    assert styled(markdown) == (text, spans)


def test_links_and_code_carry_their_value() -> None:
    assert spans_of("[a](http://x.y)")[1] == (
        Span(start=0, length=1, style="link", value="http://x.y"),
    )
    assert spans_of("```py title\nx\n```")[1] == (Span(start=0, length=1, style="pre", value="py"),)
    assert spans_of("[a]()")[1] == (Span(start=0, length=1, style="link"),)


def test_empty_marks_leave_no_spans() -> None:
    assert spans_of("[](http://x.y)") == ("", ())
    assert spans_of("```\n```") == ("", ())
    assert spans_of("#") == ("", ())
