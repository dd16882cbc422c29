# SPDX-License-Identifier: AGPL-3.0-or-later
"""The window opens where it is told, says so where it cannot, and never takes the house along."""

import asyncio
import os
import signal
import socket
import threading
import time
from pathlib import Path

import httpx2
import pydantic
import pytest

from haoya.api.serve import serve
from haoya.core.errors import ConfigError, Unready
from haoya.runtime.api_settings import ApiSettings
from haoya.runtime.home import Home
from haoya.runtime.house import House
from tests.api.daemon import MODEL, SECONDS, Daemon, ModelServer, until


async def _open(folder: Path, settings: ApiSettings) -> str:
    async with serve(House(Home(folder=folder)), settings) as url, httpx2.AsyncClient() as client:
        reply = await client.get(f"{url}/healthz", timeout=SECONDS)
        assert reply.json()["ok"] is True
        return url


def test_any_free_port_and_either_name_of_this_machine(tmp_path: Path) -> None:
    for host, shown in (("127.0.0.1", "127.0.0.1"), ("localhost", "127.0.0.1")):
        url = asyncio.run(_open(tmp_path, ApiSettings(host=host, port=0)))
        assert url.startswith(f"http://{shown}:")


def test_a_second_address_family_where_the_machine_has_it(tmp_path: Path) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    assert asyncio.run(_open(tmp_path, ApiSettings(host="::1", port=0))).startswith("http://[::1]:")


OTHERS = ["0.0.0.0", "::", "192.168.1.5", "example.org", "", "127.0.0.1.x"]


@pytest.mark.parametrize("host", OTHERS)
def test_other_machines_are_not_let_in_without_tls(tmp_path: Path, host: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=r"needs TLS.*127\.0\.0\.1"):
        ApiSettings(host=host, port=0)
    unchecked = ApiSettings.model_construct(host=host, port=0, cert="", key="", token="", names=[])
    with pytest.raises(ConfigError) as raised:
        asyncio.run(_open(tmp_path, unchecked))
    assert "127.0.0.1" in raised.value.cure


def _eager_sockets(port: int) -> list[int]:
    """TCP_NODELAY of each of this process's sockets at the server's end of a port."""
    found: list[int] = []
    for path in list(Path("/proc/self/fd").iterdir()):
        try:
            with socket.socket(fileno=os.dup(int(path.name))) as end:
                if end.family == socket.AF_INET and end.getsockname()[1] == port:
                    found.append(end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        except OSError:
            continue
    return found


async def _is_eager(folder: Path) -> bool:
    house = House(Home(folder=folder))
    async with serve(house, ApiSettings(port=0)) as url, httpx2.AsyncClient() as client:
        await client.get(f"{url}/healthz", timeout=SECONDS)
        return 1 in _eager_sockets(int(url.rpartition(":")[2]))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux to look at sockets")
def test_a_reply_does_not_wait_for_an_acknowledgement(tmp_path: Path) -> None:
    assert asyncio.run(_is_eager(tmp_path)), "TCP_NODELAY is not set: each reply takes 40 ms"


def test_a_taken_port_is_named_with_the_cure(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unready, match=rf"{port}.*haoya up --port N"):
            asyncio.run(_open(tmp_path, ApiSettings(port=port)))


async def _neither_tasks_nor_signals(folder: Path) -> None:
    before = asyncio.all_tasks()
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    house = House(Home(folder=folder))
    async with serve(house, ApiSettings(port=0)) as url:
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == handlers
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        port = url.rpartition(":")[2]
        writer.write(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        began = time.monotonic()
    assert time.monotonic() - began < 1, "an idle connection held the window open"
    await reader.read()
    writer.close()
    assert asyncio.all_tasks() == before


def test_leaving_cuts_idle_connections_and_leaves_nothing_behind(tmp_path: Path) -> None:
    asyncio.run(_neither_tasks_nor_signals(tmp_path))


def test_the_daemon_lives_without_its_window_until_the_port_is_free(
    model: ModelServer, tmp_path: Path
) -> None:
    daemon = Daemon(tmp_path / "home", MODEL.format(port=model.port)).ready()
    try:
        daemon.stop()
        with socket.create_server(("127.0.0.1", daemon.port)):
            # No link is printed while the window is shut: the log says why.
            starting = threading.Thread(target=daemon.start, daemon=True)
            starting.start()
            log = daemon.home / "log"
            until(lambda: f"port {daemon.port} of 127.0.0.1 is in use" in log.read_text())
            until(lambda: "channels.local is open" in log.read_text().rpartition("stopping")[2])
        starting.join(70)
        daemon.ready()
    finally:
        daemon.stop()


def test_a_changed_token_counts_at_once_and_the_old_one_no_more(
    model: ModelServer, tmp_path: Path
) -> None:
    settings = MODEL.format(port=model.port)
    daemon = Daemon(tmp_path / "home", settings)
    try:
        daemon.stop()
        daemon.start()  # On a port that stays the same when the window opens anew.
        old = daemon.ready().token

        def status(token: str) -> int:
            try:
                headers = {"Authorization": f"Bearer {token}"}
                return httpx2.get(f"{daemon.url}/v1/models", headers=headers).status_code
            except httpx2.HTTPError:
                return 0

        assert status(old) == 200
        (daemon.home / "secrets.toml").write_text('api = "a-new-token-of-the-owner"\n')
        (daemon.home / "settings.toml").write_text(settings + '[api]\ntoken = "secret:api"\n')
        until(lambda: status("a-new-token-of-the-owner") == 200)
        assert status(old) == 401
    finally:
        daemon.stop()
