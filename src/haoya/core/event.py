# SPDX-License-Identifier: Apache-2.0
"""The journal's only words. Stored for ever: add a field with a default, never change a meaning.

Every deed of a turn carries `turn`: the number of the last message the turn had read. Journal
order is not causal order (a message can arrive while the model thinks); transcripts sort by it.
`of` always points at the number of an earlier entry. Written as `BEFORE` it means the line right
before it in the same step, whose number is not known yet; whoever reads the journal gets the
number.
"""

import msgspec

from haoya.core.label import Label
from haoya.core.message import Inbound, Outbound, Part, Receipt, Word
from haoya.core.tool import ToolCall, Urgency, Usage, Verdict

BEFORE = 0
"""As an `of`: the entry right before this one, written in the same step."""


class Received(Word, frozen=True, kw_only=True, tag="received"):
    """A channel heard this; stored before the network is told that we have it."""

    inbound: Inbound


class Refused(Word, frozen=True, kw_only=True, tag="refused"):
    """Policy or a stage sent message `of` away; `reason` is for the owner."""

    of: int
    reason: str


class Admitted(Word, frozen=True, kw_only=True, tag="admitted"):
    """Message `of` may reach the model, as `parts` after the stages.

    `person` is the principal's key, `role` the role it had, `id` the message's id on its
    network, `name` how to call the person. `wakes` is false for words in a
    group that were not meant for us: context, never a reason to speak.
    """

    of: int
    person: str
    role: str
    parts: tuple[Part, ...]
    id: str = ""
    name: str = ""
    wakes: bool = True
    label: Label | None = None
    """None in lines from before there were labels: then by role."""


class ModelAsked(Word, frozen=True, kw_only=True, tag="model-asked"):
    """A model is about to be called; the prompt begins at entry `since`.

    `why` says in words for the owner why this model was chosen before others."""

    turn: int
    step: int
    model: str
    since: int
    prompt_tokens: int
    """Our own estimate; the server's count follows in `ModelAnswered.usage`."""
    why: str = ""
    job: Urgency = "chat"


class ModelAnswered(Word, frozen=True, kw_only=True, tag="model-answered"):
    """What the model said in one step: words, calls, or both. `seconds` for the whole step."""

    turn: int
    step: int
    model: str
    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    reason: str = "stop"
    usage: Usage = Usage()
    first_seconds: float = 0
    seconds: float = 0
    echo: str = ""
    """What the same model wants back with this line (signed thoughts)."""
    notes: tuple[str, ...] = ()
    """The decisions taken on the way to this answer, for the owner."""
    label: Label | None = None
    """Of everything the model had read; what is cut from later prompts lives on in it."""


class ModelFailed(Word, frozen=True, kw_only=True, tag="model-failed"):
    """A model of the failover list could not answer; the next one, if any, is tried.

    `trouble` is the kind of failure (`core.errors.Trouble`, or `refused`), `retry_after` the
    seconds the other side asked us to wait."""

    turn: int
    step: int
    model: str
    error: str
    trouble: str = ""
    retry_after: float = 0


class ToolAsked(Word, frozen=True, kw_only=True, tag="tool-asked"):
    """The model wants a tool to run."""

    turn: int
    call: ToolCall


class ToolJudged(Word, frozen=True, kw_only=True, tag="tool-judged"):
    """Policy's verdict on the call; on `ask` the turn waits for a `Decided`."""

    turn: int
    call: str
    verdict: Verdict


class Asked(Word, frozen=True, kw_only=True, tag="asked"):
    """The owner was asked about a call. `question` is shown; `where` is the key of the
    conversation it is shown in; `digest` is the SHA-256 (hex) of the exact effect."""

    turn: int
    call: str
    where: str
    digest: str
    question: str
    expires: float
    """Unix seconds; past it the answer is no."""
    tool: str = ""
    """The tool's name."""
    person: str = ""
    arguments: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    """On whose behalf, and the exact values by argument path: what `always` would grant."""


class Decided(Word, frozen=True, kw_only=True, tag="decided"):
    """An owner answered question `of`, or nobody did in time (`by` is then empty)."""

    of: int
    call: str
    yes: bool
    by: str = ""


class ToolStarted(Word, frozen=True, kw_only=True, tag="tool-started"):
    """The tool is about to run: from here until `ToolReturned` its effect is not known."""

    turn: int
    call: str


class ToolReturned(Word, frozen=True, kw_only=True, tag="tool-returned"):
    """What the tool gave back; `known` is false where a crash hid whether it took effect."""

    turn: int
    call: str
    text: str
    ok: bool = True
    known: bool = True
    seconds: float = 0
    label: Label | None = None


class Said(Word, frozen=True, kw_only=True, tag="said"):
    """We owe the network this. With a `turn` it ends that turn in the same line; without one it
    is a notice of the house (a pairing code, a question) and ends nothing."""

    outbound: Outbound
    turn: int = 0


class Stopped(Word, frozen=True, kw_only=True, tag="stopped"):
    """A turn ended without words; `reason` says why."""

    turn: int
    reason: str


