# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the Telegram stand-in knows: bots, chats, messages, updates, files.

With a log file the whole of it survives `kill -9`: Telegram keeps updates until they are
confirmed, whatever happens to a bot. Facts are from https://core.telegram.org/bots/api.
"""

import base64
import re
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

Json = dict[str, Any]
Done = Callable[[list[bytes]], None]

UNASKED = {"chat_member", "message_reaction", "message_reaction_count"}
"""Updates that `allowed_updates` must name (getUpdates)."""
MARKED = re.compile(r"(?<!\w)(?P<mention>@\w{4,})|(?:^|(?<=\s))(?P<bot_command>/\w+(?:@\w+)?)")


class Refusal(Exception):
    """An error answer of the API."""

    def __init__(self, status: int, description: str, parameters: Json | None = None) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters


def units(text: str) -> int:
    """UTF-16 code units, in which Telegram counts."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


@dataclass
class Poll:
    """A waiting getUpdates; updates below its offset count as confirmed."""

    offset: int
    done: Done
    refuse: Callable[[Refusal], None]


@dataclass
class Chat:
    """A chat as one bot sees it."""

    id: int
    json: Json
    threads: set[int] = field(default_factory=set)
    messages: dict[int, Json] = field(default_factory=dict)
    blocked: bool = False
    moved_to: int = 0


@dataclass
class Bot:
    """One account."""

    token: str
    id: int
    username: str
    chats: dict[int, Chat] = field(default_factory=dict)
    waiting: deque[tuple[int, bytes]] = field(default_factory=deque)
    history: list[Json] = field(default_factory=list)
    sent: list[Json] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)
    last_update: int = 700_000_000
    last_message: int = 0
    allowed: frozenset[str] | None = None
    webhook: str = ""
    poll: Poll | None = None
    typing: list[Json] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)

    @property
    def user(self) -> Json:
        return {"id": self.id, "is_bot": True, "first_name": "haoya", "username": self.username}

    def first(self, n: int) -> list[bytes]:
        """The earliest `n` updates not yet confirmed."""
        return [body for _, body in islice(self.waiting, n)]

    def chat(self, chat_id: object) -> Chat:
        """The chat a request names; Refusal as Telegram words it."""
        found = self.chats.get(int(chat_id)) if re.fullmatch(r"-?\d+", str(chat_id)) else None
        if found is None:
            raise Refusal(400, "Bad Request: chat not found")
        if found.moved_to:
            raise Refusal(
                400,
                "Bad Request: group chat was upgraded to a supergroup chat",
                {"migrate_to_chat_id": found.moved_to},
            )
        if found.blocked:
            raise Refusal(403, "Forbidden: bot was blocked by the user")
        return found


