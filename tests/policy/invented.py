# SPDX-License-Identifier: AGPL-3.0-or-later
"""Personal data of people who do not exist; check digits are worked out here anew and not with the
code under test."""

from random import Random


def digits(random: Random, count: int) -> str:
    return "".join(random.choice("0123456789") for _ in range(count))


def letters(random: Random, count: int, among: str = "ABCDEFGHJKLMNPQRSTUVWXYZ") -> str:
    return "".join(random.choice(among) for _ in range(count))


def _day(random: Random) -> tuple[int, int, int]:
    return random.randint(1935, 2015), random.randint(1, 12), random.randint(1, 28)


def resident_id(random: Random) -> str:
    region = random.choice(("110105", "310104", "440305", "510107", "330106", "420111", "820000"))
    year, month, day = _day(random)
    bare = f"{region}{year}{month:02}{day:02}{digits(random, 3)}"
    total = sum(int(c) * (2 ** (17 - i) % 11) for i, c in enumerate(bare))
    last = "10X98765432"[total % 11]
    return random.choice(("{}", "{}", "{}", "{} ")).format(bare + last).strip()


def fullwidth(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def uscc(random: Random) -> str:
    among = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    bare = "91" + random.choice(("110105", "310115", "440300")) + letters(random, 9, among)
    total = sum(among.index(c) * pow(3, i, 31) for i, c in enumerate(bare))
    return bare + among[(31 - total % 31) % 31]


def mobile(random: Random) -> str:
    number = "1" + random.choice("3456789") + digits(random, 9)
    form = random.choice(
        (
            "{}",
            "{}",
            "{a} {b} {c}",
            "{a}-{b}-{c}",
            "+86 {}",
            "+86-{a}-{b}-{c}",
            "86{}",
            "(+86){}",
            "0086 {}",
            "wide",
        )
    )
    if form == "wide":
        return fullwidth(number)
    return form.format(number, a=number[:3], b=number[3:7], c=number[7:])


def landline(random: Random) -> str:
    area = random.choice(("010", "021", "0755", "0571", "028"))
    number = random.choice("25678") + digits(random, 7)
    return random.choice(("{}-{}", "({}){}", "{} {}", "{}-{} 转 8021")).format(area, number)


def abroad(random: Random) -> str:
    a, b, c = f"{random.choice('2468')}{digits(random, 2)}", digits(random, 2), digits(random, 4)
    return random.choice(
        (
            f"({a}) 5{b}-{c}",
            f"{a}-5{b}-{c}",
            f"+1 {a} 5{b} {c}",
            f"+1-{a}-5{b}-{c}",
            f"+44 20 7{digits(random, 3)} {c}",
            f"+49 30 {digits(random, 8)}",
            f"+852 9{digits(random, 3)} {c}",
            f"+65 8{digits(random, 7)}",
        )
    )


def _luhn(bare: str) -> str:
    for last in "0123456789":
        digits = [int(c) for c in reversed(bare + last)]
        total = sum(d if i % 2 == 0 else d * 2 - 9 * (d > 4) for i, d in enumerate(digits))
        if total % 10 == 0:
            return bare + last
    raise AssertionError


def card(random: Random) -> str:
    head, size = random.choice(
        (("4", 16), ("5" + random.choice("12345"), 16), ("621700", 19), ("622202", 19), ("625", 16))
    )
    number = _luhn(head + digits(random, size - len(head) - 1))
    if size == 16 and random.random() < 0.5:
        sep = random.choice(" -")
        return sep.join(number[i : i + 4] for i in range(0, 16, 4))
    if size == 19 and random.random() < 0.3:
        return " ".join(number[i : i + 4] for i in range(0, 19, 4))
    return number


def iban(random: Random) -> str:
    country, bare = random.choice(
        (
            ("DE", digits(random, 18)),
            ("GB", "WEST" + digits(random, 14)),
            ("FR", digits(random, 23)),
            ("NL", "ABNA" + digits(random, 10)),
        )
    )
    number = int("".join(str(int(c, 36)) for c in f"{bare}{country}00"))
    text = f"{country}{98 - number % 97:02}{bare}"
    if random.random() < 0.5:
        return " ".join(text[i : i + 4] for i in range(0, len(text), 4))
    return text


def email(random: Random) -> str:
    name = random.choice(("li.wei", "zhang_san", "ann.smith+news", "wangfang", "j-doe", "xm"))
    host = random.choice(("qq.com", "163.com", "example.co.uk", "mail.example.org", "gmail.com"))
    return f"{name}{random.randint(1, 9999)}@{host}"


def passport(random: Random) -> str:
    return random.choice(("E", "G")) + digits(random, 8)


def hkid(random: Random) -> str:
    letter, number = letters(random, 1), digits(random, 6)
    total = (
        9 * 36
        + 8 * int(letter, 36)
        + sum(int(c) * w for c, w in zip(number, range(7, 1, -1), strict=True))
    )
    return f"{letter}{number}({'0123456789A'[(11 - total % 11) % 11]})"


def ssn(random: Random) -> str:
    return f"{random.randint(100, 665)}-{random.randint(10, 99)}-{random.randint(1000, 9999)}"


def plate(random: Random) -> str:
    head = random.choice("京沪粤浙苏川鄂鲁") + letters(random, 1, "ABCDEFGH")
    dot = random.choice(("", "", "·", " "))
    if random.random() < 0.4:
        return f"{head}{dot}D{digits(random, 5)}"
    return f"{head}{dot}{letters(random, 1)}{digits(random, 4)}"


def zh_address(random: Random) -> str:
    city = random.choice(
        (
            "北京市朝阳区",
            "上海市浦东新区",
            "广东省深圳市南山区",
            "四川省成都市武侯区",
            "杭州市西湖区",
            "江苏省南京市鼓楼区",
            "",
        )
    )
    street = random.choice(
        ("建国路", "人民南路四段", "科技园路", "文三西路", "解放大道", "长乐街", "中山东一路")
    )
    house = random.choice(("{}号", "{}号院{}号楼{}单元{}室", "{}弄{}号{}室", "{}号{}栋{}"))
    numbers = [
        random.randint(1, 199),
        random.randint(1, 20),
        random.randint(1, 6),
        random.randint(101, 2804),
    ]
    if house.count("{}") == 3:
        numbers = [numbers[0], numbers[1], numbers[3]]
    return city + street + house.format(*numbers)


def zh_estate(random: Random) -> str:
    name = random.choice(("阳光花园", "金地格林小区", "万科城市之光", "翡翠湾"))
    return f"{name}{random.randint(1, 30)}栋{random.randint(1, 4)}单元{random.randint(101, 3204)}室"


def en_address(random: Random) -> str:
    street = random.choice(
        (
            "Maple Street",
            "Elm Ave",
            "St James's Road",
            "North 5th Street",
            "Sunset Blvd",
            "Baker Street",
            "Old Mill Lane",
            "Martin Luther King Drive",
        )
    )
    tail = random.choice(
        ("", ", Apt 4B", ", Springfield, IL 62704", " Unit 12", ", London NW1 6XE")
    )
    return f"{random.randint(1, 9999)} {street}{tail}"


def record(random: Random) -> str:
    return random.choice((digits(random, 8), f"Z{digits(random, 9)}", f"MR-{digits(random, 7)}"))


def key(random: Random) -> str:
    among = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return random.choice(
        (
            "sk-" + letters(random, 40, among),
            "ghp_" + letters(random, 36, among),
            "AKIA" + letters(random, 16, among[:26] + "234567"),
            "xoxb-" + digits(random, 12) + "-" + letters(random, 24, among),
            "hf_" + letters(random, 34, among),
            letters(random, 40, among),
            digits(random, 10) + ":AA" + letters(random, 33, among + "_-"),
        )
    )


def password(random: Random) -> str:
    return random.choice(
        ("Tr0ub4dor&3", "hunter2", "Sommer2026!", "p@ssw0rd", "qwe123rty", "9x!Lm_2w")
    ) + str(random.randint(0, 99))


def ip(random: Random) -> str:
    if random.random() < 0.25:
        return "2001:db8:" + ":".join(f"{random.randint(4096, 65535):x}" for _ in range(6))
    rest = (str(random.randint(1, 254)) for _ in range(3))
    return ".".join([random.choice(("10", "61", "116", "192", "203")), *rest])


def mac(random: Random) -> str:
    return random.choice(":-").join(f"{random.randint(0, 255):02x}" for _ in range(6))


def born(random: Random) -> str:
    year, month, day = _day(random)
    return random.choice(
        (f"{year}年{month}月{day}日", f"{year}-{month:02}-{day:02}", f"{year}.{month}.{day}")
    )


def born_en(random: Random) -> str:
    year, month, day = _day(random)
    name = (
        "January",
        "Feb",
        "March",
        "April",
        "May",
        "June",
        "July",
        "Aug",
        "Sept",
        "October",
        "Nov",
        "December",
    )
    return random.choice(
        (
            f"{month:02}/{day:02}/{year}",
            f"{name[month - 1]} {day}, {year}",
            f"{day} {name[month - 1]} {year}",
            f"{year}-{month:02}-{day:02}",
        )
    )


def gps(random: Random) -> str:
    return f"{random.uniform(18, 50):.5f}, {random.uniform(75, 130):.5f}"


def account(random: Random) -> str:
    return random.choice(
        (
            digits(random, 9),
            f"wxid_{letters(random, 14, 'abcdefghijklmnop0123456789')}",
            f"li_wei{random.randint(10, 999)}",
        )
    )
