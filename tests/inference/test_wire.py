# SPDX-License-Identifier: AGPL-3.0-or-later
"""HTTP over a Unix socket, with a peer that cuts its answer anywhere."""

import asyncio
import itertools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from haoya.core.errors import Unready
from haoya.inference.wire import request
from tests.runtime.waiting import run

BODY = "data: 你好 🌱\n\n".encode() * 3


@asynccontextmanager
async def peer(path: Path, *pieces: bytes) -> AsyncGenerator[list[bytes]]:
    """Answers every request with these pieces; yields what it heard."""
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    async with await asyncio.start_unix_server(answer, str(path)):
        yield heard


def chunked(body: bytes, *cuts: int) -> bytes:
    bounds = [0, *sorted(cuts), len(body)]
    parts = [body[a:b] for a, b in itertools.pairwise(bounds) if a != b]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


CUTS = st.lists(st.integers(0, len(BODY)), max_size=6)


@given(CUTS, CUTS)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_body_is_whole_however_it_is_cut(
    tmp_path: Path, chunks: list[int], writes: list[int]
) -> None:
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    sent = head + chunked(BODY, *chunks)
    bounds = [0, *sorted(min(cut * 3, len(sent)) for cut in writes), len(sent)]
    pieces = [sent[a:b] for a, b in itertools.pairwise(bounds)]

    async def body() -> None:
        there = str(tmp_path / "s")
        async with peer(tmp_path / "s", *pieces), request(there, "GET", "/x") as reply:
            assert (reply.status, reply.mime) == (200, "text/event-stream")
            assert await reply.body() == BODY

    run(body)


def test_a_body_with_a_length(tmp_path: Path) -> None:
    async def body() -> None:
        answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nsorry"
        asked = request(str(tmp_path / "s"), "POST", "/y?z=1", b"{}")
        async with peer(tmp_path / "s", answer) as heard, asked as reply:
            assert (reply.status, await reply.body()) == (404, b"sorry")
        assert heard[0].startswith(b"POST /y?z=1 HTTP/1.1\r\n")
        assert b"Content-Length: 2\r\n" in heard[0]

    run(body)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n",
    ],
    ids=["nothing", "half a head", "no head", "short body", "short chunk", "no chunk"],
)
def test_an_answer_that_breaks_off_is_unready(tmp_path: Path, answer: bytes) -> None:
    async def body() -> None:
        async with peer(tmp_path / "s", answer):
            with pytest.raises(Unready) as caught:
                async with request(str(tmp_path / "s"), "GET", "/") as reply:
                    await reply.body()
        assert caught.value.trouble == "broken" and caught.value.reached

    run(body)


def test_nobody_there_is_unready_and_nothing_was_sent(tmp_path: Path) -> None:
    async def body() -> None:
        with pytest.raises(Unready) as caught:
            async with request(str(tmp_path / "none"), "GET", "/"):
                pass
        assert caught.value.trouble == "unreachable" and not caught.value.reached

    run(body)
