# SPDX-License-Identifier: AGPL-3.0-or-later
"""Tools are reached through the broker alone."""

import ast

from tests.house.sources import Source, sources

BROKER = "runtime/broker.py"

RUNS = {
    "Terminal(talk).run": "the chat in a terminal",
    "asyncio.run": "an event loop of its own",
    "subprocess.run": "a program",
    "build.run": "a build of the native engine",
    "house.run": "the house's own life",
    "importlib.import_module('haoya.cli.app').run": "a command line",
    "link.run": "a connection to another node",
    "self._link.run": "a connection to another node",
    "slots.run": "the slots of a child that thinks",
    "stream.run": "a streamed answer",
}
"""Everything else that is called `run`, and what it is. Not a tool."""


def test_only_the_broker_takes_a_tool_in_hand() -> None:
    """Whoever does not name the type cannot know that there is a `run` to call."""
    for source in sources():
        if source.room in ("core", "tools") or source.place == BROKER:
            continue
        names = [
            alias.name
            for node in ast.walk(source.tree)
            if isinstance(node, ast.ImportFrom) and node.module == "haoya.core.ports"
            for alias in node.names
        ]
        assert "Tool" not in names, f"{source.place} takes tools in hand; ask the broker"


def test_no_tool_is_run_elsewhere() -> None:
    stray = {
        f"{source.place}: {ast.unparse(node)}"
        for source in sources()
        if source.place != BROKER
        for node in ast.walk(source.tree)
        if _is_run(node) and ast.unparse(node) not in RUNS
    }
    assert not stray, f"reaches for a `run` that nobody vouched for: {sorted(stray)}"


def test_the_broker_runs_a_tool_in_one_place() -> None:
    (source,) = [one for one in sources() if one.place == BROKER]
    runs = [ast.unparse(node) for node in ast.walk(source.tree) if _is_run(node)]
    assert runs == ["tool.run"]
    assert _lines_before(source, "tool.run", "self._broker.record(act)")


def test_every_name_on_the_list_is_used() -> None:
    used = {ast.unparse(n) for source in sources() for n in ast.walk(source.tree) if _is_run(n)}
    assert set(RUNS) <= used, set(RUNS) - used


def _is_run(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr == "run"
    named = isinstance(node, ast.Call) and ast.unparse(node.func) == "getattr"
    return named and any(isinstance(x, ast.Constant) and x.value == "run" for x in node.args)


def _lines_before(source: Source, later: str, earlier: str) -> bool:
    """Whether the record stands before the deed."""
    text = source.text
    return 0 < text.find(earlier) < text.find(later)
