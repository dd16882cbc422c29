# SPDX-License-Identifier: AGPL-3.0-or-later
"""Strategies for what people and networks put into messages."""

from hypothesis import strategies as st

from haoya.core.capabilities import Capabilities
from haoya.core.message import (
    Address,
    Audio,
    Blob,
    Button,
    Card,
    Code,
    File,
    Image,
    Link,
    Location,
    Mention,
    Native,
    Outbound,
    Quote,
    Reading,
    Text,
    Video,
)

FAMILY = "👨‍👩‍👧‍👦"
FLAGS = "🇨🇳🇩🇪"
PIECES = [
    "hello",
    "word ",
    "你好，世界。",
    "好",
    "ok\n",
    "\n\n",
    "  ",
    "\t",
    "\r\n",
    "é",
    "e\u0301",
    "นี้",
    "각",
    "שלום",
    "مرحبا",
    "\u202eRTL\u202c",
    FAMILY,
    "👍🏽",
    "❤️",
    FLAGS,
    "🇨",
    "\u200b",
    "\u3000",
    "a" * 30,
    "好" * 30,
    "😀" * 20,
    FAMILY * 3,
    FLAGS * 20,
    "o" + "\u0308" * 12,
    "\x00",
    "\u2028",
]
MARKS = [
    *("**bold**", "_it_", "`code`", "[a](http://x.y)", "# head\n", "> quote\n", "- item\n"),
    *("1. one\n", "```py\ncode\n```\n", "~~no~~", "&amp;", "\\*", "<b>", "![alt](u)", "---\n"),
    *("| a | b |\n|---|---|\n| 1 | 2 |\n", "***", "__", "](", "[", "`", "    indented\n"),
]

mixed = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
texts = mixed | st.text(max_size=120)
markdowns = (
    st.lists(st.sampled_from(MARKS + PIECES) | st.text(max_size=6), max_size=14).map("".join)
    | texts
)

capabilities = st.builds(
    Capabilities,
    max_length=st.integers(4, 40) | st.sampled_from([400, 4096]),
    unit=st.sampled_from(["utf8", "chars", "utf16"]),
    multiline=st.booleans(),
    markup=st.sampled_from(["none", "spans", "markdown"]),
    says=st.sets(
        st.sampled_from("text image audio video file code card link mention quote location".split())
    ).map(lambda kinds: frozenset({*kinds, "text"})),
    max_bytes=st.sampled_from([0, 10, 1000]),
    buttons=st.booleans(),
)

blobs = st.builds(
    Blob, sha256=st.just("00"), size=st.sampled_from([1, 100, 5000]), name=st.just("a.bin")
)
short = st.text(max_size=20)
media = st.one_of(
    *(st.builds(kind, blob=blobs, caption=texts) for kind in (Image, Audio, Video, File))
)
parts = st.one_of(
    st.builds(Text, text=texts),
    st.builds(Text, text=markdowns, markup=st.just("markdown")),
    st.builds(Mention, id=short, name=short),
    st.builds(Location, latitude=st.floats(-90, 90), longitude=st.floats(-180, 180), name=short),
    st.builds(Quote, text=texts, author=short),
    st.builds(Link, url=st.just("http://x.y"), title=short),
    st.builds(Button, label=st.text(min_size=1, max_size=8), value=short),
    st.builds(Card, title=short, text=texts, facts=st.just((("a", "1"),))),
    st.builds(Code, text=texts, language=st.just("py")),
    st.builds(Reading, value=st.floats(allow_nan=False, allow_infinity=False), unit=short),
    st.builds(Native, network=st.just("tg"), json=st.just("{}")),
    media,
)
outbounds = st.builds(
    Outbound,
    id=st.just("out"),
    address=st.just(Address(channel="c", room="r")),
    parts=st.lists(parts, max_size=5).map(tuple),
    reply_to=st.just("7"),
    answers=st.just(("7", "8")),
    ttl=st.just(5.0),
    priority=st.just(2),
)
