# SPDX-License-Identifier: AGPL-3.0-or-later
"""Secrets are found in every common disguise, nothing else is, and texts come back without them."""

import base64
import codecs
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haoya.policy.leaks import MIN_CHARS, Screen

SECRET = "sk-live-Zq8vT2nWx7RbLm4K"
OTHER = "123456789:AAHfq-9_xYz0Kd8eWvTgLmNoPqRsTuV"
SCREEN = Screen({"openai": SECRET, "telegram": OTHER})

FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper case": str.upper,
    "reversed": lambda s: s[::-1],
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 one in": lambda s: base64.b64encode(b"x" + s.encode() + b"yy").decode(),
    "base64 two in": lambda s: base64.b64encode(b"xx" + s.encode()).decode(),
    "base64 for urls": lambda s: base64.urlsafe_b64encode(s.encode()).decode().rstrip("="),
    "base64 in lines": lambda s: base64.encodebytes(s.encode() * 9).decode(),
    "base64 of utf-16": lambda s: base64.b64encode(s.encode("utf-16-le")).decode(),
    "base64 reversed": lambda s: base64.b64encode(s[::-1].encode()).decode(),
    "base32": lambda s: base64.b32encode(b"xyz" + s.encode()).decode(),
    "hex": lambda s: s.encode().hex(),
    "hex with colons": lambda s: s.encode().hex(":").upper(),
    "percent": lambda s: "".join(f"%{byte:02x}" for byte in s.encode()),
    "percent twice": lambda s: quote(quote(s, safe=""), safe=""),
    "percent everywhere twice": lambda s: "".join(f"%25{byte:02X}" for byte in s.encode()),
    "json": lambda s: json.dumps({"key": [s]}),
    "json escapes": lambda s: "".join(f"\\u{ord(c):04x}" for c in s),
    "hex escapes": lambda s: "".join(f"\\x{ord(c):02x}" for c in s),
    "html": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "html in hex": lambda s: "".join(f"&#x{ord(c):X};" for c in s),
    "rot13": lambda s: codecs.encode(s, "rot13"),
    "utf-16": lambda s: s.encode("utf-16-le").decode("latin-1"),
    "spaces": " ".join,
    "lines": "\n".join,
    "dots": lambda s: "...".join(s[i : i + 4] for i in range(0, len(s), 4)),
    "quoted pieces": lambda s: '" + "'.join(s[i : i + 3] for i in range(0, len(s), 3)),
    "zero-width spaces": "\u200b".join,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("name", "value"), [("openai", SECRET), ("telegram", OTHER)])
def test_a_secret_is_found_in_every_common_form_wherever_it_stands(
    form: str, name: str, value: str
) -> None:
    for before in range(20):
        text = "." * 3 + "x" * before + " " + FORMS[form](value) + " and so on"
        assert SCREEN.find(text) == {name}, text
    assert SCREEN.find(FORMS[form](value).encode("utf-8", "surrogatepass")) == {name}


@pytest.mark.parametrize("form", FORMS)
def test_a_text_comes_back_without_the_secret_and_with_all_else(form: str) -> None:
    text, names = SCREEN.redact(f"好的 begin: <{FORMS[form](SECRET)}> end 完")
    assert names == {"openai"}
    assert text.startswith("好的 begin: <")
    assert text.endswith("> end 完")
    assert "[secret openai]" in text
    assert SCREEN.find(text) == frozenset()


def test_several_secrets_are_told_apart_in_one_text() -> None:
    text = f"a {SECRET} b {OTHER} c {SECRET}"
    assert SCREEN.find(text) == {"openai", "telegram"}
    assert SCREEN.redact(text)[0] == "a [secret openai] b [secret telegram] c [secret openai]"


def test_what_holds_no_secret_comes_back_as_it_is() -> None:
    text = "100% of <b>it</b> \\u00e4 &#65; sk-live-Zq8vT2nWx7RbLm4 4K sk-live 不是密钥"
    assert SCREEN.redact(text) == (text, frozenset())


@given(st.text(max_size=400))
def test_no_ordinary_text_is_taken_for_a_secret(text: str) -> None:
    assert SCREEN.find(text) == frozenset()


@given(
    secret=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=8, max_size=60),
    before=st.text(max_size=50),
    after=st.text(max_size=50),
)
def test_every_secret_is_found_at_every_place(secret: str, before: str, after: str) -> None:
    screen = Screen({"one": secret})
    text = before + secret + after
    assert screen.find(text) == {"one"}
    clean, _ = screen.redact(text)
    assert secret not in clean


def test_short_secrets_are_named_and_not_looked_for() -> None:
    screen = Screen({"pin": "1234567", "none": "", "key": SECRET})
    assert screen.weak == ["pin", "none"]
    assert screen.find("call 1234567") == frozenset()


def test_secrets_of_signs_and_of_other_alphabets_are_found_too() -> None:
    screen = Screen({"signs": "!@#$%^&*()_+", "chinese": "天王盖地虎宝塔镇河妖"})
    assert screen.find("x !@#$%^&*()_+ y") == {"signs"}
    assert screen.redact("x !@#$%^&*()_+ y")[0] == "x [secret signs] y"
    assert screen.redact("说：天王盖地虎宝塔镇河妖！")[0] == "说：[secret chinese]！"


def test_no_secrets_no_work() -> None:
    assert not Screen({})
    assert Screen({}).redact(SECRET) == (SECRET, frozenset())
    assert MIN_CHARS == 8