class Drafted(Word, frozen=True, kw_only=True, tag="drafted"):
    """A streamed answer stands on the network as message `id`; the final one replaces it."""

    outbound: str
    id: str


class Sending(Word, frozen=True, kw_only=True, tag="sending"):
    """Piece `piece` of `Said` entry `of` is on its way; without an answer its fate is unknown.

    Written only for networks whose `idempotent_send` is `none`."""

    of: int
    piece: int


class Delivered(Word, frozen=True, kw_only=True, tag="delivered"):
    """The network took piece `piece` of `Said` entry `of`; `last` pays the debt.

    `marked` says the text bore the mark of a possible second sending."""

    of: int
    piece: int
    receipt: Receipt
    last: bool = True
    marked: bool = False
    lost: tuple[str, ...] = ()
    """Kinds of parts the network could not carry, as `plan` reported them."""


class Held(Word, frozen=True, kw_only=True, tag="held"):
    """The network surely did not take piece `piece` of `Said` entry `of`; it stays owed and a
    `Sending` before this line counts no more.
    """

    of: int
    piece: int
    reason: str


class Failed(Word, frozen=True, kw_only=True, tag="failed"):
    """`Said` entry `of` will not arrive; `error` is for the owner."""

    of: int
    error: str


class CodeGiven(Word, frozen=True, kw_only=True, tag="code-given"):
    """A stranger holds a pairing code (Unix seconds until it `expires`)."""

    person: str
    name: str
    code: str
    where: str
    expires: float


class Paired(Word, frozen=True, kw_only=True, tag="paired"):
    """The owner let a person in with a role; `by` is the principal who decided."""

    person: str
    name: str
    role: str
    by: str


class Granted(Word, frozen=True, kw_only=True, tag="granted"):
    """An owner (`by`) gave a standing leave: `person` may have `tool` run in `where` (a
    conversation's key, `*` for any) with these `arguments` (exact values by argument path),
    `limit` times (0: any number) until `expires` (Unix seconds, 0: for good). The entry's number
    is the grant's name."""

    person: str
    where: str
    tool: str
    arguments: dict[str, str]
    by: str
    limit: int = 0
    expires: float = 0


class Revoked(Word, frozen=True, kw_only=True, tag="revoked"):
    """Grant `of` counts no more."""

    of: int
    by: str


class Unpaired(Word, frozen=True, kw_only=True, tag="unpaired"):
    """The owner sent a person away again."""

    person: str
    by: str


class Kept(Word, frozen=True, kw_only=True, tag="kept"):
    """Before `call` of `turn` changed the file `path` (below the workspace), it was kept as blob
    `sha256` ("" where there was none) with permission bits `mode`."""

    turn: int
    call: str
    path: str
    sha256: str = ""
    mode: int = 0


class Undone(Word, frozen=True, kw_only=True, tag="undone"):
    """The file changes of turn `of` were taken back for `by`; `left` are the paths that were not,
    since somebody changed them after the turn."""

    of: int
    by: str
    left: tuple[str, ...] = ()


class Spent(Word, frozen=True, kw_only=True, tag="spent"):
    """A model was asked outside of every conversation (by a program over the API, by another node,
    for vectors): for whom, what it took, and no word of it.

    Where a budget might run out, a line with an estimate is written before the call; the one after
    it counts in place of line `of`."""

    model: str
    person: str
    usage: Usage = Usage()
    seconds: float = 0
    job: Urgency = "chat"
    of: int = 0


class Alarmed(Word, frozen=True, kw_only=True, tag="alarmed"):
    """Something unlike what is usual: finding `id`, whose doing (`person`), evidence in words."""

    id: str
    person: str
    evidence: str
    until: float = 0
    """Until when this person is slowed down (Unix seconds), 0 for not at all."""


class Anchored(Word, frozen=True, kw_only=True, tag="anchored"):
    """The audit log's head after `size` records was told to somebody outside (`where`)."""

    size: int
    head: str
    where: str = ""


Event = (
    Received
    | Refused
    | Admitted
    | ModelAsked
    | ModelAnswered
    | ModelFailed
    | ToolAsked
    | ToolJudged
    | Asked
    | Decided
    | ToolStarted
    | ToolReturned
    | Said
    | Stopped
    | Drafted
    | Sending
    | Delivered
    | Held
    | Failed
    | CodeGiven
    | Paired
    | Unpaired
    | Granted
    | Revoked
    | Kept
    | Undone
    | Spent
    | Alarmed
    | Anchored
)


class Entry(Word, frozen=True, kw_only=True):
    """A line of the journal: `number` rises over the whole journal, `at` is Unix seconds,
    `conversation` is an `Address.key`."""

    number: int
    at: float
    conversation: str
    event: Event


def kind_of(event: type[Event] | Event) -> str:
    """The stored name of an event or event type.

    >>> kind_of(Stopped(turn=1, reason="no words"))
    'stopped'
    """
    return str(event.__struct_config__.tag)
