# SPDX-License-Identifier: AGPL-3.0-or-later
"""A load generator that costs little: kept connections, each asks again once it is answered.

    python -m load --at-once 16 --requests 2000 [--stream] -- PORT TOKEN MODEL

prints one line of JSON: the milliseconds of every answer, the seconds of all, its own CPU. A bare
protocol as well: about 0.03 ms of CPU a request. It looks for the end of an answer, not into it.
"""

import argparse
import asyncio
import json
import time


class Asking(asyncio.Protocol):
    """One connection; its next request goes out as soon as the last answer is there."""

    def __init__(self, request: bytes, shared: "Shared") -> None:
        self.request = request
        self.shared = shared
        self.heard = bytearray()
        self.size = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        if self.shared.left == 0:
            self.transport.close()
            self.shared.gone()
            return
        self.shared.left -= 1
        self.heard.clear()
        self.size = -1
        self.began = time.perf_counter()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.heard += data
        if self.size < 0:
            end = self.heard.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self.heard[:end]).lower()
            if not head.startswith(b"http/1.1 200"):
                self.shared.fail(bytes(self.heard[:500]))
                return
            at = head.find(b"content-length:")
            self.size = end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        over = len(self.heard) >= self.size if self.size else self.heard.endswith(b"0\r\n\r\n")
        if over:
            self.shared.times.append((time.perf_counter() - self.began) * 1000)
            self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.shared.left:
            self.shared.fail(b"the connection was lost")


class Shared:
    """What the connections count together."""

    def __init__(self, requests: int, at_once: int) -> None:
        self.left = requests
        self.open = at_once
        self.times: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def gone(self) -> None:
        self.open -= 1
        if not self.open and not self.done.done():
            self.done.set_result(None)

    def fail(self, said: bytes) -> None:
        if not self.done.done():
            self.done.set_exception(RuntimeError(said.decode("utf-8", "replace")))


def request_of(port: int, token: str, model: str, *, stream: bool) -> bytes:
    words = {"role": "user", "content": "How many roads must a man walk down?"}
    body = json.dumps({"model": model, "messages": [words], "stream": stream}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def run(given: argparse.Namespace) -> None:
    request = request_of(given.port, given.token, given.model, stream=given.stream)
    shared = Shared(given.requests, given.at_once)
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    for _ in range(given.at_once):
        await loop.create_connection(lambda: Asking(request, shared), "127.0.0.1", given.port)
    async with asyncio.timeout(300):
        await shared.done
    seconds = time.perf_counter() - began
    print(json.dumps({"ms": shared.times, "seconds": seconds, "cpu": time.process_time()}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("token")
    parser.add_argument("model")
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--stream", action="store_true")
    asyncio.run(run(parser.parse_args()))
