# SPDX-License-Identifier: AGPL-3.0-or-later
"""docs/security/cve-map.md is true: the tests it names exist, and its figures are counted."""

import ast
import re
from pathlib import Path

import pytest

from tests.house.sources import ROOT

PAGE = ROOT / "docs/security/cve-map.md"
ROWS = [
    (re.findall(r"CVE-\d{4}-\d{4,6}", cells[1]), cells[4].strip())
    for line in PAGE.read_text("utf-8").splitlines()
    if (cells := line.split("|"))[1:] and line.startswith("| CVE-")
]
NAMED = sorted({name for _, test in ROWS for name in re.findall(r"`(tests/[^`]+)`", test)})
LEAST_TESTED = 60


def functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("name", NAMED)
def test_each_test_that_the_map_names_exists(name: str) -> None:
    file, _, function = name.partition("::")
    assert (ROOT / file).exists(), f"there is no {file}"
    assert function in functions(ROOT / file)


def test_no_fault_stands_twice_and_each_row_says_how_it_is_held() -> None:
    ids = [id for found, _ in ROWS for id in found]
    assert len(ids) == len(set(ids))
    assert all("`tests/" in test or test.startswith("— (") for _, test in ROWS)


def test_the_maps_figures_are_counted() -> None:
    mapped = sum(len(ids) for ids, _ in ROWS)
    tested = sum(len(ids) for ids, test in ROWS if "`tests/" in test)
    assert tested >= LEAST_TESTED
    figures = f"**{mapped} faults mapped, {tested} with a test.**"
    assert figures in PAGE.read_text("utf-8"), f"write {figures}"
