# SPDX-License-Identifier: AGPL-3.0-or-later
"""The line protocol as laws, for any line and any text."""

import base64

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from haoya.channels.irc.outbox import Pace
from haoya.channels.irc.registration import Registration
from haoya.channels.irc.settings import IrcSettings
from haoya.channels.irc.wire import (
    MAX_BYTES,
    Message,
    addressed,
    escape,
    features,
    fold,
    parse,
    sasl_plain,
    sayable,
    serialise,
    text_bytes,
    unescape,
)
from haoya.core.errors import ConfigError, Rejected, Unready

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=60)
names = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r\n :@"), min_size=1, max_size=9
)
commands = st.sampled_from(["PRIVMSG", "001", "JOIN", "CAP"])
keys = st.from_regex(r"[+]?[a-z]{1,8}(/[a-z]{1,8})?", fullmatch=True)
messages = st.builds(
    lambda command, middle, last, source, tags: Message(
        command=command, params=(*middle, last), source=source, tags=tags
    ),
    commands,
    st.lists(names, max_size=4),
    texts,
    st.just("") | names,
    st.dictionaries(
        keys, st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=3
    ),
)


@given(messages)
def test_what_is_written_is_read_back(message: Message) -> None:
    assert parse(serialise(message)) == message


@given(st.binary(max_size=600))
def test_any_bytes_can_be_read(line: bytes) -> None:
    message = parse(line)
    assert message is None or message.command


@given(st.text(max_size=600), st.text(max_size=600))
def test_a_written_line_is_one_line_that_fits_and_is_whole_utf8(first: str, last: str) -> None:
    line = serialise(Message(command="PRIVMSG", params=(first, last)))
    assert len(line) <= MAX_BYTES and line.endswith(b"\r\n")
    assert not set(line[:-2]) & {0, 10, 13}
    line.decode("utf-8")


@given(st.text())
def test_tag_values_survive_and_hold_no_separator(value: str) -> None:
    assert unescape(escape(value)) == value
    assert not set(escape(value)) & set("; \r\n")


@given(st.text(max_size=400), st.integers(8, 80))
def test_sayable_lines_fit_and_lose_no_word(text: str, limit: int) -> None:
    text = text.encode("utf-8", "replace").decode()
    lines = sayable(text, limit)
    assert all(0 < len(line.encode()) <= limit and line.strip() for line in lines)
    assert not set("".join(lines)) & set("\0\1\r\n")
    kept = text.translate({0: None, 1: None})
    assert "".join("".join(lines).split()) == "".join(kept.split())


@given(st.text(max_size=40), st.text(max_size=40))
def test_what_is_sayable_arrives_whole_under_the_longest_mask(nick: str, text: str) -> None:
    nick = "n" * 30
    limit = text_bytes({}, nick="haoya", username="haoya", target=20)
    for line in sayable((text + "好") * 30, limit):
        source = f"{nick}!~{'u' * 10}@{'h' * 63}"
        seen = Message(command="PRIVMSG", params=("#" * 20, line), source=source)
        arrived = parse(serialise(seen))
        assert arrived is not None
        assert arrived.params[-1] == line.encode("utf-8", "replace").decode()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"PING :a b\r\n", Message(command="PING", params=("a b",))),
        (b":irc.x 001 me\r\n", Message(command="001", params=("me",), source="irc.x")),
        (b"@a=1;b :n!u@h privmsg  #x  :\r\n", None),
        (b"@only=tags\r\n", None),
        (b" \r\n", None),
        (b":just.a.source\r\n", None),
        (b"PRIVMSG x :\xff\xe5\xa5\xbd\r\n", Message(command="PRIVMSG", params=("x", "�好"))),
    ],
)
def test_lines_of_all_kinds(line: bytes, expected: Message | None) -> None:
    if line.startswith(b"@a"):
        tags = {"a": "1", "b": ""}
        expected = Message(command="PRIVMSG", params=("#x", ""), source="n!u@h", tags=tags)
    assert parse(line) == expected


@given(st.text(max_size=30), st.text(max_size=30))
def test_being_addressed_never_makes_words_of_nothing(before: str, after: str) -> None:
    called, rest = addressed(before + after, ["haoya"])
    assert called or rest == before + after
    called, rest = addressed(f"{before} haoya {after}", ["haoya"])
    assert called and rest


@given(st.text(max_size=20), st.sampled_from(["ascii", "rfc1459", "strict-rfc1459", "odd"]))
def test_folding_twice_is_folding_once(name: str, mapping: str) -> None:
    assert fold(fold(name, mapping), mapping) == fold(name, mapping)


