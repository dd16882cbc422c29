# SPDX-License-Identifier: AGPL-3.0-or-later
"""Numbers and names that are known by their shape: one pattern and one check each.

Patterns begin with a character or a class of them and look behind it only then: the engine skips to
the next such character by itself, which makes them five times as fast.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from haoya.policy.masking.checks import (
    digits_of,
    iban_length,
    is_address,
    is_card,
    is_foreign,
    is_hkid,
    is_id,
    is_ip6,
    is_old_id,
    is_place,
    is_ssn,
    is_twid,
    is_uscc,
    shaped_as_id,
)
from haoya.policy.masking.cues import Cue, near
from haoya.policy.masking.words import Found

_LONE = r"(?<![0-9A-Za-z].)"
"""Behind the first character of a pattern: no letter or digit before it."""
_END = r"(?![0-9A-Za-z])"

Check = Callable[["re.Match[str]", list[Cue]], bool]


class Shape(NamedTuple):
    """What something looks like. `needs` is what it cannot do without: one of `_GATES`, or a text
    that it holds."""

    kind: str
    needs: str
    pattern: "re.Pattern[str]"
    check: Check | None = None


def _said(match: "re.Match[str]", cues: list[Cue], *kinds: str) -> bool:
    return near(cues, match.start(), match.end(), *kinds)


def _id(match: "re.Match[str]", cues: list[Cue]) -> bool:
    before = match.string[match.start() - 1 : match.start()] if match.start() else ""
    lone = not (before.isascii() and before.isalpha())
    return is_id(match[0]) or (lone and shaped_as_id(match[0]))


def _old_id(match: "re.Match[str]", cues: list[Cue]) -> bool:
    return is_old_id(match[0]) and _said(match, cues, "id")


def _card(match: "re.Match[str]", cues: list[Cue]) -> bool:
    return is_card(digits_of(match[0]), said=_said(match, cues, "card", "account"))


def _spaced(match: "re.Match[str]", cues: list[Cue]) -> bool:
    """Whether a US number is written as one, or said to be one; three numbers in a row are not."""
    return any(c in match[0] for c in "-.(") or _said(match, cues, "phone")


def _landline(match: "re.Match[str]", cues: list[Cue]) -> bool:
    return any(c in match[0] for c in "- )") or _said(match, cues, "phone")


def _ip4(match: "re.Match[str]", cues: list[Cue]) -> bool:
    return is_address(match[0]) and not _said(match, cues, "version")


def _placed(match: "re.Match[str]", cues: list[Cue]) -> bool:
    first, second = match["a"], match["b"]
    if not is_place(first, second):
        return False
    if _said(match, cues, "gps") or any(c in match[0] for c in "°NSEW"):
        return True
    return max(abs(float(first)), abs(float(second))) >= 10 and all(
        len(number.partition(".")[2]) >= 4 for number in (first, second)
    )


def _hkid(match: "re.Match[str]", cues: list[Cue]) -> bool:
    return is_hkid(match[0]) and ("(" in match[0] or _said(match, cues, "id", "permit"))


def _twid(match: "re.Match[str]", cues: list[Cue]) -> bool:
    return is_twid(match[0]) and _said(match, cues, "id", "permit")


def _passport(match: "re.Match[str]", cues: list[Cue]) -> bool:
    return _said(match, cues, "passport", "permit", "id")


def _plate(match: "re.Match[str]", cues: list[Cue]) -> bool:
    """Whether letters stand in a plate where they may (GA 36-2018: two at most), and it is not
    the word for new or cloud before a product's name."""
    tail = match["t"]
    letters = sum(c.isalpha() and c.isascii() for c in tail)
    return any(c.isdecimal() for c in tail) and letters <= (1 if match[0][0] in "新云" else 2)


_CARD = (
    r"[2-69]" + _LONE + r"(?:\d{12,18}|\d{3}(?P<s>[ -]{1,2})\d{4}(?P=s)\d{4}(?P=s)\d{1,4}"
    r"(?:(?P=s)\d{1,4})?|\d{3}[ -]\d{6}[ -]\d{4,5})" + _END
)
_MOBILE = (
    r"1(?<![0-9A-Za-z]1)(?<!\d[.]1)(?:[3-9](?:\d{9}|\d\.\d{4}\.\d{4}|\d[ -]{1,2}\d{4}[ -]{1,2}\d{4}"
    r"|\d{2}[ -]\d{4}[ -]\d{3}|\d[ -]\d{3}[ -]\d{5}|\d[ -]\d{8}|\d{5}[ -]\d{4}|\d{3}[ -]\d{6})"
    r"|[ -][3-9](?:[ -]\d){9})" + _END
)
_DMS = r"[北南东西]?[纬经]?\d{1,3}°\s?\d{1,2}['′]\s?(?:\d{1,2}(?:\.\d+)?[\"″]\s?)?[NSEW北南东西]?"
_PROVINCE = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"

