# SPDX-License-Identifier: AGPL-3.0-or-later
"""Who may speak: the gate and the roster, as laws over any life they may have."""

from typing import Any, Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from haoya.core.event import CodeGiven, Entry, Event, Paired, Stopped, Unpaired
from haoya.core.message import Address, Inbound, InboundType, Sender, Text
from haoya.policy.access import Access, Admit, Gate, Refuse, answer_of, approved_code
from haoya.policy.principal import Principal, principal_of
from haoya.policy.roster import CODE_LENGTH, CODE_LETTERS, CODES_PER_CHANNEL, Roster

CHANNELS = ("pair", "free", "few", "door", "unknown")
RULES = {
    "pair": Access(),
    "free": Access(mode="open"),
    "few": Access(mode="list", ids=frozenset({"7", "bot7"})),
}
OWNERS = frozenset({"pair:boss"})
GATE = Gate(rules=RULES, doors=frozenset({"door"}), owners=OWNERS)
IDS = ("7", "8", "9", "boss", "bot7")


def message(
    channel: str,
    id: str,
    *,
    name: str = "Ann",
    direct: bool = True,
    called: bool = False,
    is_bot: bool = False,
    type: InboundType = "message",
    text: str = "hi",
) -> Inbound:
    return Inbound(
        id="1",
        address=Address(channel=channel, room="r", kind="dm" if direct else "group"),
        sender=Sender(id=id, name=name, is_bot=is_bot),
        type=type,
        parts=(Text(text=text),) if text else (),
        at=0,
        direct=direct,
        called=called or direct,
    )


