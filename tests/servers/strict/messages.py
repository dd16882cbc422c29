# SPDX-License-Identifier: AGPL-3.0-or-later
"""The Messages API, checked as Anthropic checks it (API reference, "Create a Message")."""

import re
from collections.abc import Sequence

import msgspec

from tests.servers.rote import Answer, Message, Piece
from tests.servers.strict.asked import Asked, Strict, a_schema, called, demand, picture
from tests.servers.strict.life import Faults, event, pieces

SIGNED = "EqQB-signed"
"""What signatures begin with; only thoughts of this server's are taken back."""
_ID = re.compile(r"[a-zA-Z0-9_-]+")
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class _Mark(Strict):
    type: str


class _Source(Strict, tag_field="type", tag="base64"):
    media_type: str
    data: str


class _Text(Strict, tag_field="type", tag="text"):
    text: str
    cache_control: _Mark | None = None


class _Image(Strict, tag_field="type", tag="image"):
    source: _Source
    cache_control: _Mark | None = None


class _Use(Strict, tag_field="type", tag="tool_use"):
    id: str
    name: str
    input: dict[str, object]
    cache_control: _Mark | None = None


class _Result(Strict, tag_field="type", tag="tool_result"):
    tool_use_id: str
    content: str
    is_error: bool = False
    cache_control: _Mark | None = None


class _Thought(Strict, tag_field="type", tag="thinking"):
    thinking: str
    signature: str


class _Redacted(Strict, tag_field="type", tag="redacted_thinking"):
    data: str


_Block = _Text | _Image | _Use | _Result | _Thought | _Redacted


class _Message(Strict):
    role: str
    content: str | list[_Block]


class _Tool(Strict):
    name: str
    description: str
    input_schema: msgspec.Raw
    cache_control: _Mark | None = None


class _Choice(Strict):
    type: str
    name: str = ""


class _Thinking(Strict):
    type: str
    budget_tokens: int = 0


class _Format(Strict, tag_field="type", tag="json_schema"):
    schema: msgspec.Raw


class _Output(Strict):
    effort: str = ""
    format: _Format | None = None


class _Request(Strict):
    model: str
    max_tokens: int
    messages: list[_Message]
    system: str | list[_Text] = ""
    tools: list[_Tool] | None = None
    tool_choice: _Choice | None = None
    thinking: _Thinking | None = None
    output_config: _Output | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: list[str] | None = None
    stream: bool = False


class Messages:
    """The dialect."""

    name = "anthropic"
    path = "/v1/messages"
    listing = "/v1/models"
    embedding = ""
    mime = "text/event-stream; charset=utf-8"
    models = ("m", "large", "claude-3-small", "claude-sonnet-4-5", "claude-new")

    def __init__(self) -> None:
        self.made = 0

    def allowed(self, headers: dict[str, str], key: str) -> bool:
        version = headers.get("anthropic-version") == "2023-06-01"
        return version and (not key or headers.get("x-api-key") == key)

    def asked(self, body: bytes) -> Asked:
        request = msgspec.json.decode(body, type=_Request)
        system = request.system
        text = system if isinstance(system, str) else "\n".join(part.text for part in system)
        messages = [Message("system", text)] if text else []
        messages += _conversation(request)
        for tool in request.tools or ():
            a_schema(tool.input_schema)
        names = [tool.name for tool in request.tools or ()]
        choice = request.tool_choice or _Choice("auto")
        demand(choice.type in ("auto", "any", "tool", "none"), "no such tool_choice")
        demand(names or choice.type == "auto", "tool_choice without tools")
        demand(choice.type != "tool" or choice.name in names, "tool_choice names no tool")
        _check_thinking(request, forced=choice.type in ("any", "tool"))
        _check_marks(request)
        form = next((name for name in names if "form" in name), "")
        return Asked(
            model=request.model,
            messages=messages,
            tools=names,
            choice={"any": "required", "tool": choice.name}.get(choice.type, choice.type),
            schema=bool(request.output_config and request.output_config.format),
            form=form,
            stream=request.stream,
            max_tokens=request.max_tokens,
        )

    def events(self, asked: Asked, said: Answer, faults: Faults) -> Sequence[bytes]:
        usage = {
            "input_tokens": said.prompt - 5,
            "cache_creation_input_tokens": 3,
            "cache_read_input_tokens": 2,
            "output_tokens": 1,
        }
        start = self.message(asked, [], None, usage)
        found = [event({"type": "message_start", "message": start}, "message_start")]
        found.append(event({"type": "ping"}, "ping"))
        for index, (block, deltas) in enumerate(self.blocks(asked, said, faults)):
            begun = {"type": "content_block_start", "index": index, "content_block": block}
            found.append(event(begun, "content_block_start"))
            for delta in deltas:
                more = {"type": "content_block_delta", "index": index, "delta": delta}
                found.append(event(more, "content_block_delta"))
            end = {"type": "content_block_stop", "index": index}
            found.append(event(end, "content_block_stop"))
        delta = {"stop_reason": _reason(asked, said), "stop_sequence": None}
        last = {"type": "message_delta", "delta": delta}
        found.append(event({**last, "usage": {"output_tokens": said.completion}}, "message_delta"))
        return [*found, event({"type": "message_stop"}, "message_stop")]

    def blocks(
        self, asked: Asked, said: Answer, faults: Faults
    ) -> list[tuple[dict[str, object], list[dict[str, str]]]]:
        found: list[tuple[dict[str, object], list[dict[str, str]]]] = []
        if faults.thoughts:
            deltas = [
                {"type": "thinking_delta", "thinking": one} for one in pieces(faults.thoughts, 5)
            ]
            deltas.append({"type": "signature_delta", "signature": f"{SIGNED}1"})
            found.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
            found.append(({"type": "redacted_thinking", "data": f"{SIGNED}2"}, []))
        calls = [(call.name, call.arguments) for call in said.calls]
        if asked.form:
            calls = [(asked.form, said.text)]
        elif said.text:
            deltas = [{"type": "text_delta", "text": one} for one in pieces(said.text, 4)]
            found.append(({"type": "text", "text": ""}, deltas))
        for name, arguments in calls:
            self.made += 1
            use = {"type": "tool_use", "id": f"toolu_{self.made}", "name": name, "input": {}}
            cut = ["", *pieces(arguments, faults.split)] if arguments != "{}" else [""]
            found.append((use, [{"type": "input_json_delta", "partial_json": x} for x in cut]))
        return found

    def message(
        self, asked: Asked, content: list[object], reason: str | None, usage: dict[str, int]
    ) -> dict[str, object]:
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": asked.model,
            "content": content,
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": usage,
        }

    def whole(self, asked: Asked, said: Answer, faults: Faults) -> bytes:
        text = [{"type": "text", "text": said.text}]
        usage = {"input_tokens": said.prompt, "output_tokens": said.completion}
        return msgspec.json.encode(self.message(asked, [*text], _reason(asked, said), usage))

    def error(self, status: int, words: str) -> bytes:
        error = {"type": _ERRORS.get(status, "api_error"), "message": words}
        return msgspec.json.encode({"type": "error", "error": error, "request_id": "req_1"})

    def failing(self) -> bytes:
        return b"event: error\ndata: " + self.error(529, "Overloaded") + b"\n\n"

    def listed(self) -> bytes:
        data = [{"type": "model", "id": name, "display_name": name} for name in self.models]
        return msgspec.json.encode({"data": data, "has_more": False})

    def embedded(self, body: bytes) -> bytes:
        raise NotImplementedError


