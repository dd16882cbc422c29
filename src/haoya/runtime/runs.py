# SPDX-License-Identifier: AGPL-3.0-or-later
"""What happened, read from the journal: the runs, and why a message fared as it did."""

from collections.abc import Iterable, Sequence
from typing import Any

from haoya.core.errors import ConfigError
from haoya.core.event import (
    Admitted,
    Asked,
    Decided,
    Delivered,
    Entry,
    Failed,
    Granted,
    Held,
    ModelAnswered,
    ModelAsked,
    ModelFailed,
    Received,
    Refused,
    Revoked,
    Said,
    Sending,
    Stopped,
    ToolAsked,
    ToolJudged,
    ToolReturned,
    kind_of,
)
from haoya.core.label import Label
from haoya.core.message import text_of
from haoya.core.tool import Verdict
from haoya.journal import Journal

Row = dict[str, Any]
"""One JSON object of an answer to a verb, as documented in docs/reference/verbs.md."""

_BEGINNINGS = frozenset({kind_of(ModelAsked)})
_SPAN = 400
"""How many lines of a conversation around a message are looked at to explain it."""


async def runs_list(journal: Journal, limit: int = 20) -> list[Row]:
    """The latest runs, newest first."""
    rows: list[Row] = []
    seen: set[tuple[str, int]] = set()
    before: int | None = None
    while len(rows) < limit:
        entries = await journal.recent(_BEGINNINGS, limit=limit * 2, before=before)
        if not entries:
            break
        for entry in entries:
            assert isinstance(entry.event, ModelAsked)
            key = (entry.conversation, entry.event.turn)
            if key not in seen and len(rows) < limit:
                seen.add(key)
                rows.append(_summary(await _lines(journal, *key), *key))
        before = entries[-1].number
    return rows


async def runs_show(journal: Journal, turn: int) -> Row:
    """One run with all its lines; ConfigError where there is no such turn."""
    entry = await journal.entry(turn)
    if entry is None or not isinstance(entry.event, Admitted):
        raise ConfigError(f"there is no run {turn}", cure="see `haoya runs list`")
    lines = await _lines(journal, entry.conversation, turn)
    shown = [
        {"number": e.number, "at": e.at, "event": kind_of(e.event), "detail": detail(e)}
        for e in lines
    ]
    return {**_summary(lines, entry.conversation, turn), "entries": shown}


async def why(journal: Journal, message: str) -> Row:
    """Everything that became of one message: each step, a plain summary, and the cure.

    `message` is a journal number, `CHANNEL:ID` with the network's id, or `last`.
    """
    entry = await find_message(journal, message)
    assert isinstance(entry.event, Received)
    after = entry.number - 1
    lines = await journal.read(entry.conversation, after=after, before=entry.number + 100_000)
    lines = lines[:_SPAN]
    own, admitted = _about(lines, entry.number)
    turn = _turn_of(lines, admitted.number) if admitted else 0
    if turn:
        numbers = {e.number for e in own}
        own += [e for e in _of_turn(lines, turn) if e.number not in numbers]
        own.sort(key=lambda e: e.number)
    state, summary, cure = _verdict(own, turn)
    return {
        "message": entry.number,
        "conversation": entry.conversation,
        "state": state,
        "summary": summary,
        "cure": cure,
        "steps": [{"at": e.at, "what": kind_of(e.event), "detail": detail(e)} for e in own],
    }


async def find_message(journal: Journal, message: str) -> Entry:
    """The `Received` line somebody means; ConfigError where there is none."""
    entry: Entry | None = None
    if message == "last":
        recent = await journal.recent(frozenset({kind_of(Received)}), limit=1)
        entry = recent[0] if recent else None
    elif message.isdigit():
        entry = await journal.entry(int(message))
        of = getattr(entry.event, "of", 0) if entry else 0
        if entry and of and not isinstance(entry.event, Received):
            entry = await journal.entry(of)
    elif ":" in message:
        channel, _, id = message.partition(":")
        number = await journal.find(channel, id)
        entry = await journal.entry(number) if number else None
    if entry is None or not isinstance(entry.event, Received):
        raise ConfigError(
            f"no message is known as {message!r}",
            cure="give its number, CHANNEL:ID, or `last`; `haoya runs list` shows numbers",
        )
    return entry