class PairingLife(RuleBasedStateMachine):
    """Strangers knock, codes are given as the gateway gives them, owners approve and send away.

    `model` is what must be true, kept in the plainest way.
    """

    codes: Bundle[str] = Bundle("codes")

    def __init__(self) -> None:
        super().__init__()
        self.roster = Roster()
        self.now = 1000.0
        self.number = 0
        self.people: dict[str, str] = {}
        self.held: dict[str, tuple[str, float]] = {}
        self.given = 0

    def note(self, event: Event) -> None:
        self.number += 1
        entry = Entry(number=self.number, at=self.now, conversation="haoya//people", event=event)
        self.roster.note(entry)

    @rule(seconds=st.sampled_from([1.0, 600.0, 3599.0, 3600.0, 5000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        target=codes,
        channel=st.sampled_from(("pair", *CHANNELS)),
        id=st.sampled_from(IDS),
        name=st.sampled_from(["Ann", "boss", "7"]),
        direct=st.sampled_from([True, True, False]),
        is_bot=st.sampled_from([False, False, True]),
        kind=st.sampled_from(["message", "message", "edit", "action", "reaction"]),
    )
    def somebody_speaks(self, channel: str, id: str, name: str, **how: Any) -> Any:
        kind = how.pop("kind")
        inbound = message(channel, id, name=name, type=kind, **how)
        key = f"{channel}:{id}"
        verdict = GATE.admit(inbound, self.roster, self.now)
        may = channel == "door" or key in OWNERS or key in self.people or channel == "free"
        may = may or (channel == "few" and id in RULES["few"].ids)
        if not may:
            assert isinstance(verdict, Refuse)
        if not (isinstance(verdict, Refuse) and verdict.offer):
            return multiple()
        assert channel == "pair" and inbound.direct and not inbound.sender.is_bot
        live = {k for k, (_, expires) in self.held.items() if expires > self.now}
        assert key not in live and key not in self.people
        assert len(live) < CODES_PER_CHANNEL
        self.given += 1
        code = f"CODE{self.given:02}"
        self.note(CodeGiven(person=key, name=name, code=code, where="x", expires=self.now + 3600))
        self.held[key] = (code, self.now + 3600)
        return code

    @rule(code=codes, role=st.sampled_from(["owner", "member"]), lower=st.booleans())
    def owner_approves(self, code: str, role: str, lower: bool) -> None:
        holder = self.roster.holder(f" {code.lower() if lower else code} ", self.now)
        waits = {c: key for key, (c, expires) in self.held.items() if expires > self.now}
        assert (holder.key if holder else None) == waits.get(code)
        if holder is None:
            return
        self.note(Paired(person=holder.key, name=holder.name, role=role, by="door:owner"))
        self.people[holder.key] = role
        del self.held[holder.key]
        assert self.roster.holder(code, self.now) is None

    @rule(channel=st.sampled_from(CHANNELS), id=st.sampled_from(IDS))
    def owner_sends_away(self, channel: str, id: str) -> None:
        key = f"{channel}:{id}"
        self.note(Unpaired(person=key, by="door:owner"))
        self.people.pop(key, None)

    @rule()
    def something_else_is_written(self) -> None:
        self.note(Stopped(turn=1, reason="x"))

    @invariant()
    def the_roster_knows_exactly_who_was_let_in(self) -> None:
        assert {k: p.role for k, p in self.roster.people.items()} == self.people


TestPairingLife = PairingLife.TestCase
TestPairingLife.settings = settings(max_examples=80, deadline=None)


@pytest.mark.parametrize("type_", ["message", "edit", "delete", "reaction", "action", "reading"])
@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("direct", [True, False])
def test_no_stranger_is_ever_admitted(type_: InboundType, channel: str, direct: bool) -> None:
    inbound = message(channel, "stranger", type=type_, direct=direct, called=True)
    verdict = GATE.admit(inbound, Roster(), 0)
    known = channel in ("door", "free")
    wordless = type_ in ("delete", "reaction")
    assert isinstance(verdict, Admit) == (known and not wordless)


def test_a_name_opens_no_door() -> None:
    for name in ("boss", "pair:boss", "7"):
        verdict = GATE.admit(message("pair", "666", name=name), Roster(), 0)
        assert isinstance(verdict, Refuse)
    assert isinstance(GATE.admit(message("few", "8", name="7"), Roster(), 0), Refuse)


def test_an_id_counts_only_on_its_own_channel() -> None:
    roster = Roster([_entry(Paired(person="pair:8", name="Ann", role="member", by="x"))])
    assert isinstance(GATE.admit(message("pair", "8"), roster, 0), Admit)
    assert isinstance(GATE.admit(message("few", "8"), roster, 0), Refuse)
    assert isinstance(GATE.admit(message("unknown", "8"), roster, 0), Refuse)


@pytest.mark.parametrize(
    ("channel", "id", "role"),
    [
        ("door", "anybody", "owner"),
        ("pair", "boss", "owner"),
        ("few", "7", "member"),
        ("free", "x", "guest"),
    ],
)
def test_everybody_has_the_role_the_owner_gave(channel: str, id: str, role: str) -> None:
    verdict = GATE.admit(message(channel, id), Roster(), 0)
    assert isinstance(verdict, Admit) and verdict.role == role and verdict.wakes


def test_a_pairing_can_make_an_owner_and_be_taken_back() -> None:
    paired = _entry(Paired(person="pair:8", name="Ann", role="owner", by="x"))
    roster = Roster([paired])
    verdict = GATE.admit(message("pair", "8"), roster, 0)
    assert isinstance(verdict, Admit) and verdict.role == "owner"
    roster.note(_entry(Unpaired(person="pair:8", by="x")))
    assert isinstance(GATE.admit(message("pair", "8"), roster, 0), Refuse)


def test_a_pairing_with_a_role_nobody_knows_gives_no_rights_of_an_owner() -> None:
    roster = Roster([_entry(Paired(person="pair:8", name="Ann", role="emperor", by="x"))])
    verdict = GATE.admit(message("pair", "8"), roster, 0)
    assert isinstance(verdict, Admit) and verdict.role == "member"


def test_in_a_group_we_answer_only_when_called() -> None:
    heard = GATE.admit(message("few", "7", direct=False), Roster(), 0)
    assert isinstance(heard, Admit) and not heard.wakes
    called = GATE.admit(message("few", "7", direct=False, called=True), Roster(), 0)
    assert isinstance(called, Admit) and called.wakes
    guest = GATE.admit(message("free", "x", direct=False), Roster(), 0)
    assert isinstance(guest, Refuse) and not guest.offer
    stranger = GATE.admit(message("pair", "x", direct=False, called=True), Roster(), 0)
    assert isinstance(stranger, Refuse) and not stranger.offer


def test_bots_are_refused_unless_the_owner_named_them() -> None:
    assert isinstance(GATE.admit(message("free", "x", is_bot=True), Roster(), 0), Refuse)
    assert isinstance(GATE.admit(message("few", "bot7", is_bot=True), Roster(), 0), Admit)
    refusal = GATE.admit(message("pair", "x", is_bot=True), Roster(), 0)
    assert isinstance(refusal, Refuse) and not refusal.offer


def test_an_edit_is_context_and_wakes_nobody() -> None:
    verdict = GATE.admit(message("few", "7", type="edit"), Roster(), 0)
    assert isinstance(verdict, Admit) and not verdict.wakes


def test_nothing_is_answered_where_nothing_was_said() -> None:
    assert isinstance(GATE.admit(message("few", "7", text=""), Roster(), 0), Refuse)
    assert isinstance(GATE.admit(message("few", "7", type="reaction"), Roster(), 0), Refuse)


def test_only_so_many_strangers_hold_a_code_at_once() -> None:
    roster = Roster()
    for i in range(CODES_PER_CHANNEL):
        assert roster.may_ask(f"pair:{i}", 0)
        code = CodeGiven(person=f"pair:{i}", name="", code=f"C{i:05}", where="x", expires=3600)
        roster.note(_entry(code))
    assert not roster.may_ask("pair:new", 0)
    assert roster.may_ask("other:new", 0)
    assert roster.may_ask("pair:new", 3600)


def test_codes_are_of_letters_nobody_mistakes() -> None:
    assert len(CODE_LETTERS) == 32 and not set("01IO") & set(CODE_LETTERS)
    code = CODE_LETTERS[:CODE_LENGTH]
    assert approved_code(f"pair approve {code}") == code


Answer = Literal["yes", "no", "neither"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        *(
            (word, True)
            for word in ("yes", "Yes!", " y ", "OK", "sure.", "1", "好", "好的。", "可以")
        ),
        *((word, True) for word in ("同意", "行！", "是的", "嗯", "批准", "allow")),
        *(
            (word, False)
            for word in ("no", "No.", "2", "不", "不行。", "不要！", "取消", "拒绝", "STOP")
        ),
        *(
            (word, None)
            for word in ("", "yes, but later", "maybe", "好像不对", "不知道", "12", "noo")
        ),
        *((word, None) for word in ("yes no", "我同意你的看法", "👍")),
    ],
)
def test_only_a_plain_yes_is_yes(text: str, answer: bool | None) -> None:
    assert answer_of(text) is answer


@pytest.mark.parametrize(
    ("text", "code"),
    [
        *((text, "K7M2QX") for text in ("approve K7M2QX", "pair approve k7m2qx", "批准 K7M2QX")),
        *(
            (text, "K7M2QX")
            for text in ("/approve K7M2QX ", "haoya pair approve K7M2QX", "通过 k7m2qx")
        ),
        *((text, None) for text in ("K7M2QX", "approve", "approve K7M2Q", "approve K7M2QXX")),
        *(
            (text, None)
            for text in ("please approve K7M2QX", "approve K7M2QX now", "approve K7-M2X")
        ),
    ],
)
def test_a_code_is_approved_by_exact_words(text: str, code: str | None) -> None:
    assert approved_code(text) == code


def test_a_principal_is_a_channel_and_an_id() -> None:
    assert principal_of(message("pair", "a:b")).key == "pair:a:b"
    assert Principal.parse("pair:a:b") == Principal(platform="pair", id="a:b")
    for key in ("", "pair", "pair:", ":8"):
        with pytest.raises(ValueError, match="CHANNEL:ID"):
            Principal.parse(key)


def _entry(event: Event) -> Entry:
    return Entry(number=1, at=0, conversation="haoya//people", event=event)
