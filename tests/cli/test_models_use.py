# SPDX-License-Identifier: AGPL-3.0-or-later
"""`haoya models use` with the whole house running: it thinks with the model, or says why not."""

from pathlib import Path

import pytest

from tests.cli.conftest import Haoya
from tests.cli.test_house import Up, piped
from tests.servers.tiny import make_model

pytest.importorskip("xllamacpp")

SETTINGS = """# mine
[models.main]  # for the time being
use = "script"
"""


def test_a_running_daemon_thinks_with_the_new_model_at_once(
    haoya: Haoya, home: Path, tmp_path: Path
) -> None:
    (home / "settings.toml").write_text(SETTINGS)
    home.chmod(0o700)
    up = Up(home)
    up.start()
    try:
        haoya("models", "add", str(make_model(tmp_path / "Talker.gguf")))
        used = haoya("models", "use", "talker", "--json")
        assert used.json() == {
            "model": "talker",
            "section": "main",
            "moved": "script",
            "running": True,
        }
        (main,) = (m for m in haoya("status", "--json").json()["models"] if m["name"] == "main")
        assert main["use"] == "local"
        assert main["state"] != "parked", main
        assert piped("ask", "hello", "--timeout", "60").stdout.strip()
    finally:
        up.end()


def test_what_the_daemon_cannot_use_is_taken_back(haoya: Haoya, home: Path, tmp_path: Path) -> None:
    text = '# mine\n[models.main]\nuse = "local"\nmodel = "gone"\ncontxt = 3  # a slip\n'
    (home / "settings.toml").write_text(text)
    home.chmod(0o700)
    up = Up(home)
    up.start()
    try:
        haoya("models", "add", str(make_model(tmp_path / "Talker.gguf")))
        refused = haoya("models", "use", "talker")
        assert refused.status == 1
        assert "contxt" in refused.err
        assert (home / "settings.toml").read_text() == text
    finally:
        up.end()
