# SPDX-License-Identifier: AGPL-3.0-or-later
"""How search engines are asked and what their answers hold. One entry of `ENGINES` for each."""

from collections.abc import Callable

import msgspec

from haoya.tools.web.settings import WebSettings

RESULTS = 20
"""The most that is asked for."""


class Found(msgspec.Struct, frozen=True):
    """A result."""

    title: str
    url: str
    text: str = ""
    date: str = ""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A GET request."""

    url: str
    params: dict[str, str]
    headers: dict[str, str] = {}


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """`ask` makes the request for a query and a page (from 1) with a key, `read` takes the answer's
    JSON apart (`msgspec.DecodeError` where it is none); `cure` is for an owner whom it refuses."""

    ask: Callable[[WebSettings, str, str, int], Question]
    read: Callable[[bytes], list[Found]]
    cure: str


class _Searx(msgspec.Struct):
    class Result(msgspec.Struct):
        url: str = ""
        title: str | None = ""
        content: str | None = ""
        publishedDate: str | None = ""

    results: list[Result] = []


class _Brave(msgspec.Struct):
    class Results(msgspec.Struct):
        class Result(msgspec.Struct):
            url: str = ""
            title: str = ""
            description: str = ""
            age: str = ""

        results: list[Result] = []

    web: Results = msgspec.field(default_factory=Results)


def _ask_searx(settings: WebSettings, key: str, query: str, page: int) -> Question:
    params = {"q": query, "format": "json", "pageno": str(page)}
    if settings.language:
        params["language"] = settings.language
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return Question(url=f"{settings.search_url}/search", params=params, headers=headers)


def _read_searx(body: bytes) -> list[Found]:
    answer = msgspec.json.decode(body, type=_Searx)
    return [
        Found(one.title or "", one.url, one.content or "", (one.publishedDate or "")[:10])
        for one in answer.results
    ]


def _ask_brave(settings: WebSettings, key: str, query: str, page: int) -> Question:
    params = {"q": query, "count": str(RESULTS), "offset": str(page - 1)}
    if settings.language:
        params["search_lang"] = {"zh": "zh-hans"}.get(settings.language, settings.language)
    headers = {"X-Subscription-Token": key, "Accept": "application/json"}
    return Question(url=f"{settings.search_url}/res/v1/web/search", params=params, headers=headers)


def _read_brave(body: bytes) -> list[Found]:
    answer = msgspec.json.decode(body, type=_Brave)
    return [Found(one.title, one.url, one.description, one.age) for one in answer.web.results]


ENGINES: dict[str, Engine] = {
    "searxng": Engine(
        ask=_ask_searx,
        read=_read_searx,
        cure="let it answer in JSON (`search.formats: [html, json]` in its settings.yml)",
    ),
    "brave": Engine(ask=_ask_brave, read=_read_brave, cure="check search_key in [tools.web]"),
}
