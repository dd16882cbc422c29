# SPDX-License-Identifier: AGPL-3.0-or-later
"""Which part of a page is what it is about.

What the page itself marks (`main`, `article`) is believed where it holds enough text. Else
paragraphs vote for what holds them: long ones with commas count, links count against (the idea of
Arc90's Readability, 2009).
"""

import re

from .tree import Node

_AROUND = frozenset({"nav", "footer", "aside", "menu"})
_AROUND_ROLES = frozenset(
    {"navigation", "banner", "contentinfo", "complementary", "search", "menu"}
)
_BAD = re.compile(
    r"comment|sidebar|side-bar|foot|nav|menu|breadcrumb|share|social|related|recommend|promo|advert"
    r"|banner|cookie|popup|modal|subscribe|newsletter|copyright|toolbar|pagination|pager|login",
    re.I,
)
_GOOD = re.compile(r"article|content|body|post|entry|main|text|detail|story|正文", re.I)
_STOPS = re.compile(r"[,，、。；;：]")
_VOTERS = frozenset({"p", "pre", "td", "blockquote", "li", "dd", "section", "div"})
_BLOCKS = frozenset(
    "p div section article ul ol table pre blockquote h1 h2 h3 h4 h5 h6 dl form main".split()
)
ENOUGH_SIGNS = 140
"""A marked part with less text than this is not what the page is about."""

ENOUGH_SHARE = 0.25
VOTE_SIGNS = 20


def main_of(root: Node) -> Node:
    """The element that holds what the page is about; its surroundings are taken out of it."""
    whole = _length(root)
    marked = [n for n in root.elements() if _is_main(n)]
    if not marked:
        articles = [n for n in root.elements() if n.tag == "article"]
        marked = articles if len(articles) == 1 else []
    for node in sorted(marked, key=_length, reverse=True)[:1]:
        if _length(node) >= max(ENOUGH_SIGNS, ENOUGH_SHARE * min(whole, 4000)):
            return _bare(node)
    bare = _bare(root)
    best = _voted(bare)
    if best is not None and _length(best) >= ENOUGH_SHARE * _length(bare):
        return _with_heading(best, bare)
    return bare


def _is_main(node: Node) -> bool:
    return node.tag == "main" or node.attrs.get("role", "").lower() == "main"


def _length(node: Node) -> int:
    return len("".join(node.text().split()))


def _bare(node: Node) -> Node:
    """The element without navigation, footers and the like."""
    node.parts = [p for p in node.parts if isinstance(p, str) or not _is_around(p)]
    for part in node.parts:
        if isinstance(part, Node):
            _bare(part)
    return node


def _is_around(node: Node) -> bool:
    if node.tag in _AROUND or node.attrs.get("role", "").lower() in _AROUND_ROLES:
        return True
    if node.tag == "header":
        return node.find("h1", "h2") is None
    names = f"{node.attrs.get('class', '')} {node.attrs.get('id', '')}"
    if node.tag not in ("div", "section", "ul", "ol", "form", "table") or not _BAD.search(names):
        return False
    return not _GOOD.search(names) and (_link_share(node) > 0.4 or _length(node) < 200)


def _link_share(node: Node) -> float:
    links = sum(_length(one) for one in node.elements() if one.tag == "a")
    return links / max(1, _length(node))


def _voted(root: Node) -> Node | None:
    scores: dict[int, float] = {}
    nodes: dict[int, Node] = {}
    for node in root.elements():
        if node.tag not in _VOTERS or any(
            isinstance(p, Node) and p.tag in _BLOCKS for p in node.parts
        ):
            continue
        text = node.text()
        signs = len("".join(text.split()))
        if signs < VOTE_SIGNS:
            continue
        vote = (1 + len(_STOPS.findall(text)) + min(signs / 100, 3)) * (1 - _link_share(node))
        holder, share = node.parent, 1.0
        while holder is not None and share > 0.2:
            nodes[id(holder)] = holder
            scores[id(holder)] = scores.get(id(holder), _taste(holder)) + vote * share
            holder, share = holder.parent, share / 2
    if not scores:
        return None
    best = max(scores, key=lambda key: scores[key] * (1 - _link_share(nodes[key])))
    return nodes[best]


def _taste(node: Node) -> float:
    names = f"{node.attrs.get('class', '')} {node.attrs.get('id', '')}"
    return 5.0 * bool(_GOOD.search(names)) - 5.0 * bool(_BAD.search(names))


def _with_heading(best: Node, root: Node) -> Node:
    """The element, with the page's first heading before it where that stands outside."""
    heading = root.find("h1")
    if heading is None or any(node is heading for node in best.elements()):
        return best
    holder = Node("div", {})
    holder.parts = [heading, best]
    return holder
