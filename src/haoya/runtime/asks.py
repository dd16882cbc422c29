# SPDX-License-Identifier: AGPL-3.0-or-later
"""Questions to the owner: each bound to one exact effect, answered once, expiring."""

import json
import unicodedata
from collections.abc import Callable

import msgspec

from haoya.agent.lent import AskOwner
from haoya.agent.transcript import Standing
from haoya.core.event import Admitted, Asked
from haoya.core.message import Address, Button, Outbound, Text, text_of
from haoya.core.phrases import Language, language_of, phrase
from haoya.core.tool import ToolCall, ToolSpec
from haoya.policy.arguments import leaves
from haoya.policy.grants import exact_arguments
from haoya.runtime.gateway import Gateway
from haoya.runtime.policy_settings import PolicySettings
from haoya.runtime.reach import owner_chat
from haoya.runtime.telling import told

DIGEST_LETTERS = 12
"""Of the digest in a button's value: 48 bits, enough to tell one owner's open questions apart."""

_LABELS: dict[Language, tuple[str, str, str]] = {
    "en": ("Yes", "No", "Always"),
    "zh": ("好", "不", "一直允许"),
}
_JOINER = "\u200d"
"""Invisible as well, but emojis are made with it."""


class Asks:
    """Asks and times out; `Rulings` takes the answers."""

    def __init__(self, gateway: Gateway, settings: Callable[[], PolicySettings]) -> None:
        self.gateway = gateway
        self.settings = settings

    async def ask(self, address: Address, state: Standing, wanted: AskOwner) -> None:
        """Put the question to the owner and write down that the turn waits for it.

        Where the question stands in the asking conversation, both lines are one step, so that it
        is open before anybody can read it. Elsewhere it is said first, under an id of its own:
        after a crash in between it is asked again, which says nothing twice.
        """
        last = [entry.event for entry in state.reads if isinstance(entry.event, Admitted)][-1]
        where = await self.owner_place(address, last.role)
        language = language_of(text_of(last.parts))
        leave = leave_of(wanted)
        text = self._question(wanted, last, language, once=leave is None)
        asked = Asked(
            turn=state.turn,
            call=wanted.call.id,
            where=where.key,
            digest=wanted.digest,
            question=text,
            tool=wanted.call.name,
            expires=self.gateway.clock() + self.settings().ask_hours * 3600,
            person="" if leave is None else last.person,
            arguments=leave or {},
        )
        id = f"ask:{address.key}:{state.turn}:{wanted.call.id}"
        buttons = _buttons(language, wanted.digest, once=leave is None)
        outbound = Outbound(id=id, address=where, parts=(Text(text=text), *buttons))
        here = where.key == address.key
        if not (await self.gateway.say(outbound, asked=asked if here else None) and here):
            for entry in await self.gateway.journal.append(address, asked):
                self.gateway.questions[entry.number] = entry
        if where.key != address.key:
            await self._tell_asker(address, f"asked:{id}", language)

    async def expire(self) -> None:
        """Answer no to every question nobody answered in time."""
        now = self.gateway.clock()
        for number, entry in list(self.gateway.questions.items()):
            if isinstance(entry.event, Asked) and entry.event.expires <= now:
                await self.gateway.settle(number, False, "")

    async def owner_place(self, address: Address, role: str) -> Address:
        """Where the owner is asked: here if the owner is asking, else in the owner's private
        chat used last, else at the owner's own door."""
        if role == "owner" and address.kind == "dm":
            return address
        return await owner_chat(self.gateway)

    def _question(self, wanted: AskOwner, last: Admitted, language: Language, *, once: bool) -> str:
        settings = self.settings()
        return phrase(
            "ask-once" if once else "ask",
            language,
            effect=effect_of(wanted.spec, wanted.call),
            origins=grounds_of(wanted, last, language),
            name=visible(last.name or last.person),
            hours=f"{settings.ask_hours:g}",
            days=f"{settings.grant_days:g}",
        )

    async def _tell_asker(self, address: Address, id: str, language: Language) -> None:
        await self.gateway.notice(address, id, phrase("asked", language))


def effect_of(spec: ToolSpec, call: ToolCall) -> str:
    """The exact effect in words: the tool and every argument, nothing shortened, nothing hidden.
    Lines of one value after its first are marked, so that none can pass for a line of ours.

    >>> print(effect_of(ToolSpec(name="message", purpose="Send."), ToolCall(id="1", name="message",
    ...       arguments='{"to": "tg//1", "text": "hi\\\\nyou"}')))
    message (Send.)
      to: tg//1
      text: hi
        │ you
    """
    head = f"{call.name} ({spec.purpose})"
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return f"{head}\n  {visible(call.arguments)}"
    if not isinstance(arguments, dict):
        return f"{head}\n  {visible(call.arguments)}"
    shown = [f"  {visible(name)}: {_plain(value)}" for name, value in arguments.items()]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return "\n".join([head, *shown])


def grounds_of(wanted: AskOwner, last: Admitted, language: Language) -> str:
    """Where each value came from that decides whom or what the effect hits, which words of others
    were read before, and why policy asks; "" where there is nothing to tell.

    Policy speaks to whoever made the wish. Where that is not an owner, the wisher's own words are
    called by the name, and vouch for nothing.
    """
    mine = last.role == "owner"
    origins, label = wanted.verdict.origins, wanted.label
    lines = [phrase("ask-origins", language)] if origins else []
    for one in origins:
        mark = "✓" if one.trusted and mine else "⚠"
        theirs = not mine and one.source == "your words"
        source = (last.name or last.person) if theirs else told(one.source, language)
        lines.append(f"  {mark} {visible(one.argument)}: {visible(one.value)} ← {visible(source)}")
    if label.author == "untrusted" and (read := sorted(label.sources - {last.person})):
        lines.append(phrase("ask-read", language, sources=", ".join(map(visible, read))))
    if mine and (reason := told(wanted.verdict.reason, language)):
        lines.append(phrase("ask-why", language, reason=visible(reason)))
    return "".join(f"{line}\n" for line in lines)


def leave_of(wanted: AskOwner) -> dict[str, str] | None:
    """What `always` would grant: the exact values that decide whom or what the effect hits, by
    argument; all of them where the tool names none. None where there is nothing to hold on to."""
    spec = wanted.spec
    if not spec.authority:
        every = dict.fromkeys((leaf.path for leaf in leaves(wanted.call.arguments)), "which")
        spec = msgspec.structs.replace(spec, authority=every)
    return exact_arguments(spec, wanted.call) or None


def visible(text: str) -> str:
    """The text with every sign that cannot be seen written out, line ends marked.

    >>> visible("safe\\u202egpj"), visible("two\\nlines")
    ('safe\\\\u202egpj', 'two\\n    │ lines')
    """
    shown = "".join(
        one
        if one in ("\n", "\t", _JOINER) or unicodedata.category(one) not in ("Cc", "Cf")
        else f"\\u{ord(one):04x}"
        for one in text
    )
    return shown.replace("\n", "\n    │ ")


def _buttons(language: Language, digest: str, *, once: bool) -> tuple[Button, ...]:
    """Each names the question it belongs to, so that pressing it later answers no other."""
    words = ("yes", "no") if once else ("yes", "no", "always")
    labels = zip(words, _LABELS[language], strict=False)
    of = digest[:DIGEST_LETTERS]
    return tuple(Button(label=label, value=f"{word} {of}") for word, label in labels)


def _plain(value: object) -> str:
    return visible(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
