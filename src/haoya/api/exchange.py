# SPDX-License-Identifier: AGPL-3.0-or-later
"""One message handed to the agent, and what is said about it."""

import asyncio
from collections.abc import AsyncGenerator

import msgspec

from haoya.api.history import question_id
from haoya.api.stream import BEAT_SECONDS
from haoya.core.errors import ConfigError, Unready
from haoya.core.event import Admitted, Entry, ModelAnswered, Refused, Said, kind_of
from haoya.core.message import Button, Inbound, Outbound
from haoya.core.tool import Usage
from haoya.runtime.house import House

HAND_IN_SECONDS = 30.0
"""How long storing a message may take before the client should try again."""

ANSWER_SECONDS = 1800.0
"""How long an answer is waited for; it stands in the conversation whenever it comes."""

QUESTION_SECONDS = 2.0
"""How long a question may take from being shown to being open."""

_FATE = frozenset({kind_of(Admitted), kind_of(Refused)})
_ANSWERS = frozenset({kind_of(Said), kind_of(Refused)})
_MODEL = frozenset({kind_of(ModelAnswered)})


class Fate(msgspec.Struct, frozen=True):
    """What became of a stored message: the number under which it was let in (0 where it was
    not), and why it was not."""

    admitted: int = 0
    refused: str = ""


async def exchange(
    house: House, inbound: Inbound, *, repeated: bool
) -> AsyncGenerator[Outbound | None, None]:
    """Hand a message in; yield the drafts of its answer, and last the answer.

    None is yielded where there was nothing to tell for `BEAT_SECONDS`, and once as soon as the
    message is stored. `repeated` says that the client may have sent it before: then an answer
    that is already there is given again. A question to the owner ends the exchange like an
    answer; the reply to it is the next message. Raises `Unready`, or `ConfigError` where the
    message is not let in.
    """
    desk = house.desk()
    deadline = asyncio.get_running_loop().time() + ANSWER_SECONDS
    async with desk.watch(inbound.address.room) as heard:
        if repeated and (said := await _said_before(house, inbound)):
            yield said
            return
        await hand_in(house, inbound)
        yield None
        fate = Fate()
        while asyncio.get_running_loop().time() < deadline:
            outbound: Outbound | None = None
            try:
                async with asyncio.timeout(BEAT_SECONDS):
                    outbound = await anext(heard)
            except TimeoutError:
                pass
            if outbound and inbound.id in outbound.answers:
                yield outbound
                return
            if not (fate.admitted or fate.refused):
                fate = await _fate(house, inbound)
            if outbound is None:
                _check(fate)
                yield None
            elif outbound.finality == "draft":
                if fate.refused or turn_of(outbound) >= fate.admitted > 0:
                    yield outbound
            elif fate.refused or is_question(outbound, inbound.address.key):
                await _open(house, outbound)
                yield outbound
                return
    raise Unready("there is no answer yet; it will stand in the conversation", retry_after=60)


async def hand_in(house: House, inbound: Inbound) -> None:
    """Give a message to the house; returns once it is stored, or raises `Unready`."""
    try:
        async with asyncio.timeout(HAND_IN_SECONDS):
            await house.desk().hand_in(inbound)
    except TimeoutError as error:
        text = f"the message was not stored within {HAND_IN_SECONDS:.0f} s; send it again"
        raise Unready(text) from error


async def usage_of(house: House, outbound: Outbound) -> Usage:
    """The tokens of all model calls of the turn that ended in this answer."""
    turn = turn_of(outbound)
    if not turn or house.gateway is None:
        return Usage()
    key = outbound.address.key
    entries = await house.gateway.journal.read(key, after=turn, kinds=_MODEL)
    steps = [entry.event for entry in entries if isinstance(entry.event, ModelAnswered)]
    used = [step.usage for step in steps if step.turn == turn]
    return Usage(
        prompt=sum(usage.prompt for usage in used),
        completion=sum(usage.completion for usage in used),
        cached=sum(usage.cached for usage in used),
    )


def turn_of(outbound: Outbound) -> int:
    """The turn an answer or draft belongs to, which its id ends with; 0 for a notice.

    >>> from haoya.core.message import Address
    >>> turn_of(Outbound(id="local//main:7", address=Address(channel="local", room="main"),
    ...                  parts=()))
    7
    """
    key, _, turn = outbound.id.rpartition(":")
    return int(turn) if key == outbound.address.key and turn.isdecimal() else 0


def is_question(outbound: Outbound, key: str) -> bool:
    """Whether this asks the owner about a call of the conversation with that key."""
    buttons = any(isinstance(part, Button) for part in outbound.parts)
    return buttons and outbound.id.startswith(f"ask:{key}:")


async def _open(house: House, outbound: Outbound) -> None:
    """Wait until a question can be answered: it is shown a moment before it is written down."""
    deadline = asyncio.get_running_loop().time() + QUESTION_SECONDS
    while is_question(outbound, outbound.address.key) and house.gateway is not None:
        if any(question_id(entry) == outbound.id for entry in house.gateway.questions.values()):
            return
        if asyncio.get_running_loop().time() > deadline:
            return
        await asyncio.sleep(0.01)


async def _fate(house: House, inbound: Inbound) -> Fate:
    """What became of a message that was handed in just now."""
    number, entries = await _after(house, inbound, _FATE)
    for entry in entries:
        match entry.event:
            case Admitted(of=of) if of == number:
                return Fate(admitted=entry.number)
            case Refused(of=of, reason=reason) if of == number:
                return Fate(refused=reason)
            case _:
                pass
    return Fate()


async def _said_before(house: House, inbound: Inbound) -> Outbound | None:
    """The answer a message sent earlier has got; None where there is none yet.

    A message that was an answer to a question is answered by whatever was said next.
    """
    number, entries = await _after(house, inbound, _ANSWERS)
    ruled = any(isinstance(e.event, Refused) and e.event.of == number for e in entries)
    for entry in entries:
        said = entry.event
        if isinstance(said, Said) and (ruled or inbound.id in said.outbound.answers):
            return said.outbound
    return None


async def _after(house: House, inbound: Inbound, kinds: frozenset[str]) -> tuple[int, list[Entry]]:
    """The number of a message and the lines of its conversation after it."""
    if house.gateway is None:
        raise Unready(f"the journal is shut: {house.trouble()}")
    journal = house.gateway.journal
    number = await journal.find(inbound.address.channel, inbound.id)
    if number is None:
        return 0, []
    heard = await journal.entry(number)
    if heard and heard.conversation != inbound.address.key:
        raise ConfigError(
            "this Idempotency-Key belongs to a message of another conversation",
            cure="use a fresh key for each message",
        )
    return number, await journal.read(inbound.address.key, after=number, kinds=kinds)


def _check(fate: Fate) -> None:
    """Raise where a refused message has been silent for so long that no answer will come."""
    if fate.refused and not fate.refused.startswith(("answered", "approved")):
        raise ConfigError(f"the message was not let in: {fate.refused}")
