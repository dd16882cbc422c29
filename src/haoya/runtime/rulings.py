# SPDX-License-Identifier: AGPL-3.0-or-later
"""What owners say to questions: each answered once, in its time, by an owner alone."""

from collections.abc import Awaitable, Callable

from haoya.core.errors import Unready
from haoya.core.event import Asked, Decided, Entry, Granted, Refused
from haoya.core.message import Address, Inbound, text_of
from haoya.core.phrases import language_of, phrase
from haoya.journal import Journal
from haoya.policy.access import Ruling, press_of, ruling_of
from haoya.policy.grants import Grants

Notice = Callable[[Address, str, str], Awaitable[bool]]
"""Say something of the house's own: where, under which id, what."""

_TOLD: dict[Ruling, str] = {"yes": "decided-yes", "no": "decided-no", "always": "decided-always"}


class Rulings:
    """The open questions by number, and the standing leaves that came of `always`. Whoever hands
    an answer in has made sure that it is an owner's."""

    def __init__(
        self,
        journal: Journal,
        clock: Callable[[], float],
        *,
        notice: Notice,
        wake: Callable[[Address], None],
        grant_days: Callable[[], float],
    ) -> None:
        self.journal = journal
        self.clock = clock
        self.notice = notice
        self.wake = wake
        self.grant_days = grant_days
        self.open: dict[int, Entry] = {}
        self.grants = Grants()

    async def settle(self, number: int, yes: bool, by: str, *, always: bool = False) -> bool:
        """Decide an open question and wake its conversation; false where it is open no more, or
        its time was over (it is a no then). `always` gives a standing leave besides."""
        question = self.open.pop(number, None)
        if question is None or not isinstance(question.event, Asked):
            return False
        asked, now = question.event, self.clock()
        late = asked.expires <= now
        yes = yes and not late
        granted = _granted(question, asked, by, now + self.grant_days() * 86400)
        leave = (granted,) if yes and always and asked.person else ()
        decided = Decided(of=number, call=asked.call, yes=yes, by="" if late else by)
        try:
            address = await self.address(question.conversation)
            for entry in await self.journal.append(address, *leave, decided):
                self.grants.note(entry)
        except Unready:
            self.open[number] = question
            raise
        self.wake(address)
        return not (late and by)

    async def hear(self, number: int, inbound: Inbound, person: str, words: str) -> bool:
        """Whether an owner's words, stored as line `number`, were an answer. Other words in the
        conversation a question stands in mean no, and are answered themselves."""
        address = inbound.address
        if press := press_of(words):
            return await self._pressed(number, inbound, person, press)
        open_here = self.standing_in(address)
        if not open_here:
            return False
        ruling, question = ruling_of(words), open_here[-1]
        if ruling is None and question.conversation != address.key:
            return False
        if ruling is None:
            await self.settle(question.number, False, person)
            return False
        await self._take(number, question, ruling, person, inbound)
        return True

    def standing_in(self, address: Address) -> list[Entry]:
        """The open questions that stand in a conversation, oldest first."""
        return [
            one
            for one in self.open.values()
            if isinstance(one.event, Asked) and one.event.where == address.key
        ]

    async def address(self, key: str) -> Address:
        """The full address of a conversation the journal knows."""
        return await self.journal.address(key) or Address.parse(key)

    async def _pressed(
        self, number: int, inbound: Inbound, person: str, press: tuple[Ruling, str]
    ) -> bool:
        """A button counts for the question it stands under, or for none."""
        ruling, digest = press
        for question in self.standing_in(inbound.address):
            if isinstance(question.event, Asked) and question.event.digest.startswith(digest):
                await self._take(number, question, ruling, person, inbound)
                return True
        reason = "answered a question that is closed"
        await self.journal.append(inbound.address, Refused(of=number, reason=reason))
        text = phrase("ask-closed", language_of(inbound.sender.name))
        await self.notice(inbound.address, f"closed:{inbound.address.key}:{inbound.id}", text)
        return True

    async def _take(
        self, number: int, question: Entry, ruling: Ruling, person: str, inbound: Inbound
    ) -> None:
        address = inbound.address
        in_time = await self.settle(
            question.number, ruling != "no", person, always=ruling == "always"
        )
        reason = f"answered question {question.number}"
        await self.journal.append(address, Refused(of=number, reason=reason))
        told = _TOLD[ruling] if in_time else "ask-closed"
        if question.conversation != address.key or ruling == "always" or not in_time:
            words = text_of(inbound.parts)
            asked = question.event.question if isinstance(question.event, Asked) else ""
            language = language_of(asked if press_of(words) else words)
            await self.notice(address, f"decided:{question.number}", phrase(told, language))


def _granted(question: Entry, asked: Asked, by: str, expires: float) -> Granted:
    """The leave that `always` gives: for the person, the conversation and the exact values that
    the question was about."""
    return Granted(
        person=asked.person,
        where=question.conversation,
        tool=asked.tool,
        arguments=asked.arguments,
        by=by,
        expires=expires,
    )
