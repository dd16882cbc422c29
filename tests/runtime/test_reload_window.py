# SPDX-License-Identifier: AGPL-3.0-or-later
"""The window may ask for a reload that shuts the window itself."""

import asyncio
import contextlib
import socket
from pathlib import Path

import httpx2

from haoya.runtime.home import Home
from haoya.runtime.house import House
from haoya.runtime.verbs import Verbs


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def healthy(port: int) -> bool:
    async with httpx2.AsyncClient(trust_env=False) as http:
        try:
            reply = await http.get(f"http://127.0.0.1:{port}/healthz")
        except httpx2.HTTPError:
            return False
        return reply.status_code == 200


async def until_healthy(port: int) -> None:
    async with asyncio.timeout(15):
        while not await healthy(port):
            await asyncio.sleep(0.05)


def test_a_reload_over_http_may_move_the_window(tmp_path: Path) -> None:
    old, new = free_port(), free_port()
    settings = tmp_path / "settings.toml"
    settings.write_text(f"[api]\nport = {old}\n")

    async def body() -> None:
        house = House(Home(folder=tmp_path))
        house.call = Verbs(house, lambda: None).call
        living = asyncio.create_task(house.run())
        try:
            await until_healthy(old)
            token = house.home.token.read_text().strip()
            settings.write_text(f"[api]\nport = {new}\n")
            async with httpx2.AsyncClient(trust_env=False) as http:
                # The window may shut before it could answer.
                with contextlib.suppress(httpx2.HTTPError):
                    await http.post(
                        f"http://127.0.0.1:{old}/api/call/reload",
                        json={},
                        headers={"authorization": f"Bearer {token}"},
                    )
            await until_healthy(new)
            assert not await healthy(old)
        finally:
            living.cancel()
            await asyncio.wait([living])

    asyncio.run(body())
