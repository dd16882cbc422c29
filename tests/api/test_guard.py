# SPDX-License-Identifier: AGPL-3.0-or-later
"""Nobody gets past the guard who should not, whatever they send."""

import socket
import stat
from pathlib import Path

import httpx2
import pytest

from haoya.api.app import SHORT_WAYS, WAYS, public_ways
from haoya.api.auth import FAILURES, HEADERS, REFUSAL, Failures, token_of
from haoya.core.errors import ConfigError
from haoya.runtime.devices import SCOPES
from haoya.runtime.home import Home
from haoya.runtime.secrets import Secrets
from tests.api.daemon import Daemon

PUBLIC = {"/healthz", "/readyz", "/api/session", "/"}
GUARDED = [way for way in (*WAYS, *SHORT_WAYS) if way.scope != "public"]


def path(template: str) -> str:
    return template.replace("{verb}", "status").replace("{name:path}", "haoya")


def test_every_way_declares_a_scope_and_few_are_public() -> None:
    assert all(way.scope == "models" for way in SHORT_WAYS)
    public = {way.path for way in WAYS if way.scope == "public"}
    page = {p for p in public if p.endswith((".mjs", ".js", ".css", ".svg"))}
    assert public - page == PUBLIC
    assert all(way.scope in {"public", "session", *SCOPES} for way in WAYS)
    assert not any("{" in way for _, way in public_ways()), "a public path must be exact"


@pytest.mark.parametrize("way", GUARDED, ids=lambda way: f"{way.method} {way.path}")
def test_without_a_key_the_reply_is_always_the_same(daemon: Daemon, way) -> None:  # pyright: ignore
    with daemon.client() as stranger:
        reply = stranger.request(way.method, path(way.path))
    assert (reply.status_code, reply.content) == (401, REFUSAL)


@pytest.mark.parametrize(
    "request_",
    [
        ("GET", "/nothing/here"),
        ("GET", "/healthz/"),
        ("GET", "/METRICS"),
        ("GET", "/static/index.html"),
        ("GET", "/..%2f..%2fetc/passwd"),
        ("POST", "/healthz"),
        ("PUT", "/api/session"),
        ("OPTIONS", "/v1/models"),
        ("GET", "/%6detrics"),
    ],
)
def test_what_is_not_public_looks_the_same_whether_it_exists_or_not(
    daemon: Daemon, request_: tuple[str, str]
) -> None:
    with daemon.client() as stranger:
        reply = stranger.request(*request_)
    assert (reply.status_code, reply.content) == (401, REFUSAL)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "Bearer",
        "Bearer x",
        "Basic {token}",
        "{token}",
        "Bearer {token}x",
        "Bearer é",
    ],
)
def test_a_wrong_key_gets_nothing(daemon: Daemon, key: str) -> None:
    raw = key.replace("{token}", daemon.token).encode()
    with daemon.client() as client:
        reply = client.get("/v1/models", headers=[(b"Authorization", raw)])
    assert reply.status_code in (401, 429)
    assert "haoya" not in reply.headers.get("server", "")


def test_the_token_opens_and_its_scheme_may_be_written_small(daemon: Daemon) -> None:
    with daemon.client() as client:
        for scheme in ("Bearer", "bearer"):
            reply = client.get("/v1/models", headers={"Authorization": f"{scheme} {daemon.token}"})
            assert reply.json()["data"][0]["id"] == "haoya"


@pytest.mark.parametrize("right", ["authorization", "x-api-key"])
def test_the_token_opens_as_x_api_key_whatever_the_other_header_says(
    daemon: Daemon, right: str
) -> None:
    given = {"authorization": "Bearer wrong", "x-api-key": "wrong"}
    given[right] = given[right].replace("wrong", daemon.token)
    with daemon.client() as client:
        assert client.get("/v1/models", headers={right: given[right]}).status_code == 200
        assert client.get("/v1/models", headers=given).status_code == 200
        assert client.get("/v1/models", headers={"x-api-key": "wrong"}).status_code in (401, 429)


@pytest.mark.parametrize(
    "name", ["evil.example", "127.0.0.1", "localhost:1", "evil.example:{port}"]
)
def test_another_host_name_is_refused_even_with_the_token(daemon: Daemon, name: str) -> None:
    with daemon.owner() as owner:
        host = name.format(port=daemon.port)
        for place in ("/v1/models", "/healthz", "/"):
            assert owner.get(place, headers={"Host": host}).content == REFUSAL


