# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pages become what a reader of them sees, and nothing that a reader does not."""

import asyncio
import zlib
from pathlib import Path

import pytest

from haoya.core.errors import Unready
from haoya.tools.web.child import Document, Reading, read
from haoya.tools.web.reading.charset import decode
from haoya.tools.web.reading.content import main_of
from haoya.tools.web.reading.markdown import markdown
from haoya.tools.web.reading.plain import plain
from haoya.tools.web.reading.tree import parse

PAGES = Path(__file__).parent / "pages"
BASE = "https://docs.example/guide/backup/"


def text_of(page: str) -> str:
    tree, _ = parse(page)
    return markdown(main_of(tree), BASE)


def test_a_manual_becomes_its_text_in_markdown() -> None:
    assert text_of((PAGES / "manual_en.html").read_text()) == (
        "# Backing up a journal #\n\n"
        "A journal is copied while the program runs. The copy is **consistent**: it holds"
        " everything up to one moment, and nothing after it — see"
        " [Restoring (all of it)](https://docs.example/guide/restore/?v=2&x=1).\n\n"
        "## On one machine\n\n"
        "Run this:\n\n"
        "```\n$ example backup \\\n    --to /mnt/disk\n# done\n```\n\n"
        "It prints `ok` or one of:\n\n"
        "**disk full**\n\nFree some space.\n\n**locked**\n\nAnother backup runs.\n\n"
        "## On several\n\n"
        "1. Make a key:\n   - with `ssh-keygen`\n   - or by hand\n2. Copy it.\n\n"
        "> Never copy the file itself.\n>\n> It may be half written.\n\n"
        "[image: Two machines and a disk]\n\nFig. 1\n\n"
        "| Size | Time |\n| --- | --- |\n| 1 GB | 4 s |\n| 10 GB | 41 s \\| 2 min |"
    )


def test_a_chinese_article_is_found_among_what_surrounds_it() -> None:
    text = text_of((PAGES / "news_zh.html").read_text())
    assert text.startswith("# 城南老街改造完成，百年茶馆重新开门")
    assert "[“清和茶馆”](https://docs.example/tag/cgs.html)重新卸下门板" in text
    assert "| 雨水管 | 1,240 | 318 |" in text
    assert "评弹演出" in text
    for around in ("登录", "首页", "国际", "分享到", "热门推荐", "震惊", "版权所有", "买一送一"):
        assert around not in text


def test_what_nobody_sees_is_not_read() -> None:
    for page in ("news_zh.html", "manual_en.html"):
        text = text_of((PAGES / page).read_text())
        assert "忽略" not in text
        assert "Ignore" not in text
    hidden = "a\u200bb\u202e\U000e0049\U000e0067\u2063c\ufeff\x1b[2J"
    assert plain(hidden) == "abc[2J"
    assert plain("家\u200d族 नम\u200cस्ते\n\t") == "家\u200d族 नम\u200cस्ते\n\t"


def test_a_page_without_marks_or_paragraphs_is_read_whole() -> None:
    assert text_of("<title>x</title>Hello<br>you <b>there</b>") == "Hello\nyou **there**"
    assert text_of("<table><tr><td>just a layout</td></tr></table>") == "just a layout"
    assert text_of("") == ""


def test_broken_html_is_read_as_browsers_read_it() -> None:
    assert text_of("<p>one<p>two<div>three</p>four") == "one\n\ntwo\n\nthreefour"
    assert text_of("<ul><li>a<li>b</ul>c") == "- a\n- b\n\nc"
    assert text_of("<b>bold<i>both</b>rest</i>") == "**boldboth**rest"
    assert text_of("a < b && c &amp; d &lt;e&gt; &#20320;&#x597d;") == "a < b && c & d <e> 你好"
    assert text_of("<a href='javascript:x()'>no</a> <a href='data:,x'>no</a>") == "no no"
    assert text_of("<a href='http://[bad'>words</a>") == "words"
    assert "x" in text_of("<div>" * 100_000 + "x")


CHINESE = "城南老街的改造工程至此全部完成，茶馆重新开门。"


