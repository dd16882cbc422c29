# SPDX-License-Identifier: AGPL-3.0-or-later
"""People who do not exist, and what they write: sentences with personal data in known places, and
sentences with numbers that look like it and are none. For tests and for bench/masking.py."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from tests.policy.invented import (
    abroad,
    account,
    born,
    born_en,
    card,
    digits,
    email,
    en_address,
    fullwidth,
    gps,
    hkid,
    iban,
    ip,
    key,
    landline,
    letters,
    mac,
    mobile,
    passport,
    password,
    plate,
    record,
    resident_id,
    ssn,
    uscc,
    zh_address,
    zh_estate,
)

Draw = Callable[[Random], str]


class Sample(NamedTuple):
    """A sentence and the stretches of it that are personal: start, end, kind."""

    text: str
    planted: tuple[tuple[int, int, str], ...]


PERSONAL: tuple[tuple[str, Draw, tuple[str, ...]], ...] = (
    (
        "id",
        resident_id,
        (
            "我的身份证号是{}，帮我填一下表。",
            "身份证{}，办理入住",
            "{}这个号对不对？",
            "ID number {} for the hotel",
            "证件号码：{}。",
        ),
    ),
    ("id", lambda r: fullwidth(resident_id(r)), ("身份证：{}", "请核对 {}")),
    (
        "uscc",
        uscc,
        ("开票抬头的统一社会信用代码是{}", "公司税号 {}，谢谢", "Our Chinese tax id is {}."),
    ),
    (
        "phone",
        mobile,
        (
            "打我电话{}",
            "手机{}，微信同号",
            "我的号码是{}，有事联系。",
            "call me at {} tomorrow",
            "收件人张三，{}",
            "联系 {}",
        ),
    ),
    ("phone", landline, ("办公室座机{}", "前台电话：{}", "传真 {}", "reach the clinic on {}")),
    ("phone", abroad, ("my number is {}", "Call {} after six", "text me: {}", "国外电话 {}")),
    (
        "card",
        card,
        (
            "银行卡号{}，开户行招商银行",
            "my card is {}, exp 09/29",
            "打到{}就行",
            "卡号：{}",
            "pay with {} please",
        ),
    ),
    ("iban", iban, ("Please wire it to {} today", "IBAN: {}", "汇到这个账户 {}。")),
    ("email", email, ("邮箱{}谢谢", "mail me at {}.", "抄送{}，{}", "Contact: {}")),
    ("passport", passport, ("护照号{}", "passport no. {} expires soon", "我的护照是{}，办签证用")),
    ("permit", hkid, ("香港身份證號碼 {}", "HKID {}", "我的證件是{}。")),
    ("ssn", ssn, ("SSN: {}", "my social security number is {}", "use {} on the W-2")),
    (
        "plate",
        plate,
        ("车牌{}停在楼下", "我的车是{}", "plate number {} is blocking the gate", "{}违章了吗"),
    ),
    (
        "address",
        zh_address,
        ("我住在{}。", "请寄到{}，谢谢", "收货地址：{}", "{}怎么走？", "周五去{}开会"),
    ),
    ("address", zh_estate, ("家在{}", "送到{}门口", "地址是{}")),
    (
        "address",
        en_address,
        ("I live at {}.", "Ship it to {} please", "The house is {}", "meet me at {} at noon"),
    ),
    (
        "record",
        record,
        (
            "病历号：{}",
            "住院号{}，下周复查",
            "MRN: {}",
            "patient id {} has a follow-up",
            "medical record number {}",
        ),
    ),
    ("key", key, ("key is {}", "export TOKEN={}", "用这个 {} 调接口", "我的 API key：{}")),
    (
        "key",
        password,
        ("密码是{}", "wifi password: {}", "口令 {}，别告诉别人", '{{"password": "{}"}}'),
    ),
    ("ip", ip, ("服务器在{}上", "ssh root@{} fails", "Login from {} last night")),
    ("mac", mac, ("网卡 {}", "the router shows {}", "MAC: {}")),
    ("birth", born, ("生日是{}", "出生日期：{}", "他{}出生", "我生于{}，属什么？")),
    ("birth", born_en, ("DOB: {}", "date of birth {}", "She was born on {}.")),
    ("gps", gps, ("我现在的位置是{}", "coordinates {}", "定位 {}", "[location: home {}]")),
    ("account", account, ("加我微信：{}", "QQ号{}", "WeChat ID: {}", "支付宝账号 {}")),
)
"""What is planted: kind, how one is drawn, and what people say around it."""

HARMLESS: tuple[tuple[Draw, tuple[str, ...]], ...] = (
    (
        lambda r: f"2026{r.randint(1, 12):02}{r.randint(1, 28):02}{digits(r, 10)}",
        ("订单号{}什么时候发货？", "Order {} has shipped"),
    ),
    (lambda r: digits(r, 12), ("快递单号SF{}", "tracking number 1Z{}", "工单 {} 处理了吗")),
    (
        lambda r: f"{r.randint(1, 9)},{digits(r, 3)},{digits(r, 3)}.{digits(r, 2)}",
        ("总价{}元", "revenue was ${} last year"),
    ),
    (lambda r: f"{r.randint(1, 99999)}.{digits(r, 2)}", ("价格是{}元", "it costs ${}", "涨了{}%")),
    (
        lambda r: (
            f"{r.randint(2000, 2030)}-{r.randint(1, 12):02}-{r.randint(1, 28):02} "
            f"{r.randint(0, 23):02}:{r.randint(0, 59):02}:{r.randint(0, 59):02}"
        ),
        ("会议改到{}", "log line at {}", "截止时间 {}"),
    ),
    (
        lambda r: f"{r.randint(2000, 2030)}年{r.randint(1, 12)}月{r.randint(1, 28)}日",
        ("{}有空吗？", "{}的航班几点到", "合同{}签"),
    ),
    (
        lambda r: f"{r.randint(0, 20)}.{r.randint(0, 40)}.{r.randint(0, 99)}",
        ("升级到 v{}", "version {} is out", "Python {} 有什么新功能"),
    ),
    (
        lambda r: f"{r.randint(0, 20)}.{r.randint(0, 40)}.{r.randint(0, 99)}.{r.randint(0, 99)}",
        ("固件版本{}", "version {} crashes", "驱动 v{} 有问题"),
    ),
    (lambda r: letters(r, 40, "0123456789abcdef"), ("commit {} broke it", "回滚到 {}", "sha1 {}")),
    (lambda r: letters(r, 64, "0123456789abcdef"), ("sha256:{}", "校验和 {}")),
    (
        lambda r: "-".join(letters(r, n, "0123456789abcdef") for n in (8, 4, 4, 4, 12)),
        ("request id {}", "任务 {} 失败"),
    ),
    (lambda r: f"17{digits(r, 8)}", ("timestamp {}", "Unix 时间 {} 是几点")),
    (lambda r: f"17{digits(r, 11)}", ("ts={}", "毫秒时间戳{}")),
    (
        lambda r: f"978-7-{digits(r, 4)}-{digits(r, 4)}-{digits(r, 1)}",
        ("ISBN {}", "这本书 {} 有货吗"),
    ),
    (
        lambda r: (
            f"{r.randint(100, 999)} {r.randint(100, 999)} {r.randint(100, 999)} {r.randint(10, 99)}"
        ),
        ("把 {} 加起来", "the readings were {}"),
    ),
    (lambda r: f"0.{digits(r, 6)}, 0.{digits(r, 6)}", ("两个得分 {}", "p-values {}")),
    (lambda r: f"{r.randint(1, 9)}.{digits(r, 6)}", ("π 大约是 {}", "loss {} at epoch 3")),
    (lambda r: f"{r.randint(1, 31)}号", ("我{}去上海", "{}之前给我", "每月{}发工资", "10月{}见")),
    (lambda r: f"{r.randint(2, 30)}楼", ("我们在{}开会", "电梯到{}")),
    (lambda r: f"{r.randint(2, 99)}路公交", ("坐{}到人民广场", "{}车几点末班")),
    (
        lambda r: r.choice(
            (
                "getUserAccountByIdentifierV2Handler",
                "XMLHttpRequestUpload2EventTarget",
                "test_a_turn_that_began_goes_on_3_times",
            )
        ),
        ("rename {} please", "{} 这个函数做什么"),
    ),
    (
        lambda r: f"https://example.com/docs/{r.randint(1, 999)}/getting-started-with-haoya.html",
        ("see {}", "看看 {} 写了什么"),
    ),
    (
        lambda r: r.choice(("incorrect", "required", "strength", "manager", "policy")),
        ("the password is {}", "password {} 是什么意思"),
    ),
    (
        lambda r: f"{r.randint(1, 9)}:{r.randint(10, 59)}:{r.randint(10, 59)}",
        ("跑了 {}", "finished in {}"),
    ),
    (
        lambda r: f"RTX {r.randint(3, 5)}0{r.choice('6789')}0",
        ("买 {} 还是等新的", "does {} run it"),
    ),
    (lambda r: f"ISO-{r.randint(1000, 9999)}", ("{} 标准讲什么", "compliant with {}")),
    (lambda r: f"max_tokens: {r.randint(100, 9999)}", ("set {} in the request", "把 {} 调大")),
    (lambda r: f"{r.randint(2, 60)} new roads", ("the city built {}", "{} opened in May")),
    (lambda r: f"{r.randint(1, 99)}%", ("电量{}", "battery at {}")),
    (lambda r: f"std::vector<int>::size() == {r.randint(1, 999)}", ("assert {}", "为什么 {} 报错")),
    (lambda r: f"{r.randint(300, 900)}×{r.randint(300, 900)}", ("图片大小{}", "resize to {}")),
    (
        lambda r: (
            f"10.{digits(r, 4)}/s{digits(r, 5)}-{digits(r, 3)}-{digits(r, 4)}-{r.randint(0, 9)}"
        ),
        ("doi {}", "引用 {}"),
    ),
)
"""What is no personal data, however much it looks like it."""


HANDWRITTEN = Path(__file__).with_name("handwritten.txt")


def handwritten() -> Iterator[Sample]:
    """Messages written by hand, not by these templates."""
    for line in HANDWRITTEN.read_text("utf-8").splitlines():
        if line.startswith("#"):
            continue
        text, planted = "", list[tuple[int, int, str]]()
        for place, piece in enumerate(re.split("[«»]", line)):
            if place % 2:
                planted.append((len(text), len(text) + len(piece), "any"))
            text += piece
        yield Sample(text, tuple(planted))


def personal(random: Random, each: int) -> Iterator[Sample]:
    """Sentences with something planted; `each` of every kind and way to write it."""
    for kind, draw, templates in PERSONAL:
        for number in range(each):
            template = templates[number % len(templates)]
            text, planted = "", list[tuple[int, int, str]]()
            pieces = template.replace("{{", "\0").replace("}}", "\1").split("{}")
            for place, piece in enumerate(pieces):
                text += piece.replace("\0", "{").replace("\1", "}")
                if place < len(pieces) - 1:
                    value = draw(random)
                    planted.append((len(text), len(text) + len(value), kind))
                    text += value
            yield Sample(text, tuple(planted))


def harmless(random: Random, each: int) -> Iterator[Sample]:
    """Sentences without anything personal."""
    for draw, templates in HARMLESS:
        for number in range(each):
            yield Sample(templates[number % len(templates)].format(draw(random)), ())