def detail(entry: Entry) -> str:
    """One line about an event, for people."""
    match entry.event:
        case Received(inbound=inbound):
            return f"{inbound.sender.name or inbound.sender.id}: {_short(text_of(inbound.parts))}"
        case Refused(reason=reason) | Stopped(reason=reason) | Held(reason=reason):
            return reason
        case Admitted() as admitted:
            unasked = "" if admitted.wakes else ", unasked"
            shown = label_words(admitted.label, admitted.person)
            return f"as {admitted.role} {admitted.person}{unasked}{shown}"
        case ModelAsked() as asked:
            why = f"; {asked.why}" if asked.why else ""
            return f"{asked.model}, step {asked.step}, about {asked.prompt_tokens} tokens{why}"
        case ModelAnswered() as answered:
            calls = ", ".join(call.name for call in answered.calls)
            words = f"calls {calls}" if calls else _short(answered.text)
            usage = answered.usage
            figures = f"{usage.prompt}+{usage.completion} tokens, {answered.seconds:.2f} s"
            told = "; ".join([f"{words} ({figures})", *answered.notes])
            return f"{told}{label_words(answered.label)}"
        case ModelFailed() as failed:
            return f"{failed.model}: {failed.error}"
        case ToolAsked(call=call):
            return f"{call.name} {_short(call.arguments)}"
        case ToolJudged(verdict=verdict):
            return _judged(verdict)
        case Asked() as question:
            return _short(question.question)
        case Granted() as granted:
            return _granted(granted)
        case Revoked(of=of, by=by):
            return f"leave {of}, by {by}"
        case Decided(yes=yes, by=by):
            return f"{'yes' if yes else 'no'}, by {by or 'nobody in time'}"
        case ToolReturned() as returned:
            if not returned.known:
                return "not known whether it took effect"
            return f"{_short(returned.text)}{label_words(returned.label)}"
        case Said(outbound=outbound):
            return _short(text_of(outbound.parts))
        case Delivered() as delivered:
            ids = ", ".join(delivered.receipt.ids)
            return f"piece {delivered.piece + 1}, id {ids or '-'}" + " ↻" * delivered.marked
        case Sending(piece=piece):
            return f"piece {piece + 1}"
        case Failed(error=error):
            return error
        case _:
            return ""


def _judged(verdict: Verdict) -> str:
    froms = [f"{x.argument} from {x.source or 'nowhere'}" for x in verdict.origins]
    leave = [f"leave {verdict.grant}"] if verdict.grant else []
    return "; ".join([f"{verdict.decision}: {verdict.reason}", *froms, *leave])


def _granted(granted: Granted) -> str:
    values = ", ".join(f"{name} = {_short(value)}" for name, value in granted.arguments.items())
    return f"{granted.tool} for {granted.person} without asking: {values}, by {granted.by}"


def label_words(label: Label | None, person: str = "") -> str:
    """A label in words behind a line about what bears it; "" for the owner's own, for all to read.

    >>> label_words(Label(author="untrusted", sources=frozenset({"web:a.example"})))
    ' [untrusted: web:a.example]'
    >>> label_words(Label(author="owner", readers=frozenset({"tg:1"})))
    ' [only for tg:1]'
    """
    if label is None:
        return ""
    words: list[str] = []
    if label.author != "owner":
        sources = ", ".join(sorted(label.sources - {person}))
        words.append(f"{label.author}: {sources}" if sources else label.author)
    if label.readers is not None:
        words.append(f"only for {', '.join(sorted(label.readers)) or 'nobody'}")
    return f" [{'; '.join(words)}]" if words else ""


async def _lines(journal: Journal, conversation: str, turn: int) -> list[Entry]:
    """The lines of one turn: what it read, what it did, what became of its answer."""
    lines = await journal.read(conversation, after=max(0, turn - 200), before=turn + 100_000)
    return _of_turn(lines[:_SPAN], turn)


