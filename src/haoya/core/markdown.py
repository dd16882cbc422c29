# SPDX-License-Identifier: Apache-2.0
"""Markdown to plain words with styled spans, the one form every network's dialect is made from."""

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

from haoya.core.message import Span, Style

_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
_MARKS = re.compile(r"[*_`~#>\[\]|\\]|^\s*(?:[-+]|\d+[.)])\s|^ {4}|[-=]{3}|&\w", re.MULTILINE)
_STYLES: dict[str, Style] = {"strong": "bold", "em": "italic", "s": "strike"}


def spans_of(markdown: str) -> tuple[str, tuple[Span, ...]]:
    """The plain words of a Markdown text (CommonMark 0.31) and the styles that lie on them.

    Headings become bold, list items keep their bullet or number, tables their bars, images
    their description.

    >>> spans_of("a **b** c")
    ('a b c', (Span(start=2, length=1, style='bold', value=''),))
    """
    if not _MARKS.search(markdown):
        return markdown, ()
    writer = _Writer()
    for token in _PARSER.parse(markdown):
        writer.block(token)
    return writer.finish()


class _Writer:
    """Walks the parser's tokens and keeps the words written so far with their open styles."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.size = 0
        self.open: list[tuple[Style, int, str]] = []
        self.spans: list[Span] = []
        self.lists: list[int | None] = []
        self.cells = 0

    def put(self, text: str) -> None:
        if text:
            self.words.append(text)
            self.size += len(text)

    def begin(self, style: Style, value: str = "") -> None:
        self.open.append((style, self.size, value))

    def end(self) -> None:
        style, start, value = self.open.pop()
        if self.size > start:
            self.spans.append(Span(start=start, length=self.size - start, style=style, value=value))

    def gap(self, *, lines: int) -> None:
        """End the paragraph: at least `lines` line ends before what follows."""
        if self.size:
            tail = "".join(self.words[-2:])
            self.put("\n" * max(0, lines - (len(tail) - len(tail.rstrip("\n")))))

    def block(self, token: Token) -> None:
        match token.type:
            case "inline":
                for child in token.children or ():
                    self.inline(child)
            case "paragraph_open":
                self.gap(lines=0 if self.at_item() else (1 if self.lists else 2))
            case "heading_open":
                self.gap(lines=2)
                self.begin("bold")
            case "blockquote_open":
                self.gap(lines=2)
                self.begin("quote")
            case "heading_close" | "blockquote_close":
                self.end()
            case "bullet_list_open" | "ordered_list_open":
                self.gap(lines=1 if self.lists else 2)
                ordered = token.type.startswith("ordered")
                self.lists.append(int(token.attrs.get("start", 1)) if ordered else None)
            case "bullet_list_close" | "ordered_list_close":
                self.lists.pop()
            case "list_item_open":
                self.item()
            case "fence" | "code_block":
                self.gap(lines=2)
                self.begin("pre", token.info.split(" ")[0] if token.info else "")
                self.put(token.content.rstrip("\n"))
                self.end()
            case "hr":
                self.gap(lines=2)
                self.put("———")
            case "tr_open":
                self.gap(lines=1)
                self.cells = 0
            case "table_open":
                self.gap(lines=2)
            case "th_open" | "td_open":
                self.put(" | " if self.cells else "")
                self.cells += 1
            case _:
                pass

    def at_item(self) -> bool:
        return bool(self.words) and self.words[-1].endswith(("• ", ". ")) and bool(self.lists)

    def item(self) -> None:
        self.gap(lines=1)
        number = self.lists[-1]
        self.put("  " * (len(self.lists) - 1) + ("• " if number is None else f"{number}. "))
        if number is not None:
            self.lists[-1] = number + 1

    def inline(self, token: Token) -> None:
        match token.type:
            case "text":
                self.put(token.content)
            case "softbreak" | "hardbreak":
                self.put("\n")
            case "code_inline":
                self.begin("code")
                self.put(token.content)
                self.end()
            case "strong_open" | "em_open" | "s_open":
                self.begin(_STYLES[token.type.removesuffix("_open")])
            case "link_open":
                self.begin("link", str(token.attrGet("href") or ""))
            case "strong_close" | "em_close" | "s_close" | "link_close":
                self.end()
            case "image":
                self.begin("link", str(token.attrGet("src") or ""))
                self.put(token.content)
                self.end()
            case _:
                self.put(token.content)

    def finish(self) -> tuple[str, tuple[Span, ...]]:
        text = "".join(self.words)
        kept = text.rstrip()
        spans = [_until(span, len(kept)) for span in self.spans if span.start < len(kept)]
        return kept, tuple(sorted(spans, key=lambda span: (span.start, -span.length)))


def _until(span: Span, end: int) -> Span:
    if span.start + span.length <= end:
        return span
    length = end - span.start
    return Span(start=span.start, length=length, style=span.style, value=span.value)
