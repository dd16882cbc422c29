# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the stand-in of a model server thinks: everything follows from the last user line."""

import json
import re

import msgspec

IMAGE_TOKENS = 85  # a low-detail image, as OpenAI's vision guide counts it
_TOKENS = re.compile(
    r"[A-Za-z]{1,7}|\d{1,3}|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]"
    r"|\n+|[^\W\d_]{1,3}|(?:[^\w\s]|_){1,3}"
)
_CALLS = re.compile(r"(?:^|\s)(?:tools?|forever|obey) (?=[\w.-]+ *\{)")
_NAME = re.compile(r"[\s;]*([\w.-]+)\s*(?=\{)")
_LONG = re.compile(r"(?:^|\s)long (\d+)\s*$")
_DATA_URL = re.compile(r'"data:[^"]*"')
_TAG = re.compile(r"(?:^|\s)(#\w+)(?=\s)")


class Function(msgspec.Struct):
    name: str = ""
    arguments: str = ""


class Called(msgspec.Struct):
    id: str = ""
    function: Function = msgspec.field(default_factory=Function)


class Piece(msgspec.Struct):
    type: str
    text: str = ""


class Message(msgspec.Struct):
    role: str
    content: str | list[Piece] | None = None
    tool_calls: list[Called] | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(piece.text for piece in self.content if piece.type == "text")
        return self.content or ""

    @property
    def images(self) -> int:
        pieces = self.content if isinstance(self.content, list) else []
        return sum(piece.type != "text" for piece in pieces)


class StreamOptions(msgspec.Struct):
    include_usage: bool = False


class Body(msgspec.Struct):
    messages: list[Message]
    model: str = ""
    tools: msgspec.Raw = msgspec.Raw(b"")
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None


class Answer(msgspec.Struct):
    text: str
    calls: list[Function]
    prompt: int
    completion: int
    cut: bool

    @property
    def reason(self) -> str:
        return "tool_calls" if self.calls else "length" if self.cut else "stop"


def tokens(text: str) -> int:
    """A rough, honest count: seven letters, three digits, one CJK sign or three marks are one.

    By design on the high side: many longer words, JSON's keywords among them, and many Chinese
    words are a single token in the vocabularies of real models.
    """
    return sum(1 for _ in _TOKENS.finditer(text))


def prompt_tokens(body: Body) -> int:
    """Four per message for the chat template, the words of all messages, the tools' JSON."""
    total = 3
    for message in body.messages:
        total += 4 + tokens(message.text) + IMAGE_TOKENS * message.images
        for call in message.tool_calls or ():
            total += 4 + tokens(call.function.name) + tokens(call.function.arguments)
    tools = bytes(body.tools)
    if tools and tools != b"null":
        text = tools.decode()
        total += 6 + tokens(text if "\\u" not in text else json.dumps(json.loads(text)))
    return total


def answer(body: Body) -> Answer:
    """What is said to the last user line, or to the tool results after it."""
    last = max((i for i, line in enumerate(body.messages) if line.role == "user"), default=-1)
    line = body.messages[last] if last >= 0 else Message("user")
    results = [after.text for after in body.messages[last + 1 :] if after.role == "tool"]
    results = [one for one in results if not one.startswith(("The plan stands", "That plan"))]
    text, calls = line.text, _calls(line.text)
    if b'"name":"plan"' in bytes(body.tools).replace(b" ", b""):
        return _planned(body, text, calls)
    if results and re.search(r"(?:^|\s)obey ", text) and (told := _calls(results[-1])):
        return Answer(text="", calls=told, prompt=prompt_tokens(body), completion=8, cut=False)
    forever = calls and re.search(r"(?:^|\s)forever ", text)
    prompt = prompt_tokens(body)
    if calls and (forever or not results):
        cost = sum(8 + tokens(call.arguments) for call in calls)
        return Answer(text="", calls=calls, prompt=prompt, completion=cost, cut=False)
    if results:
        said = f"done: {' ; '.join(results)}"
    elif long := _LONG.search(text):
        said = " ".join(f"word{i}" for i in range(1, int(long[1]) + 1))
    else:
        said = f"heard: {text}" + (f" (+{line.images} images)" if line.images else "")
    if (tag := _TAG.search(text)) and tag[1] not in said:
        said = f"{said} {tag[1]}"
    cut = body.max_tokens is not None and tokens(said) > body.max_tokens
    if cut and body.max_tokens is not None:
        said = " ".join(said.split(" ")[: max(1, body.max_tokens // 2)])
    return Answer(text=said, calls=[], prompt=prompt, completion=tokens(said), cut=cut)


def _planned(body: Body, text: str, calls: list[Function]) -> Answer:
    """A plan of the calls that the words ask for, each argument a constant; `badly` makes it
    faulty."""
    steps = [
        {"tool": call.name, "constants": {k: [v] for k, v in json.loads(call.arguments).items()}}
        for call in calls
    ]
    plan = "no plan" if "badly" in text else json.dumps({"steps": steps}, ensure_ascii=False)
    made = Function(name="plan", arguments=plan)
    return Answer(text="", calls=[made], prompt=prompt_tokens(body), completion=8, cut=False)


def _calls(text: str) -> list[Function]:
    start = _CALLS.search(text)
    calls: list[Function] = []
    at = start.end() if start else len(text)
    while found := _NAME.match(text, at):
        try:
            _, at = json.JSONDecoder().raw_decode(text, found.end())
        except ValueError:
            at = len(text)
        calls.append(Function(name=found[1], arguments=text[found.end() : at].strip()))
    return calls
