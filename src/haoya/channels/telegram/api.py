# SPDX-License-Identifier: AGPL-3.0-or-later
"""Calls to the Bot API over the house's HTTP client.

A request goes to `{root}/bot{token}/{method}`; the answer is JSON with `ok`, and `result` or
`error_code`, `description` and `parameters` (Bot API, "Making requests").
"""

import asyncio
from collections.abc import Mapping
from typing import TypeVar

import httpx2
import msgspec

from haoya.core.errors import HaoyaError, Rejected, Throttled, Undeliverable, Unready

CALL_SECONDS = 30
UPLOAD_SECONDS = 300
CONNECT_SECONDS = 10
DOWNLOAD_BYTES = 20 * 1024 * 1024
"""The most that getFile gives to a bot."""

_JSON = {"Content-Type": "application/json"}
_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError)

Result = TypeVar("Result")


class Parameters(msgspec.Struct, frozen=True):
    """ResponseParameters: what to do about a refusal."""

    retry_after: float = 0
    migrate_to_chat_id: int = 0


class Answer(msgspec.Struct, frozen=True):
    """What every method answers with."""

    ok: bool
    result: msgspec.Raw = msgspec.Raw(b"null")
    error_code: int = 0
    description: str = ""
    parameters: Parameters = Parameters()
    own: bool = True
    """Whether the Bot API itself answered, and not a gateway in front of it."""

    def read(self, shape: type[Result]) -> Result:
        """The result, decoded; raises what the refusal means."""
        if not self.ok:
            raise fault(self)
        return msgspec.json.decode(self.result, type=shape)


class Upload(msgspec.Struct, frozen=True):
    """A file for a method: `field` is the name of its parameter."""

    field: str
    name: str
    mime: str
    data: bytes


_ANSWER = msgspec.json.Decoder(Answer)


class Api:
    """One bot's methods."""

    def __init__(self, http: httpx2.AsyncClient, root: str, token: str) -> None:
        self._http = http
        self._base = f"{root.rstrip('/')}/bot{token}/"
        self._files = f"{root.rstrip('/')}/file/bot{token}/"
        self._urls: dict[str, httpx2.URL] = {}

    async def ask(
        self, method: str, params: Mapping[str, object], *, seconds: float = CALL_SECONDS
    ) -> Answer:
        """Call a method; a refusal is an answer too.

        Raises `Unready`, told apart by `reached`: whether Telegram may have acted on it.
        """
        body = msgspec.json.encode(params)
        return await self._post(method, seconds, content=body, headers=_JSON)

    async def upload(self, method: str, params: Mapping[str, object], file: Upload) -> Answer:
        """Call a method with a file, as multipart/form-data; raises as `ask` does."""
        fields = {
            name: value if isinstance(value, str) else msgspec.json.encode(value).decode()
            for name, value in params.items()
        }
        files = {file.field: (file.name, file.data, file.mime)}
        return await self._post(method, UPLOAD_SECONDS, data=fields, files=files)

    async def _post(
        self,
        method: str,
        seconds: float,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
    ) -> Answer:
        url = self._urls.get(method)
        if url is None:
            url = self._urls[method] = httpx2.URL(self._base + method)
        timeout = httpx2.Timeout(seconds, connect=CONNECT_SECONDS)
        try:
            async with asyncio.timeout(seconds + CONNECT_SECONDS):
                response = await self._http.post(
                    url, content=content, headers=headers, data=data, files=files, timeout=timeout
                )
        except _NEVER_SENT as error:
            words = f"Telegram cannot be reached: {_words(error)}"
            raise Unready(words, reached=False) from None
        except httpx2.TransportError as error:
            raise Unready(f"Telegram stopped answering: {_words(error)}") from None
        except TimeoutError:
            raise Unready(f"Telegram gave no whole answer within {seconds:g} s") from None
        try:
            return _ANSWER.decode(response.content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            words = f"HTTP {response.status_code} {response.reason_phrase}"
            code = response.status_code
            return Answer(ok=False, error_code=code, description=words, own=False)

    async def download(self, path: str) -> bytes:
        """The bytes of a file whose `file_path` getFile told.

        Raises `Undeliverable` where this file cannot be had, `Unready` where nothing can.
        """
        url = httpx2.URL(self._files + path)
        timeout = httpx2.Timeout(CALL_SECONDS, connect=CONNECT_SECONDS)
        data = bytearray()
        try:
            async with (
                asyncio.timeout(UPLOAD_SECONDS),
                self._http.stream("GET", url, timeout=timeout) as response,
            ):
                if response.status_code != 200:
                    raise Undeliverable(f"Telegram gave HTTP {response.status_code} for a file")
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > DOWNLOAD_BYTES:
                        raise Undeliverable("Telegram gave more of a file than it announced")
        except (TimeoutError, httpx2.ReadTimeout):
            raise Undeliverable("Telegram was too slow with a file") from None
        except httpx2.TransportError as error:
            raise Unready(f"Telegram stopped answering: {_words(error)}") from None
        return bytes(data)


def fault(answer: Answer) -> HaoyaError:
    """What a refusal means for the house, with Telegram's own words.

    When the Bot API itself says that it failed, it has not sent; a gateway does not know.
    """
    words = f"Telegram: {answer.description}"
    match answer.error_code:
        case 401 | 404:
            cure = "put the token that @BotFather shows into the settings"
            return Rejected(f"{words} (the bot's token is not valid; {cure})")
        case 409:
            cure = "stop the other one or give this one a bot of its own"
            return Unready(f"{words} (two programs use one token; {cure})")
        case 429:
            return Throttled(words, retry_after=answer.parameters.retry_after or 1)
        case code if code >= 500:
            return Unready(words, reached=not answer.own and code != 503)
        case _:
            return Undeliverable(words)


def _words(error: Exception) -> str:
    return f"{type(error).__name__} {error}".strip()
