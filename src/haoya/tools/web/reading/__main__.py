# SPDX-License-Identifier: AGPL-3.0-or-later
"""One document, read in a process of its own.

In: one line of JSON (`type`, `charset`, `url`), then the bytes. Out: JSON with `title`,
`text` and `charset`, or `error`. Where nothing else shuts it in, it gives up what it does not need
itself: memory, time, processes, files.
"""

import contextlib
import json
import resource
import sys
from collections.abc import Callable

from .charset import decode
from .content import main_of
from .markdown import markdown
from .plain import plain
from .tree import parse

Read = Callable[[bytes, dict[str, str]], dict[str, str]]

MEMORY_BYTES = 1024 * 1024 * 1024
CPU_SECONDS = 20
MAX_TEXT = 2_000_000
MAX_TITLE = 300


def main(read: Read) -> None:
    """Read stdin with `read`, write stdout."""
    _bind()
    order = json.loads(sys.stdin.buffer.readline())
    body = sys.stdin.buffer.read()
    try:
        found = read(body, order)
    except MemoryError:
        found = {"error": "it needs more memory than a page may"}
    except RecursionError:
        found = {"error": "it is nested too deeply"}
    except ValueError as error:
        found = {"error": str(error)}
    found["text"] = plain(found.get("text", ""))[:MAX_TEXT]
    found["title"] = plain(found.get("title", ""))[:MAX_TITLE]
    sys.stdout.buffer.write(json.dumps(found).encode())


def page(body: bytes, order: dict[str, str]) -> dict[str, str]:
    """What a document says. ValueError in words where it cannot be read."""
    kind = order.get("type", "")
    text, charset = decode(body, order.get("charset", ""))
    if "\0" in text[:4096]:
        raise ValueError("it is no text")
    if "html" in kind or (
        not kind and text.lstrip()[:200].lower().startswith(("<!doctype", "<html"))
    ):
        tree, title = parse(text)
        return {
            "title": title,
            "text": markdown(main_of(tree), order.get("url", "")),
            "charset": charset,
        }
    if kind.endswith("json"):
        text = _json(text)
    return {"text": text, "charset": charset}


def _json(text: str) -> str:
    """Written in lines where it is one long one."""
    try:
        return (
            text
            if "\n" in text.strip()
            else json.dumps(json.loads(text), ensure_ascii=False, indent=1)
        )
    except ValueError:
        return text


def _bind() -> None:
    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CPU: CPU_SECONDS,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
    }
    for limit, value in limits.items():
        _, hard = resource.getrlimit(limit)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(OSError, ValueError):  # a system that does not know this one
            resource.setrlimit(limit, (most, most))


if __name__ == "__main__":
    main(page)
