# SPDX-License-Identifier: AGPL-3.0-or-later
"""Pages and searches through the real way out, in a small internet."""

import asyncio
import gzip
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pydantic
import pytest

from haoya.core.label import Label
from haoya.policy.leaks import Screen
from haoya.runtime.egress import Egress, Leak
from haoya.tools.web import plugin
from haoya.tools.web.settings import WebSettings
from haoya.tools.web.tools import FETCH, SEARCH
from tests.servers.internet import Internet, Page, moved
from tests.tools.lent import Box, box, scene

PAGES = Path(__file__).parent / "pages"
GOOD, OTHER = "93.184.215.14", "151.101.1.69"
SECRET = "BSAq8vT2nWx7RbLm4KzP"
HTML = (("Content-Type", "text/html"),)


class Web:
    """The internet, the open tools, and what leaked."""

    def __init__(self, net: Internet, tools: Box, leaks: list[Leak]) -> None:
        self.net, self.tools, self.leaks = net, tools, leaks

    async def fetch(self, url: str, **more: Any) -> str:
        result = await self.tools.run("web_fetch", url=url, **more)
        return f"ok: {result.text}" if result.ok else f"no: {result.text}"


@asynccontextmanager
async def web(folder: Path, **settings: object) -> AsyncGenerator[Web, None]:
    leaks: list[Leak] = []
    async with Internet() as net:
        net.name("example.org", GOOD)
        net.name("www.example.org", OTHER)
        net.name("evil.example", [GOOD, "127.0.0.1"])
        async with Egress(
            credential=lambda name, origin: SECRET,
            screen=lambda: Screen({"brave": SECRET}),
            told=leaks.append,
            resolve=net.resolve,
            dial=net.dial,
        ) as egress:
            own = [str(value) for value in settings.values() if str(value).startswith("http")]
            client = egress.client("tools.web", own, ["brave"])
            async with box(plugin, folder, dict(settings), http=client) as tools:
                yield Web(net, tools, leaks)


def test_a_chinese_page_in_an_old_encoding_comes_as_markdown_and_as_anybodys_words(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with web(tmp_path) as it:
            body = (PAGES / "news_zh.html").read_text().encode("gb18030")
            it.net.pages["example.org", "/a"] = Page(body, 200, HTML)
            result = await it.tools.run("web_fetch", url="http://example.org/a")
            assert result.ok
            assert result.text.startswith(
                "# 城南老街改造完成 百年茶馆重新开门 - 江城晚报\n\n<http://"
            )
            assert "评弹演出" in result.text
            assert result.label == Label(author="untrusted", sources=frozenset({"web:example.org"}))
            (hit,) = it.net.hits
            assert hit.method == "GET"
            assert "haoya" in hit.headers["user-agent"]

    asyncio.run(run())


def test_redirects_are_followed_to_where_they_may_lead_and_told(tmp_path: Path) -> None:
    async def run() -> None:
        async with web(tmp_path) as it:
            pages = it.net.pages
            pages["example.org", "/"] = moved("http://www.example.org/b", 301)
            pages["www.example.org", "/b"] = moved("c?x=1")
            pages["www.example.org", "/c?x=1"] = Page(b"<h1>There</h1>", 200, HTML)
            result = await it.tools.run("web_fetch", url="http://example.org/")
            assert result.text == "<http://www.example.org/c?x=1>\n\n# There"
            assert result.label and result.label.sources == {"web:www.example.org"}
            pages["example.org", "/in"] = moved("http://169.254.169.254/latest/meta-data/")
            assert "not public" in await it.fetch("http://example.org/in")
            pages["example.org", "/round"] = moved("/round")
            assert "from one address to the next" in await it.fetch("http://example.org/round")
            pages["example.org", "/file"] = moved("file:///etc/passwd")
            assert (await it.fetch("http://example.org/file")).startswith("no:")
            assert {hit.address for hit in it.net.hits} == {GOOD, OTHER}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1/", "not public"),
        ("http://①②⑦.0.0.1/", "not public"),
        ("http://evil.example/", "not public"),
        ("http://example.org:8080/", "port 8080"),
        ("http://me:pw@example.org/", "user name"),
        ("http://nowhere.example/", "no address"),
        ("ftp://example.org/", "not http or https"),
        ("file:///etc/passwd", ""),
        ("javascript:alert(1)", ""),
        ("http://exa mple/", ""),
        ("http://[::1", ""),
        ("", ""),
    ],
)
def test_what_may_not_be_asked_is_refused_in_words_and_never_asked(
    tmp_path: Path, url: str, says: str
) -> None:
    async def run() -> None:
        async with web(tmp_path) as it:
            answer = await it.fetch(url)
            assert answer.startswith("no:")
            assert says in answer
            assert not it.net.hits

    asyncio.run(run())


