# SPDX-License-Identifier: AGPL-3.0-or-later
"""The world is reached through the environment's proxy, this machine directly."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest

from haoya.runtime.egress import Egress, open_blocking_client, open_client
from haoya.runtime.egress_settings import EgressSettings
from tests.servers.internet import Internet

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
GOOD = "93.184.215.14"


class Proxy:
    """A proxy that answers every request itself, and opens tunnels to a server that says ok."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.logins: list[str] = []
        self.inside: list[str] = []
        self.opens = b"HTTP/1.1 200 Connection established\r\nvia: 1.1 p\r\n\r\n"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head.split("\r\n")[0])
        self.logins += [x for x in head.split("\r\n") if x.startswith("Proxy-Authorization")]
        if head.startswith("CONNECT"):
            writer.write(self.opens)
            if b" 200 " in self.opens:
                self.inside.append((await reader.readuntil(b"\r\n\r\n")).decode())
                writer.write(OK)
        else:
            writer.write(OK)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def proxied(
    monkeypatch: pytest.MonkeyPatch, login: str = "", no_proxy: str = ""
) -> AsyncGenerator[tuple[Proxy, int], None]:
    proxy = Proxy()
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://{login}127.0.0.1:{port}")
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    if no_proxy:
        monkeypatch.setenv("no_proxy", no_proxy)
    try:
        yield proxy, port
    finally:
        server.close()


def test_a_proxy_of_the_environment_is_used_for_the_world_and_never_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> list[str]:
        async with proxied(monkeypatch) as (proxy, port):
            own = ("http://model.invalid", f"http://127.0.0.1:{port}", f"http://localhost:{port}")
            async with open_client(*own) as client:
                await client.get("http://model.invalid/v1")
                await client.get(f"http://127.0.0.1:{port}/here")
                await client.get(f"http://localhost:{port}/here")
            return proxy.asked

    asked = asyncio.run(run())
    assert asked[0] == "GET http://model.invalid/v1 HTTP/1.1"
    assert asked[1:] == ["GET /here HTTP/1.1"] * 2


async def asked_through(
    monkeypatch: pytest.MonkeyPatch,
    settings: EgressSettings,
    url: str,
    prepare: Callable[[Proxy], None] = lambda _: None,
    **more: str,
) -> tuple[Proxy, Internet, str]:
    async with proxied(monkeypatch, **more) as (proxy, _), Internet() as net:
        prepare(proxy)
        net.name("example.org", [GOOD, "2606:2800::1"])
        net.name("evil.example", [GOOD, "10.0.0.1"])
        async with Egress(lambda: settings, resolve=net.resolve, dial=net.dial) as egress:
            try:
                answer = (await egress.client("tools.web").get(url)).text
            except httpx2.HTTPError as error:
                answer = str(error)
        return proxy, net, answer


def test_a_chosen_name_is_judged_here_and_only_its_address_is_named_to_the_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = "http://example.org/a"
    proxy, net, answer = asyncio.run(asked_through(monkeypatch, EgressSettings(), url))
    assert (answer, proxy.asked) == ("ok", [f"CONNECT {GOOD}:80 HTTP/1.1"])
    assert "GET /a HTTP/1.1\r\nHost: example.org\r\n" in proxy.inside[0]
    assert net.dns.asked == ["example.org"]


@pytest.mark.parametrize("url", ["http://evil.example/", "http://127.0.0.1/", "http://10.0.0.1/"])
def test_a_proxy_is_no_way_round_the_rules(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    proxy, _, answer = asyncio.run(asked_through(monkeypatch, EgressSettings(), url))
    assert "not public" in answer
    assert not proxy.asked


def test_a_proxy_may_be_let_look_names_up_but_not_local_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lets = EgressSettings(proxy_resolves=True, allow=("intranet",))

    def ask(url: str) -> tuple[list[str], list[str], str]:
        proxy, net, answer = asyncio.run(asked_through(monkeypatch, lets, url))
        return proxy.asked, net.dns.asked, answer

    assert ask("http://unknown.example/") == (["CONNECT unknown.example:80 HTTP/1.1"], [], "ok")
    assert ask("http://intranet/") == (["CONNECT intranet:80 HTTP/1.1"], [], "ok")
    assert "not public" in ask("http://[::1]/")[2]
    for url in ("http://metadata.google.internal/", "http://printer/"):
        asked, _, answer = ask(url)
        assert "local network" in answer
        assert not asked


def test_a_proxy_that_wants_a_login_gets_it_and_one_that_refuses_is_quoted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, none = "http://example.org/", EgressSettings()
    proxy, _, _ = asyncio.run(asked_through(monkeypatch, none, url, login="me:p%40ss@"))
    assert proxy.logins == [f"Proxy-Authorization: Basic {base64.b64encode(b'me:p@ss').decode()}"]

    def refuse(proxy: Proxy) -> None:
        proxy.opens = b"HTTP/1.1 403 Not to port 80\r\n\r\n"

    _, _, answer = asyncio.run(asked_through(monkeypatch, none, url, refuse))
    assert "403 Not to port 80" in answer


def test_what_no_proxy_names_is_dialled_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://example.org/"
    proxy, net, answer = asyncio.run(
        asked_through(monkeypatch, EgressSettings(), url, no_proxy=".org")
    )
    assert (answer, proxy.asked) == ("ok", [])
    assert net.dialled[0] == (GOOD, 80)


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "nonsense://x"])
def test_a_proxy_that_cannot_be_used_never_keeps_the_house_from_starting(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("all_proxy", proxy)

    async def run() -> None:
        async with open_client():
            assert "set HTTPS_PROXY to an http:// address" in caplog.text

    asyncio.run(run())


def test_a_command_line_reaches_what_it_was_given_and_no_private_place_it_is_sent_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        writer.write(OK)
        await writer.drain()
        writer.close()

    def ask(url: str, settings: EgressSettings, *own: str) -> str:
        headers = {"Authorization": "Bearer t"}
        with open_blocking_client(settings, *own) as client:
            try:
                return client.get(url, headers=headers).text
            except httpx2.ConnectError as error:
                return str(error)

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        url, none = f"http://localhost:{port}/", EgressSettings()
        assert await asyncio.to_thread(ask, url, none, url) == "ok"
        assert "authorization: bearer t" in heads[-1]
        assert "not public" in await asyncio.to_thread(ask, url, none)
        assert "not public" in await asyncio.to_thread(ask, f"http://127.1:{port}/", none, url)
        allowed = EgressSettings(allow=(f"127.0.0.1:{port}", f"[::1]:{port}"))
        assert await asyncio.to_thread(ask, f"http://127.1:{port}/", allowed) == "ok"
        assert f"host: 127.0.0.1:{port}" in heads[-1]
        assert "authorization" not in heads[-1]
        denied = EgressSettings(deny=("localhost",))
        assert "deny" in await asyncio.to_thread(ask, url, denied, url)
        server.close()

    asyncio.run(run())


def test_a_command_line_goes_through_a_proxy_as_the_house_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> None:
        async with proxied(monkeypatch) as (proxy, _):

            def ask() -> None:
                with open_blocking_client(EgressSettings(), "http://hub.example") as client:
                    client.get("http://hub.example/a")
                    client.get(f"http://{GOOD}/b")

            await asyncio.to_thread(ask)
            assert proxy.asked == [
                "GET http://hub.example/a HTTP/1.1", f"CONNECT {GOOD}:80 HTTP/1.1",
            ]  # fmt: skip

    asyncio.run(run())
