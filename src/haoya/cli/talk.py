# SPDX-License-Identifier: AGPL-3.0-or-later
"""A conversation with the daemon over a line that may break: what was typed is kept by its id
and sent again until it is stored, and nothing is shown twice."""

import contextlib
import re
import threading
import time
import uuid
from collections import deque
from pathlib import Path

import msgspec

from haoya.cli.client import Client, fault, reach
from haoya.cli.words import say
from haoya.core.errors import ConfigError, Unready
from haoya.core.message import Button, Outbound, text_of

DOOR = "local"
"""The channel that this terminal is on; its messages are known as `local:ID`."""
AGAIN_SECONDS = 1.0
"""How long after the house said `Unready` a message is sent again."""
PIECE_SECONDS = 0.5
"""How long to wait for a further piece of an answer that came in several (id `…#0`)."""


class Stored(msgspec.Struct, frozen=True):
    """The house has this message for good."""

    id: str


class Heard(msgspec.Struct, frozen=True):
    """A line from the daemon, as far as a conversation cares."""

    stored: Stored | None = None
    outbound: Outbound | None = None
    error: dict[str, str] | None = None
    id: str | int | None = None


class Talk:
    """One room. `say` may be called from one thread while another one calls `hear`."""

    def __init__(self, home: Path, room: str) -> None:
        self.home = home
        self.room = room
        self.unstored: dict[str, str] = {}
        self.awaited: set[str] = set()
        self._shown: deque[str] = deque(maxlen=256)
        self._client: Client | None = None
        self._again = 0.0
        self._lock = threading.Lock()
        self._decoder = msgspec.json.Decoder(Heard)

    def connect(self) -> bool:
        """Open the line, watch the room, send what is not stored; false where no daemon runs."""
        client = reach(self.home)
        if client is None:
            return False
        with self._lock:
            try:
                client.write({"watch": {"room": self.room, "awaiting": [*self.awaited]}})
                for id, text in self.unstored.items():
                    client.write(self._saying(id, text))
            except Unready:
                client.close()
                return False
            self._client = client
        return True

    def close(self) -> None:
        """Hang up."""
        if self._client:
            self._client.close()

    def say(self, text: str) -> str:
        """Say it now, or as soon as the line is mended; the id of the message."""
        id = uuid.uuid4().hex
        with self._lock:
            self.unstored[id] = text
            self.awaited.add(id)
            if self._client:
                self._try(self._client, id, text)
        return id

    def hear(self, seconds: float) -> Outbound | None:
        """What was said next in the room; None where nothing was in time.

        Raises `Unready` where the line is broken (`connect` mends it) and `ConfigError` where
        the house refused a message.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            client = self._client
            if client is None:
                raise Unready(say("daemon.gone"))
            self._send_again(client)
            try:
                line = client.read(min(left, AGAIN_SECONDS))
            except Unready:
                self._client = None
                client.close()
                raise
            if line is not None and (outbound := self._take(self._decoder.decode(line))):
                return outbound
        return None

    def _take(self, heard: Heard) -> Outbound | None:
        if heard.stored:
            self.unstored.pop(heard.stored.id, None)
        elif heard.error:
            self._refused(heard.error, str(heard.id))
        elif (outbound := heard.outbound) and outbound.id not in self._shown:
            if outbound.finality != "draft":
                self._shown.append(outbound.id)
                with self._lock:
                    self.awaited.difference_update(outbound.answers)
            return outbound
        return None

    def _refused(self, error: dict[str, str], id: str) -> None:
        reason = fault(error)
        if isinstance(reason, ConfigError):
            with self._lock:
                self.unstored.pop(id, None)
                self.awaited.discard(id)
            raise reason
        self._again = time.monotonic() + AGAIN_SECONDS

    def _send_again(self, client: Client) -> None:
        if self._again and time.monotonic() >= self._again:
            self._again = 0.0
            with self._lock:
                for id, text in self.unstored.items():
                    self._try(client, id, text)

    def _try(self, client: Client, id: str, text: str) -> None:
        """Send where the line still holds. Where it does not, what the daemon said before it
        went is still to be read: `hear` reads on to the end and tells of it there."""
        with contextlib.suppress(Unready):
            client.write(self._saying(id, text))

    def _saying(self, id: str, text: str) -> object:
        return {"say": {"text": text, "room": self.room, "id": id}}


def words_of(outbound: Outbound) -> str:
    """A message for a terminal; a button shows what to type for it."""
    buttons = [part for part in outbound.parts if isinstance(part, Button)]
    others = tuple(part for part in outbound.parts if not isinstance(part, Button))
    choices = "  ".join(f"[{one.label}: {_typed(one.value)}]" for one in buttons)
    return "\n".join(text for text in (text_of(others), choices) if text)


def _typed(value: str) -> str:
    """What to type for a button; which question it is for need not be typed."""
    word, _, digest = value.partition(" ")
    return word if re.fullmatch("[0-9a-f]{12}", digest) else value


def in_pieces(outbound: Outbound) -> bool:
    """Whether this is one piece of several, so that more may follow."""
    return "#" in outbound.id
