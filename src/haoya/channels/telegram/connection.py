# SPDX-License-Identifier: AGPL-3.0-or-later
"""One bot, connected: long polling in, methods out."""

import logging
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from haoya.channels.telegram.api import DOWNLOAD_BYTES, Answer, Api, Upload, fault
from haoya.channels.telegram.hear import Attachment, Heard, heard_of, message_id
from haoya.channels.telegram.say import (
    Params,
    chat_of,
    medium_of,
    number_of,
    place_params,
    text_params,
    upload_of,
)
from haoya.channels.telegram.settings import TelegramSettings
from haoya.channels.telegram.updates import (
    ALLOWED,
    Message,
    RemoteFile,
    Update,
    UpdateNumber,
    User,
    WebhookInfo,
)
from haoya.core.capabilities import Capabilities
from haoya.core.errors import ConfigError, HaoyaError, Throttled, Undeliverable, Unready
from haoya.core.message import (
    Address,
    Audio,
    Blob,
    File,
    Image,
    Inbound,
    Media,
    Outbound,
    Part,
    Receipt,
    Text,
    Video,
)
from haoya.core.plugin import Context

log = logging.getLogger("haoya.channels")

TOKEN = re.compile(r"[^\s/?#%]+")
BATCH = 100
RECENT = 1000
"""How far behind the cursor a repeated update can be (one getUpdates gives at most 100)."""
FORGET_SECONDS = 6 * 86_400
"""After a week without updates the next number is chosen at random (Bot API, Update.update_id),
and an old offset would confirm unseen updates; before that we ask without one."""

CAPABILITIES = Capabilities(
    max_length=4096,
    unit="utf16",
    markup="spans",
    hears=frozenset({"text", "mention", "quote", "image", "audio", "video", "file", "location"}),
    says=frozenset(
        {"text", "mention", "quote", "link", "code", "card", "image", "audio", "video", "file"}
    ),
    max_bytes=50 * 1024 * 1024,
    edit_seconds=172_800,
    typing=True,
    buttons=True,
    threads=True,
    rate=1,
    ack="after_commit",
)
"""Limits as in the Bot API: 4,096 UTF-16 units a text, 50 MB a file; the FAQ asks for no more
than about one message a second in one chat."""
DRAFT_SECONDS = 1.2


@asynccontextmanager
async def connect(settings: TelegramSettings, context: Context) -> AsyncGenerator["Telegram"]:
    """Prove the token and clear the way for polling.

    Raises `Rejected` with Telegram's words for a bad token, `ConfigError` for what is none.
    """
    token = context.secret(settings.token)
    if not TOKEN.fullmatch(token):
        raise ConfigError(
            f"{context.name}: the token is not a Telegram bot token",
            cure="copy it whole from @BotFather: digits, a colon, letters",
        )
    api = Api(context.http, settings.api_root, token)
    me = (await api.ask("getMe", {})).read(User)
    webhook = await api.ask("getWebhookInfo", {})
    if webhook.ok and webhook.read(WebhookInfo).url:
        (await api.ask("deleteWebhook", {"drop_pending_updates": False})).read(bool)
    context.alive()
    yield Telegram(api, settings, context, me)


