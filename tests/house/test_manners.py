# SPDX-License-Identifier: AGPL-3.0-or-later
"""How code is written here: small, documented, with few walls and no stray tasks."""

import ast
from collections.abc import Iterator

import pytest

from tests.house.sources import FUNCTIONS, Source, named, sources

FILE_LINES = 400
FUNCTION_LINES = 50

WALLS = {
    ("runtime/supervisor.py", "supervise"),
    ("runtime/conversations.py", "Conversations._turn"),
    ("runtime/broker.py", "Lease._do"),
    ("runtime/registry.py", "find"),
}
"""Where any fault is caught: around a part, a turn, a tool, the loading of a package. Nowhere
else."""

PARSERS = {
    "api/": "HTTP bodies and answers to verbs",
    "channels/local/peer.py": "the lines of the local socket",
    "channels/telegram/api.py": "the Bot API's JSON",
    "channels/telegram/say.py": "the Bot API's JSON",
    "cli/client.py": "the lines of the local socket",
    "cli/house.py": "answers to verbs",
    "cli/probe.py": "a model server's JSON",
    "core/plugin.py": "the arguments of a verb, in the type of `Call`",
    "core/schema.py": "JSON Schema",
    "runtime/granting.py": "arguments of verbs and answers to them",
    "runtime/house.py": "opened parts by name, of whatever type their kind has",
    "runtime/migration.py": "the owner's TOML, rewritten",
    "runtime/offline.py": "arguments of verbs",
    "runtime/peers_verbs.py": "arguments of verbs",
    "runtime/devices_verbs.py": "arguments of verbs",
    "runtime/runs.py": "`Row`: one JSON object of an answer to a verb",
    "runtime/settings.py": "`Table`: the owner's TOML",
    "runtime/verbs.py": "arguments of verbs",
}
"""Who may hold a `dict[str, Any]`, and for what."""

EACH = pytest.mark.parametrize("source", sources(), ids=lambda source: source.place)


@EACH
def test_a_file_is_read_in_one_sitting(source: Source) -> None:
    assert source.lines <= FILE_LINES


@EACH
def test_a_function_fits_on_a_screen(source: Source) -> None:
    long = {
        name: (node.end_lineno or 0) - node.lineno + 1
        for name, node in named(source.tree)
        if isinstance(node, FUNCTIONS)
    }
    assert not {name: size for name, size in long.items() if size > FUNCTION_LINES}


@EACH
def test_every_public_name_is_documented(source: Source) -> None:
    assert ast.get_docstring(source.tree), f"{source.place} does not say what it is for"
    bare = [name for name, node in _public(source.tree) if not ast.get_docstring(node)]
    assert not bare, f"{source.place}: {bare}"


@EACH
def test_the_licence_of_a_file_stands_in_its_first_line(source: Source) -> None:
    licence = "Apache-2.0" if source.room == "core" else "AGPL-3.0-or-later"
    assert source.text.splitlines()[0] == f"# SPDX-License-Identifier: {licence}"


@EACH
def test_everything_is_caught_only_at_the_walls(source: Source) -> None:
    walls = {(source.place, name) for name in _catch_alls(source.tree)}
    assert walls <= WALLS, f"catches everything outside the walls: {sorted(walls - WALLS)}"


def test_every_wall_stands() -> None:
    standing = {(s.place, name) for s in sources() for name in _catch_alls(s.tree)}
    assert standing >= WALLS


@EACH
def test_tasks_are_made_in_the_runtime_or_live_in_a_group(source: Source) -> None:
    groups = set(_task_groups(source.tree))
    stray: list[str] = []
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        owner, _, name = called.rpartition(".")
        if name == "ensure_future" or (name == "create_task" and owner not in groups):
            stray.append(f"line {node.lineno}: {called}")
    if source.room != "runtime":
        assert not stray, f"{source.place}: {stray}"


@EACH
def test_loose_tables_stay_with_their_parsers(source: Source) -> None:
    if any(source.place.startswith(place) for place in PARSERS):
        return
    loose = [
        node.lineno
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Subscript)
        and ast.unparse(node) in ("dict[str, Any]", "Mapping[str, Any]", "dict[str, object]")
    ]
    assert not loose, f"{source.place} holds loose tables at lines {loose}"


def _public(
    tree: ast.AST, before: str = ""
) -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name.startswith("_") or _is_overload(node):
                continue
            yield f"{before}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from _public(node, f"{node.name}.")


def _is_overload(node: ast.AST) -> bool:
    decorators = getattr(node, "decorator_list", [])
    return any(ast.unparse(one) in ("overload", "typing.overload") for one in decorators)


def _catch_alls(tree: ast.AST) -> Iterator[str]:
    """Functions with a handler for everything that does more than tidy up and raise again."""
    for name, node in named(tree):
        if not isinstance(node, FUNCTIONS):
            continue
        for inner in ast.walk(node):
            if isinstance(inner, ast.ExceptHandler) and _is_everything(inner):
                yield name


def _is_everything(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    caught = {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)}
    if "BaseException" in caught:
        return not any(isinstance(node, ast.Raise) for node in ast.walk(handler))
    return bool(caught & {"Exception", "BaseExceptionGroup", "ExceptionGroup"})


def _task_groups(tree: ast.AST) -> Iterator[str]:
    """What a module calls its task groups."""
    for node in ast.walk(tree):
        match node:
            case ast.withitem(context_expr=made, optional_vars=ast.expr() as target):
                if "TaskGroup" in ast.unparse(made):
                    yield ast.unparse(target)
            case ast.arg(arg=name, annotation=ast.expr() as said):
                if "TaskGroup" in ast.unparse(said):
                    yield name
            case ast.AnnAssign(target=target, annotation=said):
                if "TaskGroup" in ast.unparse(said):
                    yield ast.unparse(target)
            case ast.Assign(targets=[target], value=made):
                if "TaskGroup" in ast.unparse(made):
                    yield ast.unparse(target)
            case _:
                pass
