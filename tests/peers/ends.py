# SPDX-License-Identifier: AGPL-3.0-or-later
"""Both ends of the wire in one process, over a real socket: quicker to look into than daemons."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived

from haoya.api.peers.serve import serve
from haoya.core.message import Blob
from haoya.core.ports import Embedding
from haoya.core.tool import Delta, Finish, Line, Prompt, TextDelta, Urgency
from haoya.models.peer.client import PeerModel, connect
from haoya.models.peer.settings import PeerSettings
from haoya.models.peer.wire import ASK
from haoya.runtime.home import Home
from haoya.runtime.house import House
from haoya.runtime.peers_settings import PeersSettings
from haoya.runtime.peers_verbs import fingerprint
from tests.models.lent import context
from tests.peers.nodes import certificate

Speak = Callable[[Prompt], AsyncGenerator[Delta, None]]


class Thinker:
    """A model that says what it is told to say, and knows what it was asked."""

    def __init__(self, speak: Speak, tokens: int = 4096) -> None:
        self.name = "thinker"
        self.context_tokens = tokens
        self.asked: list[Prompt] = []
        self._speak = speak

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        self.asked.append(prompt)
        async for delta in self._speak(prompt):
            yield delta


class Placer(Thinker):
    """One that also embeds and can be made ready."""

    def __init__(self, speak: Speak) -> None:
        super().__init__(speak)
        self.warmed: list[Prompt] = []

    async def warm(self, prompts: Sequence[Prompt]) -> None:
        self.warmed += prompts

    async def embed(self, texts: Sequence[str], *, urgency: Urgency = "chat") -> Embedding:
        return Embedding(vectors=tuple((float(len(text)), 0.5) for text in texts), tokens=3)


async def echo(prompt: Prompt) -> AsyncGenerator[Delta, None]:
    """Says the last line, word by word."""
    for word in prompt.lines[-1].text.split(" "):
        yield TextDelta(text=f"{word} ")
    yield Finish(model="thinker", notes=("waited",))


class Lender:
    """The house that lends, and how to reach it."""

    def __init__(self, house: House, address: str, mark: str) -> None:
        self.house = house
        self.address = address
        self.mark = mark
        self.token = house.peers.invite("small", ("main",), 1.0)

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def settings(self, **more: Any) -> PeerSettings:
        usual = {"address": self.address, "token": self.token, "fingerprint": self.mark}
        return PeerSettings.model_validate({**usual, **more})


@asynccontextmanager
async def lending(
    folder: Path, model: Thinker, *, tls: bool = False, section: str = ""
) -> AsyncGenerator[Lender]:
    home = Home(folder=folder / "strong")
    home.prepare()
    if tls:
        certificate(home.folder)
    home.settings.write_text(f'[models.main]\nuse = "script"\n{section}\n')
    house = House(home)
    house.models["main"] = model
    files = {"cert": "cert.pem", "key": "key.pem"} if tls else {}
    settings = PeersSettings.model_validate({**files, "listen": "127.0.0.1:0"})
    async with serve(house, settings) as address:
        mark = fingerprint(home.folder / "cert.pem") if tls else ""
        yield Lender(house, address, mark)


@asynccontextmanager
async def asking(folder: Path, settings: PeerSettings) -> AsyncGenerator[PeerModel]:
    """The model over there, lent to the part `big`."""
    async with context(folder, name="big") as lent, connect(settings, lent) as model:
        yield model


def prompt(text: str, *images: Blob, **more: Any) -> Prompt:
    return Prompt(lines=(Line(role="user", text=text, images=images),), **more)


async def said(model: PeerModel, asked: Prompt) -> tuple[str, Finish]:
    """The whole answer."""
    text = ""
    async with asyncio.timeout(20):
        async for delta in model.stream(asked):
            if isinstance(delta, Finish):
                return text, delta
            if isinstance(delta, TextDelta):
                text += delta.text
    raise AssertionError("an answer without an end")


def leaves(group: BaseException) -> list[BaseException]:
    """The errors in a group."""
    if isinstance(group, BaseExceptionGroup):
        return [leaf for inner in group.exceptions for leaf in leaves(inner)]
    return [group]


async def raw(lender: Lender, body: bytes, path: str = ASK) -> bytes:
    """What the node answers to these bytes as a question; its status where that is not 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", lender.port)
    state = H2Connection(H2Configuration(client_side=True))
    state.initiate_connection()
    head = [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "x")]
    state.send_headers(1, [*head, ("authorization", f"Bearer {lender.token}")])
    for place in range(0, len(body), 16_384):
        if place + 16_384 > state.local_flow_control_window(1):
            break
        state.send_data(1, body[place : place + 16_384])
    state.end_stream(1)
    writer.write(state.data_to_send())
    found = b""
    async with asyncio.timeout(20):
        while data := await reader.read(65_536):
            for event in state.receive_data(data):
                match event:
                    case ResponseReceived(headers=headers) if dict(headers)[b":status"] != b"200":
                        writer.close()
                        return dict(headers)[b":status"]
                    case DataReceived(data=more):
                        found += more
            if len(found) >= 4 and len(found) >= 4 + int.from_bytes(found[:4], "big"):
                break
    writer.close()
    return found
