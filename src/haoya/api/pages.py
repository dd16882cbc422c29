# SPDX-License-Identifier: AGPL-3.0-or-later
"""The chat page's files, read once and served from memory."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

STATIC = Path(__file__).with_name("static")

FILES = {
    "/": "index.html",
    "/theme.js": "theme.js",
    "/chat.mjs": "chat.mjs",
    "/view.mjs": "view.mjs",
    "/unsent.mjs": "unsent.mjs",
    "/wire.mjs": "wire.mjs",
    "/markdown.mjs": "markdown.mjs",
    "/words.mjs": "words.mjs",
    "/chat.css": "chat.css",
    "/icon.svg": "icon.svg",
}
"""Every path of the page and its file: nothing else on the disk is ever served."""

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}

Endpoint = Callable[[Request], Awaitable[Response]]


def page(name: str) -> Endpoint:
    """An endpoint that serves one file; the browser asks each time whether it has changed."""
    data = (STATIC / name).read_bytes()
    tag = f'"{hashlib.sha256(data).hexdigest()[:20]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    kind = TYPES[Path(name).suffix]

    async def serve_file(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, headers=headers, media_type=kind)

    return serve_file
