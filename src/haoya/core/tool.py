# SPDX-License-Identifier: Apache-2.0
"""The words between a model and its tools, and the judgement in between."""

from typing import Literal

import msgspec

from haoya.core.label import OWNER, Author, Label
from haoya.core.message import Address, Blob, Word

Facet = Literal["who", "where", "which", "amount", "when"]
"""What an argument decides: whom it reaches, which place (a path, a host), which of several things,
how much, at what time."""

Effect = Literal["read", "write", "net", "exec", "send", "spend"]

Deed = Literal["create", "change", "delete", "send", "share", "pay", "run", "fetch"]
"""What a tool does, as people ask for it; policy knows the words (zh and en) that name each."""


class ToolSpec(Word, frozen=True, kw_only=True):
    """A tool as the model and policy see it. Policy judges by `effects`, never by `name`.

    `schema` is the JSON Schema of the arguments, as JSON text with stable key order (it is part
    of the cached prompt prefix). `reads` and `writes` label where data comes from and goes to
    (`workspace`, `memory`, `web`, `chat`). An `idempotent` tool may run again after a crash.
    `undo` says in a phrase how its effect is taken back, empty if it cannot be.

    Facts that policy judges by, stated from the tool's meaning: `authority` names the arguments
    that decide whom, where or what an effect hits, and must come from somebody who may say so;
    `author` is whose words its results are (`owner` for what the owner alone can have written),
    `private` whether they are for the asking person's eyes only, and `audience` the arguments that
    name who gets to read the other arguments (empty: what it writes stays with the person).
    Arguments are named by path (`to`, `items.price`; positions in lists are left out).

    Where a result is JSON and strangers can write into some of its fields only, `fields` says
    whose the others are, by path (`*` for any name, `id`, `participants.email`): what the service
    itself fills in. `names` are the fields by which people call the thing a record is about
    (`title`, `filename`). `deed` is what the tool does, "" for what its effects say.
    """

    name: str
    purpose: str
    schema: msgspec.Raw = msgspec.Raw(b'{"type":"object"}')
    effects: frozenset[Effect] = frozenset()
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()
    idempotent: bool = False
    undo: str = ""
    authority: dict[str, Facet] = msgspec.field(default_factory=dict[str, Facet])
    author: Author = "untrusted"
    private: bool = False
    audience: frozenset[str] = frozenset()
    fields: dict[str, Author] = msgspec.field(default_factory=dict[str, Author])
    names: frozenset[str] = frozenset()
    deed: Deed | Literal[""] = ""


class ToolCall(Word, frozen=True, kw_only=True):
    """A model's wish: `arguments` is the JSON text it wrote, not yet believed."""

    id: str
    name: str
    arguments: str = "{}"


class ToolResult(Word, frozen=True, kw_only=True):
    """What a tool gives back: words for the model, and whether it worked.

    `label` where the tool knows better than its spec whose words these are; policy never takes it
    for more than the spec promises, only for less.
    """

    text: str
    ok: bool = True
    label: Label | None = None


class Origin(Word, frozen=True, kw_only=True):
    """Where the value of an argument came from, as shown to the owner.

    `argument` as a path (`to`, `items.0.price`), `value` as text, `source` in words ("your message
    of 9:14", "the page example.org"); `trusted` whether its author may decide this.
    """

    argument: str
    value: str
    source: str = ""
    trusted: bool = False


class Verdict(Word, frozen=True, kw_only=True):
    """Policy's answer to a call; `reason` is written for the owner.

    `origins` says of each argument that carries authority where it came from. `grant` is the
    number of the standing grant that allowed it, 0 for none.
    """

    decision: Literal["allow", "ask", "deny"]
    reason: str = ""
    origins: tuple[Origin, ...] = ()
    grant: int = 0


class Line(Word, frozen=True, kw_only=True):
    """One line of what a model reads. `calls` on assistant lines, `call` (an id) on tool lines.

    `model` names the part that spoke an assistant line and `echo` is what that model wants back
    with it, word for word (signed thoughts); others leave it alone. `label` says whose words the
    line is made of; of an assistant's line, of all it had read.
    """

    role: Literal["system", "user", "assistant", "tool"]
    text: str = ""
    images: tuple[Blob, ...] = ()
    calls: tuple[ToolCall, ...] = ()
    call: str = ""
    model: str = ""
    echo: str = ""
    label: Label = OWNER


class Sampling(Word, frozen=True, kw_only=True):
    """How an answer is drawn and where it ends; None leaves it to the model's own settings."""

    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


Urgency = Literal["chat", "background"]

Place = Literal["here", "own", "outside"]
"""Where a model thinks: on this machine, on another machine of the owner's, or anywhere else."""


class Prompt(Word, frozen=True, kw_only=True):
    """What a model is asked: lines to continue, tools it may call, and on whose behalf.

    `choice` is `auto`, `none`, `required` or the name of the one tool to call. The answer's text
    satisfies the JSON Schema `schema` where one is given (JSON text). `conversation` (an
    address's key) and `person` let a local model keep caches apart and share its time fairly; a
    person behind a chat goes before work in the background.
    """

    lines: tuple[Line, ...]
    tools: tuple[ToolSpec, ...] = ()
    choice: str = "auto"
    schema: msgspec.Raw = msgspec.Raw(b"")
    sampling: Sampling = Sampling()
    conversation: str = ""
    person: str = ""
    urgency: Urgency = "chat"


class Usage(Word, frozen=True, kw_only=True):
    """Tokens of one model call as the server counted them; `cached` of `prompt` were reused."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0


class TextDelta(Word, frozen=True, kw_only=True, tag="text"):
    """More words of an answer."""

    text: str


class ThoughtDelta(Word, frozen=True, kw_only=True, tag="thought"):
    """More of what a model thinks before it speaks; never shown in a chat."""

    text: str


class Finish(Word, frozen=True, kw_only=True, tag="finish"):
    """The end of an answer: why it ended, what it cost, which model spoke.

    `echo` goes back to the same model with this line (see `Line.echo`). `notes` are the decisions
    taken for this answer, in words for the owner: waited in the queue, context cut under load.
    """

    reason: Literal["stop", "length", "tools", "filter"] = "stop"
    usage: Usage = Usage()
    model: str = ""
    echo: str = ""
    notes: tuple[str, ...] = ()


class CallDelta(Word, frozen=True, kw_only=True, tag="call"):
    """A complete tool call (a wire puts the pieces together before it yields)."""

    call: ToolCall


Delta = TextDelta | ThoughtDelta | CallDelta | Finish


class Scene(Word, frozen=True, kw_only=True):
    """Where a tool runs: the conversation, the person asking (a principal's key), the turn and
    the call. `label` is that of all the model had read when it made the call, and so of every
    argument. `key` is stable across restarts and serves as idempotency key of its effect."""

    address: Address
    person: str
    turn: int
    call: str
    label: Label = OWNER

    @property
    def key(self) -> str:
        """One string for this very call: conversation, turn and call id."""
        return f"{self.address.key}:{self.turn}:{self.call}"
