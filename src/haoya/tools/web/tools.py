# SPDX-License-Identifier: AGPL-3.0-or-later
"""The two tools, and the words that a model gets from them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import msgspec

from haoya.core.label import Label
from haoya.core.plugin import Context
from haoya.core.ports import Tool
from haoya.core.schema import schema_of
from haoya.core.tool import Scene, ToolResult, ToolSpec
from haoya.tools.web.child import Document, Reading, read
from haoya.tools.web.engines import ENGINES, RESULTS, Found, Question
from haoya.tools.web.fetching import Page, fetch
from haoya.tools.web.reading.plain import plain
from haoya.tools.web.settings import WebSettings

MIB = 1024 * 1024
SEARCH_BYTES = 4 * MIB
SHOWN_CHARS = 300
URL_CHARS = 500
KEPT_PAGES = 8
"""Pages whose text is kept, so that reading on does not fetch them again."""

_READABLE = (
    "text/", "application/xhtml+xml", "application/json", "application/xml", "application/pdf",
    "application/javascript", "application/yaml",
)  # fmt: skip
_WEB = frozenset({"web"})


class WebFetch(msgspec.Struct):
    """A page, from a sign on."""

    url: str
    offset: int = 0


class WebSearch(msgspec.Struct):
    """Words to look for."""

    query: str
    page: int = 1


FETCH = ToolSpec(
    name="web_fetch",
    purpose="Read a web page, PDF or text file as Markdown.",
    schema=schema_of(WebFetch),
    effects=frozenset({"net"}),
    reads=_WEB,
    writes=_WEB,
    idempotent=True,
    authority={"url": "where"},
)
SEARCH = ToolSpec(
    name="web_search",
    purpose="Search the web; web_fetch reads what it finds.",
    schema=schema_of(WebSearch),
    effects=frozenset({"net"}),
    reads=_WEB,
    writes=_WEB,
    idempotent=True,
)


@asynccontextmanager
async def lend(
    settings: WebSettings, context: Context
) -> AsyncGenerator[tuple[Tool[Any], ...], None]:
    """`web_fetch`, and `web_search` where the settings say what is to be asked."""
    web = _Web(settings, context)
    tools: tuple[Tool[Any], ...] = (Tool(spec=FETCH, arguments=WebFetch, run=web.fetch),)
    if settings.search_url:
        tools += (Tool(spec=SEARCH, arguments=WebSearch, run=web.search),)
    yield tools


class _Web:
    def __init__(self, settings: WebSettings, context: Context) -> None:
        self._settings, self._context = settings, context
        self._kept: dict[tuple[str, str], tuple[Page, Reading]] = {}

    async def fetch(self, asked: WebFetch, scene: Scene) -> ToolResult:
        """A page as Markdown."""
        key = (scene.address.key, asked.url)
        found = self._kept.get(key) if asked.offset > 0 else None
        try:
            page, reading = found or await self._read(asked.url)
        except ValueError as error:
            return ToolResult(text=str(error), ok=False)
        label = _from(f"web:{page.host}")
        if reading.error:
            text = f"{page.url} cannot be read: {reading.error}"
            return ToolResult(text=text, ok=False, label=label)
        self._kept.pop(key, None)
        self._kept[key] = (page, reading)
        for old in list(self._kept)[:-KEPT_PAGES]:
            del self._kept[old]
        return ToolResult(text=self._shown(page, reading, max(0, asked.offset)), label=label)

    async def _read(self, url: str) -> tuple[Page, Reading]:
        settings = self._settings
        max_bytes = int(settings.max_mib * MIB)
        page = await fetch(self._context.http, url, max_bytes=max_bytes, seconds=settings.seconds)
        if not _readable(page):
            raise ValueError(f"{page.url} is {page.type}, which cannot be read as text")
        document = Document(type=page.type, charset=page.charset, url=page.url)
        return page, await read(document, page.body, self._context.sandbox)

    def _shown(self, page: Page, reading: Reading, offset: int) -> str:
        text = reading.text
        end = offset + self._settings.page_chars
        head = [f"# {reading.title}"] if reading.title and not offset else []
        head.append(f"<{page.url}>")
        notes: list[str] = []
        if end < len(text):
            left = f"{len(text) - end} of {len(text)} signs follow"
            notes.append(f"[{left}; read on with offset {end}]")
        elif page.cut:
            most = f"{self._settings.max_mib:g} MiB"
            notes.append(f"[the page is longer than {most}; the rest is left out]")
        return "\n\n".join([*head, text[offset:end] or "[nothing to read there]", *notes])

    async def search(self, asked: WebSearch, scene: Scene) -> ToolResult:
        """Titles, addresses and a few words of each result."""
        engine, settings = ENGINES[self._settings.search_engine], self._settings
        query = " ".join(asked.query.split())
        if not query:
            return ToolResult(text="the query is empty; write words to look for", ok=False)
        question = engine.ask(settings, self._key(), query, max(1, min(asked.page, 10)))
        try:
            found = engine.read(await self._answer(question))
        except (msgspec.DecodeError, UnicodeDecodeError):
            text = f"the search answers with no JSON; tell the user: {engine.cure}"
            return ToolResult(text=text, ok=False)
        except ValueError as error:
            text = f"the search does not answer ({error}); tell the user: {engine.cure}"
            return ToolResult(text=text, ok=False)
        fine = [one for one in found if one.url.startswith(("http://", "https://"))]
        entries = [_entry(number, one) for number, one in enumerate(fine[:RESULTS], 1)]
        text = "\n".join(entries) or "nothing found; try other words"
        return ToolResult(text=text, label=_from("web_search"))

    def _key(self) -> str:
        """The engine's key; a named secret is put in by the client, on the way to the engine."""
        key = self._settings.search_key
        return key if key.startswith("secret:") else self._context.secret(key)

    async def _answer(self, question: Question) -> bytes:
        """The engine's answer; ValueError in words where there is none."""
        http, seconds = self._context.http, self._settings.seconds
        url = httpx2.URL(question.url, params=question.params)
        body = bytearray()
        try:
            async with (
                asyncio.timeout(seconds),
                http.stream("GET", url, headers=question.headers, timeout=seconds) as answer,
            ):
                if not answer.is_success:
                    raise ValueError(f"status {answer.status_code}")
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > SEARCH_BYTES:
                        raise ValueError("its answer has no end")
        except TimeoutError:
            raise ValueError(f"nothing within {seconds:g} s") from None
        except httpx2.HTTPError as error:
            raise ValueError(str(error) or type(error).__name__) from None
        return bytes(body)


def _readable(page: Page) -> bool:
    kind = page.type
    return (
        not kind
        or kind.startswith(_READABLE)
        or kind.endswith(("+json", "+xml"))
        or page.body.startswith(b"%PDF-")
    )


def _entry(number: int, one: Found) -> str:
    words = _cut(f"{one.date} {one.text}")
    entry = f"{number}. {_cut(one.title) or one.url}\n   <{one.url[:URL_CHARS]}>"
    return f"{entry}\n   {words}" if words else entry


def _cut(text: str) -> str:
    text = " ".join(plain(text).split())
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + "…"


def _from(source: str) -> Label:
    """Anybody's words."""
    return Label(author="untrusted", sources=frozenset({source}))
