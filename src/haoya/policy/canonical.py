# SPDX-License-Identifier: AGPL-3.0-or-later
"""One form for what can be written in many ways, and whether a value stands in a text, whole.

A value that a model chose is believed only where somebody wrote that very value. "Very" is what
this module says: letters are folded, links lose their scheme, account and phone numbers their
spaces. It is never a piece of something longer: `bob@x.com` does not stand in `bob@x.com.evil`.
"""

import re
import unicodedata
from functools import lru_cache

_HIDDEN = dict.fromkeys(
    (
        0xAD,
        0x34F,
        0x61C,
        0xFEFF,
        *range(0x200B, 0x2010),
        *range(0x202A, 0x202F),
        *range(0x2060, 0x206A),
    )
)
_SAME = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "‐": "-"})
_JOINTS = frozenset(".-@/:+&=?%#~_\\")
"""Characters that make one value of what stands on both their sides."""

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_HAN_EDGES = frozenset(
    "给和与跟向把的在到从发说那请对叫让吗吧了是用找约问写去为将及、，。！？：；“”（）《》 "
)
"""What may stand beside a Chinese name without being a part of it."""

_REST = r"[^\s<>\"'()\[\]{}\u2e80-\u9fff\uff00-\uffef]"
_LINK = re.compile(
    rf"(?:https?://|www\.){_REST}+"
    r"|(?<![\w@.-])(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,24}"
    rf"(?::\d{{1,5}})?(?:/{_REST}*)?(?![\w@])",
    re.IGNORECASE,
)
_MAIL = re.compile(r"[a-z0-9._%+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+")
_IBAN = r"[a-z]{2}\d{2}(?: [a-z0-9]{4}){2,7}(?: [a-z0-9]{1,3})?"
_ACCOUNT = re.compile(rf"(?<![a-z0-9])(?:{_IBAN}|[a-z]{{2}}\d{{2}}[a-z0-9]{{10,30}})(?![a-z0-9])")
_PHONE = re.compile(r"(?<![\w.+-])\+?\d[\d ()/.-]{5,20}\d(?![\w-])")
_DATE = re.compile(r"(?<!\d)\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[t ]\d{1,2}:\d{2}(?::\d{2})?)?(?!\d)")
_CODE = re.compile(
    rf"(?<![\w.])(?:\d{{3,6}}(?:[ -]\d{{2,6}}){{1,6}}|{_IBAN}|[a-z0-9-]{{6,}})(?!\w)"
)
_TOKEN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u9fff\uf900-\ufaff]+")


@lru_cache(maxsize=1024)
def fold(text: str) -> str:
    """NFKC, case folded, without invisible characters, one kind of dash, quote and space.

    >>> fold("Ｂob’s  A\\u200bpple")
    "bob's apple"
    """
    plain = unicodedata.normalize("NFKC", text.translate(_HIDDEN)).translate(_SAME)
    return " ".join(plain.casefold().split())


@lru_cache(maxsize=1024)
def tokens(text: str) -> tuple[str, ...]:
    """The words and numbers of a text, folded; each Chinese character is one.

    >>> tokens("grocery-list.docx 给张三")
    ('grocery', 'list', 'docx', '给', '张', '三')
    """
    return tuple(_TOKEN.findall(fold(text)))


def stands(value: str, text: str) -> bool:
    """Whether a value stands in a text, whole and not as a piece of a longer one.

    >>> stands("Bob", "mail bob."), stands("bob", "bob@x.com"), stands("x.com", "x.com.evil.net")
    (True, False, False)
    >>> stands("张三", "发给张三的"), stands("张三", "发给张三丰")
    (True, False)
    """
    wanted, whole = fold(value).strip(" .,;"), fold(text)
    if not wanted:
        return False
    at = whole.find(wanted)
    while at >= 0:
        if _open(whole, at, -1) and _open(whole, at + len(wanted) - 1, 1):
            return True
        at = whole.find(wanted, at + 1)
    return False


def _open(text: str, at: int, step: int) -> bool:
    """Whether the value whose edge is at `at` ends there, looking onwards by `step`."""
    near = text[at + step] if 0 <= at + step < len(text) else " "
    edge_is_han, near_is_han = bool(_HAN.match(text[at])), bool(_HAN.match(near))
    if edge_is_han and near_is_han:
        return near in _HAN_EDGES
    if near.isalnum():
        return edge_is_han != near_is_han
    at += step
    while 0 <= at < len(text) and text[at] in _JOINTS:
        at += step
    joined = 0 <= at < len(text) and near in _JOINTS and text[at].isalnum()
    return not joined or bool(_HAN.match(text[at]))


