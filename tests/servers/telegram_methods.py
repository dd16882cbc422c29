# SPDX-License-Identifier: AGPL-3.0-or-later
"""The Bot API's methods, with the checks and the words of refusal of the real one."""

import json
from collections.abc import Callable
from typing import cast

from tests.servers.telegram_state import Bot, Json, Network, Refusal, bare, units
from tests.servers.wire import Request

TEXT_UNITS = 4096
CAPTION_UNITS = 1024
DATA_BYTES = 64
DOWNLOAD_BYTES = 20 * 1024 * 1024
UPLOAD_BYTES = {"photo": 10 * 1024 * 1024}
STYLES = frozenset(
    [
        "mention",
        "hashtag",
        "cashtag",
        "bot_command",
        "url",
        "email",
        "phone_number",
        "bold",
        "italic",
        "underline",
        "strikethrough",
        "spoiler",
        "blockquote",
        "expandable_blockquote",
        "code",
        "pre",
        "text_link",
        "text_mention",
        "custom_emoji",
    ]
)

Method = Callable[[Network, Bot, Request], object]


def get_me(network: Network, bot: Bot, request: Request) -> object:
    abilities = {"can_join_groups": True, "can_read_all_group_messages": True}
    return bot.user | abilities | {"supports_inline_queries": False}


def delete_webhook(network: Network, bot: Bot, request: Request) -> object:
    bot.webhook = ""
    return True


def get_webhook_info(network: Network, bot: Bot, request: Request) -> object:
    waiting = len(bot.waiting)
    return {"url": bot.webhook, "has_custom_certificate": False, "pending_update_count": waiting}


def send_message(network: Network, bot: Bot, request: Request) -> object:
    chat = bot.chat(request.params.get("chat_id"))
    content = _text(request.params) | _placed(chat.threads, chat.messages, request.params)
    return network.post(bot, "sendMessage", chat, content)


def send_media(kind: str) -> Method:
    """sendPhoto, sendDocument … for the field `kind`."""

    def send(network: Network, bot: Bot, request: Request) -> object:
        chat = bot.chat(request.params.get("chat_id"))
        upload = request.uploads.get(kind)
        if upload is None:
            raise Refusal(400, f"Bad Request: there is no {kind} in the request")
        if len(upload.data) > UPLOAD_BYTES.get(kind, 50 * 1024 * 1024):
            raise Refusal(413, "Request Entity Too Large")
        if not upload.data:
            raise Refusal(400, "Bad Request: file must be non-empty")
        caption = str(request.params.get("caption") or "").strip()
        if units(caption) > CAPTION_UNITS:
            raise Refusal(400, "Bad Request: message caption is too long")
        placed = _placed(chat.threads, chat.messages, request.params)
        file = network.keep(upload.data, mime=upload.mime, name=upload.name)
        medium = [{**file, "width": 1, "height": 1}] if kind == "photo" else file
        content = {kind: medium, **({"caption": caption} if caption else {})}
        return network.post(bot, f"send{kind.title()}", chat, content | placed)

    return send


def send_location(network: Network, bot: Bot, request: Request) -> object:
    chat = bot.chat(request.params.get("chat_id"))
    place = {name: float(str(request.params[name])) for name in ("latitude", "longitude")}
    placed = _placed(chat.threads, chat.messages, request.params)
    return network.post(bot, "sendLocation", chat, {"location": place} | placed)


def send_chat_action(network: Network, bot: Bot, request: Request) -> object:
    chat = bot.chat(request.params.get("chat_id"))
    bot.typing.append({"chat_id": chat.id, "action": request.params["action"]})
    return True


def edit_message_text(network: Network, bot: Bot, request: Request) -> object:
    chat = bot.chat(request.params.get("chat_id"))
    message = chat.messages.get(int(str(request.params.get("message_id") or 0)))
    if message is None:
        raise Refusal(400, "Bad Request: message to edit not found")
    if message["from"]["id"] != bot.id:
        raise Refusal(400, "Bad Request: message can't be edited")
    if "text" not in message:
        raise Refusal(400, "Bad Request: there is no text in the message to edit")
    change = _text(request.params)
    change.setdefault("entities", [])
    change["reply_markup"] = _keyboard(request.params)
    if all(message.get(name, _EMPTY.get(name)) == value for name, value in change.items()):
        raise Refusal(
            400,
            "Bad Request: message is not modified: specified new message content and reply "
            "markup are exactly the same as a current content and reply markup of the message",
        )
    network.change(bot, message, change)
    return message