def _reason(asked: Asked, said: Answer) -> str:
    if said.calls or asked.form:
        return "tool_use"
    return "max_tokens" if said.cut else "end_turn"


def _conversation(request: _Request) -> list[Message]:
    """The messages as rote reads them; the rules of turns, of results and of blank texts."""
    demand(request.messages and request.messages[0].role == "user", "a person speaks first")
    found: list[Message] = []
    open_calls: list[str] = []
    before = ""
    for message in request.messages:
        demand(message.role in ("user", "assistant"), f"no such role: {message.role}")
        demand(message.role != before, "roles must alternate")
        before = message.role
        content = message.content
        blocks: Sequence[_Block] = [_Text(content)] if isinstance(content, str) else content
        demand(blocks, "a message without content")
        results = [block for block in blocks if isinstance(block, _Result)]
        answered = [block.tool_use_id for block in results]
        demand(sorted(answered) == sorted(open_calls), f"results {answered} for {open_calls}")
        demand(list(blocks[: len(results)]) == results, "results come first")
        found += [Message("tool", result.content) for result in results]
        open_calls = [block.id for block in blocks if isinstance(block, _Use)]
        demand(message.role == "assistant" or not open_calls, "people call no tools")
        pieces = [_piece(block) for block in blocks if isinstance(block, _Text | _Image)]
        calls = [
            called(block.id, block.name, msgspec.json.encode(block.input).decode())
            for block in blocks
            if isinstance(block, _Use)
        ]
        for block in blocks:
            _check_block(block, message.role)
        if pieces or calls:
            found.append(Message(message.role, pieces, calls or None))
    demand(not open_calls, f"calls without a result: {open_calls}")
    return found


def _piece(block: _Text | _Image) -> Piece:
    if isinstance(block, _Image):
        demand(block.source.media_type in ("image/png", "image/jpeg"), "no such kind of picture")
        return picture(block.source.data)
    demand(block.text.strip(), "text content blocks must contain non-whitespace text")
    return Piece("text", block.text)


def _check_block(block: _Block, role: str) -> None:
    if isinstance(block, _Use):
        demand(_ID.fullmatch(block.id), f"no id of a call: {block.id}")
    if isinstance(block, _Thought):
        demand(role == "assistant", "people have no thoughts here")
        demand(block.signature.startswith(SIGNED), "Invalid `signature` in `thinking` block")
    if isinstance(block, _Redacted):
        demand(block.data.startswith(SIGNED), "Invalid `data` in `redacted_thinking` block")


def _check_thinking(request: _Request, *, forced: bool) -> None:
    thinking = request.thinking
    if thinking is None:
        return
    demand(not forced, "Thinking may not be enabled when tool_choice forces tool use")
    demand(request.temperature in (None, 1), "`temperature` may only be 1 with thinking")
    if thinking.type == "adaptive":
        demand(not thinking.budget_tokens, "adaptive thinking has no budget")
        return
    demand(thinking.type == "enabled", "no such thinking")
    demand(thinking.budget_tokens >= 1024, "budget_tokens must be at least 1024")
    demand(request.max_tokens > thinking.budget_tokens, "max_tokens must exceed the budget")
    last = [message for message in request.messages if message.role == "assistant"][-1:]
    for message in last:
        content = message.content
        if isinstance(content, list) and any(isinstance(block, _Use) for block in content):
            first = isinstance(content[0], _Thought | _Redacted)
            demand(first, "Expected `thinking` or `redacted_thinking`, but found `tool_use`")


def _check_marks(request: _Request) -> None:
    system = [] if isinstance(request.system, str) else request.system
    blocks: list[object] = [*system, *(request.tools or ())]
    for message in request.messages:
        blocks += [] if isinstance(message.content, str) else message.content
    marks = sum(getattr(block, "cache_control", None) is not None for block in blocks)
    demand(marks <= 4, "a maximum of 4 blocks with cache_control may be provided")
