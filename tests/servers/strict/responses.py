# SPDX-License-Identifier: AGPL-3.0-or-later
"""The Responses API, checked as OpenAI checks it (API reference, "Create a model response")."""

from collections.abc import Sequence

import msgspec

from tests.servers.rote import Answer, Message, Piece
from tests.servers.strict.asked import Asked, Strict, a_schema, called, demand, pair_up, picture
from tests.servers.strict.life import Faults, event, pieces

_PREFIX = "data:image/png;base64,"
SEALED = "gAAAA-sealed"
"""What encrypted thoughts begin with; only thoughts of this server's are taken back."""


class _InputText(Strict, tag_field="type", tag="input_text"):
    text: str


class _InputImage(Strict, tag_field="type", tag="input_image"):
    image_url: str
    detail: str = "auto"


class _OutputText(Strict, tag_field="type", tag="output_text"):
    text: str


class _Summary(Strict, tag_field="type", tag="summary_text"):
    text: str


class _Message(Strict, tag_field="type", tag="message"):
    role: str
    content: list[_InputText | _InputImage | _OutputText]


class _Call(Strict, tag_field="type", tag="function_call"):
    call_id: str
    name: str
    arguments: str


class _Result(Strict, tag_field="type", tag="function_call_output"):
    call_id: str
    output: str


class _Reasoning(Strict, tag_field="type", tag="reasoning"):
    id: str
    summary: list[_Summary]
    encrypted_content: str


class _Tool(Strict, tag_field="type", tag="function"):
    name: str
    description: str
    parameters: msgspec.Raw
    strict: bool


class _Choice(Strict, tag_field="type", tag="function"):
    name: str


class _Format(Strict, tag_field="type", tag="json_schema"):
    name: str
    schema: msgspec.Raw
    strict: bool


class _Text(Strict):
    format: _Format


class _Effort(Strict):
    effort: str


class _Request(Strict):
    model: str
    input: list[_Message | _Call | _Result | _Reasoning]
    instructions: str | None = None
    tools: list[_Tool] | None = None
    tool_choice: str | _Choice | None = None
    text: _Text | None = None
    stream: bool = False
    store: bool = True
    include: list[str] | None = None
    reasoning: _Effort | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    prompt_cache_key: str | None = None


class Responses:
    """The dialect."""

    name = "responses"
    path = "/v1/responses"
    listing = "/v1/models"
    embedding = ""
    mime = "text/event-stream"
    models = ("m", "large")

    def __init__(self) -> None:
        self.made = 0

    def allowed(self, headers: dict[str, str], key: str) -> bool:
        return not key or headers.get("authorization") == f"Bearer {key}"

    def asked(self, body: bytes) -> Asked:
        request = msgspec.json.decode(body, type=_Request)
        demand(request.input, "input must not be empty")
        demand(not request.store, "nothing may be stored here")
        messages = [Message("system", request.instructions)] if request.instructions else []
        ids: list[str] = []
        after = False
        for item in request.input:
            demand(not (after and isinstance(item, _Result)), "reasoning without what followed it")
            after = isinstance(item, _Reasoning)
            if isinstance(item, _Reasoning):
                demand(item.encrypted_content.startswith(SEALED), "thoughts of somebody else")
            elif isinstance(item, _Result):
                ids.append(item.call_id)
                messages.append(Message("tool", item.output))
            elif isinstance(item, _Call):
                call = called(item.call_id, item.name, item.arguments)
                if messages and messages[-1].role == "assistant":
                    calls = messages[-1].tool_calls or []
                    messages[-1] = Message("assistant", messages[-1].content, [*calls, call])
                else:
                    messages.append(Message("assistant", "", [call]))
            else:
                messages.append(_read(item))
        demand(not after, "reasoning without what followed it")
        pair_up(messages, ids)
        for tool in request.tools or ():
            a_schema(tool.parameters)
        choice = request.tool_choice or "auto"
        demand(request.tools or choice == "auto", "tool_choice without tools")
        return Asked(
            model=request.model,
            messages=messages,
            tools=[tool.name for tool in request.tools or ()],
            choice=choice if isinstance(choice, str) else choice.name,
            schema=request.text is not None,
            stream=request.stream,
            max_tokens=request.max_output_tokens,
        )

    def events(self, asked: Asked, said: Answer, faults: Faults) -> Sequence[bytes]:
        return _Stream(self, asked, said, faults).events()

    def whole(self, asked: Asked, said: Answer, faults: Faults) -> bytes:
        stream = _Stream(self, asked, said, faults)
        stream.events()
        return msgspec.json.encode(stream.response("completed"))

    def error(self, status: int, words: str) -> bytes:
        codes = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
        error = {"message": words, "type": "invalid_request_error", "param": None}
        return msgspec.json.encode({"error": {**error, "code": codes.get(status)}})

    def failing(self) -> bytes:
        told = {"type": "error", "code": "overloaded", "message": "Overloaded", "param": None}
        return event({**told, "sequence_number": 9}, "error")

    def listed(self) -> bytes:
        data = [{"id": name, "object": "model"} for name in self.models]
        return msgspec.json.encode({"object": "list", "data": data})

    def embedded(self, body: bytes) -> bytes:
        raise NotImplementedError


