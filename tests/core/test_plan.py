# SPDX-License-Identifier: AGPL-3.0-or-later
"""From what we want to say to what a network carries: `plan` over all capabilities."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from haoya.core.capabilities import Capabilities, length
from haoya.core.message import (
    Address,
    Audio,
    Blob,
    Button,
    Card,
    Code,
    Image,
    Link,
    Mention,
    Outbound,
    Part,
    Quote,
    Reading,
    Span,
    Text,
    text_of,
)
from haoya.core.plan import plan
from tests.core.words import capabilities, media, outbounds

MEDIA = ("image", "audio", "video", "file")
ADDRESS = Address(channel="c", room="r")
RICH = Capabilities(
    max_length=4096,
    markup="spans",
    says=frozenset({"text", *MEDIA}),
    max_bytes=1000,
    buttons=True,
)


def outbound(*parts: Part) -> Outbound:
    return Outbound(id="m", address=ADDRESS, parts=parts, reply_to="7")


def shown(*parts: Part, can: Capabilities = RICH) -> list[tuple[Part, ...]]:
    return [piece.parts for piece in plan(outbound(*parts), can).pieces]


@given(outbounds, capabilities)
def test_every_piece_fits_the_network(out: Outbound, can: Capabilities) -> None:
    for piece in plan(out, can).pieces:
        first, *rest = piece.parts
        if isinstance(first, Text):
            assert length(first.text, can.unit) <= can.max_length
            assert can.buttons or not rest
            assert all(isinstance(part, Button) for part in rest)
        else:
            kind = str(first.__struct_config__.tag)
            assert kind in MEDIA and kind in can.says and not rest
            assert isinstance(first, Image | Audio) or hasattr(first, "blob")
            size = getattr(first, "blob").size  # noqa: B009 - one of four types
            assert not can.max_bytes or size <= can.max_bytes


@given(outbounds, capabilities)
def test_spans_stay_inside_their_piece(out: Outbound, can: Capabilities) -> None:
    for piece in plan(out, can).pieces:
        first = piece.parts[0]
        if isinstance(first, Text):
            assert not first.spans or can.markup == "spans"
            for span in first.spans:
                assert 0 <= span.start < span.start + span.length <= len(first.text)


@given(outbounds, capabilities)
def test_nothing_that_was_to_be_said_vanishes(out: Outbound, can: Capabilities) -> None:
    said = "".join(text_of(piece.parts) for piece in plan(out, can).pieces)
    for part in out.parts:
        if isinstance(part, Button):
            assert all(letter in said for letter in part.label if not letter.isspace())
        elif isinstance(part, Text) and part.markup == "plain":
            assert all(letter in said for letter in part.text if not letter.isspace())
    if any(text_of((part,)).strip() for part in out.parts if not isinstance(part, Text)):
        assert said


@given(outbounds, capabilities)
def test_pieces_keep_what_identifies_and_steers_a_message(out: Outbound, can: Capabilities) -> None:
    pieces = plan(out, can).pieces
    ids = [piece.id for piece in pieces]
    assert ids == ([out.id] if len(ids) == 1 else [f"{out.id}#{i}" for i in range(len(ids))])
    for i, piece in enumerate(pieces):
        assert piece.reply_to == (out.reply_to if i == 0 else "")
        bare = msgspec.structs.replace(piece, id=out.id, parts=out.parts, reply_to=out.reply_to)
        assert bare == out


@given(outbounds, capabilities)
def test_what_is_lost_is_told_and_nothing_else(out: Outbound, can: Capabilities) -> None:
    lost = plan(out, can).lost
    assert len(set(lost)) == len(lost)
    kinds = {str(part.__struct_config__.tag) for part in out.parts}
    assert set(lost) <= kinds - {"text"}
    assert ("button" in lost) == ("button" in kinds and not can.buttons)
    for kind in set(lost) & set(MEDIA):
        big = [p for p in out.parts if _tag(p) == kind and not _small(p, can)]
        assert kind not in can.says or big


@given(outbounds, capabilities)
def test_planning_twice_gives_the_same(out: Outbound, can: Capabilities) -> None:
    assert plan(out, can) == plan(out, can)


@given(st.lists(media, min_size=1, max_size=3))
def test_media_a_network_carries_are_pieces_of_their_own(found: list[Part]) -> None:
    can = msgspec.structs.replace(RICH, max_bytes=0)
    kinds = [_tag(parts[0]) for parts in shown(*found, can=can) if _tag(parts[0]) != "text"]
    assert kinds == [_tag(part) for part in found]


def test_media_too_large_or_unknown_become_their_name() -> None:
    big = Image(blob=Blob(sha256="00", size=2000, name="cat.jpg"), caption="look")
    planned = plan(outbound(big), RICH)
    assert text_of(planned.pieces[0].parts) == "[image: cat.jpg] look"
    assert planned.lost == ("image",)
    assert plan(outbound(big), Capabilities()).lost == ("image",)


def test_a_long_caption_follows_its_picture_as_words() -> None:
    long = "word " * 400
    picture, words = shown(Image(blob=Blob(sha256="00", size=1), caption=long))
    assert picture == (Image(blob=Blob(sha256="00", size=1)),)
    assert text_of(words) == long.strip()


def test_words_around_a_picture_keep_their_order() -> None:
    picture = Image(blob=Blob(sha256="00", size=1))
    kinds = [_tag(body[0]) for body in shown(Text(text="a"), picture, Text(text="b"))]
    assert kinds == ["text", "image", "text"]


def test_buttons_become_a_numbered_list_where_there_are_none() -> None:
    question = (Text(text="May I?"), Button(label="Yes", value="y"), Button(label="No", value="n"))
    assert [text_of(body) for body in shown(*question, can=Capabilities())] == [
        "May I?\n1. Yes\n2. No"
    ]
    assert plan(outbound(*question), Capabilities()).lost == ("button",)


def test_buttons_stand_on_the_last_piece() -> None:
    can = msgspec.structs.replace(RICH, max_length=10)
    *before, last = shown(Text(text="one two three four"), Button(label="Yes", value="y"), can=can)
    assert all(len(body) == 1 for body in before)
    assert last[1:] == (Button(label="Yes", value="y"),)


def test_buttons_without_words_are_not_lost() -> None:
    (body,) = shown(Button(label="Yes", value="y"), Button(label="No", value="n"))
    assert text_of(body[:1]).strip()
    assert body[1:] == (Button(label="Yes", value="y"), Button(label="No", value="n"))


def test_cards_are_words_with_a_bold_title() -> None:
    card = Card(title="Tea", text="hot", facts=(("grams", "5"),))
    assert shown(card) == [
        (Text(text="Tea\nhot\ngrams: 5", spans=(Span(start=0, length=3, style="bold"),)),)
    ]
    assert text_of(shown(card, can=Capabilities())[0]) == "Tea\nhot\ngrams: 5"
    assert plan(outbound(card), Capabilities()).lost == ("card",)


def test_code_is_set_apart_where_that_can_be_shown() -> None:
    code = Code(text="x = 1", language="py")
    spans = (Span(start=0, length=5, style="pre", value="py"),)
    assert shown(code) == [(Text(text="x = 1", spans=spans),)]
    assert plan(outbound(code), RICH).lost == ()
    assert plan(outbound(code), Capabilities()).lost == ("code",)


def test_markdown_becomes_the_networks_own_dialect() -> None:
    text = Text(text="see **[here](http://x.y)**", markup="markdown")
    plain = Capabilities()
    assert text_of(shown(text, can=plain)[0]) == "see here (http://x.y)"
    ((spanned,),) = shown(text)
    assert isinstance(spanned, Text) and spanned.text == "see here"
    assert {span.style for span in spanned.spans} == {"bold", "link"}
    native = msgspec.structs.replace(plain, markup="markdown")
    assert shown(text, can=native) == [(Text(text=text.text, markup="markdown"),)]


def test_an_address_that_is_its_own_words_is_not_repeated() -> None:
    text = Text(text="<http://x.y> and [a](b) [c](d)", markup="markdown")
    assert text_of(shown(text, can=Capabilities())[0]) == "http://x.y and a (b) c (d)"


def test_styles_move_with_their_words_and_are_cut_with_them() -> None:
    parts = (Text(text="first"), Text(text="**bold words here**", markup="markdown"))
    can = msgspec.structs.replace(RICH, max_length=12)
    texts = [body[0] for body in shown(*parts, can=can)]
    assert [(t.text, t.spans) for t in texts if isinstance(t, Text)] == [
        ("first", ()),
        ("bold words", (Span(start=0, length=10, style="bold"),)),
        ("here", (Span(start=0, length=4, style="bold"),)),
    ]


def test_small_parts_are_said_in_their_plainest_form() -> None:
    parts = (
        Mention(id="7", name="Ann"),
        Quote(text="so be it", author="Bo"),
        Link(url="http://x.y", title="here"),
        Reading(value=21.5, unit="°C"),
    )
    planned = plan(outbound(*parts), Capabilities())
    assert text_of(planned.pieces[0].parts) == "@Ann\n> Bo:\n> so be it\nhere http://x.y\n21.5 °C"
    assert planned.lost == ("mention", "quote", "link", "reading")


def test_a_message_with_nothing_to_say_has_no_pieces() -> None:
    assert plan(outbound(), RICH).pieces == ()
    assert plan(outbound(Text(text=" \n ")), RICH).pieces == ()


def _tag(part: Part) -> str:
    return str(part.__struct_config__.tag)


def _small(part: Part, can: Capabilities) -> bool:
    size = part.blob.size if hasattr(part, "blob") else 0  # pyright: ignore
    return not can.max_bytes or size <= can.max_bytes
