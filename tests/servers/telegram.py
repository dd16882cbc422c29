# SPDX-License-Identifier: AGPL-3.0-or-later
"""A true stand-in of Telegram's Bot API, as a process: `python -m tests.servers.telegram`.

Prints one line of JSON with its port once it answers. Bots are given as `--bot TOKEN=USERNAME`.
`--state FILE` makes updates and messages outlive `kill -9`. `POST /control/<verb>` with
`{"token": ..., ...}` plays the people and the weather:

    say       messages: [{person, text, chat, thread, reply_to, entities, photo|document|voice|
              audio|video: {data (base64), mime, name}, caption, edit, press, raw}] -> ids
    sent      after -> what the bot said, with edits and files' paths; `wait` seconds for more
    throttle  n, retry_after, method      fail   n, status, description, method
    drop      n, method: accept, then hang up without an answer
    hang      on: take requests and never answer
    block     chat_id, on                 migrate  chat_id, to      webhook  url
    redeliver all updates once more, under new numbers
    renumber  to: where update_id goes on from, as after a week of silence
    stats     calls by method, updates waiting
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import msgspec

from tests.servers.telegram_methods import METHODS
from tests.servers.telegram_state import Bot, Json, Network, Poll, Refusal
from tests.servers.wire import Line, Request

MAX_WAIT_SECONDS = 50


class Server:
    """Routes requests; holds the weather (what is to fail next)."""

    def __init__(self, network: Network, latency: float = 0) -> None:
        self.network = network
        self.latency = latency
        self.weather: list[Json] = []
        self.hanging = False
        self.watchers: list[tuple[Bot, int, Request]] = []

    def __call__(self, request: Request) -> None:
        """Answer one request."""
        head, _, rest = request.path.strip("/").partition("/")
        try:
            if head == "control":
                self._control(rest, request)
            elif self.hanging:
                return
            elif head == "file":
                self._file(rest, request)
            else:
                self._call(head.removeprefix("bot"), rest, request)
        except Refusal as refusal:
            self._refuse(request, refusal)
        except (KeyError, ValueError, TypeError) as fault:
            self._refuse(request, Refusal(400, f"Bad Request: {type(fault).__name__} {fault}"))

    def _answer(self, request: Request, result: object) -> None:
        body = b'{"ok":true,"result":' + msgspec.json.encode(result) + b"}"
        self._send(request, 200, body)

    def _refuse(self, request: Request, refusal: Refusal) -> None:
        answer = {
            "ok": False,
            "error_code": refusal.status,
            "description": refusal.description,
            **({"parameters": refusal.parameters} if refusal.parameters else {}),
        }
        self._send(request, refusal.status, msgspec.json.encode(answer))

    def _send(self, request: Request, status: int, body: bytes) -> None:
        if self.latency:
            loop = asyncio.get_running_loop()
            loop.call_later(self.latency, request.reply, status, body, "application/json")
        else:
            request.reply(status, body, "application/json")

    def _bot(self, token: str) -> Bot:
        bot = self.network.bots.get(token)
        if bot is None:
            raise Refusal(401, "Unauthorized")
        return bot

    def _call(self, token: str, method: str, request: Request) -> None:
        bot = self._bot(token)
        bot.calls[method] += 1
        weather = self._next_weather(bot, method)
        if weather and weather["kind"] == "fail":
            raise Refusal(weather["status"], weather["description"], weather.get("parameters"))
        if method.lower() == "getupdates":
            self._updates(bot, request)
            return
        run = METHODS.get(method.lower())
        if run is None:
            raise Refusal(404, "Not Found")
        result = run(self.network, bot, request)
        if weather and weather["kind"] == "drop":
            request.drop()
        else:
            self._answer(request, result)
        self._show(bot)

    def _next_weather(self, bot: Bot, method: str) -> Json | None:
        for weather in self.weather:
            if weather["token"] == bot.token and method.startswith(tuple(weather["methods"])):
                weather["n"] -= 1
                if weather["n"] <= 0:
                    self.weather.remove(weather)
                return weather
        return None

    def _updates(self, bot: Bot, request: Request) -> None:
        """getUpdates: a higher offset confirms, the newer of two polls wins."""
        if bot.webhook:
            hint = "use deleteWebhook to delete the webhook first"
            raise Refusal(
                409, f"Conflict: can't use getUpdates method while webhook is active; {hint}"
            )
        params = request.params
        if bot.poll:
            poll, bot.poll = bot.poll, None
            other = "make sure that only one bot instance is running"
            poll.refuse(Refusal(409, f"Conflict: terminated by other getUpdates request; {other}"))
        if allowed := params.get("allowed_updates"):
            names = json.loads(allowed) if isinstance(allowed, str) else allowed
            bot.allowed = frozenset(names)
        offset = int(str(params.get("offset") or 0))
        if offset < 0 and bot.waiting:
            offset = bot.waiting[max(0, len(bot.waiting) + offset)][0]
        self.network.confirm(bot, offset)
        limit = min(100, max(1, int(str(params.get("limit") or 100))))
        seconds = min(MAX_WAIT_SECONDS, float(str(params.get("timeout") or 0)))
        if bot.waiting or not seconds:
            self._batch(request, bot.first(limit))
        else:
            self._wait(bot, request, offset, seconds)

    def _batch(self, request: Request, updates: list[bytes]) -> None:
        self._send(request, 200, b'{"ok":true,"result":[' + b",".join(updates) + b"]}")

    def _wait(self, bot: Bot, request: Request, offset: int, seconds: float) -> None:
        def over() -> None:
            timer.cancel()
            if bot.poll is poll:
                bot.poll = None

        def done(updates: list[bytes]) -> None:
            over()
            self._batch(request, updates)

        def refuse(refusal: Refusal) -> None:
            over()
            self._refuse(request, refusal)

        poll = bot.poll = Poll(offset, done, refuse)
        timer = asyncio.get_running_loop().call_later(seconds, done, [])
        request.gone.append(over)

    def _file(self, rest: str, request: Request) -> None:
        token, _, path = rest.removeprefix("bot").partition("/")
        self._bot(token)
        data = self.network.data(path)
        if data is None:
            raise Refusal(404, "Not Found")
        request.reply(200, data, "application/octet-stream")

    def _control(self, verb: str, request: Request) -> None:
        params: dict[str, Any] = request.params
        bot = self.network.bots[params.get("token") or next(iter(self.network.bots))]
        match verb:
            case "say":
                ids = [self.network.say(bot, spec) for spec in params["messages"]]
                request.reply(200, msgspec.json.encode({"ids": ids}), "application/json")
                self.network.wake(bot)
            case "sent":
                after = int(params.get("after", 0))
                wait = float(params.get("wait", 0))
                self.watchers.append((bot, after, request))
                loop = asyncio.get_running_loop()
                loop.call_later(wait, self._show, bot, request)
                self._show(bot)
            case "stats":
                stats = {
                    "calls": bot.calls,
                    "waiting": len(bot.waiting),
                    "polling": bot.poll is not None,
                    "typing": bot.typing,
                }
                request.reply(200, msgspec.json.encode(stats), "application/json")
            case "redeliver":
                for update in list(bot.history):
                    ((kind, content),) = [x for x in update.items() if x[0] != "update_id"]
                    self.network.deliver(bot, kind, content)
                request.reply(200, b"{}", "application/json")
                self.network.wake(bot)
            case _:
                self._change_weather(verb, bot, params)
                request.reply(200, b"{}", "application/json")

    def _change_weather(self, verb: str, bot: Bot, params: Json) -> None:
        methods = [params["method"]] if params.get("method") else ["send", "edit"]
        coming = {"token": bot.token, "n": params.get("n", 1), "methods": methods}
        match verb:
            case "throttle":
                seconds = params["retry_after"]
                words = f"Too Many Requests: retry after {seconds}"
                fail = {"kind": "fail", "status": 429, "description": words}
                self.weather.append(coming | fail | {"parameters": {"retry_after": seconds}})
            case "fail":
                words = params.get("description", "Bad Gateway")
                fail = {"kind": "fail", "status": params.get("status", 502), "description": words}
                self.weather.append(coming | fail)
            case "drop":
                self.weather.append(coming | {"kind": "drop"})
            case "hang":
                self.hanging = params.get("on", True)
            case "block":
                bot.chats[params["chat_id"]].blocked = params.get("on", True)
            case "migrate":
                old = bot.chats[params["chat_id"]]
                old.moved_to = params["to"]
                self.network.chat_of(bot, {**old.json, "id": old.moved_to, "type": "supergroup"})
            case "webhook":
                bot.webhook = params["url"]
            case "renumber":
                bot.last_update = params["to"]
            case _:
                raise Refusal(404, f"no control verb {verb!r}")

    def _show(self, bot: Bot, overdue: Request | None = None) -> None:
        """Tell those who watch what the bot said, once there is more or their time is over."""
        for watcher in [watcher for watcher in self.watchers if watcher[0] is bot]:
            _, after, request = watcher
            if len(bot.sent) > after or request is overdue:
                self.watchers.remove(watcher)
                sent = {"sent": bot.sent[after:], "total": len(bot.sent)}
                request.reply(200, msgspec.json.encode(sent), "application/json")


async def serve(host: str, port: int, server: Server) -> None:
    """Answer for ever."""
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: Line(server), host, port, backlog=200)
    ready = {
        "port": listening.sockets[0].getsockname()[1],
        "tokens": list(server.network.bots),
        "bots": {token: bot.username for token, bot in server.network.bots.items()},
    }
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()
    async with listening:
        await listening.serve_forever()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bot", action="append", metavar="TOKEN=USERNAME")
    parser.add_argument("--state", type=Path, help="keep everything in this file")
    parser.add_argument("--latency", type=float, default=0, help="seconds before each answer")
    arguments = parser.parse_args()
    named = arguments.bot or ["1001:first=haoya_bot", "1002:second=haoya_two_bot"]
    bots = [(token, username) for token, _, username in (bot.rpartition("=") for bot in named)]
    server = Server(Network(bots, arguments.state), arguments.latency)
    asyncio.run(serve(arguments.host, arguments.port, server))


if __name__ == "__main__":
    main()