class Telegram:
    """The connection of one bot."""

    def __init__(self, api: Api, settings: TelegramSettings, context: Context, me: User) -> None:
        self._api = api
        self._settings = settings
        self._context = context
        self._me = me
        self._stored = int(context.cursor) if context.cursor.isdecimal() else 0
        self._offset = 0
        self._update_at = context.clock()
        self._moved: dict[str, int] = {}
        draft_seconds = DRAFT_SECONDS if settings.stream else 0
        self.capabilities = msgspec.structs.replace(CAPABILITIES, draft_seconds=draft_seconds)

    async def receive(self) -> AsyncGenerator[Sequence[Inbound], None]:
        """Poll for ever. Going on after a `yield` asks with a higher offset, which is what tells
        Telegram that the messages before are safe with us."""
        while True:
            updates = await self._poll()
            batch: list[Inbound] = []
            presses: list[str] = []
            for update in updates:
                if heard := self._heard(update):
                    batch.append(await self._whole(heard))
                    presses += [heard.press] if heard.press else []
            if batch:
                yield batch
            for press in presses:
                await self._best_effort("answerCallbackQuery", {"callback_query_id": press})

    async def send(self, outbound: Outbound) -> Receipt:
        """Hand one piece to Telegram."""
        medium = medium_of(outbound)
        params = place_params(outbound.address, outbound.reply_to)
        if medium:
            data = await self._context.blobs.get(medium.blob.sha256)
            method, field = upload_of(medium)
            name = medium.blob.name or field
            upload = Upload(field=field, name=name, mime=medium.blob.mime, data=data)
            caption = {"caption": medium.caption} if medium.caption else {}
            return await self._post(method, params | caption, upload)
        return await self._post("sendMessage", params | text_params(outbound))

    async def edit(self, id: str, outbound: Outbound) -> Receipt:
        """Replace the text of a message of ours; the text it already has is a success."""
        if medium_of(outbound):
            raise Undeliverable("Telegram: a text cannot be changed into a medium")
        place: Params = {"chat_id": chat_of(outbound.address), "message_id": number_of(id)}
        answer = await self._tell("editMessageText", place | text_params(outbound))
        if not answer.ok and "message is not modified" not in answer.description:
            raise fault(answer)
        return Receipt(ids=(id,))

    async def typing(self, address: Address) -> None:
        """Show "typing…" for five seconds; failing is no news."""
        params = place_params(address, "") | {"action": "typing"}
        await self._best_effort("sendChatAction", params)

    async def _poll(self) -> list[Update]:
        """The next updates, after at most `poll_seconds`; moves the offset past them."""
        if self._context.clock() - self._update_at > FORGET_SECONDS:
            self._offset = 0
        seconds = self._settings.poll_seconds
        params = {"timeout": seconds, "limit": BATCH, "allowed_updates": ALLOWED}
        if self._offset:
            params["offset"] = self._offset
        answer = await self._api.ask("getUpdates", params, seconds=seconds * 1.2 + 2)
        try:
            updates = answer.read(list[Update])
        except Throttled as pause:
            raise Unready(str(pause), retry_after=pause.retry_after) from None
        except msgspec.ValidationError:
            updates = _readable(answer.result)
        self._context.alive()
        if updates:
            self._offset = updates[-1].update_id + 1
            self._update_at = self._context.clock()
        return updates

    def _heard(self, update: Update) -> Heard | None:
        """What the update says; what lies at or just behind the cursor is already stored."""
        if self._stored - RECENT < update.update_id <= self._stored:
            return None
        now = self._context.clock()
        return heard_of(update, channel=self._context.name, me=self._me, now=now)

    async def _whole(self, heard: Heard) -> Inbound:
        """The message with its file fetched into the blob store."""
        if heard.attachment is None:
            return heard.inbound
        parts = (await self._fetch(heard.attachment), *heard.inbound.parts)
        return msgspec.structs.replace(heard.inbound, parts=parts)

    async def _fetch(self, attachment: Attachment) -> Part:
        """The file as a part, or words that say why there is none.

        Only a broken connection raises: a single bad file must not stop the others for ever.
        """
        medium = attachment.medium
        try:
            if medium.file_size > DOWNLOAD_BYTES:
                raise Undeliverable("Telegram gives bots files of at most 20 MB")
            answer = await self._api.ask("getFile", {"file_id": medium.file_id})
            data = await self._api.download(answer.read(RemoteFile).file_path)
        except Undeliverable as error:
            label = f"[{attachment.kind} {attachment.name!r} could not be fetched: {error}]"
            return Text(text=f"{label} {attachment.caption}".strip())
        blob = await self._context.blobs.put(data, mime=attachment.mime, name=attachment.name)
        return _part(attachment, blob)

    async def _post(self, method: str, params: Params, upload: Upload | None = None) -> Receipt:
        answer = await self._tell(method, params, upload)
        return Receipt(ids=(message_id(answer.read(Message)),))

    async def _tell(self, method: str, params: Params, upload: Upload | None = None) -> Answer:
        """Call a method, again where a group has moved and without styles Telegram refuses."""
        room = str(params["chat_id"])
        params["chat_id"] = self._moved.get(room, params["chat_id"])
        answer = await self._call(method, params, upload)
        if moved := answer.parameters.migrate_to_chat_id:
            self._moved[room] = params["chat_id"] = moved
            answer = await self._call(method, params, upload)
        if answer.error_code == 400 and "entit" in answer.description.lower():
            params.pop("entities", None)
            answer = await self._call(method, params, upload)
        return answer

    async def _call(self, method: str, params: Params, upload: Upload | None) -> Answer:
        if upload:
            return await self._api.upload(method, params, upload)
        return await self._api.ask(method, params)

    async def _best_effort(self, method: str, params: Params) -> None:
        with suppress(HaoyaError):
            await self._api.ask(method, params, seconds=5)


def _part(attachment: Attachment, blob: Blob) -> Media:
    caption = attachment.caption
    match attachment.kind:
        case "image":
            return Image(blob=blob, caption=caption)
        case "audio" | "voice" as kind:
            seconds = attachment.medium.duration
            return Audio(blob=blob, caption=caption, voice=kind == "voice", seconds=seconds)
        case "video":
            return Video(blob=blob, caption=caption)
        case "file":
            return File(blob=blob, caption=caption)


def _readable(result: msgspec.Raw) -> list[Update]:
    """The updates one by one, where one of them has a shape we do not know.

    Its number must be passed over, or it would come for ever and hide all that follow.
    """
    updates: list[Update] = []
    for raw in msgspec.json.decode(result, type=list[msgspec.Raw]):
        try:
            updates.append(msgspec.json.decode(raw, type=Update))
        except msgspec.ValidationError as error:
            number = msgspec.json.decode(raw, type=UpdateNumber).update_id
            log.warning("Telegram's update %d cannot be read and is passed over: %s", number, error)
            updates.append(Update(update_id=number))
    return updates
