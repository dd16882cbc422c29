# SPDX-License-Identifier: AGPL-3.0-or-later
"""Telegram: our stand-in of the Bot API, for the real one wants an account and the internet."""

import base64
import tempfile
from collections.abc import Mapping
from typing import Any

import httpx2

from haoya.channels.telegram import plugin
from tests.conformance.counterpart import Ability, Evidence, Heard
from tests.servers.process import Child

TOKENS = ("1001:first", "1002:second")


class Telegram:
    """The stand-in as a process, with its state in a file so that it survives being killed."""

    name = "telegram"
    evidence: Evidence = "stand-in"
    server = "tests/servers/telegram.py"
    abilities: frozenset[Ability] = frozenset(
        {
            "people",
            "restarts",
            "accounts",
            "rooms",
            "redelivers",
            "duplicates",
            "throttles",
            "credentials",
            "silence",
            "images",
            "edits",
            "replies",
        }
    )
    plugin = plugin
    room = "-1001234567890"
    called = "@haoya_bot "
    refusal = "Unauthorized"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._child = Child("tests.servers.telegram", "--state", f"{self._folder.name}/state")
        self._http = httpx2.AsyncClient()

    def missing(self) -> str:
        return ""

    async def start(self) -> None:
        await self._child.start()

    async def stop(self) -> None:
        await self._child.kill()
        await self._http.aclose()
        self._folder.cleanup()

    async def kill(self) -> None:
        await self._child.kill()

    async def back(self) -> None:
        await self._child.start()

    def settings(self, account: int = 0) -> Mapping[str, object]:
        return {"token": TOKENS[account], "api_root": self._root, "poll_seconds": 1}

    def wrong_settings(self) -> Mapping[str, object]:
        return {"token": "1001:wrong", "api_root": self._root}

    async def person_says(
        self, text: str, *, person: str = "ann", room: str = "", account: int = 0
    ) -> None:
        spec = {"person": person, "text": text, "chat": int(room or 0)}
        await self.control("say", account, messages=[spec])

    async def person_shows(
        self, data: bytes, *, mime: str, name: str, caption: str = "", account: int = 0
    ) -> None:
        photo = {"data": base64.b64encode(data).decode(), "mime": mime, "name": name}
        await self.control("say", account, messages=[{"photo": photo, "caption": caption}])

    async def heard(self, account: int = 0) -> list[Heard]:
        sent = (await self.control("sent", account))["sent"]
        return [await self._heard(item, account) for item in sent]

    async def throttle(self, n: int, retry_after: float) -> None:
        await self.control("throttle", 0, n=n, retry_after=retry_after)

    async def redeliver(self, account: int = 0) -> None:
        await self.control("redeliver", account)

    async def fall_silent(self) -> None:
        await self.control("hang", 0)

    @property
    def _root(self) -> str:
        return f"http://127.0.0.1:{self._child.port}"

    async def control(self, verb: str, account: int, **params: object) -> dict[str, Any]:
        """Turn a knob of the stand-in; its docstring lists them."""
        body = {"token": TOKENS[account], **params}
        response = await self._http.post(f"{self._root}/control/{verb}", json=body)
        response.raise_for_status()
        return response.json()

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        """Call a method of the Bot API as account 0."""
        response = await self._http.post(f"{self._root}/bot{TOKENS[0]}/{method}", json=params)
        return response.json()

    async def _heard(self, item: dict[str, Any], account: int) -> Heard:
        message = item["message"]
        data = b""
        if photo := message.get("photo"):
            params = {"file_id": photo[-1]["file_id"]}
            api = f"{self._root}/bot{TOKENS[account]}/getFile"
            path = (await self._http.get(api, params=params)).json()["result"]["file_path"]
            file = await self._http.get(f"{self._root}/file/bot{TOKENS[account]}/{path}")
            data = file.content
        return Heard(
            room=str(message["chat"]["id"]),
            text=message.get("text") or message.get("caption", ""),
            id=str(message["message_id"]),
            reply_to=str(message.get("reply_to_message", {}).get("message_id", "")),
            edited=bool(item["edits"]),
            data=data,
        )


counterpart = Telegram
