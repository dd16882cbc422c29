# SPDX-License-Identifier: AGPL-3.0-or-later
"""Words that say what the value near them is: `密码`, `MRN`, `born`, keys such as `phoneNumber`.

Most of what masking costs is looking for them, so Chinese ones are found by their first character
in one pattern, and English ones by looking up each word.
"""

import re
from typing import NamedTuple

BEFORE = 24
"""So many characters before a value may stand the word that says what it is."""
BEHIND = 12
"""And so many behind it."""


class Cue(NamedTuple):
    """A word that says what is near it, and where it stands."""

    what: str
    start: int
    end: int


_CHINESE: dict[str, str] = {
    "record": (
        "病历 病历号 病案 病案号 住院号 门诊号 就诊卡 就诊号 诊疗卡 检查号 影像号 医保卡 医保号 "
        "健康卡 體檢號"
    ),
    "key": "密码 密碼 口令 密钥 密鑰 令牌 验证码 驗證碼 动态码 取件码",
    "card": (
        "银行卡 信用卡 储蓄卡 借记卡 銀行卡 卡号 卡號 银联 "
        "开户 开户行 打款 转账 工行 建行 农行 招行 中行 交行 行卡 卡里 卡上"
    ),
    "account": "微信 微訊 v信 加v 加我v 支付宝 支付寶 账号 帐号 賬號 帳號 账户 户头",
    "birth": "生日 出生 出生日期 出生年月 出生年月日 出生于 出生於 生于 生於 诞辰",
    "passport": "护照 護照 签证 旅行证",
    "permit": (
        "通行证 通行證 回乡证 回鄉證 台胞证 台胞證 来往内地 居民身份證 居留 往来港澳 往来台湾"
    ),
    "id": (
        "身份证 身分證 身份證 证件 證件 驾驶证 驾照 駕照 社保 社会保障 公积金 军官证 统一编号 "
        "統一編號"
    ),
    "phone": "电话 電話 手机 手機 座机 联系方式 致电 拨打 打给 传真 傳真 热线 短信",
    "plate": "车牌 車牌 号牌",
    "gps": "坐标 座標 经纬度 經緯度 经度 纬度 定位 位置",
    "address": "地址 住在 住址 住所 寄到 送到 收件 家住",
    "version": "版本 固件",
}
_ENGLISH: dict[str, str] = {
    "record": (
        "mrn,medical record,hospital number,patient id,patient number,patient no,patient #,"
        "chart number,chart no,medicare,nhs number,nhs no,health card number,"
        "health insurance number,health insurance id"
    ),
    "key": (
        "password,passwd,passcode,passphrase,pwd,pw,api key,apikey,access key,secret,token,bearer,"
        "otp,pin,verification code,security code,access code,private key"
    ),
    "card": "card,visa,mastercard,unionpay,amex",
    "account": (
        "wechat,we chat,weixin,vx,qq,alipay,account number,account no,account #,routing number,"
        "sort code"
    ),
    "birth": "date of birth,birthday,birth date,birthdate,dob,born,d.o.b",
    "passport": "passport,travel document",
    "permit": "hkid,permit,bir",
    "id": (
        "driver license,drivers license,driver's license,driver's licence,driving licence,"
        "driving license,identity card,identity number,national id,id card,id number,id no,tax id,"
        "taxpayer id,tin,ein,idcard"
    ),
    "ssn": "social security,ssn,itin,national insurance,nino",
    "phone": (
        "phone,telephone,mobile,cell,cellphone,tel,call,text,fax,whatsapp,whats app,dial,"
        "reach me,reach him,reach her,reach us,ring me,ring him,ring her,ring us,contact"
    ),
    "plate": "license plate,licence plate,number plate,plate number,plate no,registration",
    "gps": "gps,lat,latitude,lng,long,lon,longitude,location,coordinates,coordinate",
    "address": (
        "address,live at,live on,lives at,lives on,living at,ship to,shipped to,deliver to,"
        "delivered to,located at,moved to,mail to,mail it to,send to,send it to,send this to"
    ),
    "version": "version,ver,firmware,release,v",
}
_NOT_BEHIND = {"电话": "费|会议", "電話": "費|會議"}


def _in_chinese() -> tuple["re.Pattern[str]", tuple[str, ...]]:
    """One pattern that begins with a class of characters, which the engine looks for by itself;
    and what each of its groups says."""
    by_head: dict[str, list[tuple[str, str]]] = {}
    for what, words in _CHINESE.items():
        for word in words.split():
            by_head.setdefault(word[0], []).append((word[1:], what))
    branches: list[str] = []
    kinds = [""]
    for head, words in by_head.items():
        for rest, what in sorted(words, key=lambda word: -len(word[0])):
            barred = _NOT_BEHIND.get(head + rest)
            branches.append(f"(?<={head}){rest}()" + (f"(?!{barred})" if barred else ""))
            kinds.append(what)
    return re.compile(f"[{''.join(by_head)}](?:{'|'.join(branches)})"), tuple(kinds)


def _in_english() -> dict[str, list[tuple["re.Pattern[str]", str]]]:
    """What may follow a first word, the longest first."""
    found: dict[str, list[tuple[re.Pattern[str], str]]] = {}
    for what, phrases in _ENGLISH.items():
        for phrase in sorted(phrases.split(","), key=len, reverse=True):
            first, *rest = re.findall(r"[a-z]+|[#.']", phrase)
            tail = "".join(rf"[ _-]{{0,2}}{re.escape(word)}" for word in rest)
            end = "" if phrase.endswith("#") else "(?![a-z])"
            pattern = re.compile(tail + end, re.IGNORECASE if rest else 0)
            found.setdefault(first, []).append((pattern, what))
    return found


_PATTERN, _KINDS = _in_chinese()
_PHRASES = _in_english()
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", re.ASCII)
_HAN = re.compile("[\u4e00-\u9fff]")


def cues_in(text: str) -> list[Cue]:
    """All cues of a text, Chinese before English ones."""
    found: list[Cue] = []
    if not text.isascii() and _HAN.search(text):
        found = [Cue(_KINDS[m.lastindex or 0], m.start(), m.end()) for m in _PATTERN.finditer(text)]
    for word in _WORD.finditer(text):
        for pattern, what in _PHRASES.get(word[0].lower(), ()):
            if rest := pattern.match(text, word.end()):
                found.append(Cue(what, word.start(), rest.end()))
                break
    return found


def near(cues: list[Cue], start: int, end: int, *kinds: str) -> bool:
    """Whether one of these was said shortly before a stretch of text, or right behind it."""
    return any(
        one.what in kinds
        and (start - BEFORE <= one.end <= start or end <= one.start <= end + BEHIND)
        for one in cues
    )
