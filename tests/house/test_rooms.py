# SPDX-License-Identifier: AGPL-3.0-or-later
"""The import table of docs/house.md: who may know whom."""

import ast
import re
import subprocess
import sys

import pytest

from tests.house.sources import FUNCTIONS, Source, imports, room_of, sources

WINGS = {"channels", "models", "tools", "memories", "stages"}
BEHIND = {"journal", "policy", "sandbox", "agent", "inference", "scheduler"}
TABLE: dict[str, set[str]] = {
    "": set(),
    "core": set(),
    **{room: {"core"} for room in BEHIND | WINGS},
    "runtime": {"core", *BEHIND},
    "api": {"core", "runtime"},
    "cli": {"core", "runtime"},
}
"""What each room may import beside itself (and the package's version)."""

EXCEPTIONS = {("models/local/", "inference"), ("api/peers/", "models")}
"""A local model is the model wing's word for what the inference room runs. The window for other
nodes and the model that looks through it are two ends of one wire (decision 0007)."""

BY_NAME = {
    "runtime/registry.py": {"api"},
    "cli/__init__.py": {"cli"},
    "cli/app.py": {"cli"},
    "cli/house.py": {"runtime"},
    "cli/up.py": {"runtime", "cli"},
    "cli/backup.py": {"runtime"},
    "cli/secrets.py": {"runtime"},
    "runtime/vaulting.py": {"runtime"},
    "policy/vault/sources.py": {"policy"},
    "inference/engine.py": {"inference"},
    "cli/engine.py": {"runtime"},
}
"""The registry, the lazy command line, who starts engines, who has the vault opened and who asks
the keyring: the only ones who name modules in strings."""

_DOTTED = re.compile(r"haoya(?:\.\w+){2,}(?::\w+)?")
EACH = pytest.mark.parametrize("source", sources(), ids=lambda source: source.place)


@EACH
def test_a_room_imports_only_what_the_table_says(source: Source) -> None:
    package = source.place.endswith("__init__.py")
    reached = {room_of(name) for name in imports(source.tree, source.module, package=package)}
    reached -= {"", source.room, "__version__", "__path__"}
    allowed = TABLE[source.room] | {
        to for place, to in EXCEPTIONS if source.place.startswith(place)
    }
    assert reached <= allowed, f"{source.place} imports {sorted(reached - allowed)}"


@EACH
def test_no_import_hides_in_a_function(source: Source) -> None:
    hidden = [
        f"line {inner.lineno}"
        for node in ast.walk(source.tree)
        if isinstance(node, FUNCTIONS)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert not hidden, f"{source.place} imports inside functions: {hidden}"


@EACH
def test_only_the_registry_and_the_command_line_import_by_name(source: Source) -> None:
    calls = [
        node.lineno
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", ""))
        in ("import_module", "__import__", "find_spec", "exec_module")
    ]
    if source.place not in BY_NAME and source.room != "cli":
        assert not calls, f"{source.place} imports by name at lines {calls}"
    documented = {id(node) for node in _docstrings(source.tree)}
    strings = [
        node.value
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in documented
        and _DOTTED.fullmatch(node.value)
    ]
    rooms = {text.split(".")[1].partition(":")[0] for text in strings} - {"plugins"}
    allowed = BY_NAME.get(source.place, set())
    assert rooms <= allowed, f"{source.place} names modules of {sorted(rooms - allowed)}"


def test_the_exceptions_are_still_needed() -> None:
    """Whoever is named above uses the right; `models/local/` is named ahead of its coming."""
    places = {source.place for source in sources()}
    assert set(BY_NAME) <= places
    for place, _ in EXCEPTIONS - {("models/local/", "inference")}:
        assert any(found.startswith(place) for found in places)


def test_modules_import_each_other_without_a_circle() -> None:
    known = {source.module for source in sources()}
    graph = {
        source.module: {
            name if name in known else name.rpartition(".")[0]
            for name in imports(source.tree, source.module)
        }
        & known - {"haoya", source.module}
        for source in sources()
        if not source.place.endswith("__init__.py")
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join([*path, module])
        if module not in done:
            for other in sorted(graph.get(module, ())):
                visit(other, (*path, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def test_core_is_importable_with_nothing_else_of_haoya_loaded() -> None:
    names = [source.module for source in sources() if source.room == "core"]
    program = (
        f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\n"
        "print(*sorted(m for m in sys.modules if m.startswith('haoya.')))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(loaded) == set(names)


def _docstrings(tree: ast.AST) -> list[ast.Constant]:
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    ]
