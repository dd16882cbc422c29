# SPDX-License-Identifier: AGPL-3.0-or-later
"""The model itself: one streamed request per answer over the house's shared HTTP client."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager

import httpx2
import msgspec
import pydantic

from haoya.core.errors import HaoyaError, Rejected, Unready
from haoya.core.plugin import Context
from haoya.core.tool import Delta, Line, Prompt, ToolSpec
from haoya.models.openai.answer import Answer
from haoya.models.openai.refusal import Complaint, complaint, pause, refusal, unknown_model
from haoya.models.openai.request import encode

CONNECT_SECONDS = 10
ASIDE_SECONDS = 5
"""For what is not the answer: an error's body, the list of models."""
TAIL_SECONDS = 2
"""For the usage after the end, where a server sends no `[DONE]` and keeps the line open."""
CLOSE_SECONDS = 0.2
"""For the last bytes after `[DONE]`, so that the connection can be used again."""
MAX_ERROR_BYTES = 64 * 1024


class OpenaiSettings(pydantic.BaseModel):
    """A model behind an OpenAI-compatible API."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    base_url: str = pydantic.Field(description="Address of the API, usually ending in /v1")
    model: str = pydantic.Field(min_length=1, description="What the server calls the model")
    api_key: str = pydantic.Field(default="", description="The key: secret:NAME, env:NAME or plain")
    context_tokens: int = pydantic.Field(
        default=8192, ge=256, description="Tokens that prompt and answer may have together"
    )
    max_tokens: int | None = pydantic.Field(
        default=None, ge=1, description="Most tokens of an answer"
    )
    temperature: float | None = pydantic.Field(
        default=None, ge=0, le=2, description="How freely it chooses words; – for the server's own"
    )
    first_seconds: float = pydantic.Field(default=120, gt=0, description="Wait for the first token")
    idle_seconds: float = pydantic.Field(default=60, gt=0, description="Wait between two tokens")
    vision: bool = pydantic.Field(default=False, description="Whether the model sees pictures")

    @pydantic.field_validator("base_url")
    @classmethod
    def _an_address(cls, value: str) -> str:
        try:
            url = httpx2.URL(value)
        except httpx2.InvalidURL:
            url = httpx2.URL("")
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("not a web address; write e.g. http://127.0.0.1:8081/v1")
        if url.userinfo:
            raise ValueError("a password in the address would be shown; write api_key")
        return value.rstrip("/")


@asynccontextmanager
async def connect(
    settings: OpenaiSettings, context: Context
) -> AsyncGenerator["OpenaiModel", None]:
    """Lend the model; the server is first spoken to when a question is asked.

    Raises `ConfigError` where the key cannot be resolved.
    """
    key = context.secret(settings.api_key) if settings.api_key else ""
    yield OpenaiModel(settings, context, key)


class OpenaiModel:
    """A `Model`; any number of answers may stream at a time."""

    def __init__(self, settings: OpenaiSettings, context: Context, key: str) -> None:
        url = httpx2.URL(settings.base_url)
        self._settings = settings
        self._context = context
        self._key = key
        self._server = url.netloc.decode("ascii")
        self._official = url.host == "api.openai.com"
        self._url = httpx2.URL(f"{settings.base_url}/chat/completions")
        self._timeout = httpx2.Timeout(None, connect=CONNECT_SECONDS)
        self._headers = {"accept": "text/event-stream", "accept-encoding": "identity"}
        if key:
            self._headers["authorization"] = f"Bearer {key}"

    @property
    def name(self) -> str:
        """What the server calls it."""
        return self._settings.model

    @property
    def context_tokens(self) -> int:
        """How many tokens prompt and answer may have together."""
        return self._settings.context_tokens

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """The answer as it comes, ending with `Finish`; raises as the port says."""
        lines = prompt.lines
        body = await self._body(lines, prompt.tools)
        taken = frozenset(call.id for line in lines for call in line.calls)
        answer = Answer(self._server, self.name, taken)
        deadline = asyncio.get_running_loop().time() + self._settings.first_seconds
        response = await self._send(body, deadline)
        try:
            if response.status_code != 200:
                raise await self._refusal(response, lines)
            pieces = response.aiter_bytes()
            while (data := await self._next(pieces, answer, deadline)) is not None:
                for delta in answer.feed(data):
                    yield delta
                if answer.error:
                    raise self._broken(answer.error, lines)
                deadline = self._deadline(answer, deadline)
            rest = answer.finish()
            if answer.error:
                raise self._broken(answer.error, lines)
            for delta in rest:
                yield delta
        finally:
            await response.aclose()

    async def _body(self, lines: Sequence[Line], tools: Sequence[ToolSpec]) -> bytes:
        settings = self._settings
        # OpenAI's own newer models know only the second name, most other servers the first.
        official = self._official
        return await encode(
            settings.model,
            lines,
            tools,
            blobs=self._context.blobs if settings.vision else None,
            max_tokens=None if official else settings.max_tokens,
            max_completion_tokens=settings.max_tokens if official else None,
            temperature=settings.temperature,
        )

    async def _send(self, body: bytes, deadline: float) -> httpx2.Response:
        http = self._context.http
        headers = {**self._headers, "content-type": "application/json"}
        request = http.build_request(
            "POST", self._url, content=body, headers=headers, timeout=self._timeout
        )
        with self._plainly():
            async with asyncio.timeout_at(deadline):
                return await http.send(request, stream=True)

    async def _next(
        self, pieces: AsyncIterator[bytes], answer: Answer, deadline: float
    ) -> bytes | None:
        """The next bytes of the answer; None at its end, or when nothing more need be awaited."""
        with self._plainly(answer):
            try:
                async with asyncio.timeout_at(deadline):
                    return await anext(pieces, None)
            except TimeoutError:
                if answer.ended or answer.done:
                    return None
                raise

    def _deadline(self, answer: Answer, before: float) -> float:
        now = asyncio.get_running_loop().time()
        if answer.done:
            return min(before, now + CLOSE_SECONDS)
        if answer.ended:
            return min(before, now + TAIL_SECONDS)
        return now + self._settings.idle_seconds if answer.begun else before

    @contextmanager
    def _plainly(self, answer: Answer | None = None) -> Generator[None, None, None]:
        """Turn what goes wrong on the wire into `Unready`, with the server's name and the cure."""
        server, settings = self._server, self._settings
        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as e:
            why = str(e) or "no connection in time"
            cure = "start it, or correct base_url"
            raise Unready(f"no model server at {server} ({why}); {cure}") from None
        except TimeoutError:
            if answer is None or not answer.begun:
                seconds, what = settings.first_seconds, "not begun to answer"
            else:
                seconds, what = settings.idle_seconds, "gone silent in the middle of the answer"
            text = f"{server} has {what} for {seconds:g} s; look at its log or its load"
            raise Unready(text) from None
        except httpx2.HTTPError as e:
            text = f"{server} broke off the answer ({type(e).__name__}); look at its log"
            raise Unready(text) from None

    def _broken(self, error: bytes, lines: Sequence[Line]) -> HaoyaError:
        """The error for one that came where an answer should stand."""
        said = complaint(error, self._key, lines)
        status = int(said.code) if said.code.isdigit() else 500
        return refusal(self._server, self.name, status, said)

    async def _refusal(self, response: httpx2.Response, lines: Sequence[Line]) -> HaoyaError:
        said = complaint(await self._words(response), self._key, lines)
        status = response.status_code
        if unknown_model(status, said):
            return await self._unknown(said)
        error = refusal(self._server, self.name, status, said)
        if isinstance(error, Unready):
            error.retry_after = pause(response.headers, self._context.clock)
        return error

    async def _words(self, response: httpx2.Response) -> bytes:
        """The body of an error as far as it comes; the status alone must do otherwise."""
        body = b""
        try:
            async with asyncio.timeout(ASIDE_SECONDS):
                async for piece in response.aiter_bytes():
                    body += piece
                    if len(body) > MAX_ERROR_BYTES:
                        break
        except (TimeoutError, httpx2.HTTPError):
            pass
        return body

    async def _unknown(self, said: Complaint) -> Rejected:
        names = await self._names()
        if names is None:
            words = f": {said.words}" if said.words else ""
            text = f"{self._server} does not know {self._url.path} or {self.name}{words}"
            return Rejected(f"{text}; correct base_url (it usually ends in /v1) or model")
        if self.name in names:
            return Rejected(f"{self._server} lists {self.name} but does not serve it: {said.words}")
        there = ", ".join(names[:12]) or "none"
        return Rejected(f"{self._server} has no model {self.name!r}; there are: {there}")

    async def _names(self) -> list[str] | None:
        """What `/models` lists; None where it does not answer."""
        url = f"{self._settings.base_url}/models"
        try:
            async with asyncio.timeout(ASIDE_SECONDS):
                response = await self._context.http.get(url, headers=self._headers)
            return [entry.id for entry in msgspec.json.decode(response.content, type=_List).data]
        except (TimeoutError, httpx2.HTTPError, msgspec.DecodeError, UnicodeDecodeError):
            return None


class _Entry(msgspec.Struct):
    id: str


class _List(msgspec.Struct):
    data: list[_Entry]
