# SPDX-License-Identifier: AGPL-3.0-or-later
"""Getting a page: some redirects, so many bytes, so much time. Where it may come from is judged
below, hop by hop, by the client that the house lends."""

import asyncio
import unicodedata
from email.message import Message

import httpx2
import msgspec

REDIRECTS = 5
ACCEPT = (
    "text/html,application/xhtml+xml,text/plain,application/json,application/pdf;q=0.9,*/*;q=0.5"
)
AGENT = "Mozilla/5.0 (compatible; haoya)"
_MOVED = frozenset({301, 302, 303, 307, 308})


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What came; `url` is where it came from in the end, `cut` whether there was more."""

    url: str
    host: str
    type: str
    charset: str
    body: bytes
    cut: bool = False


async def fetch(http: httpx2.AsyncClient, address: str, *, max_bytes: int, seconds: float) -> Page:
    """GET a page. ValueError, in words for a model, where there is none to have."""
    url = _url(address)
    try:
        async with asyncio.timeout(seconds):
            for _ in range(REDIRECTS + 1):
                found = await _asked(http, url, max_bytes, seconds)
                if isinstance(found, Page):
                    return found
                url = found
    except TimeoutError:
        raise ValueError(f"{url.host} took longer than {seconds:g} s") from None
    except httpx2.TimeoutException:
        raise ValueError(f"{url.host} gave no answer in time") from None
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise ValueError(str(error) or type(error).__name__) from None
    raise ValueError(f"{url.host} sends us from one address to the next")


def _url(address: str) -> httpx2.URL:
    """The address as a person pasted it: with a scheme, in plain letters."""
    address = address.strip()
    if "://" not in address and not address.startswith(("/", "mailto:", "javascript:", "data:")):
        address = f"https://{address}"
    scheme, mark, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    try:
        return httpx2.URL(f"{scheme}{mark}{unicodedata.normalize('NFKC', host)}{slash}{path}")
    except httpx2.InvalidURL as error:
        raise ValueError(
            f"{address[:200]!r} is no web address ({error}); write https://…"
        ) from None


async def _asked(
    http: httpx2.AsyncClient, url: httpx2.URL, max_bytes: int, seconds: float
) -> Page | httpx2.URL:
    """One hop: the page, or where it is instead."""
    headers = {"Accept": ACCEPT, "User-Agent": AGENT, "Accept-Language": "zh,en;q=0.8,*;q=0.5"}
    async with http.stream("GET", url, headers=headers, timeout=seconds) as answer:
        if answer.status_code in _MOVED and "location" in answer.headers:
            return url.join(answer.headers["location"])
        if not answer.is_success:
            raise ValueError(f"{url.host} answers with status {answer.status_code}")
        body = bytearray()
        async for piece in answer.aiter_bytes():
            body += piece
            if len(body) > max_bytes:
                break
        kind, charset = _kind(answer.headers.get("content-type", ""))
        return Page(
            url=str(url),
            host=url.host,
            type=kind,
            charset=charset,
            body=bytes(body[:max_bytes]),
            cut=len(body) > max_bytes,
        )


def _kind(header: str) -> tuple[str, str]:
    """Media type and charset of a Content-Type header, "" where it names none.

    >>> _kind('Text/HTML; charset="GBK"')
    ('text/html', 'gbk')
    """
    message = Message()
    message["content-type"] = header[:200]
    kind = message.get_content_type() if "/" in header else ""
    return kind, (message.get_content_charset("") if kind else "")