def test_an_address_as_a_person_pastes_it_is_understood(tmp_path: Path) -> None:
    async def run() -> None:
        async with web(tmp_path) as it:
            for url in (
                "http://ＥＸＡＭＰＬＥ.org/",
                " http://example.org./ ",
                "HTTP://Example.Org",
            ):
                assert (await it.fetch(url)).startswith("ok:")

    asyncio.run(run())


def test_a_long_page_is_read_on_without_being_fetched_again(tmp_path: Path) -> None:
    async def run() -> None:
        async with web(tmp_path, page_chars=1000) as it:
            it.net.pages["example.org", "/"] = Page("字".encode() * 2500)
            first = await it.fetch("http://example.org/")
            assert "[1500 of 2500 signs follow; read on with offset 1000]" in first
            second = await it.fetch("http://example.org/", offset=1000)
            last = await it.fetch("http://example.org/", offset=2000)
            assert (second.count("字"), last.count("字")) == (1000, 500)
            assert "follow" not in last
            assert len(it.net.hits) == 1
            other = await it.tools.run(
                "web_fetch", scene(person="bob"), url="http://example.org/", offset=2000
            )
            assert other.ok

    asyncio.run(run())


def test_size_and_time_have_an_end(tmp_path: Path) -> None:
    async def run() -> None:
        async with web(tmp_path, max_mib=0.01, seconds=0.6) as it:
            it.net.pages["example.org", "/big"] = Page(b"word " * 100_000)
            big = await it.fetch("http://example.org/big")
            assert "longer than 0.01 MiB; the rest is left out" in big
            assert len(big) < 11_000
            bomb = gzip.compress(b"x" * 50_000_000)
            it.net.pages["example.org", "/bomb"] = Page(bomb, 200, (("Content-Encoding", "gzip"),))
            assert len(await it.fetch("http://example.org/bomb")) < 11_000
            it.net.pages["example.org", "/slow"] = Page(b"x" * 9_000, pause=0.2)
            assert "longer than 0.6 s" in await it.fetch("http://example.org/slow")

    asyncio.run(run())


def test_what_is_no_text_and_what_fails_says_so(tmp_path: Path) -> None:
    async def run() -> None:
        async with web(tmp_path) as it:
            it.net.pages["example.org", "/p"] = Page(
                b"\x89PNG", 200, (("Content-Type", "image/png"),)
            )
            assert "is image/png" in await it.fetch("http://example.org/p")
            it.net.pages["example.org", "/gone"] = Page(b"", 410)
            assert "status 410" in await it.fetch("http://example.org/gone")
            it.net.pages["example.org", "/none"] = Page(b"", 200, HTML)
            assert "[nothing to read there]" in await it.fetch("http://example.org/none")
            it.net.pages["example.org", "/odd"] = Page(b"\0\0\0", 200, ())
            assert "cannot be read: it is no text" in await it.fetch("http://example.org/odd")

    asyncio.run(run())


def test_no_secret_leaves_in_an_address_and_none_comes_back(tmp_path: Path) -> None:
    async def run() -> None:
        async with web(tmp_path) as it:
            assert "holds a secret" in await it.fetch(f"http://example.org/?k={SECRET[::-1]}")
            assert not it.net.hits
            it.net.pages["example.org", "/"] = Page(f"key: {SECRET}".encode())
            assert "withheld" in await it.fetch("http://example.org/")
            assert [leak.incoming for leak in it.leaks] == [False, True]

    asyncio.run(run())