_TABLE: tuple[tuple[str, str, str, Check | None], ...] = (
    (
        "email",
        "@",
        r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}(?:'[A-Za-z0-9._%+-]{1,64})?"
        r"@[A-Za-z0-9-]{1,63}"
        r"(?:\.[A-Za-z0-9-]{1,63}){0,8}\.(?:xn--[A-Za-z0-9-]{2,30}|[A-Za-z]{2,24})",
        None,
    ),
    (
        "email",
        " dot ",
        r"[A-Za-z0-9](?<![A-Za-z0-9].)[A-Za-z0-9_-]{0,30}"
        r"(?:(?: dot |\.)[A-Za-z0-9_-]{1,30}){0,3}"
        r" at [A-Za-z0-9-]{2,40} dot [A-Za-z]{2,12}(?: dot [A-Za-z]{2})?" + _END,
        None,
    ),
    (
        "id",
        "9",
        r"[1-689](?<!\d.)\d{5}[ -]?(?:18|19|20)\d{6}[ -]?\d{3}[0-9Xx]" + _END,
        _id,
    ),
    ("id", "9", r"[1-689]" + _LONE + r"\d{14}" + _END, _old_id),
    (
        "uscc",
        "9",
        r"[0-9A-HJ-NP-Y]" + _LONE + r"[0-9A-HJ-NPQRTUWXY]\d{6}[0-9A-HJ-NPQRTUWXY]{10}" + _END,
        lambda match, _: is_uscc(match[0]),
    ),
    ("card", "9", _CARD, _card),
    ("phone", "9", _MOBILE, None),
    (
        "phone",
        "9",
        r"(?:\(\+86\)|0086(?<![0-9A-Za-z]0086)|86(?<![0-9A-Za-z]86))[ -]?1[3-9]\d"
        r"[ -]?\d{4}[ -]?\d{4}" + _END,
        None,
    ),
    (
        "phone",
        "+",
        r"\+[1-9]\d{0,3}\)?(?:[ ().-]{0,2}\d){6,14}" + _END,
        lambda match, _: is_foreign(match[0]),
    ),
    (
        "phone",
        "9",
        r"0(?<![0-9A-Za-z+.]0)(?:10|2\d|[3-9]\d{2})\)?[ -]{0,2}[2-8]\d{2,3}[ -]?\d{4}"
        r"(?:(?: ?转 ?| ?ext\.? ?| ?x ?|-)\d{1,5})?" + _END,
        _landline,
    ),
    (
        "phone",
        "9",
        r"\(?[2-9](?<![0-9A-Za-z][2-9])\d{2}\)?[ .-]{1,2}[2-9]\d{2}[ .-]\d{4}" + _END,
        _spaced,
    ),
    ("phone", "07", r"07(?<![0-9A-Za-z+.]07)\d{3} (?:\d{6}|\d{3} \d{3})" + _END, None),
    (
        "ssn",
        "-",
        r"\d" + _LONE + r"\d{2}-\d{2}-\d{4}(?![0-9A-Za-z-])",
        lambda match, _: is_ssn(match[0]),
    ),
    (
        "ssn",
        "A",
        r"[A-CEGHJ-PR-TW-Z]" + _LONE + r"[A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]" + _END,
        lambda match, cues: _said(match, cues, "ssn") or " " in match[0],
    ),
    ("permit", "A", r"[A-Z]" + _LONE + r"[A-Z]?\d{6}\(?[0-9A](?:\)|" + _END + ")", _hkid),
    ("permit", "(", r"[157]" + _LONE + r"\d{6}\(\d\)", None),
    ("permit", "A", r"[A-Z]" + _LONE + r"[1289]\d{8}" + _END, _twid),
    ("passport", "A", r"[A-Z]" + _LONE + r"(?:[A-Z]\d{7}|\d{8})" + _END, _passport),
    (
        "plate",
        "0",
        f"[{_PROVINCE}][A-HJ-NP-Z][ ·•・.-]?(?P<t>[0-9A-HJ-NP-Z]{{5}}[0-9A-HJ-NP-Z]?|"
        "[0-9A-HJ-NP-Z]{4}[警学挂港澳领试超])" + _END,
        _plate,
    ),
    ("plate", "使", r"(?:使\d{6}|\d{6}使)" + _END, None),
    (
        "ip",
        ".",
        rf"(?<![0-9A-Za-z.]){_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}(?!\.?[0-9A-Za-z])",
        _ip4,
    ),
    (
        "ip",
        ":",
        r"(?<![0-9A-Za-z:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?:%[a-z0-9]+)?(?![0-9A-Za-z:])",
        lambda match, _: is_ip6(match[0]),
    ),
    (
        "mac",
        "0",
        r"[0-9A-Fa-f]"
        + _LONE
        + r"[0-9A-Fa-f](?P<s>[:-])(?:[0-9A-Fa-f]{2}(?P=s)){4}[0-9A-Fa-f]{2}"
        + _END,
        lambda match, _: len(set(match[0].lower())) > 2,
    ),
    (
        "gps",
        ".",
        r"(?P<a>-?\d{1,3}\.\d{2,})°? ?[NSEW]?[ ,，;/]{1,3}(?:(?:lo?ng?|经度)[: ]{0,2})?"
        r"(?P<b>-?\d{1,3}\.\d{2,})°? ?[NSEW]?(?![0-9.])",
        _placed,
    ),
    ("gps", "°", _DMS + r"[ ,，]{0,3}" + _DMS, None),
    ("account", "_", r"wxid_[a-z0-9]{10,20}" + _END, None),
)
SHAPES = tuple(
    Shape(kind, needs, re.compile(pattern, re.ASCII), check)
    for kind, needs, pattern, check in _TABLE
)
"""All shapes; where finds overlap, the first has given the name."""

