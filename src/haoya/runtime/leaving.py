# SPDX-License-Identifier: AGPL-3.0-or-later
"""Whether the owner's rules about what may leave can be what was meant."""

from haoya.core.tool import Place
from haoya.policy.leave import leave_faults
from haoya.runtime.settings import Finding, Settings


def leave_findings(settings: Settings) -> list[Finding]:
    """A warning for each rule that names no channel or that no model satisfies."""
    places: dict[str, Place] = {
        name: settings.frames[name].place_of(settings.models[name].table)
        for name in settings.agent.models
        if name in settings.frames
    }
    channels = frozenset(settings.channels)
    return [
        Finding(id="policy-leave", severity="warning", section="policy", message=message, cure=cure)
        for message, cure in leave_faults(settings.policy.leave, places, channels)
    ]
