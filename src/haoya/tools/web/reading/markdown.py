# SPDX-License-Identifier: AGPL-3.0-or-later
"""A tree as Markdown: what a model reads best of a page, with the fewest tokens."""

import re
from urllib.parse import urljoin

from .tree import Node

_BLOCKS = frozenset(
    "p div section article main header figure figcaption address details summary form fieldset "
    "center body html dl dt dd hgroup caption legend".split()
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_STRONG = frozenset({"strong", "b"})
_BLANKS = re.compile(r"[ \t\r\n\f\u200b\ufeff]+")
_LINES = re.compile(r"\n{3,}")
_MAX_HREF = 500


def markdown(node: Node, base: str = "") -> str:
    """The element as Markdown; links are made whole with the page's address `base`."""
    text = _Writer(base).blocks(node)
    lines = [line.rstrip() for line in text.split("\n")]
    return _LINES.sub("\n\n", "\n".join(lines)).strip()


class _Writer:
    def __init__(self, base: str) -> None:
        self._base = base

    def blocks(self, node: Node) -> str:
        """Everything below an element: runs of text as paragraphs, blocks between them."""
        pieces: list[str] = []
        run: list[str] = []

        def end_run() -> None:
            if text := _tidy("".join(run)):
                pieces.append(text)
            run.clear()

        for part in node.parts:
            if isinstance(part, str):
                run.append(_BLANKS.sub(" ", part))
            elif (block := self._block(part)) is not None:
                end_run()
                if block.strip():
                    pieces.append(block.strip("\n"))
            else:
                run.append(self._inline(part))
        end_run()
        return "\n\n".join(pieces)

    def _block(self, node: Node) -> str | None:
        """A block's text; None for what stands within a line."""
        tag = node.tag
        if tag in _HEADINGS:
            text = _one_line(self._within(node))
            return f"{'#' * _HEADINGS[tag]} {text}" if text else ""
        if tag in ("ul", "ol", "menu"):
            return self._list(node)
        if tag == "pre":
            return _fenced(node)
        if tag == "blockquote":
            return "\n".join(f"> {line}".rstrip() for line in self.blocks(node).split("\n"))
        if tag == "table":
            return self._table(node)
        if tag == "hr":
            return "---"
        if tag in _BLOCKS:
            text = self.blocks(node)
            return f"**{_one_line(text)}**" if tag == "dt" and text else text
        if tag not in ("a", "span", "font") or not self._holds_blocks(node):
            return None
        return self.blocks(node)

    def _holds_blocks(self, node: Node) -> bool:
        return any(
            one.tag in _BLOCKS or one.tag in _HEADINGS or one.tag in ("ul", "ol", "table", "pre")
            for one in node.elements()
        )

    def _within(self, node: Node) -> str:
        return "".join(
            _BLANKS.sub(" ", part) if isinstance(part, str) else self._inline(part)
            for part in node.parts
        )

    def _inline(self, node: Node) -> str:
        tag = node.tag
        if tag == "br":
            return "\n"
        if tag == "img":
            alt = _one_line(node.attrs.get("alt", ""))
            return f"[image: {alt}]" if alt else ""
        if tag in ("rp", "rt"):
            return ""
        if tag in ("code", "kbd", "samp", "tt"):
            text = _one_line(node.text())
            return f"`{text}`" if text and "`" not in text else text
        text = self._within(node)
        if tag in _BLOCKS or tag in _HEADINGS or tag in ("li", "td", "th", "tr"):
            return f" {text} "
        words = text.strip()
        if not words:
            return " " if text else ""
        if tag == "a":
            words = self._link(words, node.attrs.get("href", ""))
        elif tag in _STRONG and "\n" not in words:
            words = f"**{words}**"
        elif tag in ("del", "s", "strike"):
            words = f"~~{words}~~"
        else:
            return text
        return f"{' ' * text.startswith(' ')}{words}{' ' * text.endswith(' ')}"

    def _link(self, words: str, href: str) -> str:
        href = href.strip()
        if not href or href.startswith("#") or len(href) > _MAX_HREF:
            return words
        try:
            whole = urljoin(self._base, href)
        except ValueError:
            return words
        if not whole.startswith(("http://", "https://")):
            return words
        for sign, code in ((" ", "%20"), ("(", "%28"), (")", "%29"), ("\n", "")):
            whole = whole.replace(sign, code)
        return f"[{_one_line(words)}]({whole})"

    def _list(self, node: Node) -> str:
        items: list[str] = []
        number = 1
        for part in node.parts:
            if not isinstance(part, Node):
                continue
            if part.tag in ("ul", "ol"):  # nested without an item, as many pages have it
                items.append("\n".join(f"  {line}" for line in self._list(part).split("\n")))
                continue
            text = self.blocks(part).replace("\n\n", "\n")
            if not text:
                continue
            mark = f"{number}. " if node.tag == "ol" else "- "
            number += 1
            first, *rest = text.split("\n")
            items.append("\n".join([mark + first, *(" " * len(mark) + line for line in rest)]))
        return "\n".join(items)

    def _table(self, node: Node) -> str:
        rows = [one for one in node.elements() if one.tag == "tr" and _table_of(one) is node]
        cells = [
            [c for c in row.parts if isinstance(c, Node) and c.tag in ("td", "th")] for row in rows
        ]
        cells = [row for row in cells if row]
        if max((len(row) for row in cells), default=0) < 2 or any(
            c.find("table", "ul", "ol", "pre") is not None or len(c.text()) > 1000
            for row in cells
            for c in row
        ):  # a table that lays out the page
            return "\n\n".join(filter(None, (self.blocks(c) for row in cells for c in row)))
        texts = [[_cell(self.blocks(c)) for c in row] for row in cells]
        width = max(len(row) for row in texts)
        head, *body = [row + [""] * (width - len(row)) for row in texts]
        lines = [head, ["---"] * width, *body]
        return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _table_of(node: Node) -> Node | None:
    holder = node.parent
    while holder is not None and holder.tag != "table":
        holder = holder.parent
    return holder


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|")


def _fenced(node: Node) -> str:
    text = _code(node).strip("\n")
    fence = "```" if "```" not in text else "````"
    return f"{fence}\n{text}\n{fence}" if text.strip() else ""


def _code(node: Node) -> str:
    return "".join(
        part if isinstance(part, str) else "\n" if part.tag == "br" else _code(part)
        for part in node.parts
    )


def _tidy(text: str) -> str:
    lines = (" ".join(line.split(" ")).strip() for line in text.split("\n"))
    return "\n".join(re.sub(r" {2,}", " ", line) for line in lines).strip()


def _one_line(text: str) -> str:
    return " ".join(text.split())