def link(text: str) -> str:
    """A link without scheme, default port and closing slash, its host in small letters.

    >>> link("HTTPS://Example.org:443/A/"), link("example.org/a")
    ('example.org/A', 'example.org/a')
    """
    plain = unicodedata.normalize("NFKC", text.translate(_HIDDEN)).strip().rstrip(".,;!")
    bare = re.sub(r"^https?://", "", plain, flags=re.IGNORECASE)
    host, slash, rest = bare.partition("/")
    return (re.sub(r":(80|443)$", "", host.lower()) + slash + rest).rstrip("/")


@lru_cache(maxsize=512)
def links(text: str) -> frozenset[str]:
    """All links of a text, each as `link` has it.

    >>> sorted(links("see www.a.com/B, (https://b.org) or c@d.org"))
    ['b.org', 'www.a.com/B']
    """
    plain = unicodedata.normalize("NFKC", text.translate(_HIDDEN))
    found = _LINK.finditer(plain)
    return frozenset(link(one.group()) for one in found if _ends_like_a_host(one.group()))


_FILES = frozenset(
    "txt md doc docx xls xlsx csv pdf ppt pptx png jpg jpeg gif zip tar gz json yaml toml py js "
    "html log odt".split()
)


def _ends_like_a_host(text: str) -> bool:
    """Not the name of a file, which looks like a host."""
    marked = re.match(r"https?://|www\.", text, re.IGNORECASE)
    return bool(marked or "/" in text) or text.rpartition(".")[2].lower() not in _FILES


@lru_cache(maxsize=512)
def mails(text: str) -> frozenset[str]:
    """All mail addresses of a text, folded."""
    return frozenset(one.strip(".") for one in _MAIL.findall(fold(text)))


@lru_cache(maxsize=512)
def accounts(text: str) -> frozenset[str]:
    """All account numbers (in the form of an IBAN) of a text, without spaces.

    >>> accounts("to GB29 NWBK 6016 1331 9268 19, please")
    frozenset({'gb29nwbk60161331926819'})
    """
    return frozenset(one.replace(" ", "") for one in _ACCOUNT.findall(fold(text)))


@lru_cache(maxsize=512)
def phones(text: str) -> frozenset[str]:
    """All phone numbers of a text: their digits, and a + where it stood.

    >>> sorted(phones("+49 (30) 123-4567 or 138 0013 8000"))
    ['+49301234567', '13800138000']
    """
    dateless = _DATE.sub(" ", fold(text))
    found = (re.sub(r"[^\d+]", "", one) for one in _PHONE.findall(dateless))
    return frozenset(one for one in found if 7 <= len(one) <= 16)


def same(value: str, text: str) -> bool:
    """Whether a value stands in a text in any of its forms: as it is, as a link, an address, an
    account or a phone number."""
    if stands(value, text):
        return True
    for forms in (mails, accounts, phones):
        mine = forms(value)
        if len(mine) == 1 and _whole(value, next(iter(mine))):
            return bool(mine & forms(text))
    return bool(link(value)) and link(value) in links(text)


def _whole(value: str, form: str) -> bool:
    """Whether the form is all there is to the value, but for spaces and signs."""
    return re.sub(r"[^a-z0-9@]", "", fold(value)) == re.sub(r"[^a-z0-9@]", "", form)


def pointers(text: str) -> frozenset[str]:
    """All that leads a reader somewhere: links, mail addresses, account and phone numbers."""
    return links(text) | mails(text) | accounts(text) | phones(text)


@lru_cache(maxsize=512)
def codes(text: str) -> frozenset[str]:
    """All numbers and mixed codes of a text that could open something: at least six signs, four
    of them digits, without their spaces and dashes; dates are none.

    >>> sorted(codes("passport HGK137803, card 4237-4252-7456-2574, on 2024-05-01 for 12.50"))
    ['4237425274562574', 'hgk137803']
    """
    dateless = _DATE.sub(" ", fold(text))
    found = (re.sub(r"[ -]", "", one) for one in _CODE.findall(dateless))
    return frozenset(one for one in found if len(one) >= 6 and sum(map(str.isdigit, one)) >= 4)
