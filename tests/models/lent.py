# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the house lends, for tests: real files, a real HTTP client, a clock that stands."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from haoya.core.errors import ConfigError
from haoya.core.message import Blob
from haoya.core.plugin import Context

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z, a Thursday


class FolderBlobs:
    """Blobs as files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def put(self, data: bytes, *, mime: str = "", name: str = "") -> Blob:
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / digest).write_bytes(data)
        return Blob(sha256=digest, size=len(data), mime=mime, name=name)

    async def get(self, sha256: str) -> bytes:
        try:
            return (self.folder / sha256).read_bytes()
        except FileNotFoundError:
            raise KeyError(sha256) from None


def secret(value: str) -> str:
    if value.startswith("secret:"):
        raise ConfigError(f"no secret named {value[7:]!r}")
    return value


@asynccontextmanager
async def context(folder: Path, **more: Any) -> AsyncGenerator[Context, None]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        usual: dict[str, Any] = {
            "name": "test",
            "state": folder,
            "clock": lambda: NOW,
            "http": http,
            "secret": secret,
            "blobs": FolderBlobs(folder),
        }
        yield Context(**{**usual, **more})