class _Stream:
    """The events of one response, numbered."""

    def __init__(self, dialect: Responses, asked: Asked, said: Answer, faults: Faults) -> None:
        self.dialect, self.asked, self.said, self.faults = dialect, asked, said, faults
        self.found: list[bytes] = []
        self.output: list[dict[str, object]] = []

    def tell(self, kind: str, **fields: object) -> None:
        number = len(self.found)
        data = {"type": kind, "sequence_number": number, **fields}
        self.found.append(event(data, kind))

    def response(self, status: str) -> dict[str, object]:
        said, done = self.said, status != "in_progress"
        why = {"reason": "max_output_tokens"} if status == "incomplete" else None
        usage = {
            "input_tokens": said.prompt,
            "input_tokens_details": {"cached_tokens": 2},
            "output_tokens": said.completion,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": said.prompt + said.completion,
        }
        return {
            "id": "resp_1",
            "object": "response",
            "created_at": 1_767_225_600,
            "status": status,
            "error": None,
            "incomplete_details": why,
            "model": self.asked.model,
            "output": self.output if done else [],
            "usage": usage if done else None,
        }

    def events(self) -> list[bytes]:
        self.tell("response.created", response=self.response("in_progress"))
        self.tell("response.in_progress", response=self.response("in_progress"))
        if self.faults.thoughts:
            self.reason()
        if self.said.text:
            self.speak()
        for function in self.said.calls:
            self.call(function.name, function.arguments)
        end = "incomplete" if self.said.cut else "completed"
        self.tell(f"response.{end}", response=self.response(end))
        return self.found

    def item(self, item: dict[str, object], **first: object) -> int:
        index = len(self.output)
        self.output.append(item)
        self.tell("response.output_item.added", output_index=index, item={**item, **first})
        return index

    def close(self, index: int) -> None:
        item = self.output[index]
        self.tell("response.output_item.done", output_index=index, item=item)

    def reason(self) -> None:
        text = {"type": "summary_text", "text": self.faults.thoughts}
        item = {"id": "rs_1", "type": "reasoning", "encrypted_content": f"{SEALED}1"}
        index = self.item({**item, "summary": [text]}, summary=[])
        where = {"item_id": "rs_1", "output_index": index, "summary_index": 0}
        blank = {"type": "summary_text", "text": ""}
        self.tell("response.reasoning_summary_part.added", **where, part=blank)
        for one in pieces(self.faults.thoughts, 5):
            self.tell("response.reasoning_summary_text.delta", **where, delta=one)
        self.tell("response.reasoning_summary_text.done", **where, text=self.faults.thoughts)
        self.tell("response.reasoning_summary_part.done", **where, part=text)
        self.close(index)

    def speak(self) -> None:
        part = {"type": "output_text", "text": self.said.text, "annotations": [], "logprobs": []}
        item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
        index = self.item({**item, "content": [part]}, content=[], status="in_progress")
        where = {"item_id": "msg_1", "output_index": index, "content_index": 0}
        self.tell("response.content_part.added", **where, part={**part, "text": ""})
        for one in pieces(self.said.text, 4):
            self.tell("response.output_text.delta", **where, delta=one, logprobs=[])
        self.tell("response.output_text.done", **where, text=self.said.text, logprobs=[])
        self.tell("response.content_part.done", **where, part=part)
        self.close(index)

    def call(self, name: str, arguments: str) -> None:
        self.dialect.made += 1
        id, number = f"fc_{self.dialect.made}", self.dialect.made
        item: dict[str, object] = {"id": id, "type": "function_call", "status": "completed"}
        item = {**item, "call_id": f"call_{number}", "name": name, "arguments": arguments}
        index = self.item(item, arguments="", status="in_progress")
        where = {"item_id": id, "output_index": index}
        for one in pieces(arguments, self.faults.split):
            self.tell("response.function_call_arguments.delta", **where, delta=one)
        self.tell("response.function_call_arguments.done", **where, arguments=arguments)
        self.close(index)


def _read(item: _Message) -> Message:
    demand(item.role in ("system", "developer", "user", "assistant"), "no such role")
    demand(item.content, "a message without content")
    inner: list[Piece] = []
    for part in item.content:
        spoken = isinstance(part, _OutputText)
        demand(spoken == (item.role == "assistant"), f"such a part is not for {item.role}")
        if isinstance(part, _InputImage):
            demand(part.image_url.startswith(_PREFIX), "no data URL of a picture")
            inner.append(picture(part.image_url.removeprefix(_PREFIX)))
        else:
            inner.append(Piece("text", part.text))
    return Message(item.role, inner)
