# SPDX-License-Identifier: AGPL-3.0-or-later
"""A model server that speaks OpenAI's Chat Completions and thinks by rote.

    python -m tests.servers.openai --port 0 [--delay 0] [--key K] [--models a,b] [--context N]

prints `{"port": N}` when it listens. The answer follows from the last user line alone:

    tool NAME {json}               a call; once its result is there: `done: <result>`
    tools A {json} ; B {json}      two calls at once; the results are joined by ` ; `
    forever NAME {json}            a call after every result, never an answer
    obey NAME {json}               a call; then every call that its result orders, as a fooled model
    long N                         N words
    anything else                  `heard: <text>`

A prefix before the first word (a name, a time) is allowed; one with a `#tag` in it ends the
answer with that tag, so that each answer can be told from all others. JSON that is none is
passed on as it is. `POST /control` changes the behaviour (fields of `Control`;
`{"reset": true}` undoes all), `GET /control/requests` returns `{"count", "requests"}`, the
newest bodies last.

Written on raw streams because benchmarks run against it: a request costs about 0.2 ms.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import time
from collections import deque

import msgspec

from tests.servers.rote import Answer, Body, answer

KEPT_REQUESTS = 200


class Fail(msgspec.Struct):
    """The next `times` answers have this status; `retry_after` becomes the header."""

    status: int
    times: int = 1
    body: str | None = None
    retry_after: str = ""


class Control(msgspec.Struct):
    """How to misbehave. Delays are in seconds. A death or a hang happens `..._times` times."""

    fail: Fail | None = None
    die_after_chunks: int | None = None
    die_times: int = 1
    hang: float = 0
    hang_times: int = 1
    first_delay: float = 0
    chunk_delay: float = 0
    chunk_words: int = 2
    chunk_letters: int = 0
    """If above 0, words come in pieces of so many letters."""
    models: list[str] = []
    context: int = 0
    done: bool = True
    """Whether a stream ends with `data: [DONE]`."""


class Server:
    """One server: its key, its behaviour, what it was asked."""

    def __init__(self, key: str, control: Control) -> None:
        self.key = key
        self.usual = msgspec.json.encode(control)
        self.control = control
        self.requests: deque[bytes] = deque(maxlen=KEPT_REQUESTS)
        self.count = 0
        self.made = 0
        self.seed = os.urandom(4).hex()
        self.decoder = msgspec.json.Decoder(Body)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self.request(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; whether the connection may take another."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, _, rest = head.partition("\r\n")
        method, path, _ = line.split(" ", 2)
        headers = dict(_header(field) for field in rest.splitlines() if field)
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if path.startswith("/control"):
            self.controlled(method, path, body, writer)
        elif self.key and headers.get("authorization") != f"Bearer {self.key}":
            words = "Incorrect API key provided."
            _reply(writer, 401, _error(words, "invalid_api_key"))
        elif (method, path) == ("GET", "/v1/models"):
            names = self.control.models or ["stand-in"]
            data = [{"id": name, "object": "model", "owned_by": "tests"} for name in names]
            _reply(writer, 200, msgspec.json.encode({"object": "list", "data": data}))
        elif (method, path) == ("POST", "/v1/chat/completions"):
            return await self.completions(body, writer)
        else:
            _reply(writer, 404, _error(f"no such path: {path}", "not_found"))
        return True

    def controlled(self, method: str, path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        if method == "POST":
            changes = json.loads(body)
            if changes.pop("reset", False):
                self.control = msgspec.json.decode(self.usual, type=Control)
                self.requests.clear()
                self.count = 0
            merged = {**msgspec.to_builtins(self.control), **changes}
            self.control = msgspec.convert(merged, Control)
        if path == "/control/requests":
            listed = b",".join(self.requests)
            _reply(writer, 200, b'{"count":%d,"requests":[%b]}' % (self.count, listed))
        else:
            _reply(writer, 200, msgspec.json.encode(self.control))

    async def completions(self, raw: bytes, writer: asyncio.StreamWriter) -> bool:
        self.count += 1
        self.requests.append(raw)
        control = self.control
        if control.hang and control.hang_times > 0:
            control.hang_times -= 1
            await asyncio.sleep(control.hang)
        if control.first_delay:
            await asyncio.sleep(control.first_delay)
        if control.fail and control.fail.times > 0:
            control.fail.times -= 1
            text = control.fail.body
            told = _error("told to fail", "server_error") if text is None else text.encode()
            _reply(writer, control.fail.status, told, retry_after=control.fail.retry_after)
            return True
        try:
            body = self.decoder.decode(raw)
        except msgspec.DecodeError as e:
            _reply(writer, 400, _error(str(e), "invalid_request_error"))
            return True
        if control.models and body.model not in control.models:
            words = f"The model `{body.model}` does not exist"
            _reply(writer, 404, _error(words, "model_not_found"))
            return True
        said = answer(body)
        if control.context and said.prompt > control.context:
            words = f"maximum context length is {control.context} tokens, got {said.prompt}"
            _reply(writer, 400, _error(words, "context_length_exceeded"))
            return True
        if not body.stream:
            _reply(writer, 200, self.whole(body.model, said))
            return True
        return await self.streamed(body, said, writer)

    def named(self, said: Answer) -> list[dict[str, object]]:
        calls: list[dict[str, object]] = []
        for call in said.calls:
            self.made += 1
            function = {"name": call.name, "arguments": call.arguments}
            id = f"call_{self.seed}_{self.made}"
            calls.append({"id": id, "type": "function", "function": function})
        return calls

    def whole(self, model: str, said: Answer) -> bytes:
        message: dict[str, object] = {"role": "assistant", "content": said.text or None}
        if said.calls:
            message["tool_calls"] = self.named(said)
        choice = {"index": 0, "message": message, "finish_reason": said.reason}
        return msgspec.json.encode(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": model,
                "choices": [choice],
                "usage": _usage(said),
            }
        )

    def deltas(self, said: Answer) -> list[dict[str, object]]:
        """The steps of a streamed answer; a call's name comes first, its arguments in halves."""
        steps: list[dict[str, object]] = [{"role": "assistant", "content": ""}]
        letters = self.control.chunk_letters
        words = re.findall(r"(?s)." if letters else r"\S*\s*", said.text)
        size = letters or max(1, self.control.chunk_words)
        for i in range(0, len(words), size):
            if piece := "".join(words[i : i + size]):
                steps.append({"content": piece})
        for index, call in enumerate(self.named(said)):
            text = said.calls[index].arguments
            name = {"name": said.calls[index].name, "arguments": ""}
            steps.append({"tool_calls": [{"index": index, **call, "function": name}]})
            for half in (text[: len(text) // 2], text[len(text) // 2 :]):
                steps.append({"tool_calls": [{"index": index, "function": {"arguments": half}}]})
        return steps

    async def streamed(self, body: Body, said: Answer, writer: asyncio.StreamWriter) -> bool:
        control = self.control
        head: dict[str, object] = {
            "id": "chatcmpl-1",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": body.model,
        }
        chunks = [_event(head, delta) for delta in self.deltas(said)]
        chunks.append(_event(head, {}, said.reason))
        if body.stream_options and body.stream_options.include_usage:
            last = {**head, "choices": [], "usage": _usage(said)}
            chunks.append(b"data: " + msgspec.json.encode(last) + b"\n\n")
        if control.done:
            chunks.append(b"data: [DONE]\n\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        dies = control.die_after_chunks if control.die_times > 0 else None
        if dies is not None:
            control.die_times -= 1
            chunks = chunks[:dies]
        if control.chunk_delay:
            for chunk in chunks:
                writer.write(_framed(chunk))
                await writer.drain()
                await asyncio.sleep(control.chunk_delay)
        elif chunks:
            writer.write(_framed(b"".join(chunks)))
        if dies is not None:
            await writer.drain()
            return False
        writer.write(b"0\r\n\r\n")
        return True


def _event(head: dict[str, object], delta: dict[str, object], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: " + msgspec.json.encode({**head, "choices": [choice]}) + b"\n\n"


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _usage(said: Answer) -> dict[str, int]:
    total = said.prompt + said.completion
    return {
        "prompt_tokens": said.prompt,
        "completion_tokens": said.completion,
        "total_tokens": total,
    }


def _header(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip()


def _error(words: str, code: str) -> bytes:
    error = {"message": words, "type": "invalid_request_error", "param": None, "code": code}
    return msgspec.json.encode({"error": error})


def _reply(writer: asyncio.StreamWriter, status: int, body: bytes, retry_after: str = "") -> None:
    extra = f"Retry-After: {retry_after}\r\n" if retry_after else ""
    head = f"HTTP/1.1 {status} .\r\nContent-Type: application/json\r\n{extra}"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


async def serve(port: int, server: Server) -> None:
    """Listen on loopback and say where."""
    listening = await asyncio.start_server(server.connected, "127.0.0.1", port, backlog=1024)
    print(json.dumps({"port": listening.sockets[0].getsockname()[1]}), flush=True)
    async with listening:
        await listening.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0, help="seconds before each chunk")
    parser.add_argument("--key", default="")
    parser.add_argument("--models", default="", help="the only ones known, comma separated")
    parser.add_argument("--context", type=int, default=0, help="tokens a prompt may have")
    given = parser.parse_args()
    control = Control(
        chunk_delay=given.delay,
        models=[name for name in given.models.split(",") if name],
        context=given.context,
    )
    asyncio.run(serve(given.port, Server(given.key, control)))


if __name__ == "__main__":
    main()
