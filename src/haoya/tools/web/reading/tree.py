# SPDX-License-Identifier: AGPL-3.0-or-later
"""HTML as a tree, forgiving as browsers are, without what nobody sees."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

MAX_DEPTH = 150
MAX_NODES = 200_000

VOID = frozenset("area base br col embed hr img input link meta param source track wbr".split())
UNSEEN = frozenset(
    "script style noscript template svg math iframe object embed applet canvas audio video map "
    "input select button textarea datalist dialog".split()
)
"""Elements whose content is not read."""

_CLOSES: dict[str, frozenset[str]] = {
    "li": frozenset({"li"}),
    "dt": frozenset({"dt", "dd"}),
    "dd": frozenset({"dt", "dd"}),
    "tr": frozenset({"tr", "td", "th"}),
    "td": frozenset({"td", "th"}),
    "th": frozenset({"td", "th"}),
    "tbody": frozenset({"thead", "tbody", "tr", "td", "th"}),
    "option": frozenset({"option"}),
}
"""What an element ends that was left open (HTML Standard, optional tags)."""

_ENDS_P = frozenset(
    "address article aside blockquote div dl fieldset figure footer form h1 h2 h3 h4 h5 h6 header "
    "hr main nav ol p pre section table ul".split()
)
_WALLS = frozenset({"table", "ul", "ol", "dl", "body", "html", "article", "section", "div", "td"})
_HIDDEN = re.compile(
    r"(display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d]))", re.I
)


class Node:
    """An element; `parts` are texts and elements in order."""

    __slots__ = ("attrs", "parent", "parts", "tag")

    def __init__(self, tag: str, attrs: dict[str, str], parent: "Node | None" = None) -> None:
        self.tag, self.attrs, self.parent = tag, attrs, parent
        self.parts: list[str | Node] = []

    def elements(self) -> Iterator["Node"]:
        """All elements below it, in order."""
        left = [part for part in reversed(self.parts) if isinstance(part, Node)]
        while left:
            node = left.pop()
            yield node
            left += [part for part in reversed(node.parts) if isinstance(part, Node)]

    def text(self) -> str:
        """All text below it."""
        return "".join(part if isinstance(part, str) else part.text() for part in self.parts)

    def find(self, *tags: str) -> "Node | None":
        """The first element of these names below it."""
        return next((node for node in self.elements() if node.tag in tags), None)


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("html", {})
        self.open = [self.root]
        self.title: list[str] = []
        self.count = 0
        self._unseen = 0
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._unseen:
            if tag not in VOID:
                self._unseen += tag in UNSEEN
            return
        if tag == "title" and not self.title:
            self._in_title = True
            return
        given = {name: value or "" for name, value in attrs}
        if tag in UNSEEN and tag not in VOID:
            self._unseen = 1
            return
        if tag in UNSEEN or tag in ("html", "head", "body"):
            return
        self._end_open(tag)
        self.count += 1
        if len(self.open) > MAX_DEPTH or self.count > MAX_NODES:
            return
        node = Node(tag, given, self.open[-1])
        self.open[-1].parts.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in VOID:
            self.handle_starttag(tag, attrs)
        elif tag not in UNSEEN:
            self.handle_starttag(tag, attrs)  # HTML knows no empty elements but the void ones

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        if self._unseen:
            self._unseen -= tag in UNSEEN
            return
        for place in range(len(self.open) - 1, 0, -1):
            if self.open[place].tag == tag:
                del self.open[place:]
                return
            if self.open[place].tag in _WALLS and tag not in _WALLS:
                return

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title.append(data)
        elif not self._unseen:
            self.open[-1].parts.append(data)

    def _end_open(self, tag: str) -> None:
        ends = _CLOSES.get(tag, frozenset())
        if tag in _ENDS_P:
            ends = frozenset({"p"})
        for place in range(len(self.open) - 1, 0, -1):
            name = self.open[place].tag
            if name in ends:
                del self.open[place:]
            elif name in _WALLS:
                return


def parse(text: str) -> tuple[Node, str]:
    """The tree of a page without what is hidden, and its title."""
    builder = _Builder()
    builder.feed(text)
    builder.close()
    _prune(builder.root)
    return builder.root, " ".join("".join(builder.title).split())


def _prune(node: Node) -> None:
    node.parts = [part for part in node.parts if isinstance(part, str) or not _hidden(part)]
    for part in node.parts:
        if isinstance(part, Node):
            _prune(part)


def _hidden(node: Node) -> bool:
    """What a reader does not see is not read either: it is where instructions hide."""
    attrs = node.attrs
    if "hidden" in attrs or attrs.get("aria-hidden", "").lower() == "true":
        return True
    return bool(_HIDDEN.search(attrs.get("style", "")))
