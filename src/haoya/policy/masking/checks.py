# SPDX-License-Identifier: AGPL-3.0-or-later
"""Check digits, and what else tells a number of one kind from any other number."""

import ipaddress

PROVINCES = frozenset(
    (
        "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 "
        "65 71 81 82 83 91"
    ).split()
)
"""First two digits of division codes (GB/T 2260), with 81 to 83 for residence permits."""

_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_ID_CHECKS = "10X98765432"
_USCC_LETTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
_TW_REGIONS = "ABCDEFGHJKLMNPQRSTUVXYWZIO"
_TW_WEIGHTS = (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)

IBAN_LENGTHS: dict[str, int] = {
    country: int(length)
    for length, countries in {
        "15": "NO",
        "16": "BE",
        "18": "DK FI FK FO GL NL SD",
        "19": "MK SI",
        "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH CR HR LI LV",
        "22": "BG BH DE GB GE IE ME RS VA",
        "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG",
        "25": "LY PT ST",
        "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM",
        "28": "AL AZ BY CY DO GT HN HU LB NI PL SV",
        "29": "BR EG PS QA UA",
        "30": "JO KW MU YE",
        "31": "MT SC",
        "32": "LC",
        "33": "RU",
    }.items()
    for country in countries.split()
}
"""Length by country (SWIFT's IBAN registry)."""

_OPEN_ADDRESSES = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "114.114.114.114", "223.5.5.5"})
"""Public name servers that everybody writes about."""

_CALLING = frozenset(
    (
        "7 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 "
        "63 64 65 66 81 82 84 86 90 91 92 93 94 95 98 211 212 213 216 218 220 221 222 223 224 225 "
        "226 227 228 229 230 231 232 233 234 235 236 237 238 239 240 241 242 243 244 245 248 249 "
        "250 251 252 253 254 255 256 257 258 260 261 262 263 264 265 266 267 268 269 290 297 298 "
        "299 350 351 352 353 354 355 356 357 358 359 370 371 372 373 374 375 376 377 378 380 381 "
        "382 383 385 386 387 389 420 421 423 500 501 502 503 504 505 506 507 508 509 590 591 592 "
        "593 594 595 596 597 598 599 670 672 673 674 675 676 677 678 679 680 681 682 683 685 686 "
        "687 688 689 690 691 692 850 852 853 855 856 880 886 960 961 962 963 964 965 966 967 968 "
        "970 971 972 973 974 975 976 977 992 993 994 995 996 998"
    ).split()
)
"""Country calling codes beside 1 (ITU-T E.164)."""


def digits_of(text: str) -> str:
    """The digits of a text alone."""
    return "".join(c for c in text if c.isdecimal())


def is_date(year: str, month: str, day: str) -> bool:
    """Whether three numbers may be a day people were born on (1880 to 2099)."""
    return 1880 <= int(year) <= 2099 and 1 <= int(month) <= 12 and 1 <= int(day) <= 31


def shaped_as_id(text: str) -> bool:
    """Whether 18 characters have a province and a date where a resident's id has them
    (GB 11643-1999). One mistyped digit is still that person's number.

    >>> shaped_as_id("11010519491231002X"), shaped_as_id("202610110123456789")
    (True, False)
    """
    bare = "".join(c for c in text if c.isalnum())
    return (
        len(bare) == 18 and bare[:2] in PROVINCES and is_date(bare[6:10], bare[10:12], bare[12:14])
    )


def is_id(text: str) -> bool:
    """Whether an id's last character follows from the others (ISO 7064 MOD 11-2).

    >>> is_id("11010519491231002X"), is_id("110105194912310021")
    (True, False)
    """
    bare = "".join(c for c in text if c.isalnum()).upper()
    if not shaped_as_id(bare):
        return False
    total = sum(int(c) * weight for c, weight in zip(bare[:17], _ID_WEIGHTS, strict=True))
    return _ID_CHECKS[total % 11] == bare[17]


def is_old_id(text: str) -> bool:
    """Whether 15 digits are an id as given out before 1999."""
    return (
        len(text) == 15
        and text[:2] in PROVINCES
        and is_date(f"19{text[6:8]}", text[8:10], text[10:12])
    )


