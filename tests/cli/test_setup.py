# SPDX-License-Identifier: AGPL-3.0-or-later
"""The first minutes: from nothing to settings that name a model and a channel."""

import json
import os
import stat
import subprocess
import threading
import tomllib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from haoya.cli import probe
from haoya.runtime.vault import values
from tests.cli.conftest import HAOYA, SECONDS, Haoya, Screen

Show = Callable[..., Screen]


class Models(BaseHTTPRequestHandler):
    """`GET /v1/models` as llama.cpp, Ollama and the like answer it; wants the key where one is."""

    def do_GET(self) -> None:
        key = getattr(self.server, "key", "")
        allowed = not key or self.headers.get("Authorization") == f"Bearer {key}"
        found = self.path == "/v1/models"
        self.send_response(200 if found and allowed else 404 if allowed else 401)
        self.end_headers()
        data = [{"id": "nomic-embed-text"}, {"id": "qwen3:8b"}, {"id": "llama"}]
        self.wfile.write(json.dumps({"object": "list", "data": data}).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Models) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/v1"


def settings(home: Path) -> dict[str, Any]:
    return tomllib.loads((home / "settings.toml").read_text())


def test_a_server_is_known_by_its_list_of_models(server: ThreadingHTTPServer) -> None:
    assert probe.models_of(address(server)) == ("qwen3:8b", "llama", "nomic-embed-text")
    assert probe.models_of(address(server) + "/elsewhere") is None
    assert probe.models_of("ftp://127.0.0.1/v1") is None
    assert probe.models_of("http://127.0.0.1:99999/v1") is None
    server.key = "k"  # type: ignore[attr-defined]
    assert probe.models_of(address(server)) is None
    assert probe.models_of(address(server), "k")


def test_a_running_server_is_found(
    server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "PORTS", {server.server_address[1]: "Ours", 9: "Nobody"})
    (found,) = probe.near()
    assert (found.maker, found.url) == ("Ours", address(server))


def test_flags_alone_write_settings(haoya: Haoya, home: Path, server: ThreadingHTTPServer) -> None:
    outcome = haoya(
        "setup", "--yes", "--json", "--model-url", address(server)[:-3], "--key-env", "MY_KEY",
        "--telegram-token-env", "TG", "--irc-host", "irc.example.org", "--irc-room", "#a",
        "--irc-room", "#b",
    )  # fmt: skip
    assert outcome.status == 0
    assert outcome.json()["model"] == "qwen3:8b"
    assert outcome.json()["channels"] == ["tg", "irc"]
    assert settings(home) == {
        "agent": {"model": "main"},
        "models": {
            "main": {
                "use": "openai",
                "base_url": address(server),
                "model": "qwen3:8b",
                "api_key": "env:MY_KEY",
            }
        },
        "channels": {
            "tg": {"use": "telegram", "token": "env:TG", "access": "pairing"},
            "irc": {
                "use": "irc",
                "host": "irc.example.org",
                "nick": "haoya",
                "rooms": ["#a", "#b"],
            },
        },
    }
    assert stat.S_IMODE((home / "settings.toml").stat().st_mode) == 0o600
    assert not (home / "secrets.toml").exists()


def test_settings_are_never_overwritten_unasked(
    haoya: Haoya, home: Path, server: ThreadingHTTPServer, screen: Show
) -> None:
    (home / "settings.toml").write_text("# mine\n")
    refused = haoya("setup", "--yes", "--model-url", address(server))
    assert refused.status == 1
    assert "--force" in refused.err
    person = screen("setup")
    person.reads("[1] ›")
    person.type("\n")
    person.reads("Replace it?")
    person.type("\n")
    person.reads("Nothing was changed.")
    assert person.leave() == 0
    assert (home / "settings.toml").read_text() == "# mine\n"
    assert haoya("setup", "--yes", "--force", "--model-url", address(server)).status == 0
    assert (home / "settings.toml.old").read_text() == "# mine\n"
    assert "agent" in settings(home)


def test_without_any_server_the_flags_are_named(
    haoya: Haoya, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "PORTS", {9: "Nobody"})
    outcome = haoya("setup", "--yes")
    assert outcome.status == 1
    assert outcome.err.endswith("haoya setup --yes --model-url URL\n")
    assert haoya("setup", "--yes", "--model-url", "http://127.0.0.1:9").status == 1
    assert haoya("setup", "--yes", "--model-url", "127.0.0.1:9", "--model", "m").status == 0
    assert settings(home)["models"]["main"]["base_url"] == "http://127.0.0.1:9/v1"


def test_a_person_is_asked_in_chinese_and_the_token_is_kept_apart(
    screen: Show, home: Path, server: ThreadingHTTPServer
) -> None:
    person = screen("setup", "--model-url", address(server))
    person.reads("2. 中文")
    person.type("2\n")
    person.reads("用哪个模型？")
    person.reads("2. llama")
    person.type("nine\n")
    person.reads("请输入 1 到 3")
    person.type("2\n")
    person.reads("2. Telegram")
    person.type("2\n")
    person.reads("机器人的令牌")
    person.type("12:TOKEN\n")
    assert "TOKEN" not in person.reads("已写好")
    assert person.leave() == 0
    text = (home / "settings.toml").read_text()
    assert "TOKEN" not in text
    assert "haoya pair approve" in text
    assert settings(home)["channels"]["tg"]["token"] == "secret:tg-token"
    assert settings(home)["models"]["main"]["model"] == "llama"
    assert not (home / "secrets.toml").exists()
    assert {k: v.text for k, v in values(home).items()} == {"tg-token": "12:TOKEN"}
    assert stat.S_IMODE((home / "vault").stat().st_mode) == 0o600


def test_a_home_that_does_not_exist_is_made_private(
    home: Path, tmp_path: Path, server: ThreadingHTTPServer
) -> None:
    fresh = tmp_path / "new" / "家"
    done = subprocess.run(
        [*HAOYA, "setup", "--yes", "--home", str(fresh), "--model-url", address(server)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=True,
        env={**os.environ, "HAOYA_LANG": "en"},
    )  # fmt: skip
    assert "haoya up" in done.stdout
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o700
