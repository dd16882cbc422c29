# SPDX-License-Identifier: AGPL-3.0-or-later
"""Addresses, parts and events: they come back from their stored form as they were."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haoya.core.event import Admitted, Entry, Event, Received, Said, Stopped, kind_of
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
    Part,
    Quote,
    Reading,
    Text,
    Video,
    text_of,
)
from haoya.core.tool import Scene
from tests.core.words import outbounds

anything = st.text(max_size=30)
named = st.text(min_size=1, max_size=30)
BLOB = Blob(sha256="00", size=1, mime="image/png")


def encodable(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


addresses = st.builds(
    Address,
    channel=named.filter(encodable),
    space=anything.filter(encodable),
    room=named.filter(encodable),
    thread=anything.filter(encodable),
    kind=st.sampled_from(["dm", "group", "thread", "feed", "topic"]),
)


@given(addresses)
def test_an_address_comes_back_from_its_key(address: Address) -> None:
    assert Address.parse(address.key, address.kind) == address


@given(addresses, addresses)
def test_two_conversations_never_share_a_key(one: Address, other: Address) -> None:
    same = msgspec.structs.replace(one, kind="dm") == msgspec.structs.replace(other, kind="dm")
    assert (one.key == other.key) == same


@given(anything)
def test_a_key_that_is_none_is_refused_in_words(key: str) -> None:
    try:
        address = Address.parse(key)
    except ValueError as error:
        assert "channel/space/room" in str(error)
    else:
        assert address.channel and address.room
        assert Address.parse(address.key) == address


@pytest.mark.parametrize("key", ["", "a", "a/b", "a//", "//r", "a/b/c/d/e"])
def test_too_short_and_too_long_keys_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="not a conversation"):
        Address.parse(key)


@given(outbounds)
def test_a_message_comes_back_from_its_stored_form(outbound: Outbound) -> None:
    event = Said(outbound=outbound, turn=3)
    packed = msgspec.json.encode(event)
    assert msgspec.json.decode(packed, type=Event) == event


def test_every_event_has_a_name_of_its_own() -> None:
    kinds = [kind_of(kind) for kind in Event.__args__]
    assert len(set(kinds)) == len(kinds)
    assert kind_of(Stopped(turn=1, reason="x")) == kind_of(Stopped) == "stopped"


def test_fields_that_are_missing_in_old_lines_have_their_default() -> None:
    line = b'{"type":"admitted","of":1,"person":"tg:7","role":"member","parts":[]}'
    event = msgspec.json.decode(line, type=Event)
    assert isinstance(event, Admitted) and event.wakes and event.name == ""


def test_fields_of_newer_lines_are_passed_over() -> None:
    line = b'{"type":"stopped","turn":1,"reason":"x","mood":"fine"}'
    assert msgspec.json.decode(line, type=Event) == Stopped(turn=1, reason="x")


PLAIN: list[tuple[Part, str]] = [
    (Text(text="hi"), "hi"),
    (Code(text="x = 1", language="py"), "x = 1"),
    (Mention(id="7", name="Ann"), "@Ann"),
    (Mention(id="7"), "@7"),
    (Image(blob=BLOB), "[image: image/png]"),
    (Audio(blob=BLOB, caption="hm"), "[audio: image/png] hm"),
    (Video(blob=BLOB), "[video: image/png]"),
    (File(blob=Blob(sha256="00", size=1, name="a.txt")), "[file: a.txt]"),
    (Location(latitude=1.5, longitude=-2.25, name="Home"), "[location: Home 1.50000,-2.25000]"),
    (Quote(text="a\nb", author="Bo"), "> Bo:\n> a\n> b"),
    (Quote(text=""), "> "),
    (Link(url="http://x.y"), "http://x.y"),
    (Button(label="Yes", value="y"), "[Yes]"),
    (Card(title="T", facts=(("a", "1"),)), "T\na: 1"),
    (Reading(value=3), "3"),
    (Native(network="tg", json="{}"), "[tg]"),
]


@pytest.mark.parametrize(("part", "text"), PLAIN, ids=[type(part).__name__ for part, _ in PLAIN])
def test_parts_in_plain_words(part: Part, text: str) -> None:
    assert text_of((part,)) == text


def test_parts_stand_on_lines_of_their_own() -> None:
    assert text_of((Text(text="a"), Text(text=""), Text(text="b"))) == "a\nb"


def test_a_call_has_one_key_for_ever() -> None:
    scene = Scene(address=Address(channel="c", room="r"), person="c:7", turn=4, call="4.1.0")
    assert scene.key == "c//r:4:4.1.0"


@given(outbounds)
def test_words_are_frozen(outbound: Outbound) -> None:
    with pytest.raises(AttributeError):
        outbound.id = "other"  # type: ignore[misc]


def test_an_entry_points_at_what_it_is_about() -> None:
    assert issubclass(Entry, msgspec.Struct)
    assert {f.name for f in msgspec.structs.fields(Entry)} == {
        "number",
        "at",
        "conversation",
        "event",
    }
    assert "inbound" in {f.name for f in msgspec.structs.fields(Received)}
