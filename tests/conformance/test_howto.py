# SPDX-License-Identifier: AGPL-3.0-or-later
"""The channel that docs/howto/add-a-channel.md shows works as it is printed there."""

import asyncio
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.conformance.cases import CASES, Case
from tests.conformance.matrix import ROOT
from tests.conformance.test_channels import run_case

PAGE = ROOT / "docs" / "howto" / "add-a-channel.md"


def _module(name: str, path: str, folder: Path) -> ModuleType:
    """The code block of the page that begins with `# path`, as a module called `name`."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = [block for block in blocks if block.startswith(f"# {path}\n")]
    file = folder / f"{name}.py"
    file.write_text(code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_example_passes(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = _module("lines", "src/haoya/channels/lines/__init__.py", tmp_path)
    monkeypatch.setitem(sys.modules, "haoya.channels.lines", channel)
    path = "tests/conformance/counterparts/lines.py"
    far = _module("lines_counterpart", path, tmp_path).counterpart()
    if case.needs <= far.abilities:
        asyncio.run(run_case(case, far, tmp_path))


def test_the_page_names_all_cases() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## What the suite demands")[2]
    named = set(re.findall(r"\w+", " ".join(re.findall(r"^\| ([\w, ]+) \|", table, re.MULTILINE))))
    assert {case.name for case in CASES} <= named
