# SPDX-License-Identifier: AGPL-3.0-or-later
"""The one gate: may this message reach the model, and as whose?"""

import re
from typing import Literal

import msgspec

from haoya.core.message import Inbound
from haoya.policy.principal import Principal, Role, principal_of
from haoya.policy.roster import Roster

_WORDLESS = frozenset({"delete", "reaction"})
_YES = frozenset(
    "yes y yeah yep ok okay sure allow approve 1 "
    "好 好的 好呀 可以 行 同意 是 是的 允许 批准 嗯".split()
)
_NO = frozenset(
    "no n nope deny stop cancel never 2 不 不行 不可以 不要 否 拒绝 取消 别 不同意".split()
)
_ALWAYS = frozenset("always 3 总是 一直 一直允许 一直可以 始终允许 以后都可以 以后都行".split())
_PRESS = re.compile(r"^(yes|no|always) ([0-9a-f]{12})$")
_APPROVE = re.compile(r"^/?(?:haoya\s+)?(?:pair\s+)?(?:approve|批准|通过)\s+([0-9A-Za-z]{6})\s*$")


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """One channel's rule: `pairing`, `open`, or only the listed ids (always empty otherwise)."""

    mode: Literal["pairing", "open", "list"] = "pairing"
    ids: frozenset[str] = frozenset()


class Admit(msgspec.Struct, frozen=True, kw_only=True):
    """It may pass. `wakes` is false for group talk that was not meant for us."""

    person: Principal
    role: Role
    wakes: bool


class Refuse(msgspec.Struct, frozen=True, kw_only=True):
    """It may not. With `offer`, the stranger should be given a pairing code."""

    person: Principal
    reason: str
    offer: bool = False


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner laid down about who may speak.

    `doors` are channels whose senders are the owner by the nature of the channel (a Unix socket
    that only the owner can open). `owners` are further principals' keys. A channel without a
    rule here is closed.
    """

    rules: dict[str, Access]
    doors: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()

    def role_of(self, person: Principal, roster: Roster) -> Role | None:
        """The role a person has here; None for a stranger."""
        if person.platform in self.doors or person.key in self.owners:
            return "owner"
        if paired := roster.people.get(person.key):
            return paired.role
        rule = self.rules.get(person.platform)
        if rule and person.id in rule.ids:
            return "member"
        return "guest" if rule and rule.mode == "open" else None

    def admit(self, inbound: Inbound, roster: Roster, now: float) -> Admit | Refuse:
        """Judge one message. Every inbound of every kind passes here before anything sees it."""
        person = principal_of(inbound)
        role = self.role_of(person, roster)
        if inbound.sender.is_bot and role not in ("owner", "member"):
            return Refuse(person=person, reason="a bot that nobody let in")
        if role is None:
            return self._stranger(inbound, person, roster, now)
        if inbound.type in _WORDLESS or not inbound.parts:
            return Refuse(person=person, reason=f"nothing to answer in a {inbound.type}")
        called = inbound.direct or inbound.called
        if not called and role == "guest":
            return Refuse(person=person, reason="group talk of a guest, not meant for us")
        return Admit(person=person, role=role, wakes=called and inbound.type != "edit")

    def _stranger(self, inbound: Inbound, person: Principal, roster: Roster, now: float) -> Refuse:
        rule = self.rules.get(person.platform)
        mode = rule.mode if rule else "list"
        if mode != "pairing":
            return Refuse(person=person, reason="not on this channel's access list")
        if not inbound.direct:
            return Refuse(person=person, reason="a stranger in a group")
        offer = inbound.type == "message" and roster.may_ask(person.key, now)
        return Refuse(person=person, reason="a stranger; pairing is needed", offer=offer)


def answer_of(text: str) -> bool | None:
    """Whether somebody said yes or no, and nothing else (1 and 2 as the choices are listed).

    >>> answer_of("Yes!"), answer_of("不行。"), answer_of("yes, but later")
    (True, False, None)
    """
    word = text.strip().strip(".!！。~～ ").casefold()
    if word in _YES:
        return True
    return False if word in _NO else None


Ruling = Literal["yes", "no", "always"]
"""What an owner says to a question; `always` is a yes to this and a leave for the same again."""


def ruling_of(text: str) -> Ruling | None:
    """What somebody ruled, and said nothing else.

    >>> ruling_of("好"), ruling_of("No."), ruling_of("一直允许"), ruling_of("always late")
    ('yes', 'no', 'always', None)
    """
    if text.strip().strip(".!！。~～ ").casefold() in _ALWAYS:
        return "always"
    answer = answer_of(text)
    return None if answer is None else "yes" if answer else "no"


def press_of(text: str) -> tuple[Ruling, str] | None:
    """What pressing a button under a question says: the ruling, and the beginning of the digest of
    the effect that was asked about, so that it counts for no other question.

    >>> press_of("always 0123456789ab"), press_of("yes")
    (('always', '0123456789ab'), None)
    """
    found = _PRESS.match(text.strip())
    if found is None:
        return None
    ruling: Ruling = "yes" if found[1] == "yes" else "no" if found[1] == "no" else "always"
    return ruling, found[2]


def approved_code(text: str) -> str | None:
    """The pairing code an owner approves in a chat.

    >>> approved_code("/pair approve k7m2qx"), approved_code("批准 K7M2QX"), approved_code("hi")
    ('K7M2QX', 'K7M2QX', None)
    """
    found = _APPROVE.match(text.strip())
    return found.group(1).upper() if found else None
