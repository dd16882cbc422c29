# SPDX-License-Identifier: AGPL-3.0-or-later
"""From the journal to what a model reads. Pure: entries in, lines out."""

from collections.abc import Iterable, Sequence

import msgspec

from haoya.agent.budget import Group
from haoya.agent.labels import OLD, bounded, pieces_of
from haoya.core.event import (
    Admitted,
    Asked,
    Decided,
    Entry,
    ModelAnswered,
    ModelAsked,
    Said,
    Stopped,
    ToolAsked,
    ToolJudged,
    ToolReturned,
    ToolStarted,
    kind_of,
)
from haoya.core.label import OWNER, Label, joined
from haoya.core.message import Address, Image, text_of
from haoya.core.tool import Line, ToolCall

KINDS = frozenset(
    kind_of(kind)
    for kind in (
        Admitted,
        ModelAsked,
        ModelAnswered,
        ToolAsked,
        ToolJudged,
        ToolStarted,
        ToolReturned,
        Asked,
        Decided,
        Said,
        Stopped,
    )
)
"""The journal lines a transcript is made from."""

UNKNOWN = (
    "It is not known whether this took effect: the program stopped before the result was "
    "written down. Check before you do it again."
)
UNANSWERED = "This call was given up and has no result."


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where a conversation stands. `turn` is the turn to work on: the number of the last
    message it has read, 0 when there is nothing to do. `reads` are the admitted messages it
    answers, oldest first. `paused` while a question to the owner is open. `resumed` when the
    turn had begun before. `more` when further messages wait behind this turn."""

    turn: int = 0
    reads: tuple[Entry, ...] = ()
    paused: bool = False
    resumed: bool = False
    more: bool = False


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """An owner's (`by`) yes to question `of`, about the effect with that `digest` and no other;
    good until `expires` (Unix seconds)."""

    of: int
    digest: str
    expires: float
    by: str


class OpenCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call of the present turn without a result, and how far it had come. `refused` where the
    owner said no, or nobody answered in time."""

    call: ToolCall
    judged: bool = False
    started: bool = False
    refused: bool = False
    approval: Approval | None = None
    asked: Entry | None = None
    """The `Asked` line, None if the owner was not asked."""


def standing(entries: Sequence[Entry], *, gather: bool = False) -> Standing:
    """What is to be done next in one conversation, from its lines in journal order.

    A turn that was begun goes on with what it had read. Otherwise a new turn reads the oldest
    message that waits, so that each has an answer of its own; with `gather` it reads all.
    """
    closed, begun, questions = 0, 0, set[int]()
    for entry in entries:
        match entry.event:
            case Said(turn=turn) | Stopped(turn=turn) if turn:
                closed = max(closed, turn)
            case ModelAsked(turn=turn):
                begun = max(begun, turn)
            case Asked():
                questions.add(entry.number)
            case Decided(of=of):
                questions.discard(of)
            case _:
                pass
    waiting = [entry for entry in entries if _wakes(entry) and entry.number > closed]
    if not waiting:
        return Standing()
    resumed = begun > closed
    turn = begun if resumed else waiting[-1 if gather else 0].number
    reads = tuple(entry for entry in waiting if entry.number <= turn)
    return Standing(
        turn=turn,
        reads=reads,
        paused=bool(questions),
        resumed=resumed,
        more=len(reads) < len(waiting),
    )


def open_calls(entries: Iterable[Entry], turn: int) -> tuple[OpenCall, ...]:
    """The calls of a turn that still lack a result, in the order they were asked."""
    calls: dict[str, OpenCall] = {}
    for entry in entries:
        match entry.event:
            case ToolAsked() as asked if asked.turn == turn:
                calls[asked.call.id] = OpenCall(call=asked.call)
            case ToolJudged() as judged if judged.turn == turn and judged.call in calls:
                calls[judged.call] = msgspec.structs.replace(calls[judged.call], judged=True)
            case Asked() as question if question.turn == turn and question.call in calls:
                now = msgspec.structs.replace(calls[question.call], asked=entry)
                calls[question.call] = now
            case Decided() as decided if decided.call in calls:
                calls[decided.call] = _decided(calls[decided.call], decided)
            case ToolStarted() as started if started.turn == turn and started.call in calls:
                calls[started.call] = msgspec.structs.replace(calls[started.call], started=True)
            case ToolReturned() as returned if returned.turn == turn:
                calls.pop(returned.call, None)
            case _:
                pass
    return tuple(calls.values())