_IBAN = re.compile(r"[A-Za-z](?<![0-9A-Za-z].)[A-Za-z]\d\d(?:[ -]?[0-9A-Za-z]{2,4}){3,8}", re.ASCII)
_GATES = {
    needs: re.compile(pattern, re.ASCII)
    for needs, pattern in {
        "0": r"\d",
        "9": r"\d(?:[ ().-]{0,2}\d){6}",
        "A": r"[A-Z] ?\d",
        ".": r"\d\.\d",
        ":": r"[0-9A-Fa-f]:[0-9A-Fa-f:]",
    }.items()
}
"""What must be somewhere in a text before a shape is looked for at every place."""
_SPELT = re.compile("[〇零一二三四五六七八九幺]{11,18}")
_SPELT_DIGITS = str.maketrans("〇零一二三四五六七八九幺", "001234567891")
_SPELT_MOBILE = re.compile(r"(?:86)?1[3-9]\d{9}", re.ASCII)
_IBAN_HINT = re.compile(r"[A-Za-z]\d\d[ -]?[0-9A-Za-z]", re.ASCII)


def _spelt(text: str, skip: frozenset[str]) -> list[Found]:
    """Numbers written out in Chinese, as voices are written down."""
    found: list[Found] = []
    for match in () if text.isascii() else _SPELT.finditer(text):
        digits = match[0].translate(_SPELT_DIGITS)
        kind = "id" if shaped_as_id(digits) else "phone"
        if kind not in skip and (kind == "id" or _SPELT_MOBILE.fullmatch(digits)):
            found.append(Found(match.start(), match.end(), kind))
    return found


def shaped(text: str, cues: list[Cue], skip: frozenset[str]) -> list[Found]:
    """All that has a known shape, in the order of the shapes."""
    found = _spelt(text, skip)
    there: dict[str, bool] = {}
    if "iban" not in skip and _IBAN_HINT.search(text):
        for match in _IBAN.finditer(text):
            if size := iban_length(match[0]):
                found.append(Found(match.start(), match.start() + size, "iban"))
    for shape in SHAPES:
        needs = shape.needs
        if needs not in there:
            gate = _GATES.get(needs)
            there[needs] = gate.search(text) is not None if gate else needs in text
        if not there[needs] or shape.kind in skip:
            continue
        for match in shape.pattern.finditer(text):
            if shape.check is None or shape.check(match, cues):
                found.append(Found(match.start(), match.end(), shape.kind))
    return found
