# SPDX-License-Identifier: AGPL-3.0-or-later
"""One request's life over the house's shared HTTP client: deadlines, plain errors, closing.

A wire says where its server is (`Door`), writes the body and reads the bytes (`Reader`); all else
that can happen to a request is here.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

import httpx2
import msgspec

from haoya.core.errors import HaoyaError, Rejected, Unready
from haoya.core.plugin import Context
from haoya.core.ports import Relayed
from haoya.core.tool import Delta, Line
from haoya.models._wire.refusal import Complaint, complaint, pause, refusal, unknown_model
from haoya.models._wire.settings import WireSettings

CONNECT_SECONDS = 10
ASIDE_SECONDS = 5
"""For what is not the answer: an error's body, the list of models."""
TAIL_SECONDS = 2
"""For the usage after the end, where a server sends no last mark and keeps the line open."""
CLOSE_SECONDS = 0.2
"""For the last bytes after the last mark, so that the connection can be used again."""
MAX_ERROR_BYTES = 64 * 1024

_TOP = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER = msgspec.json.Encoder()


class Reader(Protocol):
    """An answer while it arrives: `feed` bytes, then `finish` once."""

    @property
    def begun(self) -> bool:
        """Whether anything of an answer has come."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the server has said why it stopped."""
        ...

    @property
    def done(self) -> bool:
        """Whether the last mark has come."""
        ...

    @property
    def error(self) -> bytes:
        """The JSON of an error that came instead of an answer."""
        ...

    def feed(self, data: bytes) -> list[Delta]:
        """The deltas these bytes complete. Raises `Unready`."""
        ...

    def finish(self) -> list[Delta]:
        """The rest, ending with `Finish`. Raises `Unready` if it broke off."""
        ...


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """Where one wire's server answers: the address of answers, that of the list of models, and
    our credentials. `ending` says how `base_url` usually ends, `pull` how a model that is missing
    is fetched; both are cures in errors."""

    url: str
    listing: str
    headers: dict[str, str]
    key: str = ""
    ending: str = "it usually ends in /v1"
    pull: str = ""