def approved_calls(entries: Iterable[Entry], turn: int) -> tuple[ToolCall, ...]:
    """The calls of a turn that an owner said yes to and that were made, in the order they were
    asked. One that is still open proves nothing: its approval has yet to be held against it."""
    calls: dict[str, ToolCall] = {}
    yes: set[str] = set()
    made: set[str] = set()
    for entry in entries:
        match entry.event:
            case ToolAsked() as asked if asked.turn == turn:
                calls[asked.call.id] = asked.call
            case Decided() as decided if decided.yes:
                yes.add(decided.call)
            case ToolReturned() as returned if returned.ok:
                made.add(returned.call)
            case _:
                pass
    return tuple(call for id, call in calls.items() if id in yes & made)


def calls_of(entries: Iterable[Entry], turn: int) -> tuple[Entry, ...]:
    """The lines about calls that a turn has made so far, and what came of them."""
    return tuple(
        entry
        for entry in entries
        if isinstance(entry.event, ToolAsked | ToolReturned) and entry.event.turn == turn
    )


def steps_taken(entries: Iterable[Entry], turn: int) -> int:
    """How many answers the models of a turn have given, before a crash or question broke it off."""
    answers = [e.event for e in entries if isinstance(e.event, ModelAnswered)]
    return max((answer.step for answer in answers if answer.turn == turn), default=0)


def groups_of(
    entries: Sequence[Entry], turn: int, address: Address, past: Label = OWNER
) -> list[Group]:
    """What the model of `turn` reads of a conversation, oldest first, in causal order.

    Messages the turn has not read are left out. Consecutive words of people become one line
    (many chat templates demand alternation) when they are `merged`; until then each keeps its
    label. In a room each message bears its speaker's name. An assistant line with calls and the
    results of these calls are one group. Where the house apologised because no model answered, its
    words stand as the answer that people saw.

    `past` is the label of what was read before these lines; lines from before there were labels
    get that of all before them.
    """
    named = address.kind != "dm"
    groups: list[Group] = []
    read = past
    for entry in sorted(entries, key=_cause):
        match entry.event:
            case Admitted() if entry.number <= turn:
                lines = _heard(entry.event, named)
                _add_words(groups, entry.number, lines)
                read = joined([read, *(line.label for line in lines)])
            case ModelAnswered() as answered if answered.turn <= turn:
                line = answered_line(answered, answered.label or read)
                read = read | line.label
                if line.text or line.calls:
                    groups.append(Group(number=entry.number, lines=(line,)))
            case ToolReturned() as returned if returned.turn <= turn:
                line = returned_line(returned)
                read = read | line.label
                _add_result(groups, line)
            case Said() if 0 < entry.event.turn < turn:
                _add_apology(groups, entry.number, entry.event, read)
            case _:
                pass
    return [_whole(group, last=group is groups[-1]) for group in groups]


def past_of(earlier: Sequence[Entry]) -> Label:
    """The label of what was read before the lines at hand, from the last answer before them."""
    answers = [e.event for e in earlier if isinstance(e.event, ModelAnswered)]
    return (answers[-1].label or OLD) if answers else OWNER


def merged(lines: Iterable[Line]) -> list[Line]:
    """The lines as a model reads them: consecutive words of people are one, and labels, which are
    nobody's business outside, are left behind."""
    shown: list[Line] = []
    for line in lines:
        if line.role == "user" and shown and shown[-1].role == "user":
            before = shown[-1]
            text, images = f"{before.text}\n{line.text}", before.images + line.images
            shown[-1] = Line(role="user", text=text, images=images)
        elif line.label != OWNER:
            shown.append(msgspec.structs.replace(line, label=OWNER))
        else:
            shown.append(line)
    return shown


