# SPDX-License-Identifier: AGPL-3.0-or-later
"""The real engine, built from the owner's index. Takes minutes: SOAK=1."""

import shutil
import time
from pathlib import Path

import pytest

from haoya.inference.engine import engines
from haoya.runtime import engines as facade
from tests.servers import tiny

HOUR = 3600


@pytest.mark.soak
@pytest.mark.skipif(not shutil.which("c++"), reason="needs a compiler")
def test_llama_cpp_is_built_here_and_equal_to_the_wheel(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    model = tiny.make_model(tmp_path / "tiny.gguf")
    facade.build(tmp_path / "home", str(model))
    deadline = time.monotonic() + HOUR
    while facade.status(tmp_path / "home")["build"]["running"]:
        assert time.monotonic() < deadline
        time.sleep(1)
    status = facade.status(tmp_path / "home")
    assert status["build"]["step"] == "done", status["build"]
    native = next(row for row in status["engines"] if row["name"] == "native")
    # A model this small is too quick to say which engine is faster.
    assert native["proof"]["equal"] and native["proof"]["tokens"] == 120
    if not native["chosen"]:
        facade.use(tmp_path / "home", "native")
    assert engines(tmp_path / "home" / "models")[0].name == "native"
