# SPDX-License-Identifier: AGPL-3.0-or-later
"""How well the tests of the policy core hold it: one small fault at a time, are they noticed?

    python bench/mutation.py [--sample 300] [--seed 1] [--only judge,grants] [--json]

Every comparison, boolean operator, negation, number, truth value, arithmetic or set operator and
condition of the core's modules is turned into another, one in each mutant; `continue` becomes
`break`. A mutant is killed when a test of tests/policy fails (or runs on for a minute). Words for
people and regular expressions are left alone. Without `--sample` all mutants are tried; each is a
child process forked from a parent that has the test tools loaded.
"""

import argparse
import ast
import contextlib
import copy
import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import hypothesis
import hypothesis.stateful
import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOM = ROOT / "src" / "haoya" / "policy"
TESTS = ROOT / "tests" / "policy"
MODULES = (
    "amounts arguments canonical case concerns deeds evidence grants judge labels moments planned "
    "provenance"
).split()
LIMIT_SECONDS = 60

_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_BINARY: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


class Mutant:
    """One fault: the node at `position` of the module's walk, changed in the way `kind`."""

    def __init__(self, module: str, position: int, kind: str, line: int, was: str) -> None:
        self.module, self.position, self.kind = module, position, kind
        self.line, self.was = line, was

    def __str__(self) -> str:
        return f"{self.module}.py:{self.line} {self.kind}: {self.was}"


def mutants(module: str) -> Iterator[Mutant]:
    """All faults of a module."""
    tree = ast.parse((ROOM / f"{module}.py").read_text())
    annotations = _annotations(tree)
    for position, node in enumerate(ast.walk(tree)):
        if id(node) in annotations:
            continue
        for kind in _kinds(node):
            line = getattr(node, "lineno", 0)
            yield Mutant(module, position, kind, line, ast.unparse(node).splitlines()[0][:80])


def _annotations(tree: ast.Module) -> set[int]:
    """The nodes of types, which no test can see."""
    roots: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            roots.append(node.annotation)
        if isinstance(node, ast.arg) and node.annotation:
            roots.append(node.annotation)
        if isinstance(node, ast.FunctionDef) and node.returns:
            roots.append(node.returns)
        if isinstance(node, ast.ClassDef):
            roots += [keyword.value for keyword in node.keywords]
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("lru_cache", "cast"):
            roots += [*node.args, *(keyword.value for keyword in node.keywords)]
        if isinstance(node, ast.Call):
            roots += [k.value for k in node.keywords if k.arg == "strict"]
    return {id(inner) for root in roots for inner in ast.walk(root)}


def _kinds(node: ast.AST) -> list[str]:
    match node:
        case ast.Compare(ops=[op]) if type(op) in _COMPARE:
            return ["compare"]
        case ast.BoolOp():
            return ["and/or"]
        case ast.UnaryOp(op=ast.Not()):
            return ["not"]
        case ast.BinOp(op=op) if type(op) in _BINARY:
            return ["operator"]
        case ast.Constant(value=bool()):
            return ["truth"]
        case ast.Constant(value=int()):
            return ["number"]
        case ast.If() | ast.IfExp() | ast.While():
            return ["condition"]
        case ast.Continue():
            return ["break"]
        case _:
            return []


def mutated(mutant: Mutant) -> ast.Module:
    """The module with the fault in it."""
    tree = ast.parse((ROOM / f"{mutant.module}.py").read_text())
    node = list(ast.walk(tree))[mutant.position]
    _Change(node, mutant.kind).visit(tree)
    return ast.fix_missing_locations(tree)


class _Change(ast.NodeTransformer):
    def __init__(self, node: ast.AST, kind: str) -> None:
        self.node, self.kind = node, kind

    def visit(self, node: ast.AST) -> ast.AST:
        if node is not self.node:
            return self.generic_visit(node)
        changed = copy.deepcopy(node)
        match changed:
            case ast.Compare():
                changed.ops = [_COMPARE[type(changed.ops[0])]()]
            case ast.BoolOp():
                changed.op = ast.Or() if isinstance(changed.op, ast.And) else ast.And()
            case ast.UnaryOp():
                return changed.operand
            case ast.BinOp():
                changed.op = _BINARY[type(changed.op)]()
            case ast.Constant(value=bool()):
                changed.value = not changed.value
            case ast.Constant(value=int(value)):
                changed.value = value + 1
            case ast.If() | ast.IfExp() | ast.While():
                changed.test = ast.UnaryOp(op=ast.Not(), operand=changed.test)
            case _:
                return ast.copy_location(ast.Break(), node)
        return changed


class _Loader(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives out one module with a fault in it."""

    def __init__(self, mutant: Mutant) -> None:
        self.name = f"haoya.policy.{mutant.module}"
        self.tree = mutated(mutant)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        return importlib.util.spec_from_loader(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.tree, self.name, "exec"), module.__dict__)


def survives(mutant: Mutant | None) -> bool:
    """Whether all tests pass in spite of the fault; None for no fault."""
    child = os.fork()
    if child == 0:
        _be_tested(mutant)
    end = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _be_tested(mutant: Mutant | None) -> None:
    """In the child: run the tests against the fault, and end."""
    code = 1
    with contextlib.suppress(BaseException):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        if mutant:
            sys.meta_path.insert(0, _Loader(mutant))
        code = int(_pytest(_order(mutant.module if mutant else "")))
    os._exit(code)


def _order(module: str) -> list[str]:
    """The test files, those first that most likely notice."""
    files = sorted(TESTS.glob("test_*.py"), key=lambda path: path.name)
    late = {"test_properties.py": 1, "test_gate.py": 2, "test_leave.py": 2}
    files.sort(key=lambda path: (path.stem != f"test_{module}", late.get(path.name, 0)))
    return [str(path) for path in files if late.get(path.name, 0) < 2]


def _pytest(files: Sequence[str]) -> int:
    return pytest.main(["-x", "-q", "-p", "no:cacheprovider", *files])


def _warm() -> None:
    """Load all that the children share, but nothing that imports the policy."""
    hypothesis.settings.register_profile("mutants", database=None, derandomize=True)
    hypothesis.settings.load_profile("mutants")
    importlib.import_module("haoya.core.event")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default=",".join(MODULES))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]
    os.chdir(ROOT)
    _warm()
    if not survives(None):
        sys.exit("the tests fail without any fault; mend them first")
    every = [mutant for module in options.only.split(",") for mutant in mutants(module)]
    chosen = every
    if 0 < options.sample < len(every):
        chosen = random.Random(options.seed).sample(every, options.sample)
    left: list[str] = []
    for mutant in chosen:
        if survives(mutant):
            left.append(str(mutant))
            if not options.json:
                print("survived", mutant, flush=True)
    found = {
        "mutation_score": 1 - len(left) / len(chosen),
        "mutants": len(chosen),
        "of": len(every),
        "survived": left,
    }
    if options.json:
        print(json.dumps(found))
        return
    print(f"mutation_score: {found['mutation_score']:.4f}")
    print(f"mutants: {len(chosen)} of {len(every)}, survived: {len(left)}")


if __name__ == "__main__":
    main()