def answered_line(answered: ModelAnswered, label: Label) -> Line:
    """A model's own words as the next model reads them; `label` is of all that it had read."""
    return Line(
        role="assistant",
        text=answered.text,
        calls=answered.calls,
        model=answered.model,
        echo=answered.echo,
        label=bounded(label),
    )


def returned_line(returned: ToolReturned) -> Line:
    """A tool's result as the model reads it; nobody knows whose words an old one is."""
    text = returned.text if returned.known else UNKNOWN
    return Line(role="tool", call=returned.call, text=text, label=returned.label or OLD)


def _wakes(entry: Entry) -> bool:
    return isinstance(entry.event, Admitted) and entry.event.wakes


def _cause(entry: Entry) -> tuple[int, int, int]:
    """Sort key: a deed comes right after the last message its turn had read."""
    event = entry.event
    if isinstance(event, Admitted):
        return (entry.number, 0, entry.number)
    return (getattr(event, "turn", entry.number), 1, entry.number)


def _decided(open_: OpenCall, decided: Decided) -> OpenCall:
    """The call with what was decided about it, where that was the question asked last."""
    entry = open_.asked
    if entry is None or entry.number != decided.of or not isinstance(entry.event, Asked):
        return open_
    asked = entry.event
    if not decided.yes:
        return msgspec.structs.replace(open_, refused=True, approval=None)
    approval = Approval(of=entry.number, digest=asked.digest, expires=asked.expires, by=decided.by)
    return msgspec.structs.replace(open_, refused=False, approval=approval)


def _heard(event: Admitted, named: bool) -> list[Line]:
    """A message's lines: own words and what is passed on stand apart, each with its label."""
    lines: list[Line] = []
    for parts, label in pieces_of(event):
        text = text_of(parts)
        images = tuple(part.blob for part in parts if isinstance(part, Image))
        if text or images:
            lines.append(Line(role="user", text=text, images=images, label=label))
    lines = lines or [Line(role="user", label=event.label or OWNER)]
    if named:
        first = lines[0]
        text = f"{event.name or event.person}: {first.text}"
        lines[0] = msgspec.structs.replace(first, text=text)
    return lines


def _add_words(groups: list[Group], number: int, lines: Sequence[Line]) -> None:
    if groups and groups[-1].lines[-1].role == "user":
        before = groups[-1]
        groups[-1] = Group(number=before.number, lines=(*before.lines, *lines))
    else:
        groups.append(Group(number=number, lines=tuple(lines)))


def _add_apology(groups: list[Group], number: int, said: Said, read: Label) -> None:
    """The house's own words where the model had none: a turn that failed was answered too."""
    if groups and groups[-1].lines[-1].role != "assistant":
        line = Line(role="assistant", text=text_of(said.outbound.parts), label=bounded(read))
        groups.append(Group(number=number, lines=(line,)))


def _add_result(groups: list[Group], line: Line) -> None:
    for i in range(len(groups) - 1, -1, -1):
        if any(call.id == line.call for call in groups[i].lines[0].calls):
            groups[i] = Group(number=groups[i].number, lines=(*groups[i].lines, line))
            return


def _whole(group: Group, *, last: bool) -> Group:
    """The group with a result for each call, in the order of the calls.

    The calls of the last group may still be open; they are the present turn's to finish.
    """
    calls = group.lines[0].calls
    if not calls:
        return group
    results = {line.call: line for line in group.lines[1:]}
    missing = [call for call in calls if call.id not in results]
    if last and missing:
        return group
    for call in missing:
        results[call.id] = Line(role="tool", call=call.id, text=UNANSWERED)
    return Group(number=group.number, lines=(group.lines[0], *(results[c.id] for c in calls)))
