# SPDX-License-Identifier: AGPL-3.0-or-later
"""The world is reached through the environment's proxy, this machine directly."""

import asyncio

import pytest

from haoya.runtime.http import open_client


def test_a_proxy_of_the_environment_is_used_for_the_world_and_never_for_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.decode().split("\r\n")[0])
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        async with open_client() as client:
            await client.get("http://model.invalid/v1")
            await client.get(f"http://127.0.0.1:{port}/here")
            await client.get(f"http://localhost:{port}/here")
        server.close()

    asyncio.run(run())
    assert asked[0] == "GET http://model.invalid/v1 HTTP/1.1"
    assert asked[1:] == ["GET /here HTTP/1.1"] * 2


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
