# SPDX-License-Identifier: AGPL-3.0-or-later
"""The wire work that nobody can spare: getUpdates, chat completion, sendMessage, and no more.

    python bench/bare.py TELEGRAM_PORT MODEL_PORT TOKEN

No journal, no policy, no memory of what was said. What the daemon costs beside this loop on the
same machine at the same moment is the price of what it keeps safe.
"""

import asyncio
import json
import sys
from typing import Any

import httpx2


class Bare:
    """One bot."""

    def __init__(self, http: httpx2.AsyncClient, telegram: str, model: str) -> None:
        self.http = http
        self.telegram = telegram
        self.model = model

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        offset = 0
        while True:
            asked: dict[str, Any] = {"timeout": 25, "offset": offset}
            answer = await self.http.post(f"{self.telegram}/getUpdates", json=asked)
            for update in answer.json()["result"]:
                offset = update["update_id"] + 1
                tasks.create_task(self.answer(update["message"]))

    async def answer(self, message: dict[str, Any]) -> None:
        words = ""
        line = {"role": "user", "content": message["text"]}
        asked: dict[str, Any] = {"model": "m", "stream": True, "messages": [line]}
        async with self.http.stream("POST", f"{self.model}/chat/completions", json=asked) as said:
            async for event in said.aiter_lines():
                if event.startswith("data: {"):
                    for choice in json.loads(event[6:])["choices"]:
                        words += choice["delta"].get("content") or ""
        reply = {"chat_id": message["chat"]["id"], "text": words}
        (await self.http.post(f"{self.telegram}/sendMessage", json=reply)).json()


async def main() -> None:
    telegram, model, token = sys.argv[1:]
    async with (
        httpx2.AsyncClient(timeout=60, trust_env=False) as http,
        asyncio.TaskGroup() as tasks,
    ):
        root = "http://127.0.0.1"
        await Bare(http, f"{root}:{telegram}/bot{token}", f"{root}:{model}/v1").run(tasks)


if __name__ == "__main__":
    asyncio.run(main())