@given(st.text(max_size=300), st.text(max_size=600))
def test_sasl_pieces_are_short_and_whole(user: str, password: str) -> None:
    user, password = (part.encode("utf-8", "replace").decode() for part in (user, password))
    pieces = sasl_plain(user, password)
    assert all(0 < len(piece) <= 400 for piece in pieces) and len(pieces[-1]) < 400
    packed = "".join(piece for piece in pieces if piece != "+")
    assert base64.b64decode(packed).decode() == f"{user}\0{user}\0{password}"


@given(st.integers(1, 10), st.floats(0.1, 5), st.lists(st.floats(0, 10), max_size=60))
def test_no_window_holds_more_lines_than_the_pace_allows(
    burst: int, seconds: float, rests: list[float]
) -> None:
    pace, now, gone = Pace(burst=burst, seconds=seconds), 0.0, list[float]()
    for rest in rests:
        now += rest
        now += pace.wait(now)
        pace.charge(now)
        gone.append(now)
    for first in range(len(gone) - burst):
        assert gone[first + burst] - gone[first] >= seconds - 1e-6


def test_features_are_read_from_isupport() -> None:
    line = parse(b":s 005 me NICKLEN=9 PENALTY CHANTYPES=# :are supported\r\n")
    assert line is not None
    assert features(line.params) == {"NICKLEN": "9", "PENALTY": "", "CHANTYPES": "#"}


def registering(**settings: str) -> Registration:
    return Registration(
        IrcSettings(host="irc.test", nick="haoya", **settings), sasl_password="geheim"
    )


def test_a_taken_nick_is_followed_by_others_until_none_is_left() -> None:
    registration = registering()
    tried = {"haoya"}
    with pytest.raises(Unready, match="taken"):
        for _ in range(20):
            (line,) = registration.hear(
                Message(command="433", params=("*", registration.nick, "x"))
            )
            assert line.command == "NICK" and line.params[0] not in tried
            tried.add(line.params[0])
    assert len(tried) > 5


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        (b":s 464 * :Password incorrect", Rejected, "Password incorrect"),
        (b":s 465 * :You are banned from this server", Rejected, "banned"),
        (b"ERROR :Closing Link: h (K-Lined)", Rejected, "K-Lined"),
        (b"ERROR :Access denied: Bad password?", Rejected, "Bad password"),
        (b"ERROR :Trying to reconnect too fast.", Unready, "too fast"),
        (b"ERROR :Server going down", Unready, "going down"),
        (b":s 432 * haoya :Erroneous nickname", ConfigError, "Erroneous nickname"),
        (b":s 904 * :SASL authentication failed", Rejected, "SASL authentication failed"),
        (b":s 906 * :SASL authentication aborted", Unready, "aborted"),
        (b":s 001 haoya :welcome", Unready, "SASL"),
    ],
)
def test_refusals_are_told_apart_and_keep_their_words(
    line: bytes, error: type[Exception], words: str
) -> None:
    message = parse(line)
    assert message is not None
    with pytest.raises(error, match=words):
        registering(sasl_user="haoya", sasl_password="geheim").hear(message)


@given(st.lists(messages, max_size=30))
def test_no_server_can_break_the_registration(lines: list[Message]) -> None:
    registration = registering()
    try:
        for line in lines:
            registration.hear(line)
    except (Rejected, Unready, ConfigError):
        pass


@pytest.mark.parametrize(
    ("settings", "encrypted", "port"),
    [
        ({}, True, 6697),
        ({"tls": False}, False, 6667),
        ({"tls": True}, True, 6697),
        ({"port": 6667}, False, 6667),
        ({"port": 6697}, True, 6697),
        ({"port": 7000, "tls": True}, True, 7000),
    ],
)
def test_the_line_is_encrypted_unless_told_otherwise(
    settings: dict[str, object], encrypted: bool, port: int
) -> None:
    written = IrcSettings.model_validate({"host": "irc.test", "nick": "haoya", **settings})
    assert (written.encrypted, written.port_number) == (encrypted, port)


@pytest.mark.parametrize(
    "wrong",
    [
        {"nick": "two words"},
        {"nick": "1st"},
        {"rooms": ["kitchen"]},
        {"rooms": ["#a,#b"]},
        {"rooms": ["#a\r\nQUIT"]},
        {"sasl_user": "haoya"},
        {"host": "a b"},
        {"port": 0},
        {"colour": "red"},
        {"access": "closed"},
        {"username": "a b"},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError):
        IrcSettings.model_validate({"host": "irc.test", "nick": "haoya"} | wrong)
