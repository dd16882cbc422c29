# SPDX-License-Identifier: AGPL-3.0-or-later
"""A link opens the page once; the session it makes outlives the daemon."""

import asyncio
import signal
import stat
from pathlib import Path

import pytest

from haoya.api.session import MOST_SESSIONS, SESSION_SECONDS, Sessions, use_code, write_private
from tests.api.daemon import MODEL, Daemon, ModelServer

OWN = {"Sec-Fetch-Site": "same-origin"}


def test_a_code_opens_a_session_exactly_once(daemon: Daemon) -> None:
    code = daemon.new_link()
    with daemon.client() as first, daemon.client() as second:
        reply = first.post("/api/session", json={"code": code})
        again = second.post("/api/session", json={"code": code})
        assert reply.status_code == 200
        assert again.status_code == 401
        assert "haoya open" in again.json()["error"]["message"]
        assert first.get("/api/session", headers=OWN).json()["ok"] is True
        assert second.get("/api/session", headers=OWN).status_code == 401


def test_the_cookie_cannot_be_read_by_scripts_or_sent_by_other_sites(daemon: Daemon) -> None:
    with daemon.client() as browser:
        reply = browser.post("/api/session", json={"code": daemon.new_link()})
    crumbs = [part.strip().lower() for part in reply.headers["set-cookie"].split(";")]
    assert crumbs[0].startswith(f"haoya_{daemon.port}=")
    assert {"httponly", "samesite=strict", "path=/"} <= set(crumbs)
    assert f"max-age={int(SESSION_SECONDS)}" in crumbs


@pytest.mark.parametrize("body", [b"", b"{}", b'{"code":""}', b'{"code":7}', b"[]", b"\xff"])
def test_a_body_without_a_code_is_named_as_such(daemon: Daemon, body: bytes) -> None:
    with daemon.client() as browser:
        reply = browser.post("/api/session", content=body)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_signing_out_ends_the_session(daemon: Daemon) -> None:
    with daemon.client() as browser:
        browser.post("/api/session", json={"code": daemon.new_link()})
        own = {
            **OWN,
            "Cookie": "; ".join(f"{key}={value}" for key, value in browser.cookies.items()),
        }
        assert browser.delete("/api/session", headers={"Origin": daemon.url}).status_code == 200
    with daemon.client() as thief:
        assert thief.get("/api/session", headers=own).status_code == 401


def test_a_session_outlives_the_daemon_and_lies_on_disk_only_as_a_digest(
    model: ModelServer, tmp_path: Path
) -> None:
    daemon = Daemon(tmp_path / "home", MODEL.format(port=model.port))
    try:
        with daemon.client() as browser:
            code = daemon.link.partition("#k=")[2]
            assert browser.post("/api/session", json={"code": code}).status_code == 200
            (cookie,) = browser.cookies.values()
            daemon.stop(signal.SIGKILL)
            daemon.start()
            assert browser.get("/api/session", headers=OWN).status_code == 200
    finally:
        daemon.stop()
    kept = daemon.home / "state" / "api-sessions.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    for file in (daemon.home / "state").rglob("*"):
        assert not file.is_file() or cookie.encode() not in file.read_bytes()
    assert code not in (daemon.home / "log").read_text()


def test_an_old_code_is_no_code() -> None:
    codes = {"old": 10.0, "new": 20.0}
    assert not use_code(codes, "old", 10)
    assert not use_code(codes, "", 1)
    assert not use_code(codes, "好", 1)
    assert use_code(codes, "new", 19.9)
    assert not codes


async def _sessions(path: Path, now: list[float], count: int) -> tuple[Sessions, list[str]]:
    sessions = Sessions(path, lambda: now[0])
    cookies: list[str] = []
    for _ in range(count):
        now[0] += 1
        cookies.append(await sessions.open())
    return sessions, cookies


def test_sessions_end_after_a_month_and_the_oldest_make_room(tmp_path: Path) -> None:
    now = [0.0]
    path = tmp_path / "state" / "sessions.json"
    sessions, cookies = asyncio.run(_sessions(path, now, MOST_SESSIONS + 1))
    assert not sessions.knows(cookies[0])
    assert all(Sessions(path, lambda: now[0]).knows(cookie) for cookie in cookies[1:])
    now[0] += SESSION_SECONDS
    assert not any(sessions.knows(cookie) for cookie in cookies)


def test_a_broken_file_of_sessions_is_no_sessions(tmp_path: Path) -> None:
    path = tmp_path / "sessions.json"
    for content in (b"", b"{", b'{"a": "b"}', b"[]"):
        path.write_bytes(content)
        assert Sessions(path, lambda: 0).expiries == {}


def test_a_disk_that_refuses_keeps_sessions_in_memory(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    sessions = Sessions(tmp_path / "state" / "sessions.json", lambda: 0)
    assert sessions.knows(asyncio.run(sessions.open()))


def test_a_private_file_replaces_a_link_instead_of_following_it(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("untouched")
    path = tmp_path / "file.json"
    path.with_suffix(".new").symlink_to(target)
    write_private(path, b"secret")
    assert target.read_text() == "untouched"
    assert path.read_bytes() == b"secret"
