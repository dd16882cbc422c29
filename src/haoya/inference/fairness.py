# SPDX-License-Identifier: AGPL-3.0-or-later
"""Start-time fair queueing in levels: whose waiting request begins next. Pure; knows no time.

Goyal, Vin, Cheng: "Start-time Fair Queueing" (SIGCOMM 1996). Every node of a tree (person, then
conversation) has the service it has had, in tokens over its weight; the waiting child with the
least goes first. Somebody who was away begins where the others stand: silence saves nothing up,
and past work is held against nobody who comes back to an idle machine.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import msgspec

Path = tuple[str, ...]
"""A person's key, then a conversation's."""


class Ticket(msgspec.Struct, kw_only=True, eq=False):
    """A request as the shares see it: who asks (`path`), where (`lane`, any name), and what it
    costs in tokens, guessed at first. `taken` is whether it has left the line and begun."""

    path: Path
    lane: int
    tokens: int
    taken: bool = False
    weights: tuple[float, ...] = ()


T = TypeVar("T", bound=Ticket)


class _Node(Generic[T]):
    """A person or a conversation while it has something waiting, running or to its debit."""

    __slots__ = ("active", "children", "clock", "lines", "served", "used", "waiting")

    def __init__(self, used: float) -> None:
        self.used = used
        self.served = 0
        self.active = 0
        self.waiting: dict[int, int] = {}
        self.children: dict[str, _Node[T]] = {}
        self.clock = 0.0
        self.lines: dict[int, deque[T]] = {}

    def count(self, lane: int, more: int) -> None:
        self.waiting[lane] = self.waiting.get(lane, 0) + more
        if not self.waiting[lane]:
            del self.waiting[lane]


class Shares(Generic[T]):
    """The waiting and running requests of all lanes, by person and conversation.

    `weight` gives the weight of a node by its path; it is asked anew for every request, so that
    changed settings hold from the next one on.
    """

    def __init__(self, weight: Callable[[Path], float]) -> None:
        self._weight = weight
        self._root: _Node[T] = _Node(0.0)
        self._served = 0

    def add(self, ticket: T) -> None:
        """A request waits from now on."""
        node = self._root
        self._enter(node, ticket.lane)
        for name in ticket.path:
            child = node.children.get(name)
            if child is None:
                child = node.children[name] = _Node(node.clock)
            elif not child.active:
                child.used = max(child.used, node.clock)
            self._enter(child, ticket.lane)
            node = child
        node.lines.setdefault(ticket.lane, deque()).append(ticket)

    def take(self, lane: int, may: Callable[[str], bool]) -> T | None:
        """The request that begins next in a lane, of a person who `may`; None where none can."""
        node = self._root
        chosen: list[tuple[_Node[T], _Node[T]]] = []
        while node.children:
            allowed = may if node is self._root else _anybody
            child = self._next(node, lane, allowed)
            if child is None:
                return None
            chosen.append((node, child))
            node = child
        if lane not in node.lines:
            return None
        ticket = node.lines[lane].popleft()
        self._begin(ticket, chosen)
        if not node.lines[lane]:
            del node.lines[lane]
        return ticket

    def charge(self, ticket: T, tokens: int) -> None:
        """Set right what a request that began costs."""
        for node, weight in zip(self._nodes(ticket.path)[1:], ticket.weights, strict=True):
            node.used += (tokens - ticket.tokens) / weight
        ticket.tokens = tokens

    def remove(self, ticket: T) -> None:
        """A request is over, or is not to begin any more."""
        nodes = self._nodes(ticket.path)
        if not ticket.taken:
            leaf = nodes[-1]
            leaf.lines[ticket.lane].remove(ticket)
            if not leaf.lines[ticket.lane]:
                del leaf.lines[ticket.lane]
        for node in nodes:
            node.active -= 1
            if not ticket.taken:
                node.count(ticket.lane, -1)
        self._tidy(ticket.path, nodes)

    def waiting(self, lane: int | None = None) -> int:
        """How many wait, in one lane or in all."""
        counts = self._root.waiting
        return sum(counts.values()) if lane is None else counts.get(lane, 0)

    def people(self) -> Iterator[tuple[str, int, int]]:
        """Everybody with something waiting or running: key, waiting, running."""
        for name, node in self._root.children.items():
            if node.active:
                waiting = sum(node.waiting.values())
                yield name, waiting, node.active - waiting

    def _enter(self, node: _Node[T], lane: int) -> None:
        node.active += 1
        node.count(lane, 1)

    def _next(self, node: _Node[T], lane: int, may: Callable[[str], bool]) -> _Node[T] | None:
        """The waiting child that has had the least; among equals, the one served longest ago."""
        best: _Node[T] | None = None
        for name, child in node.children.items():
            if lane not in child.waiting or not may(name):
                continue
            if best is None or (child.used, child.served) < (best.used, best.served):
                best = child
        return best

    def _begin(self, ticket: T, chosen: list[tuple[_Node[T], _Node[T]]]) -> None:
        self._served += 1
        ticket.taken = True
        path = ticket.path
        weights = tuple(self._weight(path[: depth + 1]) for depth in range(len(path)))
        ticket.weights = weights
        self._root.count(ticket.lane, -1)
        for (parent, child), weight in zip(chosen, weights, strict=True):
            parent.clock = max(parent.clock, child.used)
            child.used += ticket.tokens / weight
            child.served = self._served
            child.count(ticket.lane, -1)

    def _nodes(self, path: Path) -> list[_Node[T]]:
        nodes = [self._root]
        for name in path:
            nodes.append(nodes[-1].children[name])
        return nodes

    def _tidy(self, path: Path, nodes: list[_Node[T]]) -> None:
        """Forget who has nothing here any more. Debts are kept only while others compete."""
        for parent, child, name in zip(nodes, nodes[1:], path, strict=False):
            if not parent.active:
                parent.children.clear()
                parent.clock = 0.0
                return
            if not child.active and child.used <= parent.clock:
                del parent.children[name]
                return
        for parent in nodes[:-1]:
            for name in [n for n, c in parent.children.items() if _settled(c, parent.clock)]:
                del parent.children[name]


def _settled(node: "_Node[T]", clock: float) -> bool:
    return not node.active and node.used <= clock


def _anybody(_: str) -> bool:
    return True
