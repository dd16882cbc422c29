# SPDX-License-Identifier: AGPL-3.0-or-later
"""A model server that answers in no time: one canned completion, whole or streamed.

    python -m zero

prints `{"port": N}` when it listens. Written on a bare protocol, so that on shared cores next to
nothing of what is measured is its own: about 0.02 ms of CPU a request.
"""

import asyncio
import json

WORDS = 20
HEAD = {"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": 1, "model": "zero"}


def whole() -> bytes:
    text = "word " * WORDS
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 9, "completion_tokens": WORDS, "total_tokens": 9 + WORDS}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {**HEAD, "object": "chat.completion"}
    body = json.dumps({**head, "choices": [choice], "usage": usage}).encode()
    length = b"Content-Length: %d\r\n\r\n" % len(body)
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + length + body


def streamed() -> list[bytes]:
    """The head, then a chunk for each word, as a server writes them."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    pieces = [head]
    for number in range(WORDS + 1):
        delta = {"content": "word "} if number < WORDS else {}
        choice = {"index": 0, "delta": delta, "finish_reason": None if delta else "stop"}
        event = b"data: " + json.dumps({**HEAD, "choices": [choice]}).encode() + b"\n\n"
        pieces.append(b"%x\r\n%b\r\n" % (len(event), event))
    done = b"data: [DONE]\n\n"
    pieces.append(b"%x\r\n%b\r\n0\r\n\r\n" % (len(done), done))
    return pieces


class Zero(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.heard = b""

    def data_received(self, data: bytes) -> None:
        self.heard += data
        while (end := self.heard.find(b"\r\n\r\n")) >= 0:
            head = self.heard[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.heard) < end + 4 + size:
                return
            body = self.heard[end + 4 : end + 4 + size]
            self.heard = self.heard[end + 4 + size :]
            if b'"stream":true' in body.replace(b" ", b""):
                for piece in STREAMED:
                    self.transport.write(piece)
            else:
                self.transport.write(WHOLE)


WHOLE, STREAMED = whole(), streamed()


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Zero, "127.0.0.1", 0, backlog=1024)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
