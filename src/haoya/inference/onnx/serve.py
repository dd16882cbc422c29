# SPDX-License-Identifier: AGPL-3.0-or-later
"""HTTP over a Unix socket (or loopback): one thread for each connection (RFC 9112)."""

import queue
import secrets
import select
import socket
import socketserver
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import TypeVar, cast

import msgspec

from haoya.inference.onnx.desk import Desk
from haoya.inference.onnx.speech import Heard
from haoya.inference.onnx.wire import Answer, Call, Chat, Delta, Numbers, Refused, Text
from haoya.inference.onnx.work import Done, Step, Work

MOST_BYTES = 64 << 20
"""A request's body; a long context is a few of them."""
SLOW_SECONDS = 30
"""How long a body that was announced may take to come."""
LOOK_SECONDS = 0.1
"""How often a waiting thread looks whether its client is still there."""

Body = TypeVar("Body")


class Exchange(BaseHTTPRequestHandler):
    """One connection: requests and answers in turn."""

    protocol_version = "HTTP/1.1"
    server_version = "haoya-onnx"
    sys_version = ""
    _whole = True
    """Whether nothing of the request is left to be read."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: requests are nobody's business but the client's."""

    def do_GET(self) -> None:
        """Questions about the engine itself."""
        answers = {
            "/health": self._desk.health,
            "/props": self._desk.props,
            "/slots": self._desk.states,
            "/v1/models": self._desk.models,
        }
        self._answer(answers.get(self.path.partition("?")[0]))

    def do_POST(self) -> None:
        """Everything that has a body."""
        self._whole = False
        answers = {
            "/v1/chat/completions": self._chat,
            "/chat/completions": self._chat,
            "/apply-template": lambda: self._desk.prompt(self._body(Chat)),
            "/tokenize": lambda: self._desk.tokenize(self._body(Text)),
            "/detokenize": lambda: self._desk.detokenize(self._body(Numbers)),
            "/v1/embeddings": self._embed,
        }
        self._answer(answers.get(self.path.partition("?")[0]))

    @property
    def _desk(self) -> Desk:
        return cast("Door", self.server).desk

    def _answer(self, answer: Callable[[], bytes | None] | None) -> None:
        """Let `answer` speak and send what it returns; what it refuses is told."""
        try:
            try:
                if answer is None:
                    raise Refused(f"there is no {self.path}", status=404, kind="not_found_error")
                if (body := answer()) is not None:
                    self._send(200, body)
            except Refused as refused:
                if not self._whole:  # what is left of the body would be read as the next request
                    self.close_connection = True
                self._send(refused.status, refused.body)
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _body(self, kind: type[Body]) -> Body:
        """The request's body as `kind`; `Refused` where it is not."""
        told = self.headers.get("Content-Length", "")
        if not (told.isascii() and told.isdigit()):
            raise Refused("a body needs its Content-Length", status=411)
        if int(told[:12]) > MOST_BYTES:
            raise Refused(f"the body is over {MOST_BYTES} bytes", status=413)
        self.connection.settimeout(SLOW_SECONDS)
        data = self.rfile.read(int(told))
        self.connection.settimeout(None)
        if len(data) < int(told):
            raise ConnectionResetError("the body broke off")
        self._whole = True
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refused(f"the body cannot be read: {error}") from None
        except RecursionError:
            raise Refused("the body is nested too deep") from None

    def _embed(self) -> bytes:
        self._body(msgspec.Raw)
        raise Refused(
            "this model writes text, it makes no embeddings; use one made for them",
            status=501,
            kind="not_supported_error",
        )

    def _chat(self) -> bytes | None:
        chat = self._body(Chat)
        work = self._desk.ask(chat)
        answer = Answer(f"chatcmpl-{secrets.token_hex(12)}", self._desk.name)
        if chat.stream:
            self._stream(chat, answer, self._steps(work))
            return None
        text, thought, calls = "", "", list[Call]()
        for step in self._steps(work):
            match step:
                case Heard(kind="thought"):
                    thought += step.text
                case Heard():
                    text += step.text
                case Call():
                    calls.append(step)
                case Done():
                    return answer.whole(text, thought, calls, step.reason, step.timings)
        raise Refused("the answer broke off", status=500, kind="server_error")

    def _stream(self, chat: Chat, answer: Answer, steps: Iterator[Heard | Call | Done]) -> None:
        first = next(steps)  # what is refused at once is refused with a status
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self._event(answer.chunk(Delta(role="assistant")))
        try:
            self._tell(chat, answer, first)
            for step in steps:
                self._tell(chat, answer, step)
        except Refused as error:
            self._event(error.body)
        else:
            self._event(b"[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _tell(self, chat: Chat, answer: Answer, step: Heard | Call | Done) -> None:
        match step:
            case Heard(kind="thought"):
                self._event(answer.chunk(Delta(reasoning_content=step.text)))
            case Heard():
                self._event(answer.chunk(Delta(content=step.text)))
            case Call():
                call = {"index": step.index, **step.spoken}
                self._event(answer.chunk(Delta(tool_calls=(call,))))
            case Done():
                self._event(answer.chunk(None, reason=step.reason))
                options = chat.stream_options
                usage = options is not None and options.include_usage
                self._event(answer.last(step.timings, usage=usage))

    def _event(self, data: bytes) -> None:
        """One event of a stream, in a chunk of its own."""
        event = b"data: %s\n\n" % data
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))

    def _steps(self, work: Work) -> Iterator[Heard | Call | Done]:
        """What comes of a request, for as long as the client is there to hear it."""
        looked = time.monotonic()
        try:
            while True:
                step: Step | None = None
                with suppress(queue.Empty):
                    step = work.steps.get(timeout=LOOK_SECONDS)
                if time.monotonic() - looked > LOOK_SECONDS:
                    self._look()
                    looked = time.monotonic()
                if isinstance(step, Refused):
                    raise step
                if step is not None:
                    yield step
                if isinstance(step, Done):
                    return
        finally:
            work.cancelled.set()

    def _look(self) -> None:
        """Raise where the client has hung up."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        if readable and self.connection.recv(1, socket.MSG_PEEK) == b"":
            raise ConnectionAbortedError("the client has gone")


class Door(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Where connections come in: a free or given port of loopback."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int] | str, desk: Desk) -> None:
        self.desk = desk
        super().__init__(address, Exchange)  # pyright: ignore[reportArgumentType]


class UnixDoor(Door):
    """The same as a file."""

    address_family = socket.AF_UNIX
