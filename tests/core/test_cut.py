# SPDX-License-Identifier: AGPL-3.0-or-later
"""Cutting words by a network's own length: nothing lost, nothing too long, nothing torn."""

import regex
from hypothesis import example, given

from haoya.core.capabilities import Capabilities, length
from haoya.core.plan import cut
from tests.core.words import FAMILY, FLAGS, capabilities, texts

GRAPHEMES = regex.compile(r"\X")


@given(texts, capabilities)
def test_every_piece_fits_and_says_something(text: str, can: Capabilities) -> None:
    for piece in cut(text, can):
        assert piece.strip()
        assert length(piece, can.unit) <= can.max_length


@given(texts, capabilities)
def test_pieces_in_order_hold_everything_but_blank_edges(text: str, can: Capabilities) -> None:
    at = 0
    for piece in cut(text, can):
        found = text.index(piece, at)
        assert not text[at:found].strip()
        at = found + len(piece)
    assert not text[at:].strip()


@given(texts, capabilities)
@example("a" + FLAGS * 200, Capabilities(max_length=400))
@example("🇨" + FLAGS * 300, Capabilities(max_length=801, unit="utf16"))
@example("ab" + "o" + "\u0308" * 300, Capabilities(max_length=302))
def test_no_grapheme_cluster_that_fits_a_piece_is_torn(text: str, can: Capabilities) -> None:
    edges = {match.start() for match in GRAPHEMES.finditer(text)}
    long = any(length(c, can.unit) > can.max_length for c in GRAPHEMES.findall(text))
    at = 0
    for piece in cut(text, can):
        start = text.index(piece, at)
        at = start + len(piece)
        if long:
            continue
        assert start in edges or _blank_before(text, start), repr(piece)
        assert at == len(text) or at in edges or text[at].isspace(), repr(piece)


def _blank_before(text: str, start: int) -> bool:
    """A mark that combines with a blank (Unicode allows it) stays behind when the blank goes."""
    return (start > 0 and text[start - 1].isspace()) or text[:start].isspace()


@given(texts)
def test_what_fits_whole_stays_whole(text: str) -> None:
    can = Capabilities(max_length=max(4, len(text) * 4), unit="utf8")
    assert cut(text, can) == ([text.strip()] if text.strip() else [])


def test_a_line_end_is_a_better_place_than_a_blank() -> None:
    assert cut("one two\nthree four", Capabilities(max_length=14)) == ["one two", "three four"]
    assert cut("one two three", Capabilities(max_length=9)) == ["one two", "three"]


def test_long_words_are_cut_between_letters() -> None:
    assert cut("好" * 10, Capabilities(max_length=12, unit="utf8")) == [
        "好好好好",
        "好好好好",
        "好好",
    ]
    assert cut(FAMILY * 3, Capabilities(max_length=11, unit="utf16")) == [FAMILY] * 3


def test_a_cluster_longer_than_a_piece_is_broken_rather_than_lost() -> None:
    pieces = cut("o" + "\u0308" * 30, Capabilities(max_length=10))
    assert "".join(pieces) == "o" + "\u0308" * 30
    assert all(len(piece) <= 10 for piece in pieces)


def test_without_lines_every_line_is_a_piece_with_its_indent() -> None:
    can = Capabilities(multiline=False, max_length=10)
    text = "def f():\r\n    pass\n\n  long line here\n"
    assert cut(text, can) == ["def f():", "    pass", "  long", "line here"]


def test_blank_text_has_no_pieces() -> None:
    for text in ("", " \n\t ", "\u3000"):
        assert cut(text, Capabilities()) == []
        assert cut(text, Capabilities(multiline=False)) == []


def test_lengths_are_the_networks_own() -> None:
    assert length("é", "utf8") == 2
    assert length("\ud800", "utf8") == 3
    assert length("a😀好", "utf16") == 4
    assert length("a😀好", "chars") == 3
