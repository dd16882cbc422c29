# SPDX-License-Identifier: AGPL-3.0-or-later
"""Answers looked through for secrets, piece by piece."""

import zlib
from collections.abc import AsyncIterator, Callable

import httpx2

from haoya.policy.leaks import Screen

PLAIN_BYTES = 1024 * 1024
"""The most that is unpacked at a time for being looked at."""


class Screened(httpx2.AsyncByteStream):
    """The body of an answer, broken off with `ReadError` where a secret shows.

    What is compressed (gzip, deflate) is looked at unpacked; nothing is changed on the way.
    """

    def __init__(
        self,
        stream: httpx2.AsyncByteStream,
        screen: Screen,
        encoding: str,
        told: Callable[[frozenset[str]], None],
    ) -> None:
        self._stream, self._screen, self._told = stream, screen, told
        self._unpack = zlib.decompressobj(47) if encoding in ("gzip", "x-gzip", "deflate") else None
        self._tail = b""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            for plain in self._unpacked(piece):
                self._look(plain)
            yield piece

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._stream.aclose()

    def _unpacked(self, piece: bytes) -> list[bytes]:
        if self._unpack is None:
            return [piece]
        found: list[bytes] = []
        try:
            while piece:
                found.append(self._unpack.decompress(piece, PLAIN_BYTES))
                piece = self._unpack.unconsumed_tail
        except zlib.error:  # whoever reads the answer will say that it is broken
            self._unpack = None
        return found

    def _look(self, plain: bytes) -> None:
        window = self._tail + plain
        if names := self._screen.find(window):
            self._told(names)
            raise httpx2.ReadError("the answer holds a secret of the owner's and is withheld")
        self._tail = window[-self._screen.reach :]
