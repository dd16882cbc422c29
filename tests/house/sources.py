# SPDX-License-Identifier: AGPL-3.0-or-later
"""The house's own source as syntax trees, read once."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "haoya"

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Source:
    """One module: `place` is its path below the package, `module` its dotted name, `room` the
    folder right below the package ("" for the package's own `__init__`)."""

    place: str
    module: str
    room: str
    text: str
    tree: ast.Module

    @property
    def lines(self) -> int:
        return len(self.text.splitlines())


@cache
def sources() -> tuple[Source, ...]:
    """All modules of the package."""
    found: list[Source] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        names = ["haoya", *place.with_suffix("").parts]
        module = ".".join(names[:-1] if names[-1] == "__init__" else names)
        room = place.parts[0] if len(place.parts) > 1 else ""
        text = path.read_text("utf-8")
        found.append(Source(place.as_posix(), module, room, text, ast.parse(text)))
    return tuple(found)


def room_of(module: str) -> str:
    """`journal` for `haoya.journal.codec`, "" for the package itself."""
    return module.split(".")[1] if "." in module else ""


def named(tree: ast.AST, before: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Every class and function with its qualified name, nested ones too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{before}{node.name}", node
            yield from named(node, f"{before}{node.name}.")
        else:
            yield from named(node, before)


def imports(tree: ast.AST, module: str, *, package: bool = False) -> Iterator[str]:
    """The dotted names of our own that a tree imports, `from haoya.a import b` as `haoya.a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + package]
                base = ".".join([*parts, base]).rstrip(".")
            if is_ours(base):
                yield from (f"{base}.{alias.name}" for alias in node.names)


def is_ours(module: str) -> bool:
    return module == "haoya" or module.startswith("haoya.")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file git tracks; where there is no git, nothing."""
    command = ["git", "ls-files", "-z"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ()
    names = done.stdout.decode().split("\0")
    return tuple(ROOT / name for name in names if name and (ROOT / name).is_file())