def is_uscc(text: str) -> bool:
    """Whether 18 characters are a unified social credit code (GB 32100-2015).

    >>> is_uscc("91350100M000100Y43"), is_uscc("91350100M000100Y44")
    (True, False)
    """
    code = text.upper()
    if len(code) != 18 or code[0] not in "159ANY" or code[2:4] not in PROVINCES | {"10"}:
        return False
    if any(c not in _USCC_LETTERS for c in code):
        return False
    values = [_USCC_LETTERS.index(c) for c in code]
    total = sum(value * weight for value, weight in zip(values, _USCC_WEIGHTS, strict=False))
    return (31 - total % 31) % 31 == values[17]


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B.

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    total = 0
    for place, c in enumerate(reversed(digits)):
        value = int(c) * (1 + place % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def is_card(digits: str, *, said: bool = False) -> bool:
    """Whether digits are the number of a bank card: a network's first digits, its lengths, Luhn.
    Where somebody `said` that it is a card, UnionPay's (some without check digit) need no Luhn.

    >>> is_card("6222021234567890128"), is_card("4111111111111112")
    (True, False)
    """
    size = len(digits)
    if not 13 <= size <= 19 or digits == digits[0] * size:
        return False
    if said and digits[0] in "3456" and (luhn(digits) or (digits[:2] == "62" and size >= 16)):
        return True
    return _issued(digits, size) and luhn(digits)


def _issued(digits: str, size: int) -> bool:
    two, four = int(digits[:2]), int(digits[:4])
    if digits[0] == "4":
        return size in (13, 16)
    if two in (34, 37):
        return size == 15
    if 51 <= two <= 55 or 2221 <= four <= 2720 or 2200 <= four <= 2204:
        return size == 16
    if two in (36, 38, 39) or 300 <= four // 10 <= 305:
        return size == 14
    if two == 62:
        return size >= 16
    if four == 9558:
        return size == 19
    return size == 16 and (3528 <= four <= 3589 or four == 6011 or two in (65, 81))


def iban_length(text: str) -> int:
    """How many characters at the beginning of a text, blanks included, are an IBAN (ISO 13616).

    >>> iban_length("GB82 WEST 1234 5698 7654 32 FROM"), iban_length("GB82 WEST 1234 5698 7654 33")
    (27, 0)
    """
    wanted = IBAN_LENGTHS.get(text[:2].upper(), 0)
    bare = ""
    for place, c in enumerate(text):
        if c.isalnum():
            bare += c.upper()
        if len(bare) == wanted:
            turned = bare[4:] + bare[:4]
            return (
                place + 1
                if wanted and int("".join(str(int(x, 36)) for x in turned)) % 97 == 1
                else 0
            )
    return 0


def is_hkid(text: str) -> bool:
    """Whether a text is a Hong Kong identity card's number with its check digit.

    >>> is_hkid("A123456(3)"), is_hkid("A123456(4)")
    (True, False)
    """
    bare = "".join(c for c in text if c.isalnum()).upper()
    if len(bare) == 8:
        bare = " " + bare
    if len(bare) != 9:
        return False
    values = [36 if c == " " else int(c, 36) for c in bare[:8]]
    total = sum(value * weight for value, weight in zip(values, range(9, 1, -1), strict=True))
    return bare[8] == "0123456789A"[(11 - total % 11) % 11]


def is_twid(text: str) -> bool:
    """Whether a text is a number of a Taiwan identity card or residence permit.

    >>> is_twid("A123456789"), is_twid("A123456788")
    (True, False)
    """
    region = 10 + _TW_REGIONS.index(text[0].upper())
    values = (region // 10, region % 10, *(int(c) for c in text[1:]))
    return sum(v * weight for v, weight in zip(values, _TW_WEIGHTS, strict=True)) % 10 == 0


def is_ssn(text: str) -> bool:
    """Whether nine digits may be a US social security or taxpayer number (SSA: no 000, 666; no
    group of zeros)."""
    bare = digits_of(text)
    return bare[:3] not in ("000", "666") and bare[3:5] != "00" and bare[5:] != "0000"


def is_foreign(text: str) -> bool:
    """Whether a number written with its + may be a telephone's (E.164).

    >>> is_foreign("+1 (212) 555-0142"), is_foreign("+44 20 7946 0958"), is_foreign("+100 000 000")
    (True, True, False)
    """
    bare = digits_of(text)
    if bare.startswith("1"):
        return len(bare) == 11 and bare[1] in "23456789" and bare[4] in "23456789"
    if bare.startswith("86"):
        return 10 <= len(bare) <= 13 and bare[2] != "0" and not bare.endswith("0000000")
    known = any(bare[:size] in _CALLING for size in (1, 2, 3))
    return known and 9 <= len(bare) <= 15 and not bare.endswith("000000")


def is_address(text: str) -> bool:
    """Whether a text is the address of some machine, and not one that all machines share."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    special = found.is_loopback or found.is_unspecified or found.is_multicast
    return not special and text not in _OPEN_ADDRESSES and text != "255.255.255.255"


def is_ip6(text: str) -> bool:
    """The same for IPv6, where `a::b` is as likely to be a program's."""
    groups = [group for group in text.partition("%")[0].split(":") if group]
    drawn = max(map(len, groups), default=0) >= 3 and any(c.isdecimal() for c in text)
    return len(groups) >= 2 and drawn and is_address(text)


def is_place(first: str, second: str) -> bool:
    """Whether two numbers may be latitude and longitude, in either order."""
    a, b = abs(float(first)), abs(float(second))
    return (a <= 90 and b <= 180) or (a <= 180 and b <= 90)
