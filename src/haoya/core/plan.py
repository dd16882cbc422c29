# SPDX-License-Identifier: Apache-2.0
"""From what we want to say to what a network can carry. Pure: no network is asked."""

import regex

from haoya.core.capabilities import Capabilities, LengthUnit, length
from haoya.core.markdown import spans_of
from haoya.core.message import (
    Audio,
    Button,
    Card,
    Code,
    File,
    Image,
    Media,
    Outbound,
    Part,
    Span,
    Text,
    Video,
    Word,
    text_of,
)

_LINES = regex.compile(r"[^\r\n]+")
_GRAPHEMES = regex.compile(r"\X")
_MEDIA = (Image, Audio, Video, File)


class Plan(Word, frozen=True, kw_only=True):
    """What to send, in order: each piece holds one text or one medium that fits; `lost` names
    the kinds of parts that had to be written as words instead."""

    pieces: tuple[Outbound, ...]
    lost: tuple[str, ...] = ()


def plan(outbound: Outbound, capabilities: Capabilities) -> Plan:
    """Fit a message to a network: cut by its own length unit, written in its own dialect.

    What the network cannot carry is degraded as declared here: buttons become a numbered list,
    cards and links and the like become text, media become their name. Piece `i` of several has
    the id `{outbound.id}#{i}`; only the first one replies. A message with nothing to say has no
    pieces.

    >>> from haoya.core.message import Address
    >>> message = Outbound(id="1", address=Address(channel="c", room="r"),
    ...                    parts=(Text(text="one two"),))
    >>> [text_of(piece.parts) for piece in plan(message, Capabilities(max_length=4)).pieces]
    ['one', 'two']
    """
    lost: list[str] = []
    bodies: list[tuple[Part, ...]] = []
    words: list[Part] = []
    for part in outbound.parts:
        if isinstance(part, _MEDIA) and _carries(part, capabilities):
            bodies += _texts(words, capabilities, lost)
            words = []
            bodies += _media(part, capabilities)
        else:
            words.append(part)
    bodies += _texts(words, capabilities, lost)
    several = len(bodies) > 1
    pieces = tuple(
        Outbound(
            id=f"{outbound.id}#{i}" if several else outbound.id,
            address=outbound.address,
            parts=body,
            reply_to=outbound.reply_to if i == 0 else "",
            answers=outbound.answers,
            finality=outbound.finality,
            ttl=outbound.ttl,
            priority=outbound.priority,
        )
        for i, body in enumerate(bodies)
    )
    return Plan(pieces=pieces, lost=tuple(dict.fromkeys(lost)))


def cut(text: str, capabilities: Capabilities) -> list[str]:
    """Pieces of at most `max_length` units, in order, losing only blank edges.

    Breaks at the last newline that fits, else the last space, else between grapheme clusters.
    A single cluster longer than a whole piece is broken between its code points. Without
    `multiline` every line is cut for itself and keeps its indent.

    >>> cut("one two", Capabilities(max_length=4))
    ['one', 'two']
    >>> cut("你好世界", Capabilities(max_length=6, unit="utf8"))
    ['你好', '世界']
    >>> cut("def f():\\n    pass\\n", Capabilities(multiline=False))
    ['def f():', '    pass']
    """
    return [text[start:end] for start, end in _cuts(text, capabilities)]


def _cuts(text: str, capabilities: Capabilities) -> list[tuple[int, int]]:
    """Where `cut` cuts, as (start, end) in code points."""
    if capabilities.multiline:
        start = len(text) - len(text.lstrip())
        return _fits(text, start, len(text.rstrip()), capabilities)
    lines = [(line.start(), line.start() + len(line[0].rstrip())) for line in _LINES.finditer(text)]
    return [fit for start, stop in lines for fit in _fits(text, start, stop, capabilities)]


def _fits(text: str, start: int, stop: int, capabilities: Capabilities) -> list[tuple[int, int]]:
    """`text[start:stop]` as ranges that fit, without the blanks around the cuts."""
    unit, limit = capabilities.unit, max(1, capabilities.max_length)
    ranges: list[tuple[int, int]] = []
    while start < stop:
        end = start + _fitting(text[start:stop], limit, unit)
        if end < stop:
            end = _break(text, start, end)
        kept = start + len(text[start:end].rstrip())
        if kept > start:
            ranges.append((start, kept))
        while end < stop and text[end].isspace():
            end += 1
        start = end
    return ranges


def _fitting(text: str, limit: int, unit: LengthUnit) -> int:
    """How many leading code points fit into `limit` units; at least one."""
    if len(text) * 4 <= limit:
        return len(text)
    used = 0
    for i, character in enumerate(text):
        used += length(character, unit)
        if used > limit:
            return max(1, i)
    return len(text)


