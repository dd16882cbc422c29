# SPDX-License-Identifier: Apache-2.0
"""The words between a model and its tools, and the judgement in between."""

from typing import Literal

import msgspec

from haoya.core.message import Address, Blob, Word

Effect = Literal["read", "write", "net", "exec", "send", "spend"]


class ToolSpec(Word, frozen=True, kw_only=True):
    """A tool as the model and policy see it. Policy judges by `effects`, never by `name`.

    `schema` is the JSON Schema of the arguments, as JSON text with stable key order (it is part
    of the cached prompt prefix). `reads` and `writes` label where data comes from and goes to
    (`workspace`, `memory`, `web`, `chat`). An `idempotent` tool may run again after a crash.
    `undo` says in a phrase how its effect is taken back, empty if it cannot be.
    """

    name: str
    purpose: str
    schema: msgspec.Raw = msgspec.Raw(b'{"type":"object"}')
    effects: frozenset[Effect] = frozenset()
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    idempotent: bool = False
    undo: str = ""


class ToolCall(Word, frozen=True, kw_only=True):
    """A model's wish: `arguments` is the JSON text it wrote, not yet believed."""

    id: str
    name: str
    arguments: str = "{}"


class ToolResult(Word, frozen=True, kw_only=True):
    """What a tool gives back: words for the model, and whether it worked."""

    text: str
    ok: bool = True


class Verdict(Word, frozen=True, kw_only=True):
    """Policy's answer to a call; `reason` is written for the owner."""

    decision: Literal["allow", "ask", "deny"]
    reason: str = ""


class Line(Word, frozen=True, kw_only=True):
    """One line of what a model reads. `calls` on assistant lines, `call` (an id) on tool lines."""

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    images: tuple[Blob, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    call: str = ""


class Usage(Word, frozen=True, kw_only=True):
    """Tokens of one model call as the server counted them; `cached` of `prompt` were reused."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0


class TextDelta(Word, frozen=True, kw_only=True, tag="text"):
    """More words of an answer."""

    text: str


class Finish(Word, frozen=True, kw_only=True, tag="finish"):
    """The end of an answer: why it ended, what it cost, which model spoke."""

    reason: Literal["stop", "length", "tools", "filter"] = "stop"
    usage: Usage = Usage()
    model: str = ""


class CallDelta(Word, frozen=True, kw_only=True, tag="call"):
    """A complete tool call (a wire puts the pieces together before it yields)."""

    call: ToolCall


Delta = TextDelta | CallDelta | Finish


class Scene(Word, frozen=True, kw_only=True):
    """Where a tool runs: the conversation, the person asking (a principal's key), the turn and
    the call. `key` is stable across restarts and serves as idempotency key of its effect."""

    address: Address
    person: str
    turn: int
    call: str

    @property
    def key(self) -> str:
        """One string for this very call: conversation, turn and call id."""
        return f"{self.address.key}:{self.turn}:{self.call}"
