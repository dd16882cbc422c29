# SPDX-License-Identifier: AGPL-3.0-or-later
"""Ollama's own API, its fields as its reference names them ("Generate a chat message")."""

from collections.abc import Sequence

import msgspec

from tests.servers.rote import Answer, Message, Piece
from tests.servers.strict.asked import Asked, Strict, a_schema, called, demand, pair_up, picture
from tests.servers.strict.life import Faults, pieces


class _Function(Strict):
    name: str
    arguments: dict[str, object]


class _Call(Strict):
    function: _Function
    id: str = ""


class _Message(Strict):
    role: str
    content: str = ""
    thinking: str = ""
    images: list[str] | None = None
    tool_calls: list[_Call] | None = None
    tool_name: str = ""
    tool_call_id: str = ""


class _Offer(Strict):
    name: str
    description: str
    parameters: msgspec.Raw


class _Tool(Strict):
    type: str
    function: _Offer


class _Options(Strict):
    num_ctx: int = 4096
    num_predict: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: list[str] | None = None


class _Request(Strict):
    model: str
    messages: list[_Message]
    tools: list[_Tool] | None = None
    format: msgspec.Raw = msgspec.Raw(b"")
    stream: bool = True
    think: bool | str | None = None
    keep_alive: str | int | None = None
    options: _Options | None = None


class _Embed(Strict):
    model: str
    input: list[str]
    keep_alive: str | int | None = None


class Ollama:
    """The dialect."""

    name = "ollama"
    path = "/api/chat"
    listing = "/api/tags"
    embedding = "/api/embed"
    mime = "application/x-ndjson"
    models = ("m", "large")

    def allowed(self, headers: dict[str, str], key: str) -> bool:
        return not key or headers.get("authorization") == f"Bearer {key}"

    def asked(self, body: bytes) -> Asked:
        request = msgspec.json.decode(body, type=_Request)
        messages = [_read(message) for message in request.messages]
        pair_up(messages, [m.tool_call_id for m in request.messages if m.role == "tool"])
        for tool in request.tools or ():
            a_schema(tool.function.parameters)
        if bytes(request.format):
            a_schema(request.format)
        return Asked(
            model=request.model,
            messages=messages,
            tools=[tool.function.name for tool in request.tools or ()],
            schema=bool(bytes(request.format)),
            stream=request.stream,
            max_tokens=request.options.num_predict if request.options else None,
        )

    def events(self, asked: Asked, said: Answer, faults: Faults) -> Sequence[bytes]:
        head = {"model": asked.model, "created_at": "2026-01-01T00:00:00.000000Z"}

        def line(message: dict[str, object], **more: object) -> bytes:
            whole = {**head, "message": {"role": "assistant", "content": "", **message}}
            return msgspec.json.encode({**whole, "done": False, **more}) + b"\n"

        found = [line({"thinking": one}) for one in pieces(faults.thoughts, 5)]
        found += [line({"content": one}) for one in pieces(said.text, 4)]
        for index, function in enumerate(said.calls):
            raw = msgspec.Raw(function.arguments.encode())
            call = {"index": index, "name": function.name, "arguments": raw}
            found.append(line({"tool_calls": [{"function": call}]}))
        counts = {
            "total_duration": 5_000_000,
            "load_duration": 1_000_000,
            "prompt_eval_count": said.prompt,
            "prompt_eval_duration": 1_000_000,
            "eval_count": said.completion,
            "eval_duration": 3_000_000,
        }
        reason = "length" if said.cut else "stop"
        return [*found, line({}, done=True, done_reason=reason, **counts)]

    def whole(self, asked: Asked, said: Answer, faults: Faults) -> bytes:
        message = {"role": "assistant", "content": said.text}
        whole = {"model": asked.model, "message": message, "done": True, "done_reason": "stop"}
        return msgspec.json.encode(whole)

    def error(self, status: int, words: str) -> bytes:
        return msgspec.json.encode({"error": words})

    def failing(self) -> bytes:
        return b'{"error":"llama runner process no longer running: signal: killed"}\n'

    def listed(self) -> bytes:
        models = [{"name": name, "model": name, "size": 1} for name in self.models]
        return msgspec.json.encode({"models": models})

    def embedded(self, body: bytes) -> bytes:
        request = msgspec.json.decode(body, type=_Embed)
        demand(all(request.input), "input must not be empty")
        vectors = [[float(len(text)), 0.5] for text in request.input]
        count = sum(len(text) for text in request.input)
        found = {"model": request.model, "embeddings": vectors, "prompt_eval_count": count}
        return msgspec.json.encode(found)


def _read(message: _Message) -> Message:
    demand(message.role in ("system", "user", "assistant", "tool"), "no such role")
    demand(message.role != "tool" or message.tool_name, "a tool line without tool_name")
    calls = [
        called(call.id, call.function.name, msgspec.json.encode(call.function.arguments).decode())
        for call in message.tool_calls or ()
    ]
    inner = [Piece("text", message.content)] + [picture(data) for data in message.images or ()]
    return Message(message.role, inner, calls or None)