class Link:
    """The way to one model behind a server; any number of requests may run at a time."""

    def __init__(self, settings: WireSettings, context: Context, door: Door) -> None:
        self._settings = settings
        self._context = context
        self._door = door
        self._url = httpx2.URL(door.url)
        self._server = self._url.netloc.decode("ascii")
        self._timeout = httpx2.Timeout(None, connect=CONNECT_SECONDS)
        self._headers = {
            "accept-encoding": "identity",
            "content-type": "application/json",
            **door.headers,
        }
        self._model = _ENCODER.encode(settings.model)

    @property
    def server(self) -> str:
        """Host and port, as errors name it."""
        return self._server

    async def stream(
        self, lines: Sequence[Line], encode: Callable[[], Awaitable[bytes]], answer: Reader
    ) -> AsyncGenerator[Delta, None]:
        """The answer to what `encode` writes, as it comes; raises as `Model.stream` does.

        Nothing of `lines` is shown in an error."""
        body = await encode()
        deadline = asyncio.get_running_loop().time() + self._settings.first_seconds
        response = await self._send(self._url, body, deadline)
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

    async def ask(self, url: str, body: bytes, texts: Sequence[str] = ()) -> bytes:
        """The whole JSON answer to another request of this model's; `texts` stay out of errors."""
        deadline = asyncio.get_running_loop().time() + self._settings.first_seconds
        response = await self._send(httpx2.URL(url), body, deadline)
        try:
            if response.status_code != 200:
                asked = [Line(role="user", text=text) for text in texts]
                raise await self._refusal(response, asked)
            with self._plainly():
                async with asyncio.timeout_at(deadline):
                    return await response.aread()
        finally:
            await response.aclose()

    @asynccontextmanager
    async def relay(self, body: bytes) -> AsyncGenerator[Relayed, None]:
        """Pass on a request in this very wire with our name for the model put in.

        Its JSON is looked through once and copied once, whatever is in it. Iterating `pieces`
        raises `Unready` where the answer breaks off.
        """
        deadline = asyncio.get_running_loop().time() + self._settings.first_seconds
        response = await self._send(self._url, self._renamed(body), deadline)
        try:
            refused = response.status_code >= 400
            pieces = self._told(response) if refused else self._pieces(response, deadline)
            yield Relayed(
                status=response.status_code,
                mime=response.headers.get("content-type", "application/json"),
                pieces=pieces,
                retry_after=response.headers.get("retry-after", ""),
            )
        finally:
            await response.aclose()

    def _renamed(self, body: bytes) -> bytes:
        try:
            fields = _TOP.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            text = "the request to relay is no JSON object; send one"
            raise Unready(text, trouble="request") from None
        fields["model"] = msgspec.Raw(self._model)
        return _ENCODER.encode(fields)

    async def _pieces(
        self, response: httpx2.Response, deadline: float
    ) -> AsyncGenerator[bytes, None]:
        loop, idle = asyncio.get_running_loop(), self._settings.idle_seconds
        pieces, begun = response.aiter_raw(), False
        while True:
            with self._plainly(begun=begun):
                async with asyncio.timeout_at(deadline):
                    data = await anext(pieces, None)
            if data is None:
                return
            begun, deadline = True, loop.time() + idle
            yield data

    async def _told(self, response: httpx2.Response) -> AsyncGenerator[bytes, None]:
        """A refusal's body; some servers repeat the key in it, which is ours."""
        body, key = await self._words(response), self._door.key.encode()
        yield body.replace(key, b"***") if key else body

    async def _send(self, url: httpx2.URL, body: bytes, deadline: float) -> httpx2.Response:
        http = self._context.http
        request = http.build_request(
            "POST", url, content=body, headers=self._headers, timeout=self._timeout
        )
        with self._plainly():
            async with asyncio.timeout_at(deadline):
                try:
                    return await http.send(request, stream=True)
                except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError) as e:
                    # Most often a kept connection that the server had given up in the meantime.
                    text = f"{self._server} hung up without an answer ({type(e).__name__})"
                    raise Unready(f"{text}; look at its log", again=True) from None

    async def _next(
        self, pieces: AsyncIterator[bytes], answer: Reader, deadline: float
    ) -> bytes | None:
        """The next bytes of the answer; None at its end, or when nothing more need be awaited."""
        with self._plainly(begun=answer.begun):
            try:
                async with asyncio.timeout_at(deadline):
                    return await anext(pieces, None)
            except (TimeoutError, httpx2.HTTPError):
                if answer.ended or answer.done:
                    return None
                raise

    def _deadline(self, answer: Reader, before: float) -> float:
        now = asyncio.get_running_loop().time()
        if answer.done:
            return min(before, now + CLOSE_SECONDS)
        if answer.ended:
            return min(before, now + TAIL_SECONDS)
        return now + self._settings.idle_seconds if answer.begun else before

    @contextmanager
    def _plainly(self, *, begun: bool = False) -> Generator[None, None, None]:
        """Turn what goes wrong on the wire into `Unready`, with the server's name and the cure."""
        server, settings = self._server, self._settings
        try:
            yield
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as e:
            why = str(e) or "no connection in time"
            text = f"no model server at {server} ({why}); start it, or correct base_url"
            raise Unready(text, reached=False, trouble="unreachable") from None
        except TimeoutError:
            if begun:
                seconds, what = settings.idle_seconds, "gone silent in the middle of the answer"
            else:
                seconds, what = settings.first_seconds, "not begun to answer"
            text = f"{server} has {what} for {seconds:g} s; look at its log or its load"
            raise Unready(text, trouble="timeout") from None
        except httpx2.HTTPError as e:
            text = f"{server} broke off the answer ({type(e).__name__}); look at its log"
            raise Unready(text) from None

    def _broken(self, error: bytes, lines: Sequence[Line]) -> HaoyaError:
        """The error for one that came where an answer should stand."""
        said = complaint(error, self._door.key, lines)
        return refusal(self._server, self._settings.model, said.status, said)

    async def _refusal(self, response: httpx2.Response, lines: Sequence[Line]) -> HaoyaError:
        said = complaint(await self._words(response), self._door.key, lines)
        status = response.status_code
        if unknown_model(status, said):
            return await self._unknown(said)
        error = refusal(self._server, self._settings.model, status, said)
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
        names, model, door = await self._names(), self._settings.model, self._door
        if names is None:
            words = f": {said.words}" if said.words else ""
            text = f"{self._server} does not know {self._url.path} or {model}{words}"
            return Rejected(f"{text}; correct base_url ({door.ending}) or model")
        if model in names:
            return Rejected(f"{self._server} lists {model} but does not serve it: {said.words}")
        there = ", ".join(names[:12]) or "none"
        cure = f"; {door.pull}" if door.pull else ""
        return Rejected(f"{self._server} has no model {model!r}; there are: {there}{cure}")

    async def _names(self) -> list[str] | None:
        """What the server lists; None where it does not answer."""
        try:
            async with asyncio.timeout(ASIDE_SECONDS):
                url, headers = self._door.listing, self._headers
                response = await self._context.http.get(url, headers=headers)
            listed = msgspec.json.decode(response.content, type=_List)
        except (TimeoutError, httpx2.HTTPError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        entries = listed.models if listed.data is None else listed.data
        return None if entries is None else [entry.id or entry.name for entry in entries]


def bearer(key: str, header: str = "") -> dict[str, str]:
    """The header that bears the key: `Authorization`, or one of the provider's own."""
    if not key:
        return {}
    return {header: key} if header else {"authorization": f"Bearer {key}"}


class _Entry(msgspec.Struct):
    id: str = ""
    name: str = ""


class _List(msgspec.Struct):
    data: list[_Entry] | None = None
    models: list[_Entry] | None = None