def _of_turn(lines: Sequence[Entry], turn: int) -> list[Entry]:
    said = {e.number for e in lines if isinstance(e.event, Said) and e.event.turn == turn}
    asked = {e.number for e in lines if isinstance(e.event, Asked) and e.event.turn == turn}
    closed = max((getattr(e.event, "turn", 0) for e in lines if e.number < turn), default=0)
    return [
        e
        for e in lines
        if getattr(e.event, "turn", 0) == turn
        or (isinstance(e.event, Admitted) and closed < e.number <= turn)
        or (not isinstance(e.event, Admitted) and getattr(e.event, "of", 0) in said | asked)
    ]


def _about(lines: Sequence[Entry], number: int) -> tuple[list[Entry], Entry | None]:
    own = [e for e in lines if e.number == number or getattr(e.event, "of", 0) == number]
    return own, next((e for e in own if isinstance(e.event, Admitted)), None)


def _turn_of(lines: Iterable[Entry], admitted: int) -> int:
    """The first turn that had read an admitted message, 0 if none has begun."""
    turns = [getattr(e.event, "turn", 0) for e in lines]
    return min((turn for turn in turns if turn >= admitted), default=0)


def _verdict(lines: Sequence[Entry], turn: int) -> tuple[str, str, str]:
    """State, plain summary and cure of a message from its own lines."""
    refused = next((e.event for e in lines if isinstance(e.event, Refused)), None)
    if refused:
        cure = "`haoya pair list` shows who waits" if "stranger" in refused.reason else ""
        return "refused", f"It did not reach the model: {refused.reason}.", cure
    failed = next((e.event for e in lines if isinstance(e.event, Failed)), None)
    if failed:
        return (
            "failed",
            f"An answer was written but not delivered: {failed.error}.",
            ("mend the channel, then `haoya replay` the message"),
        )
    troubles = [e.event.error for e in lines if isinstance(e.event, ModelFailed)]
    answered = any(isinstance(e.event, ModelAnswered) for e in lines)
    said = any(isinstance(e.event, Said) and e.event.turn == turn for e in lines)
    delivered = any(isinstance(e.event, Delivered) and e.event.last for e in lines)
    if said and not answered and troubles:
        return (
            "apologised",
            f"No model answered: {troubles[-1]}.",
            ("mend the model (`haoya doctor`), then `haoya replay` the message"),
        )
    if delivered:
        return "answered", "It was answered and the network took the answer.", ""
    if said:
        return (
            "owed",
            "The answer is written and waits for the network.",
            ("`haoya channels list` shows how the channel is doing"),
        )
    open_questions = {e.number for e in lines if isinstance(e.event, Asked)}
    open_questions -= {e.event.of for e in lines if isinstance(e.event, Decided)}
    if open_questions:
        return "asked", "It waits for the owner's permission.", "see `haoya asks`"
    if turn:
        return "working", "The agent is at work on it.", ""
    if any(isinstance(e.event, Admitted) and not e.event.wakes for e in lines):
        return "heard", "Group talk that was not meant for the agent; kept as context.", ""
    return "waiting", "It is stored and waits for its turn.", ""


def _summary(lines: Sequence[Entry], conversation: str, turn: int) -> Row:
    events = [e.event for e in lines]
    answers = [e for e in events if isinstance(e, ModelAnswered)]
    reads = [e for e in events if isinstance(e, Admitted)]
    said = [e for e in events if isinstance(e, Said)]
    first = next((e.at for e in lines if e.number == turn), lines[0].at if lines else 0.0)
    state, _, _ = _verdict(lines, turn)
    return {
        "turn": turn,
        "conversation": conversation,
        "person": reads[-1].person if reads else "",
        "at": first,
        "asked": _short("\n".join(text_of(read.parts) for read in reads)),
        "answer": _short(text_of(said[-1].outbound.parts)) if said else "",
        "state": state,
        "model": answers[-1].model if answers else "",
        "steps": len(answers),
        "tools": [call.name for answer in answers for call in answer.calls],
        "tokens": sum(a.usage.prompt + a.usage.completion for a in answers),
        "seconds": round((lines[-1].at - first) if lines else 0.0, 3),
    }


def _short(text: str, limit: int = 200) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
