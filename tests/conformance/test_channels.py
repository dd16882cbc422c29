# SPDX-License-Identifier: AGPL-3.0-or-later
"""Every channel keeps the contract, against the best far side that can be had."""

import asyncio
from pathlib import Path

import pytest

from haoya.core.capabilities import Capabilities
from tests.conformance.cases import CASES, Case, Scene
from tests.conformance.counterpart import Counterpart, registered
from tests.conformance.matrix import Outcome, Outcomes

CASE_SECONDS = 60
CHANNELS = registered()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("channel", CHANNELS)
def test_channel(channel: str, case: Case, outcomes: Outcomes, tmp_path: Path) -> None:
    far = CHANNELS[channel]()
    outcome = outcomes.setdefault(
        channel, Outcome(evidence=far.evidence, server=far.server, abilities=far.abilities)
    )
    if reason := far.missing():
        outcome.missing = reason
        pytest.skip(reason)
    if not case.needs <= far.abilities:
        outcome.cases[case.name] = "n/a"
        return
    outcome.cases[case.name] = "fail"
    outcome.capabilities = asyncio.run(run_case(case, far, tmp_path)) or outcome.capabilities
    outcome.cases[case.name] = "pass"


async def run_case(case: Case, far: Counterpart, folder: Path) -> Capabilities | None:
    """Play one case against a counterpart; what the channel declared, where the case asked."""
    scene = Scene(far, folder)
    await far.start()
    try:
        async with asyncio.timeout(CASE_SECONDS):
            await case.run(scene)
    finally:
        await far.stop()
    return scene.capabilities
