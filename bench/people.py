# SPDX-License-Identifier: AGPL-3.0-or-later
"""The stand-in of Telegram, with people in it who write as soon as they are answered.

They live in the stand-in's own process, so that time is taken by one clock, from the moment an
update is there to the moment the bot's answer is accepted, and nothing but the wire lies in
between. `POST /control/drive` with

    people    ids of those who write
    messages  how many in all
    at_once   how many wait for an answer
    rest      seconds between an answer and the next message
    text      what they write; `{n}`: how many were answered before

answers, when all are answered: {"ms": [each message's time], "seconds": from first to last}.
"""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

import msgspec
from tests.servers import telegram
from tests.servers.telegram_state import Bot, Chat, Json, Network
from tests.servers.wire import Request

import rig


@dataclass
class Drive:
    """A number of messages to be sent and answered."""

    bot: Bot
    request: Request
    free: deque[int]
    messages: int
    text: str
    rest: float
    left: int = 0
    began: float = 0
    asked: dict[int, float] = field(default_factory=dict[int, float])
    took: list[float] = field(default_factory=list[float])


class Crowd(Network):
    """The network, which tells the drive about every message of the bot."""

    drive: Drive | None = None

    def start(self, drive: Drive, at_once: int) -> None:
        self.drive = drive
        drive.began = time.perf_counter()
        writers = min(at_once, drive.messages)
        drive.left = drive.messages - writers
        for _ in range(writers):
            self.write(drive)

    def write(self, drive: Drive) -> None:
        """The next person writes."""
        id = drive.free.popleft()
        text = drive.text.replace("{n}", str(len(drive.took)))
        drive.asked[id] = time.perf_counter()
        self.say(drive.bot, {"person": rig.person(id), "text": text})
        self.wake(drive.bot)

    def post(self, bot: Bot, method: str, chat: Chat, content: Json) -> Json:
        """A message of the bot: whoever waited for it writes again, after its request is done."""
        message = super().post(bot, method, chat, content)
        if self.drive and chat.id in self.drive.asked:
            self.answered(self.drive, chat.id)
        return message

    def answered(self, drive: Drive, id: int) -> None:
        now = time.perf_counter()
        drive.took.append((now - drive.asked.pop(id)) * 1000)
        drive.free.append(id)
        loop = asyncio.get_running_loop()
        if drive.left:
            drive.left -= 1
            if drive.rest:
                loop.call_later(drive.rest, self.write, drive)
            else:
                loop.call_soon(self.write, drive)
        elif len(drive.took) == drive.messages:
            self.drive = None
            result = {"ms": drive.took, "seconds": now - drive.began}
            drive.request.reply(200, msgspec.json.encode(result), "application/json")


class Town(telegram.Server):
    """The stand-in with one more control verb."""

    network: Crowd

    def _control(self, verb: str, request: Request) -> None:
        if verb != "drive":
            super()._control(verb, request)
            return
        wish = request.params
        bot = self.network.bots[str(wish["token"])]
        drive = Drive(
            bot=bot,
            request=request,
            free=deque(msgspec.convert(wish["people"], list[int])),
            messages=msgspec.convert(wish["messages"], int),
            text=str(wish.get("text", "message {n}")),
            rest=msgspec.convert(wish.get("rest", 0), float),
        )
        self.network.start(drive, msgspec.convert(wish.get("at_once", 1), int))


if __name__ == "__main__":
    town = Town(Crowd([(rig.TOKEN, "haoya_bot")], None))
    asyncio.run(telegram.serve("127.0.0.1", 0, town))