@pytest.mark.parametrize(
    ("body", "label", "name"),
    [
        (CHINESE.encode("gbk"), "gb2312", "gb18030"),
        (CHINESE.encode("gb18030"), "GBK", "gb18030"),
        (CHINESE.encode("gbk"), "", "gb18030"),
        (b"<meta charset=gbk>" + CHINESE.encode("gbk"), "", "gb18030"),
        (b'<meta http-equiv=x content="text/html; charset=gb2312">' + CHINESE.encode("gbk"), "",
         "gb18030"),
        (b'<?xml version="1.0" encoding="GBK"?>' + CHINESE.encode("gbk"), "", "gb18030"),
        (CHINESE.encode("utf-8"), "", "utf-8"),
        (CHINESE.encode("utf-8")[:-1], "", "utf-8"),
        (CHINESE.encode("utf-8-sig"), "gbk", "utf-8"),
        (b"\xff\xfe" + CHINESE.encode("utf-16-le"), "utf-8", "utf-16-le"),
        (CHINESE.encode("utf-8"), "no-such-thing", "utf-8"),
        (CHINESE.encode("utf-8"), "zip", "utf-8"),
        (b"<meta charset=utf-16>" + CHINESE.encode("utf-8"), "", "utf-8"),
    ],
)  # fmt: skip
def test_the_encoding_is_what_the_page_is_written_in(body: bytes, label: str, name: str) -> None:
    text, found = decode(body, label)
    assert CHINESE[:-1] in text
    assert found == name


def test_older_encodings_of_other_scripts_are_read() -> None:
    assert decode("日本語の文".encode("cp932"), "Shift_JIS")[0] == "日本語の文"
    assert decode("繁體中文".encode("big5"), "big5")[0] == "繁體中文"
    assert decode("한국어".encode("cp949"), "euc-kr")[0] == "한국어"
    assert decode("naïve “quotes”".encode("cp1252"), "iso-8859-1")[0] == "naïve “quotes”"


def pdf(*pages: str, title: str = "A report") -> bytes:
    """The smallest PDF that holds text."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, words in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({words}) Tj ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects.append(f"<< /Title ({title}) >>")
    out, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{text}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    trailer = f"trailer << /Size {size} /Root 1 0 R /Info {size - 1} 0 R >>"
    head = f"xref\n0 {size}\n0000000000 65535 f \n{table}"
    return out + f"{head}{trailer}\nstartxref\n{len(out)}\n%%EOF".encode()


def reading(body: bytes, type: str = "text/html", charset: str = "") -> Reading:
    document = Document(type=type, charset=charset, url=BASE)
    return asyncio.run(read(document, body, None))


def test_pdf_text_comes_page_by_page() -> None:
    pytest.importorskip("pypdf")
    found = reading(pdf("Costs were 12 euros", "The end"), "application/pdf")
    assert found.error == ""
    assert found.title == "A report"
    assert found.text == "[page 1]\nCosts were 12 euros\n\n[page 2]\nThe end"


@pytest.mark.parametrize("body", [b"%PDF-1.4 broken", pdf(), pdf("")[:300]])
def test_a_pdf_without_text_says_why(body: bytes) -> None:
    pytest.importorskip("pypdf")
    assert "PDF" in reading(body, "application/pdf").error


def test_json_text_and_feeds_are_read_as_they_are() -> None:
    assert (
        reading(b'{"a":["\xe4\xbd\xa0"]}', "application/json").text == '{\n "a": [\n  "你"\n ]\n}'
    )
    assert reading(b"one\n  two", "text/plain").text == "one\n  two"
    assert reading(b"<rss><item>x</item></rss>", "application/rss+xml").text.startswith("<rss>")
    assert "no text" in reading(b"\0\1\2", "").error


def test_a_page_that_kills_its_reader_harms_nobody_else() -> None:
    deep = b"<div>" * 200_000 + b"x"
    assert reading(deep).text == "x"
    bomb = pdf("x").replace(b"BT /F1 12 Tf 72 720 Td (x) Tj ET", zlib.compress(b"x" * 10_000_000))
    assert isinstance(reading(bomb, "application/pdf"), Reading)


def test_the_reader_needs_nothing_but_pythons_own_library() -> None:
    standing = {
        path.name for path in (PAGES.parents[2] / "src/haoya/tools/web/reading").glob("*.py")
    }
    assert "__main__.py" in standing
    found = reading(b"<h1>Hello</h1>")
    assert (found.text, found.error) == ("# Hello", "")


@pytest.mark.parametrize("level", ["namespaces", "landlock"])
def test_in_the_sandbox_the_same_is_read(level: str) -> None:
    room = pytest.importorskip("haoya.sandbox.room", reason="this haoya has no sandbox yet")
    pytest.importorskip("pypdf")

    async def run() -> None:
        try:
            async with room.open_sandbox([level]) as sandbox:
                for body, kind, says in (
                    (b"<h1>Hello</h1>", "text/html", "# Hello"),
                    (pdf("in the box"), "application/pdf", "[page 1]\nin the box"),
                ):
                    document = Document(type=kind, charset="", url=BASE)
                    found = await read(document, body, sandbox)
                    assert (found.text, found.error) == (says, "")
        except Unready as error:
            pytest.skip(f"this machine keeps nothing in by {level}: {error}")

    asyncio.run(run())
