# SPDX-License-Identifier: AGPL-3.0-or-later
"""One prompt with its personal data put away, and the way back."""

import hashlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from haoya.core.tool import Line, Prompt, ToolCall
from haoya.policy.masking.find import find
from haoya.policy.masking.placeholder import Names, Restoring, restored
from haoya.policy.masking.words import Found, Rules

NOTE = (
    "Names in brackets such as [PHONE-7KQ2] stand for values that are kept from you. Use them "
    "exactly as written, wherever you would use the value."
)
"""What a model is told at the end of the system prompt, where anything was put away."""

KNOWN_TEXTS = 4096
"""Texts whose finds are remembered, by their hash: a conversation is shown again at each step."""

Finder = Callable[[str, str], Sequence[Found]]


class Finds:
    """What rules find in texts, remembered for those seen lately."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._known: OrderedDict[bytes, Sequence[Found]] = OrderedDict()

    def __call__(self, text: str, heading: str = "") -> Sequence[Found]:
        """As `find`; raises `Overdue`."""
        facts = f"{heading}\0{text}".encode("utf-8", "surrogatepass")
        key = hashlib.blake2b(facts, digest_size=16).digest()
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = find(text, self.rules, heading)
            if len(self._known) > KNOWN_TEXTS:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        return known


class Mask:
    """Puts the personal data of one prompt away and back again."""

    def __init__(self, finds: Finder, key: bytes, conversation: str) -> None:
        self._finds = finds
        self.names = Names(key, conversation)
        self.counts: Counter[str] = Counter()
        """Different values by kind."""

    @property
    def pairs(self) -> dict[str, str]:
        """Values by name without brackets."""
        return self.names.values

    def text(self, text: str, heading: str = "") -> str:
        """A text with names in place of what is personal."""
        found = self._finds(text, heading) if text else ()
        if not found:
            return text
        out: list[str] = []
        at = 0
        for one in found:
            known = len(self.pairs)
            out += [text[at : one.start], self.names.name(one.kind, text[one.start : one.end])]
            self.counts[one.kind] += len(self.pairs) > known
            at = one.end
        return "".join([*out, text[at:]])

    def json(self, text: str) -> str:
        """The same for a JSON text: each string in it is looked at under its key, however it is
        escaped. It stays as it is where there is nothing to put away."""
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self.text(text)
        known = self.counts.total(), len(self.pairs)
        masked = self._deep(value, "")
        if masked == value and known == (self.counts.total(), len(self.pairs)):
            return text
        return msgspec.json.encode(masked).decode()

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt as it may leave: nobody's name for the conversation or person in it either."""
        self.reserve(prompt)
        lines = tuple(self._line(line) for line in prompt.lines)
        if self.pairs:
            lines = _noted(lines)
        named = hashlib.blake2s(
            prompt.conversation.encode("utf-8", "surrogatepass"), key=self.names.key
        )
        return msgspec.structs.replace(
            prompt,
            lines=lines,
            conversation=named.hexdigest()[:24] if prompt.conversation else "",
            person="",
        )

    def reserve(self, prompt: Prompt) -> None:
        """Give no name that stands in the prompt already."""
        self.names.reserve(line.text for line in prompt.lines)
        self.names.reserve(call.arguments for line in prompt.lines for call in line.calls)

    def restored(self, call: ToolCall) -> ToolCall:
        """A call with the values put back into its arguments."""
        arguments = restored(call.arguments, self.pairs, json=True)
        return msgspec.structs.replace(call, arguments=arguments)

    def restoring(self) -> Restoring:
        """The way back for words that come in pieces."""
        return Restoring(self.pairs)

    def _line(self, line: Line) -> Line:
        text = self.text(line.text)
        calls = tuple(
            msgspec.structs.replace(call, arguments=self.json(call.arguments))
            for call in line.calls
        )
        if text == line.text and calls == line.calls:
            return line
        return msgspec.structs.replace(line, text=text, calls=calls)

    def _deep(self, value: object, heading: str) -> object:
        match value:
            case str():
                return self.text(value, heading)
            case bool() | None:
                return value
            case int() | float():
                masked = self.text(str(value), heading)
                return value if masked == str(value) else masked
            case list():
                return [self._deep(item, heading) for item in cast("list[object]", value)]
            case dict():
                return {
                    self.text(key): self._deep(item, key)
                    for key, item in cast("dict[str, object]", value).items()
                }
            case _:
                return value


def _noted(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """The lines with a word to the model about what the names are."""
    if lines and lines[0].role == "system":
        first = msgspec.structs.replace(lines[0], text=f"{lines[0].text}\n\n{NOTE}".strip())
        return (first, *lines[1:])
    return (Line(role="system", text=NOTE), *lines)
