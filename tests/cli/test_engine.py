# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya models engine`, without a daemon."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Haoya

RECORD = {
    "name": "native",
    "version": "1.2",
    "server": "bin/llama-server",
    "proof": {
        "model": "small.gguf", "at": 1.0, "equal": True, "tokens": 120, "ties": 1,
        "prompt_ratio": 1.8, "answer_ratio": 1.1, "ratio": 1.4,
    },
}  # fmt: skip


@pytest.fixture
def native(home: Path) -> Path:
    folder = home / "models" / "engines" / "llama.cpp-1.2"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "llama-server").write_text("#!/bin/sh\n")
    (folder / "bin" / "llama-server").chmod(0o755)
    (folder / "engine.json").write_text(json.dumps(RECORD))
    return folder


def test_the_engine_in_use_stands_first(native: Path, haoya: Haoya) -> None:
    before = haoya("models", "engine", "status", "--json").json()
    assert before["build"] is None
    assert {"name": "native", "in_use": False} in [
        {"name": row["name"], "in_use": row["in_use"]} for row in before["engines"]
    ]
    used = haoya("models", "engine", "use", "native")
    assert used.status == 0 and "native runs local models" in used.out
    after = haoya("models", "engine", "status", "--json").json()["engines"]
    assert (after[0]["name"], after[0]["in_use"], after[0]["chosen"]) == ("native", True, True)
    shown = haoya("models", "engine", "status").out
    assert "1.4 times the wheel's speed" in shown and "haoya models engine build" in shown
    assert haoya("models", "engine", "use", "wheel").status == 0
    assert not json.loads((native / "engine.json").read_text()).get("chosen")


def test_what_is_not_there_cannot_be_used(haoya: Haoya, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    for name, cure in (("native", "engine build"), ("server", "llama.cpp"), ("gpu", "wheel")):
        outcome = haoya("models", "engine", "use", name)
        assert outcome.status == 1 and cure in outcome.err, outcome.err
    assert "no engine is being built" in haoya("models", "engine", "cancel").err


def test_a_build_needs_a_compiler_and_a_model_that_exists(
    haoya: Haoya, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no model is named" in haoya("models", "engine", "build", "--model", "none").err
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    outcome = haoya("models", "engine", "build")
    assert outcome.status == 1 and "no C++ compiler" in outcome.err


def test_a_build_that_broke_off_is_told(home: Path, haoya: Haoya) -> None:
    folder = home / "models" / "engines"
    folder.mkdir(parents=True)
    state = {"name": "llama.cpp-1.2", "step": "compile", "pid": 1, "began": 5, "at": 65}
    (folder / "build.json").write_text(json.dumps({**state, "done": 7, "of": 218}))
    shown = haoya("models", "engine", "status").out
    assert "broken off" in shown and "7/218" in shown
