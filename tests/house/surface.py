# SPDX-License-Identifier: AGPL-3.0-or-later
"""The public surface of `haoya.core` as a page: `python -m tests.house.surface` writes it."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.house.sources import FUNCTIONS, ROOT, Source, sources

PAGE = ROOT / "docs" / "reference" / "core.md"

_HEAD = """\
# haoya.core

Everything a plugin may import. This page is written by `python -m tests.house.surface`; a test
holds it against the code, so a change of the surface is seen in review.
"""


def page() -> str:
    """The whole page, made from the source alone."""
    core = [source for source in sources() if source.room == "core"]
    return "\n".join([_HEAD, *(_module(source) for source in core if _names(source))])


def _module(source: Source) -> str:
    lines = [f"## {source.module}\n", _first(ast.get_docstring(source.tree)), ""]
    for node in _names(source):
        lines += _entry(node, source)
    return "\n".join(lines)


def _names(source: Source) -> list[ast.stmt]:
    """Public classes, functions and constants of a module, in its own order."""
    return [node for node in source.tree.body if (name := _name(node)) and name[0] != "_"]


def _name(node: ast.stmt) -> str:
    match node:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            return name
        case ast.AsyncFunctionDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case _:
            return ""


def _entry(node: ast.stmt, source: Source) -> Iterator[str]:
    match node:
        case ast.ClassDef():
            bases = [ast.unparse(base) for base in node.bases if ast.unparse(base) != "Word"]
            kind = f"({', '.join(bases)})" if bases else ""
            yield f"### {node.name}{kind}\n"
            yield _first(ast.get_docstring(node)) + "\n"
            yield from _members(node)
            yield ""
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield f"### {node.name}{_signature(node)}\n"
            yield _first(ast.get_docstring(node)) + "\n"
        case _:
            value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
            shown = ast.unparse(value) if value else ""
            if len(shown) > 300:
                shown = "…"
            yield f"### {_name(node)}\n\n`{shown}`\n"


def _members(node: ast.ClassDef) -> Iterator[str]:
    for inner in node.body:
        match inner:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=said, value=value):
                default = f" = {ast.unparse(value)}" if value else ""
                yield f"- `{name}: {ast.unparse(said)}{default}`"
            case ast.FunctionDef() | ast.AsyncFunctionDef() if _counts(inner):
                words = _first(ast.get_docstring(inner))
                is_property = any(ast.unparse(d) == "property" for d in inner.decorator_list)
                returns = f": {ast.unparse(inner.returns)}" if inner.returns else ""
                shown = returns if is_property else _signature(inner)
                yield f"- `{inner.name}{shown}`{f' {words}' if words else ''}"
            case _:
                pass


def _counts(node: ast.stmt) -> bool:
    name = _name(node)
    return isinstance(node, FUNCTIONS) and (name == "__init__" or not name.startswith("_"))


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({ast.unparse(node.args)}){returns}"


def _first(docstring: str | None) -> str:
    """The first paragraph, on one line."""
    return " ".join((docstring or "").split("\n\n")[0].split())


def write(path: Path = PAGE) -> None:
    """Bring the page up to date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(), "utf-8")


if __name__ == "__main__":
    write()
