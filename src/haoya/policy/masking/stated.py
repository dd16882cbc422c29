# SPDX-License-Identifier: AGPL-3.0-or-later
"""Values that are known by the word before them: `密码：`, `MRN`, `born on`."""

import re

from haoya.policy.masking.cues import Cue
from haoya.policy.masking.words import Found

_GAP = (
    r"\s?[\"'”’）)\]]{0,2}(?:号码?|號碼?|卡号|账号|帐号|number|no\.?|id|code|\#)?[\"'*]{0,2}\s{0,2}"
    r"(?:是|为|為|改成|改为|设成|设为|换成|is|was|:|=|=>|->|#|,)?[\s:=]{0,2}[\"'`“‘「\[(<*]{0,3}"
)
_DAY = (
    r"(?:(?:18|19|20)\d\d ?[-/.年] ?\d{1,2} ?[-/.月] ?\d{1,2}(?: ?[日号])?|(?:19|20)\d{6}|"
    r"(?:18|19|20)\d\d年\d{1,2}月|\d\d年\d{1,2}月\d{1,2}[日号]|"
    r"\d{1,2}[-/.]\d{1,2}[-/.](?:(?:19|20)\d\d|\d\d)|"
    r"\d{1,2}月\d{1,2}[日号]|"
    r"[一二〇零][一二三四五六七八九〇零]{3}年[一二三四五六七八九十]{1,3}月(?:[一二三四五六七八九十]{1,3}[日号])?|"
    r"(?:\d{1,2}(?:st|nd|rd|th)?(?: of)? )?"
    r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
    r"(?: \d{1,2}(?:st|nd|rd|th)?)?,? (?:18|19|20)\d\d)"
)
_VALUES: dict[str, "re.Pattern[str]"] = {
    what: re.compile(pattern, re.IGNORECASE | re.ASCII)
    for what, pattern in {
        "record": _GAP + r"(?P<v>(?:[A-Z]{1,4}-?)?\d[A-Z0-9-]{3,18}|\d{3} \d{3} \d{4})(?![0-9A-Z])",
        "key": _GAP + r"(?P<v>[!#-&(-\[\]-_a-~]{4,200})",
        "account": _GAP + r"(?P<v>[A-Z][A-Z0-9_-]{5,29}|\d(?:[ -]?\d){4,22})(?![0-9A-Z_])",
        "birth": r"[^\d\n]{0,14}?(?P<v>" + _DAY + r")(?!\d)",
        "passport": _GAP + r"(?P<v>[A-Z]{1,2}\d{6,9}|\d{9})(?![0-9A-Z])",
        "permit": _GAP + r"(?P<v>[A-Z]{1,2}\d{6,10}|\d{8}(?:\d\d)?)(?:\([A-Z0-9]\))?(?![0-9A-Z])",
        "id": _GAP + r"(?P<v>[A-Z]{0,3}\d(?:[ -]?[0-9X]){5,17}|[A-Z]\d{3}-\d{4}-\d{4})(?![0-9A-Z])",
        "ssn": _GAP + r"(?P<v>\d{3}[ .-]?\d{2}[ .-]?\d{4})(?!\d)",
        "phone": r"[^\d\n+(]{0,12}(?P<v>\+?\(?\d(?:[ ()./-]{0,2}\d){6,14})(?![0-9A-Z%]|\.\d)",
        "plate": _GAP + r"(?P<v>[A-Z0-9]{1,4}[ ·-]?[A-Z0-9]{2,5})(?![0-9A-Z])",
        "address": r"[^\n]{0,12}?(?P<v>\d{1,5}[A-Z]? (?:[A-Z]+ ){1,3}"
        r"(?:street|avenue|road|lane|drive|boulevard|court|place|square|terrace|way|st|ave|rd|blvd"
        r"|dr|ln)(?:,? (?:apt|apartment|suite|unit|flat|floor) ?#?[A-Z0-9-]{1,5})?)\b",
    }.items()
}
_MONEY = re.compile(
    r"\s?(?:元|块|万|円|美元|人民币|次|个|条|分钟|秒|rmb|usd|dollars|yuan|times|words)", re.I
)
_DATED = re.compile(r"(?:19|20)\d\d[-/. ]?(?:0?[1-9]|1[0-2])[-/. ]?(?:0?[1-9]|[12]\d|3[01])(?!\d)")
_BORN = re.compile(_DAY + r"(?=\s?(?:出生|生人|生的|生日|生，|生,))", re.IGNORECASE | re.ASCII)
_PHONE = re.compile(r"\d")


def values_of(text: str, cues: list[Cue]) -> list[Found]:
    """What follows words that say what it is."""
    found: list[Found] = []
    for one in cues:
        pattern = _VALUES.get(one.what)
        match = pattern.match(text, one.end) if pattern else None
        if match is None:
            continue
        start, end = match.span("v")
        value = match["v"]
        if one.what == "key":
            end = start + len(value.rstrip(".,;:!?\"'`)]}>”’"))
            value = text[start:end]
        if _is_value(one.what, value, text, end):
            found.append(Found(start, end, one.what))
    if "生" in text:
        found += [Found(*m.span(), "birth") for m in _BORN.finditer(text)]
    return found


def _is_value(what: str, value: str, text: str, end: int) -> bool:
    """Whether a value may be what the word before it says."""
    digits = len(_PHONE.findall(value))
    match what:
        case "key":
            return is_password(value)
        case "account":
            return digits >= 5 or bool(digits and len(value) >= 6) or "_" in value
        case "phone":
            return 7 <= digits <= 15 and not _DATED.match(value) and not _MONEY.match(text, end)
        case "plate":
            return digits > 0 and 5 <= len(value) <= 8 and not value.isdecimal()
        case "passport" | "permit" | "id" | "record":
            return not _DATED.fullmatch(value) or what == "id"
        case _:
            return True


def is_password(value: str) -> bool:
    """Whether what follows the word password is one: more than a word of a language.

    >>> is_password("hunter2"), is_password("incorrect"), is_password("384920")
    (True, False, True)
    """
    if len(value) < 4 or value.startswith(("http://", "https://", "${", "{{", "<", "[")):
        return False
    kinds = {
        "d" if c.isdecimal() else "u" if c.isupper() else "l" if c.islower() else "s" for c in value
    }
    if "d" in kinds:
        return True
    inner = value.strip("-.,:;!?()*_")
    return len(kinds) >= 3 or (len(value) >= 8 and not inner.replace("-", "").isalpha())
