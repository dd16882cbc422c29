# SPDX-License-Identifier: AGPL-3.0-or-later
"""One connection between two nodes: what each end does when the other is silent or slow."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from haoya.core.errors import Unready
from haoya.models.peer.link import STREAM_WINDOW, STREAMS, Link, Stream
from tests.runtime.waiting import run, until

HEAD = {":method": "POST", ":path": "/", ":scheme": "http", ":authority": "x"}


@asynccontextmanager
async def pair(asked: Callable[[Stream], None], **more: Any) -> AsyncGenerator[tuple[Link, Link]]:
    """A client and a server over a pair of sockets; `more` is for the server."""
    ours, theirs = socket.socketpair()
    client = Link(*await asyncio.open_connection(sock=ours))
    server = Link(*await asyncio.open_connection(sock=theirs), asked, **more)

    async def live(link: Link) -> None:
        with pytest.raises(Unready):
            await link.run()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(live(client))
        tasks.create_task(live(server))
        try:
            yield client, server
        finally:
            client.close("done")


def test_a_side_without_a_sign_of_life_is_given_up() -> None:
    async def body() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            link = Link(*await asyncio.open_connection(sock=ours), ping_seconds=0.05)
            stream = link.ask(HEAD, "x")
            with pytest.raises(Unready, match="no sign of life") as told:
                await link.run()
            assert told.value.trouble == "unreachable"
            with pytest.raises(Unready, match="no sign of life"):
                await stream.receive()
            with pytest.raises(Unready, match="no sign of life"):
                link.ask(HEAD, "x")

    run(body)


def test_a_quiet_side_that_answers_pings_is_kept() -> None:
    async def body() -> None:
        streams: list[Stream] = []
        async with pair(streams.append, ping_seconds=0.01) as (client, server):
            for _ in range(20):
                await asyncio.sleep(0.01)
            await client.ask(HEAD, "x").send(b"still here", end=True)
            await until(lambda: streams)
            assert await streams[0].receive() == b"still here"
            assert not server.gone

    run(body)


def test_whoever_takes_nothing_is_waited_for_only_so_long() -> None:
    async def body() -> None:
        streams: list[Stream] = []
        async with pair(streams.append, stall_seconds=0.1) as (client, _):
            client.ask(HEAD, "x", end=True)
            await until(lambda: streams)
            streams[0].answer(200)
            with pytest.raises(Unready, match="took nothing") as told:
                await streams[0].send(b"x" * (2 * STREAM_WINDOW))
            assert told.value.trouble == "timeout"

    run(body)


def test_more_than_fits_waits_until_it_is_taken() -> None:
    async def body() -> None:
        streams: list[Stream] = []
        async with pair(streams.append) as (client, _):
            asking = client.ask(HEAD, "x", end=True)
            await until(lambda: streams)
            streams[0].answer(200)
            sent = bytes(range(256)) * 4096  # a MiB

            async def take() -> bytes:
                found = b""
                while data := await asking.receive():
                    found += data
                return found

            async with asyncio.TaskGroup() as tasks:
                taking = tasks.create_task(take())
                await streams[0].send(sent, end=True)
            assert taking.result() == sent

    run(body)


def test_streams_that_were_left_give_their_room_back() -> None:
    """Many half-taken answers on one connection, more bytes than its window in all."""

    async def body() -> None:
        streams: list[Stream] = []
        async with pair(streams.append) as (client, _):
            for number in range(3 * STREAMS):
                asking = client.ask(HEAD, "x", end=True)
                await until(lambda wanted=number: len(streams) > wanted)
                streams[-1].answer(200)
                await streams[-1].send(b"x" * STREAM_WINDOW)
                assert await asking.receive()
                left = asyncio.Event()
                streams[-1].on_gone = left.set
                asking.leave()
                await left.wait()
                streams[-1].leave()

    run(body)
