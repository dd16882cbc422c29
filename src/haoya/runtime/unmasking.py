# SPDX-License-Identifier: AGPL-3.0-or-later
"""What a model was shown in place of what: worked out anew from the journal, for the owner's eyes.

Nothing is kept for it: placeholders follow from the conversation, the value and the secret of this
home, so the same words give the same ones. By today's rules, and by today's system prompt.
"""

from collections.abc import Mapping

import msgspec

from haoya.agent.prompt import system_prompt
from haoya.agent.transcript import KINDS, groups_of
from haoya.core.event import ModelAnswered, ModelAsked, kind_of
from haoya.core.message import Address
from haoya.core.tool import Line, Prompt
from haoya.journal import Journal
from haoya.runtime.masking import NOTED, Masking, plainly
from haoya.runtime.runs import Row, why
from haoya.runtime.settings import AgentSettings

_ASKED = frozenset({kind_of(ModelAsked), kind_of(ModelAnswered)})


async def story(
    journal: Journal, masking: Masking, agent: AgentSettings, given: Mapping[str, object]
) -> Row:
    """The answer to `why`; with `show_masked` also what was put away."""
    told = await why(journal, str(given["message"]))
    if given.get("show_masked") is True:
        told["masked"] = await masked_in(journal, masking, agent, told)
    return told


async def masked_in(
    journal: Journal, masking: Masking, agent: AgentSettings, told: Row
) -> list[Row]:
    """The placeholders that the models of a message's turn were shown, each with its value;
    `told` is the answer to `why`. Empty where nothing was masked."""
    key = str(told["conversation"])
    lines = await journal.read(key, after=int(told["message"]) - 1, kinds=_ASKED)
    turns = [entry.event for entry in lines if isinstance(entry.event, ModelAsked | ModelAnswered)]
    if not turns:
        return []
    turn = turns[0].turn
    noted = any(
        note.startswith(NOTED)
        for event in turns
        if isinstance(event, ModelAnswered) and event.turn == turn
        for note in event.notes
    )
    asked = [event for event in turns if isinstance(event, ModelAsked) and event.turn == turn]
    if not noted or not asked:
        return []
    since = min(event.since for event in asked)
    entries = await journal.read(key, after=max(0, since - 1), kinds=KINDS)
    address = await journal.address(key) or Address.parse(key)
    system = Line(role="system", text=system_prompt(agent.name, agent.prompt))
    groups = groups_of(entries, turn, address)
    prompt = Prompt(lines=(system, *(line for group in groups for line in group.lines)))
    mask = masking.mask(key)
    with plainly():
        mask.prompt(msgspec.structs.replace(prompt, conversation=key))
    return [{"placeholder": f"[{name}]", "value": value} for name, value in mask.pairs.items()]