def _break(text: str, start: int, end: int) -> int:
    """The best place to break `text[start:]` at or before `end`, after `start`."""
    if text[end].isspace():
        return end
    for mark in ("\n", " "):
        found = text.rfind(mark, start + 1, end)
        if found > start and text[start:found].strip():
            return found
    # From the start: in the middle of a run of flags no edge can be told (UAX 29, GB12).
    edges = [match.start() for match in _GRAPHEMES.finditer(text, start, end + 1)]
    return next((edge for edge in reversed(edges) if start < edge <= end), end)


def _carries(part: Media, capabilities: Capabilities) -> bool:
    kind = str(part.__struct_config__.tag)
    fits = not capabilities.max_bytes or part.blob.size <= capabilities.max_bytes
    return kind in capabilities.says and fits


def _media(part: Media, capabilities: Capabilities) -> list[tuple[Part, ...]]:
    """A medium with its caption, which follows on its own where it is long (Telegram: 1,024)."""
    if length(part.caption, capabilities.unit) <= 1024:
        return [(part,)]
    bare = type(part)(blob=part.blob)
    texts = _texts([Text(text=part.caption)], capabilities, [])
    return [(bare,), *texts]


def _texts(
    parts: list[Part], capabilities: Capabilities, lost: list[str]
) -> list[tuple[Part, ...]]:
    """Word-like parts as texts that fit; buttons stay on the last piece where they can."""
    buttons = [part for part in parts if isinstance(part, Button)]
    others = [part for part in parts if not isinstance(part, Button)]
    shown = [_as_text(part, capabilities, lost) for part in others]
    shown = [pair for pair in shown if pair[0].strip()]
    if buttons and not (capabilities.buttons and shown):  # no network hangs buttons on nothing
        listed = "\n".join(f"{i}. {button.label}" for i, button in enumerate(buttons, 1))
        shown.append((listed, ()))
    if buttons and not capabilities.buttons:
        lost.append("button")
        buttons = []
    text, spans = _joined(shown)
    bodies: list[tuple[Part, ...]] = []
    for start, end in _cuts(text, capabilities):
        inside = tuple(_clipped(spans, start, end))
        markup = "markdown" if capabilities.markup == "markdown" else "plain"
        bodies.append((Text(text=text[start:end], markup=markup, spans=inside),))
    if buttons and bodies:
        bodies[-1] = (*bodies[-1], *buttons)
    return bodies


def _as_text(
    part: Part, capabilities: Capabilities, lost: list[str]
) -> tuple[str, tuple[Span, ...]]:
    """One part in the network's dialect."""
    match part:
        case Text(markup="markdown") if capabilities.markup != "markdown":
            text, spans = spans_of(part.text)
            if capabilities.markup == "spans":
                return text, spans
            return _with_addresses(text, spans), ()
        case Text():
            return part.text, part.spans if capabilities.markup == "spans" else ()
        case Code() if capabilities.markup == "spans":
            size = len(part.text)
            return part.text, (Span(start=0, length=size, style="pre", value=part.language),)
        case Card() if capabilities.markup == "spans":
            title = Span(start=0, length=len(part.title), style="bold")
            return text_of((part,)), (title,)
        case _:
            kind = str(part.__struct_config__.tag)
            if kind not in capabilities.says or isinstance(part, _MEDIA):
                lost.append(kind)
            return text_of((part,)), ()


def _with_addresses(text: str, spans: tuple[Span, ...]) -> str:
    """Plain words in which each link is followed by its address."""
    for span in sorted(spans, key=lambda span: -(span.start + span.length)):
        end = span.start + span.length
        if span.style == "link" and span.value and span.value != text[span.start : end]:
            text = f"{text[:end]} ({span.value}){text[end:]}"
    return text


def _joined(shown: list[tuple[str, tuple[Span, ...]]]) -> tuple[str, list[Span]]:
    """Texts one below the other, their spans moved along."""
    text = ""
    spans: list[Span] = []
    for more, styles in shown:
        text += "\n" if text else ""
        spans += [_moved(span, len(text)) for span in styles]
        text += more
    return text, spans


def _moved(span: Span, by: int) -> Span:
    return Span(start=span.start + by, length=span.length, style=span.style, value=span.value)


def _clipped(spans: list[Span], start: int, end: int) -> list[Span]:
    """The spans of `text[start:end]`, counted from its own beginning."""
    inside: list[Span] = []
    for span in spans:
        low, high = max(span.start, start), min(span.start + span.length, end)
        if low < high:
            piece = Span(start=low - start, length=high - low, style=span.style, value=span.value)
            inside.append(piece)
    return inside
