# SPDX-License-Identifier: AGPL-3.0-or-later
"""Devices and other machines: a token opens what it was given for, over TLS 1.3, at its pace."""

import asyncio
import json
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from starlette.types import Message

from haoya.api.app import SHORT_WAYS, WAYS, app_of
from haoya.api.auth import Paces
from haoya.api.serve import serve
from haoya.api.window import Window
from haoya.core.errors import ConfigError
from haoya.runtime.api_settings import ApiSettings
from haoya.runtime.devices import SCOPES, Devices
from haoya.runtime.home import Home
from haoya.runtime.house import House
from tests.api.daemon import ROOT, Daemon
from tests.api.test_guard import path

ALL = [way for way in (*WAYS, *SHORT_WAYS) if way.scope != "public"]
needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")


def enrol(daemon: Daemon, name: str, *scopes: str, per_minute: int = 6000) -> str:
    """A device's token, by the command an owner would use."""
    wanted = [word for scope in scopes for word in ("--scope", scope)]
    command = [sys.executable, "-c", "import sys; from haoya.cli import main; sys.exit(main())"]
    said = subprocess.run(
        [
            *command,
            "devices",
            "add",
            name,
            *wanted,
            "--per-minute",
            str(per_minute),
            "--json",
            "--home",
            str(daemon.home),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )
    return json.loads(said.stdout)["token"]


@pytest.mark.parametrize("way", ALL, ids=lambda way: f"{way.method} {way.path}")
def test_a_token_opens_its_scope_and_nothing_else(daemon: Daemon, way) -> None:  # pyright: ignore
    others = [scope for scope in SCOPES if scope != way.scope]
    token = enrol(daemon, "others", *others)
    with daemon.client() as client:
        bearer = {"Authorization": f"Bearer {token}"}
        reply = client.request(way.method, path(way.path), headers=bearer)
    assert reply.status_code == 403
    assert reply.json()["error"]["code"] == "insufficient_scope"


def test_a_token_opens_what_it_was_given_for(daemon: Daemon) -> None:
    token = enrol(daemon, "phone", "models", "metrics")
    with daemon.client() as client:
        bearer = {"Authorization": f"Bearer {token}"}
        assert client.get("/v1/models", headers=bearer).status_code == 200
        assert client.get("/metrics", headers=bearer).status_code == 200
        assert client.get("/api/history", headers=bearer).status_code == 403
        assert client.get("/v1/models", headers={"x-api-key": token}).status_code == 200


def test_a_removed_device_is_out_at_once(daemon: Daemon) -> None:
    token = enrol(daemon, "gone", "models")
    devices = Devices(Home(folder=daemon.home).devices)
    with daemon.client() as client:
        bearer = {"Authorization": f"Bearer {token}"}
        assert client.get("/v1/models", headers=bearer).status_code == 200
        devices.remove("gone")
        assert client.get("/v1/models", headers=bearer).status_code in (401, 429)


def test_a_device_keeps_its_pace(daemon: Daemon) -> None:
    token = enrol(daemon, "hasty", "models", per_minute=3)
    with daemon.client() as client:
        bearer = {"Authorization": f"Bearer {token}"}
        codes = [client.get("/v1/models", headers=bearer).status_code for _ in range(4)]
        last = client.get("/v1/models", headers=bearer)
    assert codes == [200, 200, 200, 429]
    assert 0 < int(last.headers["retry-after"]) <= 20


def test_a_pace_refills_evenly() -> None:
    now = [0.0]
    paces = Paces(lambda: now[0])
    assert [paces.wait("a", 60) for _ in range(60)] == [0] * 60
    assert paces.wait("a", 60) == pytest.approx(1)
    assert paces.wait("b", 60) == 0, "each has its own"
    now[0] = 1.0
    assert (paces.wait("a", 60), paces.wait("a", 60) > 0) == (0, True)
    now[0] = 0.5  # a clock that went back gives nothing away
    assert paces.wait("a", 60) > 0


def test_on_disk_lie_digests_only(daemon: Daemon) -> None:
    token = enrol(daemon, "disk", "models")
    file = Home(folder=daemon.home).devices
    assert token not in file.read_text("utf-8")
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("scopes", [[], ["all"], ["models", "Chat"]])
def test_a_token_without_scopes_is_not_made(tmp_path: Path, scopes: list[str]) -> None:
    with pytest.raises(ConfigError, match="there are: models, chat, metrics, manage"):
        Devices(tmp_path / "devices.json").enrol("x", scopes, 60, 0)
    assert not (tmp_path / "devices.json").exists()


def test_a_broken_list_lets_nobody_in(tmp_path: Path) -> None:
    devices = Devices(tmp_path / "devices.json")
    token = devices.enrol("x", ["models"], 60, 0)
    (tmp_path / "devices.json").write_text("[{]")
    with pytest.raises(ConfigError, match="cannot be read"):
        devices.known(token)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with a self-made certificate."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=haoya.test", "-keyout", "key.pem"),
            *("-addext", "subjectAltName=DNS:haoya.test,IP:127.0.0.1", "-out", "cert.pem"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    yield folder


def settings(**more: object) -> ApiSettings:
    return ApiSettings.model_validate(
        {"cert": "cert.pem", "key": "key.pem", "host": "0.0.0.0", "port": 0, **more}
    )


@needs_openssl
def test_other_machines_are_let_in_only_once_one_was_enrolled(certificate: Path) -> None:
    async def body() -> None:
        house = House(Home(folder=certificate))
        with pytest.raises(ConfigError, match="none was enrolled"):
            async with serve(house, settings()):
                pass

    asyncio.run(body())


@needs_openssl
def test_tls_1_3_and_names_of_ours_only(certificate: Path) -> None:
    async def body() -> None:
        house = House(Home(folder=certificate))
        token = house.devices.enrol("phone", ["models"], 600, 0)
        async with serve(house, settings(names=["haoya.test"])) as url:
            port = int(url.rpartition(":")[2])
            assert url == f"https://haoya.test:{port}"
            trusted = ssl.create_default_context(cafile=certificate / "cert.pem")
            bearer = {"Authorization": f"Bearer {token}", "Host": f"haoya.test:{port}"}
            async with httpx2.AsyncClient(verify=trusted, trust_env=False) as client:
                reply = await client.get(f"https://127.0.0.1:{port}/v1/models", headers=bearer)
                assert reply.status_code == 200
                other = {**bearer, "Host": f"evil.test:{port}"}
                reply = await client.get(f"https://127.0.0.1:{port}/v1/models", headers=other)
                assert reply.status_code == 401
                origin = {**bearer, "Origin": f"http://haoya.test:{port}"}
                reply = await client.get(f"https://127.0.0.1:{port}/v1/models", headers=origin)
                assert reply.status_code == 401, "another scheme is another origin"
            old = ssl.create_default_context(cafile=certificate / "cert.pem")
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.open_connection("127.0.0.1", port, ssl=old)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: haoya.test\r\n\r\n")
            try:
                said = await asyncio.wait_for(reader.read(), 10)
            except ConnectionError:
                said = b""
            assert b"HTTP/" not in said, "without TLS there is no reply"
            writer.close()

    asyncio.run(body())


@pytest.mark.parametrize(
    ("peer", "status"),
    [("127.0.0.1", 200), ("::1", 200), ("192.168.1.9", 401), ("::ffff:10.0.0.1", 401), ("", 401)],
)
def test_the_owners_own_token_counts_on_this_machine_only(
    tmp_path: Path, peer: str, status: int
) -> None:
    async def body() -> int:
        house = House(Home(folder=tmp_path))
        window = Window(house, host="0.0.0.0", port=1, token="t" * 40, names=["haoya.test"])
        statuses: list[int] = []

        async def send(message: Message) -> None:
            statuses.append(message.get("status", 0))

        async def receive() -> Message:
            return {"type": "http.request", "body": b""}

        headers = [(b"host", b"haoya.test:1"), (b"authorization", b"Bearer " + b"t" * 40)]
        scope = {
            **{"type": "http", "method": "GET", "path": "/v1/models", "headers": headers},
            **{"raw_path": b"/v1/models", "query_string": b"", "root_path": ""},
            "client": (peer, 1) if peer else None,
        }
        await app_of(window)(scope, receive, send)
        return statuses[0]

    assert asyncio.run(body()) == status
