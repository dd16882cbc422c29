# SPDX-License-Identifier: AGPL-3.0-or-later
"""Chat Completions, checked as OpenAI checks it (API reference, "Create chat completion")."""

from collections.abc import Sequence

import msgspec

from tests.servers.rote import Answer, Message, Piece
from tests.servers.strict.asked import Asked, Strict, a_schema, called, demand, pair_up, picture
from tests.servers.strict.life import Faults, event, pieces

_PREFIX = "data:image/png;base64,"


class _Url(Strict):
    url: str


class _Piece(Strict):
    type: str
    text: str | None = None
    image_url: _Url | None = None


class _Function(Strict):
    name: str
    arguments: str


class _Call(Strict):
    id: str
    type: str
    function: _Function


class _Message(Strict):
    role: str
    content: str | list[_Piece] | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None


class _Offer(Strict):
    name: str
    description: str
    parameters: msgspec.Raw


class _Tool(Strict):
    type: str
    function: _Offer


class _Named(Strict):
    name: str


class _Choice(Strict):
    type: str
    function: _Named


class _Schema(Strict):
    name: str
    schema: msgspec.Raw
    strict: bool = False


class _Format(Strict):
    type: str
    json_schema: _Schema | None = None


class _Options(Strict):
    include_usage: bool


class _Request(Strict):
    model: str
    messages: list[_Message]
    tools: list[_Tool] | None = None
    tool_choice: str | _Choice | None = None
    response_format: _Format | None = None
    stream: bool = False
    stream_options: _Options | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: list[str] | None = None
    reasoning_effort: str | None = None
    prompt_cache_key: str | None = None


class _Embed(Strict):
    model: str
    input: list[str]
    encoding_format: str = "float"


class Chat:
    """The dialect."""

    name = "openai"
    path = "/v1/chat/completions"
    listing = "/v1/models"
    embedding = "/v1/embeddings"
    mime = "text/event-stream"
    models = ("m", "large")

    def __init__(self) -> None:
        self.made = 0

    def allowed(self, headers: dict[str, str], key: str) -> bool:
        return not key or headers.get("authorization") == f"Bearer {key}"

    def asked(self, body: bytes) -> Asked:
        request = msgspec.json.decode(body, type=_Request)
        demand(request.messages, "messages must not be empty")
        messages = [_read(message) for message in request.messages]
        pair_up(messages, [m.tool_call_id or "" for m in request.messages if m.role == "tool"])
        for tool in request.tools or ():
            a_schema(tool.function.parameters)
        format = request.response_format
        if format is not None:
            demand(format.type == "json_schema" and format.json_schema, "no such response_format")
        choice = request.tool_choice or "auto"
        demand(request.tools or choice == "auto", "tool_choice without tools")
        return Asked(
            model=request.model,
            messages=messages,
            tools=[tool.function.name for tool in request.tools or ()],
            choice=choice if isinstance(choice, str) else choice.function.name,
            schema=format is not None,
            stream=request.stream,
            usage=bool(request.stream_options and request.stream_options.include_usage),
            max_tokens=request.max_tokens or request.max_completion_tokens,
        )

    def events(self, asked: Asked, said: Answer, faults: Faults) -> Sequence[bytes]:
        head = {
            "id": "chatcmpl-7",
            "object": "chat.completion.chunk",
            "created": 1_767_225_600,
            "model": asked.model,
            "system_fingerprint": "fp_1",
        }

        def chunk(delta: object, reason: str | None = None) -> bytes:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
            return event({**head, "choices": [choice], "usage": None})

        found = [chunk({"role": "assistant", "content": "", "refusal": None})]
        found += [chunk({"reasoning_content": one}) for one in pieces(faults.thoughts, 5)]
        found += [chunk({"content": one}) for one in pieces(said.text, 4)]
        for index, function in enumerate(said.calls):
            self.made += 1
            start = {"name": function.name, "arguments": ""}
            call = {"index": index, "id": f"call_{self.made}", "type": "function"}
            found.append(chunk({"tool_calls": [{**call, "function": start}]}))
            for one in pieces(function.arguments, faults.split):
                more = {"index": index, "function": {"arguments": one}}
                found.append(chunk({"tool_calls": [more]}))
        found.append(chunk({}, said.reason))
        if asked.usage:
            found.append(event({**head, "choices": [], "usage": _usage(said)}))
        return [*found, b"data: [DONE]\n\n"]

    def whole(self, asked: Asked, said: Answer, faults: Faults) -> bytes:
        message = {"role": "assistant", "content": said.text or None}
        choice = {"index": 0, "message": message, "finish_reason": said.reason}
        return msgspec.json.encode(
            {
                "id": "chatcmpl-7",
                "object": "chat.completion",
                "model": asked.model,
                "choices": [choice],
                "usage": _usage(said),
            }
        )

    def error(self, status: int, words: str) -> bytes:
        codes = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
        error = {"message": words, "type": "invalid_request_error", "param": None}
        return msgspec.json.encode({"error": {**error, "code": codes.get(status)}})

    def failing(self) -> bytes:
        error = {"message": "The server is overloaded", "type": "overloaded_error", "code": 503}
        return event({"error": error})

    def listed(self) -> bytes:
        data = [{"id": name, "object": "model"} for name in self.models]
        return msgspec.json.encode({"object": "list", "data": data})

    def embedded(self, body: bytes) -> bytes:
        request = msgspec.json.decode(body, type=_Embed)
        demand(request.input and all(request.input), "input must not be empty")
        data = [
            {"object": "embedding", "index": i, "embedding": [float(len(text)), 0.5]}
            for i, text in enumerate(request.input)
        ]
        count = sum(len(text) for text in request.input)
        usage = {"prompt_tokens": count, "total_tokens": count}
        found = {"object": "list", "data": data[::-1], "model": request.model, "usage": usage}
        return msgspec.json.encode(found)


def _read(message: _Message) -> Message:
    demand(message.role in ("system", "developer", "user", "assistant", "tool"), "no such role")
    demand(message.role != "tool" or message.tool_call_id, "a tool line without tool_call_id")
    content = message.content
    if isinstance(content, list):
        content = [_seen(piece) for piece in content]
    calls = [
        called(call.id, call.function.name, call.function.arguments)
        for call in message.tool_calls or ()
    ]
    return Message(message.role, content, calls or None)


def _seen(piece: _Piece) -> Piece:
    if piece.type == "text":
        demand(piece.text, "an empty text")
        return Piece("text", piece.text or "")
    demand(piece.type == "image_url" and piece.image_url, f"no such part: {piece.type}")
    url = piece.image_url.url if piece.image_url else ""
    demand(url.startswith(_PREFIX), "no data URL of a picture")
    return picture(url.removeprefix(_PREFIX))


def _usage(said: Answer) -> dict[str, object]:
    return {
        "prompt_tokens": said.prompt,
        "completion_tokens": said.completion,
        "total_tokens": said.prompt + said.completion,
        "prompt_tokens_details": {"cached_tokens": 2, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
