# SPDX-License-Identifier: AGPL-3.0-or-later
"""Two real daemons of one owner: a strong one that lends its models, a small one that asks."""

import json
import socket
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.runtime.daemon import Daemon
from tests.runtime.waiting import until

STRONG = """
[agent]
[peers]
listen = "127.0.0.1:{port}"
{tls}
[models.main]
use = "script"
{script}
"""

SMALL = """
[agent]
model = {order}
tools = []
[models.big]
use = "peer"
address = "{address}"
token = "secret:big"
model = "main"
{more}
[models.spare]
use = "script"
rules = [{{ match = "(?s).*", say = "the spare one says: {{text}}" }}]
"""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def certificate(folder: Path) -> None:
    """A self-signed one, as the page for owners makes it."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command = ["openssl", "req", "-x509", *kind, *names, "-days", "2", "-subj", "/CN=haoya"]
    subprocess.run(command, check=True, capture_output=True)


class Nodes:
    """The two; both are ended when the stage is left."""

    def __init__(self, folder: Path) -> None:
        self.strong = Daemon(folder / "strong")
        self.small = Daemon(folder / "small")
        self.port = free_port()
        self.invitation: dict[str, Any] = {}

    async def start_strong(self, script: str = "", *, tls: bool = False, more: str = "") -> None:
        files = ""
        if tls:
            certificate(self.strong.home)
            files = 'cert = "cert.pem"\nkey = "key.pem"'
        self.strong.write(STRONG.format(port=self.port, tls=files, script=script) + more)
        await self.strong.start()

    async def invite(self, *models: str, name: str = "small") -> dict[str, Any]:
        wanted = list(models or ("main",))
        self.invitation = await self.strong.call("peers_invite", name=name, models=wanted)
        await until(self._open, self.strong.words)
        return self.invitation

    async def _open(self) -> bool:
        return bool((await self.strong.call("peers_list"))["open"])

    async def start_small(self, more: str = "", *, order: str = '["big", "spare"]') -> None:
        given = self.invitation
        pinned = f'fingerprint = "{given["fingerprint"]}"\n' if given["fingerprint"] else ""
        settings = SMALL.format(address=given["address"], order=order, more=pinned + more)
        self.small.write(settings)
        self.keep(given["token"])
        await self.small.start()

    def keep(self, token: str) -> None:
        """Write the token into the secrets of the small one."""
        secrets = self.small.home / "secrets.toml"
        secrets.write_text(f"big = {json.dumps(token)}\n")
        secrets.chmod(0o600)


@asynccontextmanager
async def nodes(folder: Path) -> AsyncGenerator[Nodes]:
    both = Nodes(folder)
    try:
        yield both
    finally:
        await both.small.kill()
        await both.strong.kill()