_EMPTY: Json = {"entities": [], "reply_markup": {}}


def get_file(network: Network, bot: Bot, request: Request) -> object:
    file = network.files.get(str(request.params.get("file_id")))
    if file is None:
        raise Refusal(400, "Bad Request: wrong file_id or the file is temporarily unavailable")
    if file["size"] > DOWNLOAD_BYTES:
        raise Refusal(400, "Bad Request: file is too big")
    known = {"file_id": file["file_id"], "file_unique_id": file["file_id"]}
    return known | {"file_size": file["size"], "file_path": file["path"]}


def accept(network: Network, bot: Bot, request: Request) -> object:
    return True


def _text(params: Json) -> Json:
    """The checked text of a request with its entities."""
    text = str(params.get("text") or "").strip()
    if not text:
        raise Refusal(400, "Bad Request: message text is empty")
    if units(text) > TEXT_UNITS:
        raise Refusal(400, "Bad Request: message is too long")
    if params.get("parse_mode"):
        raise Refusal(400, "Bad Request: unsupported parse_mode")
    entities = _json(params.get("entities")) or []
    whole = text.encode("utf-16-le", "surrogatepass")
    for entity in cast("list[Json]", entities):
        _check(entity, whole)
    return {"text": text, **({"entities": entities} if entities else {})}


def _check(entity: Json, whole: bytes) -> None:
    start, size = entity["offset"], entity["length"]
    if entity["type"] not in STYLES:
        raise Refusal(400, "Bad Request: can't parse MessageEntity: unsupported type specified")
    if start < 0 or size <= 0 or (start + size) * 2 > len(whole):
        raise Refusal(
            400,
            f"Bad Request: entity beginning at UTF-16 offset {start} ends after the end of the "
            f"text at UTF-16 offset {start + size}",
        )
    for edge, word in ((start, "begins"), (start + size, "ends")):
        if whole[edge * 2 : edge * 2 + 2] and 0xDC <= whole[edge * 2 + 1] <= 0xDF:
            raise Refusal(400, f"Bad Request: entity {word} in a middle of a UTF-16 symbol")
    if entity["type"] == "text_link" and not entity.get("url"):
        raise Refusal(400, "Bad Request: can't parse MessageEntity: field url is missing")


def _placed(threads: set[int], messages: dict[int, Json], params: Json) -> Json:
    """Where a message goes: its topic, what it replies to, its buttons."""
    content: Json = {}
    if thread := int(str(params.get("message_thread_id") or 0)):
        if thread not in threads:
            raise Refusal(400, "Bad Request: message thread not found")
        content |= {"message_thread_id": thread, "is_topic_message": True}
    if reply := cast("Json", _json(params.get("reply_parameters")) or {}):
        replied = messages.get(int(reply["message_id"]))
        if replied is None and not reply.get("allow_sending_without_reply"):
            raise Refusal(400, "Bad Request: message to be replied not found")
        if replied:
            content["reply_to_message"] = bare(replied)
    if keyboard := _keyboard(params):
        content["reply_markup"] = keyboard
    return content


def _keyboard(params: Json) -> Json:
    markup = cast("Json", _json(params.get("reply_markup")) or {})
    for row in markup.get("inline_keyboard", []):
        for button in row:
            data = str(button.get("callback_data", ""))
            if not str(button["text"]).strip():
                raise Refusal(400, "Bad Request: inline keyboard button text can't be empty")
            if len(data.encode()) > DATA_BYTES:
                raise Refusal(400, "Bad Request: BUTTON_DATA_INVALID")
            if not data and not button.get("url"):
                raise Refusal(400, "Bad Request: can't parse inline keyboard button")
    return markup


def _json(value: object) -> object:
    """Structured parameters come as JSON text in forms."""
    return json.loads(value) if isinstance(value, str) and value else value


METHODS: dict[str, Method] = {
    "getme": get_me,
    "deletewebhook": delete_webhook,
    "getwebhookinfo": get_webhook_info,
    "sendmessage": send_message,
    "sendlocation": send_location,
    "sendchataction": send_chat_action,
    "editmessagetext": edit_message_text,
    "getfile": get_file,
    "answercallbackquery": accept,
    "setmessagereaction": accept,
    **{
        f"send{kind}": send_media(kind) for kind in ("photo", "document", "voice", "audio", "video")
    },
}