class Network:
    """All bots and what happened, written to `log` line by line where there is one."""

    def __init__(self, bots: list[tuple[str, str]], log: Path | None) -> None:
        self.bots = {token: Bot(token, int(token.partition(":")[0]), name) for token, name in bots}
        self.files: dict[str, Json] = {}
        self._log = None
        if log:
            for line in log.read_bytes().splitlines() if log.exists() else ():
                self._apply(msgspec.json.decode(line))
            self._log = log.open("ab", buffering=0)

    def record(self, **deed: object) -> None:
        """Let something happen, durably."""
        self._apply(deed)
        if self._log:
            self._log.write(msgspec.json.encode(deed) + b"\n")

    def _apply(self, deed: Json) -> None:
        bot = self.bots.get(deed.get("token", ""))
        match deed["deed"]:
            case "file":
                self.files[deed["file"]["file_id"]] = deed["file"]
            case "update" if bot:
                self._update(bot, deed["update"])
            case "confirm" if bot:
                while bot.waiting and bot.waiting[0][0] < deed["offset"]:
                    bot.waiting.popleft()
            case "sent" if bot:
                message = deed["sent"]["message"]
                bot.last_message = max(bot.last_message, message["message_id"])
                bot.chats[message["chat"]["id"]].messages[message["message_id"]] = message
                bot.places[message["message_id"]] = len(bot.sent)
                bot.sent.append(deed["sent"])
            case "edit" if bot:
                sent = bot.sent[deed["index"]]
                sent["message"].update(deed["change"])
                sent["edits"].append(deed["change"] | {"at": deed["at"]})
            case _:
                pass

    def _update(self, bot: Bot, update: Json) -> None:
        bot.last_update = update["update_id"]
        bot.history.append(update)
        bot.waiting.append((update["update_id"], msgspec.json.encode(update)))
        message: Json = update.get("message") or {}
        if message:
            bot.last_message = max(bot.last_message, message["message_id"])
            chat = self.chat_of(bot, message["chat"])
            chat.messages[message["message_id"]] = message
            chat.threads.add(message.get("message_thread_id", 0))

    def chat_of(self, bot: Bot, json: Json) -> Chat:
        """The bot's chat with that id, made if needed."""
        return bot.chats.setdefault(json["id"], Chat(json["id"], json))

    def deliver(self, bot: Bot, kind: str, content: Json) -> int:
        """A new update for the bot; 0 where its last getUpdates did not want the kind."""
        wanted = kind in bot.allowed if bot.allowed else kind not in UNASKED
        if not wanted:
            return 0
        update = {"update_id": bot.last_update + 1, kind: content}
        self.record(deed="update", token=bot.token, update=update)
        return bot.last_update

    def confirm(self, bot: Bot, offset: int) -> None:
        """Forget what the bot says it has: all updates below `offset`."""
        if bot.waiting and bot.waiting[0][0] < offset:
            self.record(deed="confirm", token=bot.token, offset=offset)

    def wake(self, bot: Bot) -> None:
        """Answer the waiting poll, if there is one and something for it."""
        if bot.poll:
            self.confirm(bot, bot.poll.offset)
        if bot.poll and bot.waiting:
            poll, bot.poll = bot.poll, None
            poll.done(bot.first(100))

    def keep(self, data: bytes, *, mime: str, name: str) -> Json:
        """Store a file; what a message says about it."""
        number = len(self.files) + 1
        path = f"files/file_{number}{Path(name).suffix}"
        body = base64.b64encode(data).decode()
        file = {"file_id": f"F{number}", "path": path, "data": body, "size": len(data)}
        self.record(deed="file", file=file)
        known = {"file_name": name} if name else {}
        return {
            "file_id": f"F{number}",
            "file_unique_id": f"U{number}",
            "file_size": len(data),
            **({"mime_type": mime} if mime else {}),
            **known,
        }

    def data(self, path: str) -> bytes | None:
        """The bytes under a file_path."""
        found = [file for file in self.files.values() if file["path"] == path]
        return base64.b64decode(found[0]["data"]) if found else None

    def say(self, bot: Bot, spec: Json) -> int:
        """Something a person did, as /control/say describes it; the message's id."""
        person = _person(spec.get("person", "ann"))
        if press := spec.get("press"):
            message = bot.chat(press.get("chat", person["id"])).messages[press["message_id"]]
            query = {"id": f"q{bot.last_update}", "from": person, "message": message}
            self.deliver(bot, "callback_query", {**query, "data": press["data"]})
            return 0
        chat_id = int(spec.get("chat") or person["id"])
        edited = bot.chats[chat_id].messages[spec["edit"]] if spec.get("edit") else None
        message: Json = {
            "message_id": edited["message_id"] if edited else bot.last_message + 1,
            "from": person,
            "chat": self._chat_json(chat_id, person, spec),
            "date": int(spec.get("at") or time.time()),
        }
        if edited:
            message["edit_date"] = message["date"]
            message["date"] = edited["date"]
        self._content(bot, chat_id, message, spec)
        self.deliver(bot, "edited_message" if edited else "message", message)
        return int(message["message_id"])

    def _chat_json(self, chat_id: int, person: Json, spec: Json) -> Json:
        if chat_id > 0:
            return {"id": chat_id, "type": "private", "first_name": person["first_name"]}
        kind = spec.get("chat_type", "supergroup")
        forum = {"is_forum": True} if spec.get("thread") else {}
        return {"id": chat_id, "type": kind, "title": spec.get("title", "kitchen"), **forum}

    def _content(self, bot: Bot, chat_id: int, message: Json, spec: Json) -> None:
        if spec.get("thread"):
            message |= {"message_thread_id": spec["thread"], "is_topic_message": True}
        if spec.get("reply_to"):
            message["reply_to_message"] = bare(bot.chats[chat_id].messages[spec["reply_to"]])
        for kind in ("text", "caption"):
            if words := spec.get(kind):
                message[kind] = words
                name = "entities" if kind == "text" else "caption_entities"
                if entities := spec.get("entities") or _marked(words):
                    message[name] = entities
        for kind in ("photo", "document", "voice", "audio", "video"):
            if medium := spec.get(kind):
                data = base64.b64decode(medium["data"])
                file = self.keep(data, mime=medium.get("mime", ""), name=medium.get("name", ""))
                size = {"width": 1, "height": 1}
                more = {"duration": medium.get("duration", 1)} if kind != "document" else {}
                message[kind] = [{**file, **size}] if kind == "photo" else {**file, **more}
        message |= spec.get("raw", {})

    def post(self, bot: Bot, method: str, chat: Chat, content: Json) -> Json:
        """A message of the bot that Telegram accepted."""
        message = {
            "message_id": bot.last_message + 1,
            "from": bot.user,
            "chat": chat.json,
            "date": int(time.time()),
            **content,
        }
        sent = {"method": method, "at": time.time(), "message": message, "edits": []}
        self.record(deed="sent", token=bot.token, sent=sent)
        return message

    def change(self, bot: Bot, message: Json, change: Json) -> None:
        """An edit of one of the bot's messages."""
        index = bot.places[message["message_id"]]
        self.record(deed="edit", token=bot.token, index=index, change=change, at=time.time())


def bare(message: Json) -> Json:
    """A message as it is shown inside another: without what it replied to itself."""
    return {name: value for name, value in message.items() if name != "reply_to_message"}


def _person(who: object) -> Json:
    """A user by name, with the same id every time, or as given."""
    if isinstance(who, dict):
        return {"is_bot": False, "first_name": "?", **who}
    name = str(who)
    id = 10_000_000 + zlib.crc32(name.encode()) % 1_000_000_000
    return {"id": id, "is_bot": False, "first_name": name.title(), "username": f"{name}_name"}


def _marked(text: str) -> list[Json]:
    """The mentions and commands that Telegram's apps mark by themselves."""
    return [
        {
            "type": match.lastgroup,
            "offset": units(text[: match.start()]),
            "length": units(match.group()),
        }
        for match in MARKED.finditer(text)
        if "@" in text or "/" in text
    ]
