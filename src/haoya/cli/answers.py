# SPDX-License-Identifier: AGPL-3.0-or-later
"""What the house's verbs answer. Every field has a default: an older daemon may leave it out."""

from typing import Literal

import msgspec

Severity = Literal["error", "warning", "info"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Common form: unknown fields are passed over."""


class Finding(Answer, frozen=True, kw_only=True):
    """Something the owner should look at, and its cure."""

    id: str = ""
    severity: Severity = "warning"
    section: str = ""
    message: str = ""
    cure: str = ""


class Findings(Answer, frozen=True, kw_only=True):
    """`doctor`, `config_check`."""

    findings: list[Finding] = []


class Storage(Answer, frozen=True, kw_only=True):
    """Whether the journal can be written."""

    state: str = "open"
    reason: str = ""


class ChannelState(Answer, frozen=True, kw_only=True):
    """One channel; times in Unix seconds, `owed` messages not yet delivered."""

    name: str = ""
    use: str = ""
    state: str = ""
    reason: str = ""
    since: float = 0
    last_heard: float = 0
    owed: int = 0


class ModelState(Answer, frozen=True, kw_only=True):
    """One model: `name` is the owner's, `model` the server's; `rests_until` in Unix seconds, -1
    until its settings change."""

    name: str = ""
    use: str = ""
    model: str = ""
    state: str = ""
    reason: str = ""
    place: str = ""
    rests_until: float = 0
    trouble: str = ""
    spent_month: float = 0


class Api(Answer, frozen=True, kw_only=True):
    """Where the window is."""

    url: str = ""


class Status(Answer, frozen=True, kw_only=True):
    """`status`: the daemon as it is now."""

    version: str = ""
    pid: int = 0
    home: str = ""
    uptime_seconds: float = 0
    state: str = ""
    storage: Storage = Storage()
    channels: list[ChannelState] = []
    models: list[ModelState] = []
    findings: list[Finding] = []
    conversations: int = 0
    lines: int = 0
    owed: int = 0
    waiting: int = 0
    asks: int = 0
    api: Api | None = None
    rss_mb: float = 0
    loop_stall_ms: float = 0


class Waiting(Answer, frozen=True, kw_only=True):
    """A stranger who holds a pairing code."""

    code: str = ""
    person: str = ""
    name: str = ""
    channel: str = ""
    expires: float = 0


class Person(Answer, frozen=True, kw_only=True):
    """Somebody who may speak."""

    person: str = ""
    name: str = ""
    role: str = ""
    by: str = ""
    at: float = 0


class Pairs(Answer, frozen=True, kw_only=True):
    """`pair_list`."""

    waiting: list[Waiting] = []
    people: list[Person] = []


class Ask(Answer, frozen=True, kw_only=True):
    """A tool call that waits for the owner's yes or no."""

    number: int = 0
    conversation: str = ""
    tool: str = ""
    question: str = ""
    expires: float = 0


class Leave(Answer, frozen=True, kw_only=True):
    """One of `grants_list`: what a person may have done without a question; `limit` 0 for any
    number of times, `expires` 0 for never."""

    number: int = 0
    person: str = ""
    conversation: str = ""
    tool: str = ""
    arguments: dict[str, str] = {}
    limit: int = 0
    used: int = 0
    expires: float = 0


class Channel(Answer, frozen=True, kw_only=True):
    """One of `channels_list`."""

    name: str = ""
    use: str = ""
    state: str = ""
    reason: str = ""


class ChannelStep(Answer, frozen=True, kw_only=True):
    """One step of `channels_test`."""

    step: str = ""
    ok: bool = False
    detail: str = ""


class ChannelTest(Answer, frozen=True, kw_only=True):
    """`channels_test`."""

    name: str = ""
    ok: bool = False
    steps: list[ChannelStep] = []


class Invitation(Answer, frozen=True, kw_only=True):
    """`peers_invite`: what the other node must be told; the token is shown this once."""

    name: str = ""
    models: list[str] = []
    token: str = ""
    address: str = ""
    fingerprint: str = ""
    listens: bool = False


class PeerState(Answer, frozen=True, kw_only=True):
    """A node that may ask; `last` in Unix seconds."""

    name: str = ""
    models: list[str] = []
    at: float = 0
    connections: int = 0
    asked: int = 0
    last: float = 0


class PeerList(Answer, frozen=True, kw_only=True):
    """`peers_list`."""

    address: str = ""
    open: bool = False
    reason: str = ""
    fingerprint: str = ""
    peers: list[PeerState] = []


class DeviceToken(Answer, frozen=True, kw_only=True):
    """`devices_add`: the token is shown this once."""

    name: str = ""
    scopes: list[str] = []
    token: str = ""
    url: str = ""


class DeviceState(Answer, frozen=True, kw_only=True):
    """A device that may use the API; `at` in Unix seconds."""

    name: str = ""
    scopes: list[str] = []
    per_minute: int = 0
    at: float = 0


class DeviceList(Answer, frozen=True, kw_only=True):
    """`devices_list`."""

    devices: list[DeviceState] = []


class RunLine(Answer, frozen=True, kw_only=True):
    """A line of the journal as `runs_show` tells it."""

    number: int = 0
    at: float = 0
    event: str = ""
    detail: str = ""


class Run(Answer, frozen=True, kw_only=True):
    """A turn: one of `runs_list`, or with its entries `runs_show`."""

    turn: int = 0
    conversation: str = ""
    person: str = ""
    at: float = 0
    asked: str = ""
    answer: str = ""
    state: str = ""
    model: str = ""
    steps: int = 0
    tools: list[str] = []
    tokens: int = 0
    seconds: float = 0
    entries: list[RunLine] = []


class WhyStep(Answer, frozen=True, kw_only=True):
    """One thing that happened to a message."""

    at: float = 0
    what: str = ""
    detail: str = ""


class MaskedPair(Answer, frozen=True, kw_only=True):
    """What a model was shown in place of what."""

    placeholder: str = ""
    value: str = ""


class Why(Answer, frozen=True, kw_only=True):
    """`why`: what happened to a message."""

    message: int = 0
    conversation: str = ""
    state: str = ""
    summary: str = ""
    steps: list[WhyStep] = []
    cure: str = ""
    masked: list[MaskedPair] | None = None


class Replayed(Answer, frozen=True, kw_only=True):
    """`replay`: the new entry."""

    number: int = 0


class Link(Answer, frozen=True, kw_only=True):
    """`link`: a fresh address of the window, good once."""

    url: str = ""


class LaneState(Answer, frozen=True, kw_only=True):
    """One local model's lane: chats and work in the background, running and waiting."""

    name: str = ""
    seats: int = 0
    running: int = 0
    waiting: int = 0
    background: int = 0
    background_waiting: int = 0
    frozen: bool = False


class Asking(Answer, frozen=True, kw_only=True):
    """Who has requests in the queue."""

    person: str = ""
    urgency: str = ""
    running: int = 0
    waiting: int = 0


class Used(Answer, frozen=True, kw_only=True):
    """Tokens somebody has used in the present `span` (day, hour); `limit` None for any."""

    person: str = ""
    span: str = ""
    used: int = 0
    limit: int | None = None
    refilled: float = 0
    spent: bool = False


class Queue(Answer, frozen=True, kw_only=True):
    """`queue`."""

    lanes: list[LaneState] = []
    people: list[Asking] = []
    budgets: list[Used] = []
