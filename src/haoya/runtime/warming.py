# SPDX-License-Identifier: AGPL-3.0-or-later
"""Local models made ready before the first question."""

import logging

from haoya.agent.prompt import system_prompt
from haoya.core.errors import Rejected, Unready
from haoya.core.ports import Warms
from haoya.core.tool import Line, Prompt
from haoya.runtime.conversations import Mind

log = logging.getLogger("haoya.runtime")


def beginning(mind: Mind) -> Prompt:
    """What all prompts of the agent begin with, as `agent.turn` writes it."""
    settings = mind.settings
    system = Line(role="system", text=system_prompt(settings.name, settings.prompt))
    return Prompt(lines=(system,), tools=tuple(mind.specs().values()))


async def warm_first(mind: Mind) -> None:
    """Make the first model of the owner's order ready, where it can be; trouble is told once, and
    again by the first question."""
    for name, model in mind.routing.order()[:1]:
        if isinstance(model, Warms):
            try:
                await model.warm([beginning(mind)])
            except (Unready, Rejected) as error:
                log.warning("[models.%s] is not ready: %s", name, error)
