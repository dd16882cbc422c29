# SPDX-License-Identifier: AGPL-3.0-or-later
"""Street addresses: Chinese ones from the number backwards, English ones from the number on."""

import re

from haoya.policy.masking.words import Found

_NUMBER = r"(?:\d{1,5}(?:[-之]\d{1,4})?|[一二三四五六七八九十百]{1,4}|[A-Za-z])"
_UNIT = r"(?:号楼|號樓|号院|号|號|弄|栋|棟|幢|座|单元|單元|室|楼|樓|层|層|户|戶|巷|门|組|组|队)"
_NO_STREET = r"(?!口|线|出口|航站|馆|机|球|字|文|令)"
_BUILDING = r"[\u4e00-\u9fff]{2,10}?(?:大厦|大樓|大楼|中心|广场|公寓|小区|花园|园区|国际)"
_CHAIN = re.compile(
    rf"(?:(?<=[\u4e00-\u9fff ])|(?<![0-9A-Za-z])){_NUMBER}{_UNIT}"
    rf"{_NO_STREET}(?:[ ,，之]?(?:{_NUMBER}{_UNIT}{_NO_STREET}|{_BUILDING}"
    r"|[东西南北中]?[门楼座区侧]))*"
    r"(?:[ -]?\d{3,4}(?:室|房)?(?![0-9A-Za-z])|之\d{1,3})?"
)
_FOREIGN = re.compile(r"[^\u4e00-\u9fffA-Za-z0-9·()（）\-]")
"""What is not within the name of a street or estate."""
_MOST = 40
"""Characters before the first number of an address."""
_STREET = re.compile(
    r"(?:大道|大街|胡同|[路街巷弄]|(?<![知味难频轨渠报赛跑管管隧])道|[村屯庄寨]|社区|小区|花园|家园|"
    r"[苑园邨里]|公寓|大厦|大楼|广场|廣場|新村|工业园|产业园|科技园|园区|家属院|宿舍|国际|中心|名邸|华庭|府|"
    r"[一二三四五六七八九十]段|[东西南北]段|街道|镇|鎮|乡|鄉|区|區|县|縣|市)[东西南北中]?[A-Z]?\Z"
)
_STRONG = re.compile(r"(?:大道|大街|胡同|路|街|巷|弄|段|道)[东西南北中]?\Z")
_STOP = re.compile(
    r"(?:居住在|住在|住址?[是为:：]?|位于|位於|坐落于|家在|寄到|寄往|寄给|送到|送至|送往|搬到|搬去|来到|地址"
    r"[是为:：]?|在|到|去|是|给|从|址|[她他我你您]们?(?:家|的)?|公司|为|往)"
)
_REGION = re.compile(
    r"(?:[\u4e00-\u9fff]{2,8}?(?:省|自治区|特别行政区))?[\u4e00-\u9fff]{2,7}?(?:市|自治州|地区|盟)"
    r"[\u4e00-\u9fff]{1,7}?(?:区|县|旗|市)[\u4e00-\u9fff]{1,12}?(?:路|街道|大道|大街|街|镇|乡|村|社区|小区|花园|广场)"
)
_HABIT = re.compile(r"(?:哪|这|那|家|心|夜|城|手|几|每|某|个|这个|那个)[里村区市道路街]\Z")

_SUFFIX = (
    r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Place|Pl|Square|Sq|"
    r"Terrace|Ter|Way|Parkway|Pkwy|Highway|Hwy|Crescent|Cres|Close|Circle|Cir|Trail|Row|Mews|Gardens|"
    r"Quay|Walk|Grove|Hill)"
)
_ENGLISH = re.compile(
    r"\d(?<![0-9A-Za-z.,$€£¥].)\d{0,5}(?:-\d{1,4})?[A-Za-z]?,? "
    r"(?:[NSEW]\.? |North |South |East |West )?"
    rf"(?:Saint |St\.? )?(?:(?!(?:{_SUFFIX})\b)"
    r"(?:[A-Z][A-Za-z'’-]*\.?|\d{1,3}(?:st|nd|rd|th)|of|the) )"
    rf"{{1,4}}{_SUFFIX}\b\.?"
    r"(?: (?:NW|NE|SW|SE|North|South|East|West)\b)?"
    r"(?:,? ?(?:Apartment|Apt|Suite|Ste|Unit|Flat|Floor|Fl|Room|Rm|#)\.? ?#?[A-Za-z0-9-]{1,6})?"
    r"(?:, ?(?:[A-Z][a-z'’.-]+ ?){1,3})?"
    r"(?:,? ?[A-Z]{2} \d{5}(?:-\d{4})?| ?,? ?[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}|,? \d{5}(?:-\d{4})?)?"
    r"|P\.? ?O\.? Box \d{1,6}",
    re.ASCII,
)
_HAN = re.compile("[号號弄栋棟幢座室楼樓层層户戶省市区區县縣路街巷组村]")
_LOWER_DIGIT = re.compile(r"\d[0-9A-Za-z-]{0,9},? [A-Z0-9]|Box \d", re.ASCII)


def streets_in(text: str) -> list[Found]:
    """Street addresses in Chinese and English."""
    found: list[Found] = []
    if not text.isascii() and _HAN.search(text):
        found += _chinese(text)
    if _LOWER_DIGIT.search(text):
        found += [Found(*match.span(), "address") for match in _ENGLISH.finditer(text)]
    return found


def _chinese(text: str) -> list[Found]:
    found: list[Found] = []
    for chain in _CHAIN.finditer(text):
        start = _start(text, chain.start(), chain[0])
        if start >= 0:
            found.append(Found(start, chain.end(), "address"))
    for region in _REGION.finditer(text):
        start = region.start() + _after_stops(region[0])
        found.append(Found(start, region.end(), "address"))
    return found


def _start(text: str, end: int, chain: str) -> int:
    """Where the address begins whose numbers begin at `end`; -1 where they belong to none."""
    first = max(0, end - _MOST)
    bare = text[first:end].rstrip()
    cut = 0
    for other in _FOREIGN.finditer(bare):
        cut = other.end()
    first, bare = first + cut, bare[cut:]
    if len(bare) < 2:
        return -1
    street = _STREET.search(bare)
    parts = len(re.findall(_UNIT, chain))
    if street is None or _HABIT.search(bare):
        # 阳光城3栋2单元501室 has no word for a street; its parts must do.
        if parts < 2 or not re.search(r"[栋棟幢单單室弄樓楼]", chain):
            return -1
    elif parts < 2 and not _STRONG.search(bare) and not re.match(r".*\d.*[号號室]", chain):
        return -1
    began = first + _after_stops(bare)
    return began if end - began >= 2 else -1


def _after_stops(name: str) -> int:
    """How much of what stands before a street's name is no part of it: 我住在…, 寄到….

    A stop that stands in front of the street's own last two characters belongs to the name.
    """
    last = 0
    for stop in _STOP.finditer(name, 0, max(0, len(name) - 2)):
        last = stop.end()
    return last