def test_all_names_of_this_machine_are_answered(daemon: Daemon) -> None:
    with daemon.owner() as owner:
        for name in ("127.0.0.1", "localhost", "[::1]"):
            reply = owner.get("/v1/models", headers={"Host": f"{name}:{daemon.port}"})
            assert reply.status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil.example",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "https://127.0.0.1:{port}",
        "http://localhost:{port}",
        "http://127.0.0.1:{port}.evil.example",
    ],
)
def test_a_page_of_another_origin_is_refused_even_with_the_token(
    daemon: Daemon, origin: str
) -> None:
    with daemon.owner() as owner:
        headers = {"Origin": origin.format(port=daemon.port)}
        assert owner.get("/v1/models", headers=headers).content == REFUSAL
        assert owner.get("/healthz", headers=headers).content == REFUSAL


def test_a_cookie_counts_only_for_our_own_page(daemon: Daemon) -> None:
    with daemon.client() as browser:
        reply = browser.post("/api/session", json={"code": daemon.new_link()})
        assert reply.status_code == 200
        own = {"Origin": daemon.url}
        assert browser.get("/api/session", headers=own).status_code == 200
        assert browser.get("/api/session", headers={"Sec-Fetch-Site": "same-origin"}).is_success
        foreign: list[dict[str, str]] = [
            {},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": f"http://127.0.0.1:{daemon.port + 1}"},
        ]
        for headers in foreign:
            assert browser.get("/api/session", headers=headers).content == REFUSAL
        for headers in ({"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"}):
            assert browser.post("/api/say", json={"text": "x"}, headers=headers).content == REFUSAL


def test_every_reply_bears_the_protecting_headers(daemon: Daemon) -> None:
    with daemon.owner() as owner, daemon.client() as stranger:
        replies = [owner.get("/"), owner.get("/chat.mjs"), owner.get("/api/history")]
        replies += [stranger.get("/metrics"), owner.get("/nothing"), stranger.get("/healthz")]
    for reply in replies:
        assert [reply.headers[name] for name, _ in HEADERS] == [value for _, value in HEADERS]
        assert "date" in reply.headers
        assert "server" not in reply.headers
    assert "'unsafe" not in dict(HEADERS)["Content-Security-Policy"]


def test_too_many_wrong_keys_are_slowed_and_the_right_one_still_passes(daemon: Daemon) -> None:
    with daemon.client() as client:
        wrong = [
            client.get("/v1/models", headers={"Authorization": f"Bearer {number}"})
            for number in range(FAILURES + 2)
        ]
    assert wrong[-1].status_code == 429
    assert int(wrong[-1].headers["retry-after"]) > 0
    with daemon.owner() as owner:
        assert owner.get("/v1/models").status_code == 200


def test_failures_are_forgotten_after_a_minute() -> None:
    now = [0.0]
    failures = Failures(lambda: now[0])
    assert [failures.note("peer") for _ in range(FAILURES + 1)].count(True) == 1
    now[0] = 61
    assert not failures.note("peer")
    for number in range(3000):
        failures.note(f"peer {number}")
    assert len(failures.times) <= 1000


def test_the_token_is_made_once_and_only_the_owner_can_read_it(tmp_path: Path) -> None:
    home = Home(folder=tmp_path)
    token = token_of(home, "", Secrets())
    assert len(token) >= 43
    assert stat.S_IMODE(home.token.stat().st_mode) == 0o600
    home.token.chmod(0o644)
    assert token_of(home, "", Secrets()) == token
    assert stat.S_IMODE(home.token.stat().st_mode) == 0o600


def test_a_token_from_the_settings_is_used_and_a_missing_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(folder=tmp_path)
    monkeypatch.setenv("HAOYA_TEST_TOKEN", "from-the-environment")
    vault = Secrets()
    assert token_of(home, "env:HAOYA_TEST_TOKEN", vault) == "from-the-environment"
    with pytest.raises(ConfigError, match="api-token"):
        token_of(home, "secret:api-token", vault)
    assert not home.token.exists()


def test_a_disk_that_refuses_costs_the_file_not_the_window(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    assert len(token_of(Home(folder=tmp_path), "", Secrets())) >= 43


def test_a_bad_request_line_is_answered_and_the_next_one_served(daemon: Daemon) -> None:
    with pytest.raises(httpx2.HTTPError), daemon.client() as client:
        client.get("/healthz", headers={"X-Long": "x" * 200_000}).raise_for_status()
    with daemon.client() as client:
        assert client.get("/healthz").json()["ok"] is True


def test_a_head_without_end_is_cut_off(daemon: Daemon) -> None:
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=20) as line:
        line.sendall(b"GET / HTTP/1.1\r\nX-Long: ")
        with pytest.raises(OSError):
            for _ in range(1000):
                line.sendall(b"x" * 10_000)


@pytest.mark.parametrize("upgrade", ["websocket", "h2c", "nonsense"])
def test_a_wish_to_speak_another_protocol_is_answered_in_this_one(
    daemon: Daemon, upgrade: str
) -> None:
    with daemon.owner() as owner:
        headers = {"Connection": "Upgrade", "Upgrade": upgrade}
        assert owner.get("/v1/models", headers=headers).status_code == 200
