# SPDX-License-Identifier: AGPL-3.0-or-later
"""The sections that docs/howto/connect-a-model.md shows are taken as they are printed there."""

import re
import tomllib
from pathlib import Path
from typing import get_args

from haoya.core.errors import Trouble
from haoya.runtime.registry import built_in, find

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "connect-a-model.md"
TEXT = PAGE.read_text("utf-8")
BLOCKS = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)


def test_every_section_is_taken() -> None:
    shown: set[str] = set()
    for block in BLOCKS:
        for section in tomllib.loads(block)["models"].values():
            use = section.pop("use")
            shown.add(use)
            find("model", use).settings.model_validate(section)
    assert shown >= {"openai", "responses", "anthropic", "ollama"}
    assert shown <= built_in("model")


def test_every_trouble_is_explained() -> None:
    for trouble in (*get_args(Trouble), "refused"):
        assert f"| `{trouble}` |" in TEXT