RESULTS = {
    "results": [
        {"url": "https://a.example/x", "title": "甲 <b>", "content": "一些\u200b词", "engine": "x",
         "publishedDate": "2026-01-02T03:04:05"},
        {"url": "javascript:alert(1)", "title": "bad"},
        {"url": "https://b.example/", "title": None, "content": "w" * 999},
    ]
}  # fmt: skip


def test_a_search_asks_the_owners_engine_and_lists_what_it_found(tmp_path: Path) -> None:
    async def run() -> None:
        base = "http://127.0.0.1:8888"
        async with web(tmp_path, search_url=base + "/", language="zh") as it:
            target = "/search?q=%E8%80%81%E8%A1%97+%E8%8C%B6&format=json&pageno=2&language=zh"
            body = json.dumps(RESULTS).encode()
            it.net.pages["127.0.0.1:8888", target] = Page(body)
            result = await it.tools.run("web_search", query=" 老街\n茶 ", page=2)
            assert result.ok, result.text
            assert result.text == (
                "1. 甲 <b>\n   <https://a.example/x>\n   2026-01-02 一些词\n"
                f"2. https://b.example/\n   <https://b.example/>\n   {'w' * 300}…"
            )
            assert result.label and result.label.author == "untrusted"
            (hit,) = it.net.hits
            assert (hit.address, hit.port) == ("127.0.0.1", 8888)
            assert "not public" in await it.fetch("http://127.0.0.1:8889/")

    asyncio.run(run())


def test_another_engine_gets_its_key_from_the_vault_on_the_way(tmp_path: Path) -> None:
    async def run() -> None:
        base = "http://www.example.org"
        more = {"search_engine": "brave", "search_key": "secret:brave"}
        async with web(tmp_path, search_url=base, **more) as it:
            found = {"web": {"results": [{"title": "T", "url": "https://t.example/"}]}}
            target = "/res/v1/web/search?q=tea&count=20&offset=0"
            it.net.pages["www.example.org", target] = Page(json.dumps(found).encode())
            result = await it.tools.run("web_search", query="tea")
            assert result.text == "1. T\n   <https://t.example/>"
            assert it.net.hits[0].headers["x-subscription-token"] == SECRET
            assert parse_qs(urlsplit(it.net.hits[0].target).query)["q"] == ["tea"]

    asyncio.run(run())


def test_a_search_that_fails_says_what_the_owner_can_do(tmp_path: Path) -> None:
    async def run() -> None:
        async with web(tmp_path, search_url="http://10.1.1.1") as it:
            page = it.net.pages
            for body, status, says in (
                (b"<html>", 200, "no JSON"), (b"", 403, "status 403"), (b"[]", 200, "no JSON"),
                (b'{"results": []}', 200, "nothing found"),
            ):  # fmt: skip
                page["10.1.1.1", "/search?q=x&format=json&pageno=1"] = Page(body, status)
                result = await it.tools.run("web_search", query="x")
                assert says in result.text
                assert result.ok or "search.formats" in result.text
            assert "empty" in (await it.tools.run("web_search", query=" ")).text

    asyncio.run(run())


def test_without_an_engine_there_is_no_search(tmp_path: Path) -> None:
    async def run() -> None:
        async with web(tmp_path) as it:
            assert list(it.tools.tools) == ["web_fetch"]

    asyncio.run(run())


@pytest.mark.parametrize(
    "wrong",
    [
        {"search_url": "ftp://x"}, {"search_url": "http://me:pw@x/"}, {"search_url": "x"},
        {"search_engine": "brave", "search_url": "https://x"}, {"search_engine": "other"},
        {"seconds": 0}, {"typo": 1},
    ],
)  # fmt: skip
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        WebSettings.model_validate(wrong)


def test_policy_learns_what_it_judges_by() -> None:
    assert FETCH.effects == SEARCH.effects == {"net"}
    assert FETCH.authority == {"url": "where"}
    assert FETCH.author == SEARCH.author == "untrusted"
